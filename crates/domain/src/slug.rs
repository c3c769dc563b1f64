//! The slug: a tenant's name in URLs, Keycloak aliases and headers.
//!
//! `app` parses it at creation; both databases repeat the shape as a check. Invariant: a `Slug` in hand has the shape,
//! and no text is both a slug and an id.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{FieldCode, Violation};

/// The fewest characters of a slug.
pub const SLUG_MIN: usize = 3;
/// The most characters of a slug: a DNS label (RFC 1035 §2.3.4), since slugs become subdomains.
pub const SLUG_MAX: usize = 63;
/// The shape of a slug as a regular expression, for documents.
pub const SLUG_PATTERN: &str = "^[a-z0-9][a-z0-9-]*[a-z0-9]$";

/// 3 to 63 of `a-z0-9-`, no dash at either end, not shaped like a UUID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// Reads a slug for a new tenant.
    ///
    /// # Errors
    /// The violation of field `slug`: `too_short`, `too_long`, `invalid_format`, or `not_allowed` for a reserved word
    /// and for the shape of a UUID.
    pub fn parse(text: &str, reserved: &ReservedSlugs) -> Result<Self, Violation> {
        let violation = |code, message: String| Err(Violation::new("slug", code, message));
        let length = text.chars().count();
        if length < SLUG_MIN {
            return violation(FieldCode::TooShort, format!("must have at least {SLUG_MIN} characters, has {length}"));
        }
        if length > SLUG_MAX {
            return violation(FieldCode::TooLong, format!("must have at most {SLUG_MAX} characters, has {length}"));
        }
        if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return violation(FieldCode::InvalidFormat, format!("may contain only a-z, 0-9 and -, has {bad:?}"));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return violation(FieldCode::InvalidFormat, "must not start or end with a dash".to_owned());
        }
        if crate::ids::parse_uuid(text).is_ok() {
            return violation(FieldCode::NotAllowed, "must not be shaped like a UUID".to_owned());
        }
        if reserved.contains(text) {
            return violation(FieldCode::NotAllowed, format!("`{text}` is reserved"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A slug that a store gave back.
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

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names that no tenant may take.
#[derive(Debug, Clone, Default)]
pub struct ReservedSlugs(HashSet<String>);

impl ReservedSlugs {
    /// Whether `slug` is one of them.
    #[must_use]
    pub fn contains(&self, slug: &str) -> bool {
        self.0.contains(slug)
    }
}

impl<S: Into<String>> FromIterator<S> for ReservedSlugs {
    fn from_iter<I: IntoIterator<Item = S>>(words: I) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<FieldCode>) {
        let reserved = ReservedSlugs::from_iter(["admin"]);
        assert_eq!(Slug::parse(text, &reserved).err().map(|v| v.code), expected, "{text:?}");
    }

    #[test]
    fn the_shape_is_kept_at_its_edges() {
        check("abc", None);
        check("a-1", None);
        check("a--b", None);
        check(&"a".repeat(63), None);
        check("ab", Some(FieldCode::TooShort));
        check("", Some(FieldCode::TooShort));
        check(&"a".repeat(64), Some(FieldCode::TooLong));
        check("-ab", Some(FieldCode::InvalidFormat));
        check("ab-", Some(FieldCode::InvalidFormat));
        check("Abc", Some(FieldCode::InvalidFormat));
        check("a_b", Some(FieldCode::InvalidFormat));
        check("äbc", Some(FieldCode::InvalidFormat));
        check("a\0c", Some(FieldCode::InvalidFormat));
        check("admin", Some(FieldCode::NotAllowed));
        check("0192f0c1-2345-7abc-8def-0123456789ab", Some(FieldCode::NotAllowed));
        check("0192f0c1-2345-7abc-8def-0123456789a", None);
    }
}
