//! Why something is as it is, in words that may be shown.
//!
//! Verdicts, failed factories and suspensions carry a [`Reason`] into status pages, events, logs and answers, and what
//! they say was often written by a driver or an HTTP client. Invariant: no text becomes a reason without having gone
//! through [`redacted`](crate::redact::redacted), so that no later reader has to think of it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::redact::redacted;

/// A short text for people: why a tenant is refused, or what a validation found.
///
/// Credentials are redacted and the length is bounded when it is made, whoever makes it.
///
/// ```
/// use tenancy::Reason;
///
/// let reason = Reason::from("cannot reach postgres://app:hunter2@db/acme");
/// assert_eq!(reason.to_string(), "cannot reach postgres://***@db/acme");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(Arc<str>);

impl Reason {
    /// The text.
    ///
    /// ```
    /// assert_eq!(tenancy::Reason::from("not paid").as_str(), "not paid");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Reason {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self(Arc::from(redacted(text)))
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Reason {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Self> for Reason {
    fn from(reason: &Self) -> Self {
        reason.clone()
    }
}

impl PartialEq<str> for Reason {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<String> for Reason {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<Reason> for str {
    fn eq(&self, other: &Reason) -> bool {
        other == self
    }
}

impl PartialEq<Reason> for &str {
    fn eq(&self, other: &Reason) -> bool {
        other == *self
    }
}

impl PartialEq<Reason> for String {
    fn eq(&self, other: &Reason) -> bool {
        other == self
    }
}
