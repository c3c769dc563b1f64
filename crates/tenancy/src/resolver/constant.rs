//! One tenant for every request.
//!
//! For servers that are deployed once per tenant. Invariant: it is a hint, so that a credential of another tenant, or a
//! request that names another, is refused and not served as this one.

use super::{RequestHead, Resolution, TenantResolver};
use crate::id::TenantId;

/// Names the same tenant for every request, as a hint.
///
/// In a [`Chain`](super::Chain) a request that names or proves another tenant is refused. Where such a request is to have
/// its own way, name a [default tenant](super::Chain::default_tenant) instead.
///
/// ```
/// use tenancy::{ConstantResolver, RequestHead, Resolution, TenantResolver};
///
/// let request = http::Request::new(());
/// assert_eq!(ConstantResolver::new("acme").resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
/// ```
#[derive(Clone, Debug)]
pub struct ConstantResolver {
    id: TenantId,
}

impl ConstantResolver {
    /// Names this tenant.
    ///
    /// ```
    /// let _ = tenancy::ConstantResolver::new("acme");
    /// ```
    #[must_use]
    pub fn new(id: impl Into<TenantId>) -> Self {
        Self { id: id.into() }
    }
}

impl TenantResolver for ConstantResolver {
    fn resolve(&self, _request: &RequestHead<'_>) -> Resolution {
        Resolution::hint(&self.id)
    }
}
