//! The tenant that a signed token belongs to.
//!
//! For servers that take tokens only from those who are bound to a tenant, or that ask nothing else. Invariant: it reads the
//! verified principal, never a token.

use super::{Principal, PrincipalKind, RequestHead, Resolution, TenantResolver};

/// Reads the tenant of a [`PrincipalKind::Token`] principal, which is proven.
///
/// Not its own are requests without a token, and tokens that are bound to no tenant. A [`Chain`](super::Chain) weighs the
/// principal's tenant also without this resolver; listing it says so where the configuration is read.
///
/// ```
/// use tenancy::{ClaimResolver, Principal, RequestHead, Resolution, TenantResolver};
///
/// let request = http::Request::new(());
/// let user = Principal::token("user-7").with_tenant("acme");
/// assert_eq!(ClaimResolver.resolve(&RequestHead::of(&request).with_principal(&user)), Resolution::proven("acme"));
/// assert_eq!(ClaimResolver.resolve(&RequestHead::of(&request)), Resolution::NotMine);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimResolver;

impl ClaimResolver {
    /// The resolver; it has nothing to set.
    ///
    /// ```
    /// let resolver = tenancy::ClaimResolver::new();
    /// # let _ = resolver;
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl TenantResolver for ClaimResolver {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        proven_by(PrincipalKind::Token, request.principal)
    }
}

/// The tenant of a principal of this kind.
pub(super) fn proven_by(kind: PrincipalKind, principal: Option<&Principal>) -> Resolution {
    match principal {
        Some(Principal { kind: own, tenant: Some(id), .. }) if *own == kind => Resolution::proven(id),
        _ => Resolution::NotMine,
    }
}
