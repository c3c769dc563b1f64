//! Several resolvers that have to agree.
//!
//! What servers configure: every resolver of the chain is asked, and what they say is weighed together with the tenant of
//! the verified principal. Invariant: where anything was proven, that tenant is the answer or the request is refused; the
//! order of the resolvers never decides for whom a request is.

use std::fmt;
use std::sync::Arc;

use super::{Proof, RequestHead, Resolution, TenantResolver};
use crate::id::TenantId;

/// Asks several resolvers, and answers only what all of them agree on.
///
/// | proven | named | the answer |
/// |---|---|---|
/// | a tenant | nothing, or the same | that tenant, [`Proof::Proven`] |
/// | nothing | a tenant | that tenant, [`Proof::Hint`] |
/// | nothing | nothing | the default tenant as [`Proof::Hint`], if there is one, or else [`Resolution::NotMine`] |
/// | two tenants between them | | 403 `tenant_mismatch` |
///
/// The tenant of the request's [`Principal`](super::Principal) is proven, also where no resolver of the chain reads it; a
/// principal without a tenant proves nothing, and goes where the request says. Ids are compared byte by byte. A resolver
/// that rejects has the last word; where several would, the first in the list has it.
///
/// A chain is a resolver and may stand in another. Its default tenant is a hint like any other then, so a default belongs
/// to the outermost.
///
/// ```
/// use tenancy::{Chain, ClaimResolver, HeaderResolver, Principal, RequestHead, Resolution, TenantResolver};
///
/// let chain = Chain::new().then(ClaimResolver).then(HeaderResolver::default());
/// let request = http::Request::get("/").header("x-tenant-id", "globex").body(())?;
/// assert_eq!(chain.resolve(&RequestHead::of(&request)), Resolution::hint("globex"));
///
/// let user = Principal::token("user-7").with_tenant("acme");
/// assert_eq!(chain.resolve(&RequestHead::of(&request).with_principal(&user)), Resolution::mismatch());
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Chain {
    resolvers: Vec<Arc<dyn TenantResolver>>,
    default_tenant: Option<TenantId>,
}

impl Chain {
    /// A chain that reads nothing yet but the principal's tenant.
    ///
    /// ```
    /// use tenancy::{Chain, RequestHead, Resolution, TenantResolver};
    ///
    /// let request = http::Request::new(());
    /// assert_eq!(Chain::new().resolve(&RequestHead::of(&request)), Resolution::NotMine);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more resolver.
    ///
    /// ```
    /// use tenancy::{Chain, HeaderResolver, PathResolver};
    ///
    /// let _ = Chain::new().then(HeaderResolver::default()).then(PathResolver::below("/t"));
    /// ```
    #[must_use]
    pub fn then(mut self, resolver: impl TenantResolver + 'static) -> Self {
        self.resolvers.push(Arc::new(resolver));
        self
    }

    /// The same with a tenant for requests that neither prove nor name one: the single-tenant mode. Without this call there
    /// is none, and an empty id is none.
    ///
    /// ```
    /// use tenancy::{Chain, HeaderResolver, RequestHead, Resolution, TenantResolver};
    ///
    /// let chain = Chain::new().then(HeaderResolver::default()).default_tenant("default-tenant");
    /// let request = http::Request::new(());
    /// assert_eq!(chain.resolve(&RequestHead::of(&request)), Resolution::hint("default-tenant"));
    /// ```
    #[must_use]
    pub fn default_tenant(mut self, id: impl Into<TenantId>) -> Self {
        self.default_tenant = Some(id.into()).filter(|id| !id.is_empty());
        self
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("resolvers", &self.resolvers.len())
            .field("default_tenant", &self.default_tenant)
            .finish()
    }
}

impl TenantResolver for Chain {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        let bound_to = request.principal.and_then(|principal| principal.tenant.as_ref());
        let mut agreed = bound_to.map(|id| (id.clone(), Proof::Proven));

        for resolver in &self.resolvers {
            match (resolver.resolve(request), &mut agreed) {
                (Resolution::NotMine, _) => {}
                (rejection @ Resolution::Reject { .. }, _) => return rejection,
                (Resolution::Tenant { id, proof }, None) => agreed = Some((id, proof)),
                (Resolution::Tenant { id, .. }, Some((other, _))) if id != *other => return Resolution::mismatch(),
                (Resolution::Tenant { proof, .. }, Some((_, strongest))) => *strongest = proof.max(*strongest),
            }
        }
        match (agreed, &self.default_tenant) {
            (Some((id, proof)), _) => Resolution::Tenant { id, proof },
            (None, Some(id)) => Resolution::hint(id),
            (None, None) => Resolution::NotMine,
        }
    }
}
