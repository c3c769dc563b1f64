//! What can be had: a product of the catalog, named by a key that never changes.
//!
//! `app` checks what platform admins put there; entitlements and requests name products by key. Invariant: a
//! [`ProductKey`] in hand has the shape, so that it can stand in a path, a token's claim and a log line as it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{FieldCode, Violation};
use crate::tenant::{TRIAL_DAYS_DEFAULT, TRIAL_DAYS_MAX, check_name};
use crate::time::Timestamp;

/// The most characters of a product's key.
pub const KEY_MAX: usize = 64;
/// The shape of a key as a regular expression, for documents.
pub const KEY_PATTERN: &str = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$";
/// The most characters of a description.
pub const DESCRIPTION_MAX: usize = 2_000;

/// 1 to 64 of `[a-z0-9._-]`, a letter or digit at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProductKey(String);

impl ProductKey {
    /// Reads the key of a product that is to be put into the catalog.
    ///
    /// # Errors
    /// The violation of field `key`: `too_short`, `too_long` or `invalid_format`.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let violation = |code, message: String| Err(Violation::new("key", code, message));
        let length = text.chars().count();
        if length == 0 {
            return violation(FieldCode::TooShort, "must not be empty".to_owned());
        }
        if length > KEY_MAX {
            return violation(FieldCode::TooLong, format!("may have at most {KEY_MAX} characters, has {length}"));
        }
        if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-')) {
            return violation(
                FieldCode::InvalidFormat,
                format!("may contain only a-z, 0-9, `.`, `_` and -, has {bad:?}"),
            );
        }
        let at_an_end = |c: char| c.is_ascii_alphanumeric();
        if !text.starts_with(at_an_end) || !text.ends_with(at_an_end) {
            return violation(FieldCode::InvalidFormat, "must start and end with a letter or a digit".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// A key that a store gave back.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProductKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its key; it never changes.
    pub key: ProductKey,
    /// Its name, for people.
    pub name: String,
    /// What it is, for people.
    pub description: Option<String>,
    /// Days of a tenant's trial of it.
    pub trial_days: u32,
    /// Whether tenants may ask for it and for its trial.
    pub requestable: bool,
    /// When it came into the catalog.
    pub created_at: Timestamp,
}

/// What is said of a product when it is put into the catalog.
#[derive(Debug, Clone)]
pub struct ProductInput {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// Days of a trial; [`TRIAL_DAYS_DEFAULT`] where nothing is said.
    pub trial_days: Option<u32>,
    /// Whether it can be asked for; it can where nothing is said.
    pub requestable: Option<bool>,
}

impl ProductInput {
    /// Every rule that the input breaks.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut violations = check_name("name", &self.name);
        let mut broken = |field: &str, code, message: String| violations.push(Violation::new(field, code, message));
        let length = self.description.as_ref().map_or(0, |text| text.chars().count());
        if length > DESCRIPTION_MAX {
            broken(
                "description",
                FieldCode::TooLong,
                format!("may have at most {DESCRIPTION_MAX} characters, has {length}"),
            );
        }
        if self.trial_days.is_some_and(|days| !(1..=TRIAL_DAYS_MAX).contains(&days)) {
            broken("trial_days", FieldCode::OutOfRange, format!("must be between 1 and {TRIAL_DAYS_MAX} days"));
        }
        violations
    }

    /// The product that is new at `now`.
    #[must_use]
    pub fn start(self, key: ProductKey, now: Timestamp) -> Product {
        Product {
            key,
            name: self.name,
            description: self.description,
            trial_days: self.trial_days.unwrap_or(TRIAL_DAYS_DEFAULT),
            requestable: self.requestable.unwrap_or(true),
            created_at: now,
        }
    }
}

impl Product {
    /// Replaces everything but key and age by what is said, and tells which fields that changed.
    pub fn replace(&mut self, input: ProductInput) -> Vec<&'static str> {
        let before = self.clone();
        *self = input.start(before.key.clone(), before.created_at);
        let fields = [
            ("name", self.name != before.name),
            ("description", self.description != before.description),
            ("trial_days", self.trial_days != before.trial_days),
            ("requestable", self.requestable != before.requestable),
        ];
        fields.into_iter().filter_map(|(field, changed)| changed.then_some(field)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<FieldCode>) {
        assert_eq!(ProductKey::parse(text).err().map(|violation| violation.code), expected, "{text:?}");
    }

    #[test]
    fn the_shape_of_a_key_is_kept_at_its_edges() {
        check("a", None);
        check("7", None);
        check("crm.pro-2_x", None);
        check(&"a".repeat(64), None);
        check("", Some(FieldCode::TooShort));
        check(&"a".repeat(65), Some(FieldCode::TooLong));
        for bad in ["-a", "a-", ".a", "a.", "_a", "a_", ".", "A", "a b", "a/b", "ä", "a\0b", "a\n"] {
            check(bad, Some(FieldCode::InvalidFormat));
        }
    }

    fn input(name: &str) -> ProductInput {
        ProductInput { name: name.to_owned(), description: None, trial_days: None, requestable: None }
    }

    #[test]
    fn every_limit_of_a_product_is_judged_at_its_edge() {
        let codes = |input: &ProductInput| {
            input.check().into_iter().map(|violation| (violation.field, violation.code)).collect::<Vec<_>>()
        };
        let one = |field: &str, code| vec![(field.to_owned(), code)];
        assert_eq!(codes(&input(&"é".repeat(255))), []);
        assert_eq!(codes(&input(&"é".repeat(256))), one("name", FieldCode::TooLong));
        assert_eq!(codes(&input(" ")), one("name", FieldCode::TooShort));
        assert_eq!(codes(&input("a\tb")), one("name", FieldCode::InvalidFormat));
        let described = |length| ProductInput { description: Some("é".repeat(length)), ..input("n") };
        assert_eq!(codes(&described(2_000)), []);
        assert_eq!(codes(&described(2_001)), one("description", FieldCode::TooLong));
        let lasting = |days| ProductInput { trial_days: Some(days), ..input("n") };
        assert_eq!(codes(&lasting(1)), []);
        assert_eq!(codes(&lasting(365)), []);
        assert_eq!(codes(&lasting(0)), one("trial_days", FieldCode::OutOfRange));
        assert_eq!(codes(&lasting(366)), one("trial_days", FieldCode::OutOfRange));
    }

    #[test]
    fn replacing_puts_back_what_is_not_said_and_names_what_changed() {
        let key = ProductKey::stored("crm".to_owned());
        let mut product = ProductInput {
            description: Some("d".to_owned()),
            trial_days: Some(30),
            requestable: Some(false),
            ..input("CRM")
        }
        .start(key, Timestamp::UNIX_EPOCH);
        let same = product.clone();
        let again = ProductInput {
            description: Some("d".to_owned()),
            trial_days: Some(30),
            requestable: Some(false),
            ..input("CRM")
        };
        assert_eq!(product.replace(again), Vec::<&str>::new());
        assert_eq!(product, same);
        assert_eq!(product.replace(input("CRM")), ["description", "trial_days", "requestable"]);
        assert_eq!((product.trial_days, product.requestable, product.description), (14, true, None));
    }
}
