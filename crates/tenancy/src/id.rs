//! A tenant's id: a text that the embedder chose, shared instead of copied.
//!
//! Everything that names a tenant hands out clones of one [`TenantId`], the path of every request among them. The
//! registry compares ids byte by byte and reads nothing into them. Invariant: a clone allocates nothing.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The id of a tenant. It derefs to `str`, and cloning it copies a pointer.
///
/// ```
/// use tenancy::TenantId;
///
/// let id = TenantId::from("acme");
/// assert_eq!(id, "acme");
/// assert_eq!(id.len(), 4);
/// assert_eq!(format!("{id}"), "acme");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The id as it was given.
    ///
    /// ```
    /// assert_eq!(tenancy::TenantId::from("acme").as_str(), "acme");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Brings what a clone will count in into the processor's cache, side by side with other loads.
    pub(crate) fn touch(&self) {
        std::hint::black_box(Arc::strong_count(&self.0));
    }
}

impl Deref for TenantId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TenantId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TenantId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for TenantId {
    fn from(id: &str) -> Self {
        Self(Arc::from(id))
    }
}

impl From<String> for TenantId {
    fn from(id: String) -> Self {
        Self(Arc::from(id))
    }
}

impl From<&String> for TenantId {
    fn from(id: &String) -> Self {
        Self::from(id.as_str())
    }
}

impl From<Arc<str>> for TenantId {
    fn from(id: Arc<str>) -> Self {
        Self(id)
    }
}

impl From<&Self> for TenantId {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        (*id.0).to_owned()
    }
}

impl PartialEq<str> for TenantId {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for TenantId {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<String> for TenantId {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<TenantId> for str {
    fn eq(&self, other: &TenantId) -> bool {
        other == self
    }
}

impl PartialEq<TenantId> for &str {
    fn eq(&self, other: &TenantId) -> bool {
        other == *self
    }
}
