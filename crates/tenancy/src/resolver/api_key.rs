//! The tenant that an API key belongs to.
//!
//! The counterpart of [`ClaimResolver`](super::ClaimResolver) for keys. Invariant: it reads the verified principal, never a
//! key.

use super::claim::proven_by;
use super::{PrincipalKind, RequestHead, Resolution, TenantResolver};

/// Reads the tenant of a [`PrincipalKind::ApiKey`] principal, which is proven.
///
/// Not its own are requests without a key, and keys that are bound to no tenant. A [`Chain`](super::Chain) weighs the
/// principal's tenant also without this resolver; listing it says so where the configuration is read.
///
/// ```
/// use tenancy::{ApiKeyResolver, Principal, RequestHead, Resolution, TenantResolver};
///
/// let request = http::Request::new(());
/// let machine = Principal::api_key("key-7").with_tenant("acme");
/// assert_eq!(ApiKeyResolver.resolve(&RequestHead::of(&request).with_principal(&machine)), Resolution::proven("acme"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ApiKeyResolver;

impl ApiKeyResolver {
    /// The resolver; it has nothing to set.
    ///
    /// ```
    /// let resolver = tenancy::ApiKeyResolver::new();
    /// # let _ = resolver;
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl TenantResolver for ApiKeyResolver {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        proven_by(PrincipalKind::ApiKey, request.principal)
    }
}
