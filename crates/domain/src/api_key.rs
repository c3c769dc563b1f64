//! What an API key is, how long it is good, and what becomes of it when it is rotated.
//!
//! `app` makes, rotates and revokes keys by these rules, and verify decides by [`verdict`] alone. How a key is written is
//! [`mod@format`]'s. Invariants: nothing ever makes a key live longer; a key that was revoked stays revoked.

pub mod format;

use serde::{Deserialize, Serialize};

use crate::error::{Error, FieldCode, Result, Violation};
use crate::ids::{ApiKeyId, TenantId};
use crate::secret::Secret;
use crate::tenant::{Tenant, check_name};
use crate::time::{Timestamp, from_micros, to_micros};
use crate::words::words;

pub use format::{KeyEnv, KeyHash, Malformed, WellFormed};

/// The most scopes of a key.
pub const SCOPES_MAX: usize = 100;
/// The most characters of a scope.
pub const SCOPE_MAX: usize = 64;
/// What a scope looks like.
pub const SCOPE_PATTERN: &str = "^[a-z0-9:._-]{1,64}$";
/// The longest that a rotated key may live on, in seconds: a week.
pub const OVERLAP_MAX: u32 = 604_800;

words! {
    /// Where a key stands in its life.
    KeyStatus {
        /// Good, as far as it alone decides.
        Live = "live",
        /// Somebody ended it.
        Revoked = "revoked",
        /// Its time is over.
        Expired = "expired",
    }
}
words! {
    /// What verifying a key answers. Of several that apply it is the first, in this order.
    VerifyCode {
        /// The text is no key.
        Malformed = "malformed",
        /// Nobody has it here.
        NotFound = "not_found",
        /// It was revoked.
        Revoked = "revoked",
        /// Its time is over.
        Expired = "expired",
        /// Its tenant is frozen.
        TenantFrozen = "tenant_frozen",
        /// It does not carry the scope that was asked for.
        InsufficientScope = "insufficient_scope",
        /// It is good.
        Valid = "valid",
    }
}

/// A key, without itself: what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id, which is no secret.
    pub id: ApiKeyId,
    /// Whose it is; none for a key of the platform.
    pub tenant_id: Option<TenantId>,
    /// Its name, for people.
    pub name: String,
    /// What it begins with, whole: `trk_dev_`.
    pub prefix: String,
    /// What it ends with.
    pub last_four: String,
    /// The SHA-256 of it.
    pub hash: KeyHash,
    /// What it may be used for, each once.
    pub scopes: Vec<String>,
    /// When its time is over.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was last good for something, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The key that took its place.
    pub rotated_to: Option<ApiKeyId>,
}

/// What a new key is made of. [`NewApiKey::check`] has the rules that no type can hold.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// Whose it will be; none for a key of the platform.
    pub tenant_id: Option<TenantId>,
    /// Its name.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When its time will be over.
    pub expires_at: Option<Timestamp>,
}

impl NewApiKey {
    /// Every rule that the input breaks.
    #[must_use]
    pub fn check(&self, now: Timestamp) -> Vec<Violation> {
        let mut violations = check_name("name", &self.name);
        if self.scopes.len() > SCOPES_MAX {
            let message = format!("may have at most {SCOPES_MAX} members, has {}", self.scopes.len());
            violations.push(Violation::new("scopes", FieldCode::TooLong, message));
        }
        for (place, scope) in self.scopes.iter().enumerate() {
            violations.extend(check_scope(&format!("scopes.{place}"), scope));
        }
        if self.expires_at.is_some_and(|at| to_micros(at) <= now) {
            violations.push(Violation::new("expires_at", FieldCode::OutOfRange, "must be in the future"));
        }
        violations
    }

    /// The key, whose text is `secret`.
    #[must_use]
    pub fn make(self, id: ApiKeyId, env: KeyEnv, secret: &Secret, actor: &str, now: Timestamp) -> ApiKey {
        ApiKey {
            id,
            tenant_id: self.tenant_id,
            name: self.name,
            prefix: env.prefix().to_owned(),
            last_four: format::last_four(secret),
            hash: format::hash(secret.expose()),
            scopes: distinct(self.scopes),
            expires_at: self.expires_at.map(to_micros),
            created_at: now,
            created_by: actor.to_owned(),
            last_used_at: None,
            revoked_at: None,
            rotated_to: None,
        }
    }
}

impl ApiKey {
    /// How long it is good.
    #[must_use]
    pub fn life(&self) -> KeyLife {
        KeyLife { expires_at: self.expires_at, revoked_at: self.revoked_at }
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        self.life().status(now)
    }

    /// Revokes it. Says whether there was anything to revoke: an expired key is still revoked, and once only.
    pub fn revoke(&mut self, now: Timestamp) -> bool {
        let first = self.revoked_at.is_none();
        self.revoked_at.get_or_insert(now);
        first
    }

    /// Whether it may be rotated at `now`.
    ///
    /// # Errors
    /// `KeyNotRotatable` for a key that is revoked, expired, or has a successor.
    pub fn check_rotatable(&self, now: Timestamp) -> Result<()> {
        let why = match self.status(now) {
            KeyStatus::Revoked => "revoked",
            KeyStatus::Expired => "expired",
            KeyStatus::Live if self.rotated_to.is_some() => "rotated already",
            KeyStatus::Live => return Ok(()),
        };
        Err(Error::KeyNotRotatable { why })
    }

    /// Puts another key with the same properties in its place. This one lives on for `overlap` seconds, but never longer
    /// than it would have; without overlap it is revoked at once.
    ///
    /// # Errors
    /// As [`ApiKey::check_rotatable`].
    pub fn rotate(&mut self, id: ApiKeyId, secret: &Secret, overlap: u32, actor: &str, now: Timestamp) -> Result<Self> {
        self.check_rotatable(now)?;
        let successor = Self {
            id,
            last_four: format::last_four(secret),
            hash: format::hash(secret.expose()),
            created_at: now,
            created_by: actor.to_owned(),
            last_used_at: None,
            ..self.clone()
        };
        self.rotated_to = Some(id);
        if overlap == 0 {
            self.revoked_at = Some(now);
        } else {
            let end = from_micros(now.as_microsecond().saturating_add(i64::from(overlap) * 1_000_000));
            self.expires_at = Some(self.expires_at.map_or(end, |own| own.min(end)));
        }
        Ok(successor)
    }
}

/// How long a key is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLife {
    /// When its time is over.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl KeyLife {
    /// Where a key with this life stands at `now`.
    #[must_use]
    pub fn status(self, now: Timestamp) -> KeyStatus {
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            KeyStatus::Expired
        } else {
            KeyStatus::Live
        }
    }
}

/// Whose a key is, as the clock-free store knows it.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// The platform's.
    Platform,
    /// A tenant's; none when that is gone.
    Tenant(Option<&'a Tenant>),
}

/// Judges a key that was found. `in_scope` says whether it carries what was asked for; it does where nothing was.
#[must_use]
pub fn verdict(life: KeyLife, owner: Owner<'_>, in_scope: bool, now: Timestamp) -> VerifyCode {
    let frozen = match owner {
        Owner::Platform => false,
        Owner::Tenant(None) => return VerifyCode::NotFound,
        Owner::Tenant(Some(tenant)) => tenant.is_frozen_at(now),
    };
    match life.status(now) {
        KeyStatus::Revoked => VerifyCode::Revoked,
        KeyStatus::Expired => VerifyCode::Expired,
        KeyStatus::Live if frozen => VerifyCode::TenantFrozen,
        KeyStatus::Live if !in_scope => VerifyCode::InsufficientScope,
        KeyStatus::Live => VerifyCode::Valid,
    }
}

/// What is wrong with a scope. There are no wildcards: `*` is no character of one.
#[must_use]
pub fn check_scope(field: &str, scope: &str) -> Option<Violation> {
    let violation = |code, message: &str| Some(Violation::new(field, code, message));
    if scope.is_empty() {
        return violation(FieldCode::TooShort, "must not be empty");
    }
    if scope.chars().count() > SCOPE_MAX {
        return violation(FieldCode::TooLong, "may have at most 64 characters");
    }
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b':' | b'.' | b'_' | b'-');
    if scope.bytes().all(known) {
        return None;
    }
    violation(FieldCode::InvalidFormat, "may have only a-z, 0-9 and : . _ -")
}

/// Each scope once, where it stood first.
fn distinct(scopes: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(scopes.len());
    for scope in scopes {
        if !kept.contains(&scope) {
            kept.push(scope);
        }
    }
    kept
}

/// What is told once and kept nowhere: a key that was just made, and its text. A kept outcome has no text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Minted {
    /// The key.
    pub key: ApiKey,
    /// Its text; none when the outcome was kept from an earlier request.
    #[serde(skip)]
    pub plaintext: Option<Secret>,
}

#[cfg(test)]
mod tests;
