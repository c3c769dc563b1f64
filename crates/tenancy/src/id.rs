//! A tenant's id: a text that the embedder chose, cheap to hand on.
//!
//! Everything that names a tenant hands out clones of one [`TenantId`], the path of every request among them. The
//! registry compares ids byte by byte and reads nothing into them. Invariants: a clone allocates nothing; which of the
//! two forms an id has shows nowhere.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use arrayvec::ArrayString;

/// The length of a UUID's text: ids up to this are copied with the value. Counting the holders of a shared text would
/// cost every look-up an atomic operation and a look into another part of memory.
const SHORT: usize = 36;

/// The id of a tenant. It derefs to `str`; cloning it is cheap and allocates nothing.
///
/// ```
/// use tenancy::TenantId;
///
/// let id = TenantId::from("acme");
/// assert_eq!(id, "acme");
/// assert_eq!(id.len(), 4);
/// assert_eq!(format!("{id}"), "acme");
/// ```
#[derive(Clone)]
pub struct TenantId(Text);

#[derive(Clone)]
enum Text {
    Short(ArrayString<SHORT>),
    Long(Arc<str>),
}

impl TenantId {
    /// The id as it was given.
    ///
    /// ```
    /// assert_eq!(tenancy::TenantId::from("acme").as_str(), "acme");
    /// ```
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(text) => text,
            Text::Long(text) => text,
        }
    }
}

impl PartialEq for TenantId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TenantId {}

impl PartialOrd for TenantId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TenantId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// As `str` hashes, which `Borrow` needs.
impl Hash for TenantId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Deref for TenantId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for TenantId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for TenantId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&str> for TenantId {
    fn from(id: &str) -> Self {
        Self(ArrayString::from(id).map_or_else(|_| Text::Long(Arc::from(id)), Text::Short))
    }
}

impl From<String> for TenantId {
    fn from(id: String) -> Self {
        Self::from(id.as_str())
    }
}

impl From<&String> for TenantId {
    fn from(id: &String) -> Self {
        Self::from(id.as_str())
    }
}

impl From<Arc<str>> for TenantId {
    fn from(id: Arc<str>) -> Self {
        ArrayString::from(&id).map_or_else(|_| Self(Text::Long(Arc::clone(&id))), |text| Self(Text::Short(text)))
    }
}

impl From<&Self> for TenantId {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.as_str().to_owned()
    }
}

impl PartialEq<str> for TenantId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for TenantId {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == &**other
    }
}

impl PartialEq<String> for TenantId {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == &**other
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

impl PartialEq<TenantId> for String {
    fn eq(&self, other: &TenantId) -> bool {
        other == self
    }
}

impl From<&&str> for TenantId {
    fn from(id: &&str) -> Self {
        Self::from(*id)
    }
}
