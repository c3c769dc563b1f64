//! Which tenant a request is for, as far as the request itself says so.
//!
//! The serving layers, and any server by itself, put a request's head before one [`TenantResolver`], mostly a [`Chain`] of
//! those given here. Resolvers are pure and quick: verifying a credential comes before and leaves a [`Principal`]; whether
//! the tenant exists and may be served is asked after, of the registry.
//!
//! Invariant: what a caller merely says (a [`Proof::Hint`]) never reaches further than what was proven.

mod api_key;
mod chain;
mod claim;
mod constant;
mod header;
mod host;
mod path;
mod principal;
mod request;

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

pub use api_key::ApiKeyResolver;
pub use chain::Chain;
pub use claim::ClaimResolver;
pub use constant::ConstantResolver;
pub use header::HeaderResolver;
pub use host::HostResolver;
pub use path::PathResolver;
pub use principal::{Principal, PrincipalKind};
pub use request::RequestHead;

use crate::id::TenantId;

/// The code of the 403 that answers a request whose tenants disagree.
///
/// ```
/// assert_eq!(tenancy::TENANT_MISMATCH, "tenant_mismatch");
/// ```
pub const TENANT_MISMATCH: &str = "tenant_mismatch";

/// Says which tenant a request is for.
///
/// It is called once per request and must neither block nor keep anything of the request; it is part of a server's
/// state, and different requests are resolved at once. Make one of a closure with [`resolver_fn`].
///
/// ```
/// use tenancy::{RequestHead, Resolution, TenantResolver};
///
/// /// Reads `?tenant=…`, as an old client of ours sends it.
/// struct QueryResolver;
///
/// impl TenantResolver for QueryResolver {
///     fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
///         let query = request.uri.query().unwrap_or_default();
///         match query.split('&').find_map(|pair| pair.strip_prefix("tenant=")) {
///             Some(id) if !id.is_empty() => Resolution::hint(id),
///             _ => Resolution::NotMine,
///         }
///     }
/// }
///
/// let request = http::Request::get("/orders?tenant=acme").body(())?;
/// assert_eq!(QueryResolver.resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
/// # Ok::<(), http::Error>(())
/// ```
pub trait TenantResolver: Send + Sync {
    /// Says what this resolver reads in `request`.
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution;
}

/// What a resolver says of a request.
///
/// ```
/// use tenancy::{Proof, Resolution};
///
/// let resolution = Resolution::hint("acme");
/// assert!(matches!(resolution, Resolution::Tenant { id, proof: Proof::Hint } if id == "acme"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Resolution {
    /// The request is for this tenant.
    Tenant {
        /// The tenant's id. That it exists is not said.
        id: TenantId,
        /// How much that is worth.
        proof: Proof,
    },
    /// The request says nothing that this resolver reads.
    NotMine,
    /// The request is to be answered with an error, whatever others read in it.
    Reject {
        /// The answer's status.
        status: StatusCode,
        /// What a client can tell this error by, in `snake_case`.
        code: &'static str,
    },
}

impl Resolution {
    /// A tenant that the request proved.
    ///
    /// ```
    /// use tenancy::{Proof, Resolution};
    ///
    /// let resolution = Resolution::proven("acme");
    /// assert!(matches!(resolution, Resolution::Tenant { proof: Proof::Proven, .. }));
    /// ```
    pub fn proven(id: impl Into<TenantId>) -> Self {
        Self::Tenant { id: id.into(), proof: Proof::Proven }
    }

    /// A tenant that the request named.
    ///
    /// ```
    /// use tenancy::{Proof, Resolution};
    ///
    /// assert!(matches!(Resolution::hint("acme"), Resolution::Tenant { proof: Proof::Hint, .. }));
    /// ```
    pub fn hint(id: impl Into<TenantId>) -> Self {
        Self::Tenant { id: id.into(), proof: Proof::Hint }
    }

    /// An error of one's own.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tenancy::Resolution;
    ///
    /// let resolution = Resolution::reject(StatusCode::BAD_REQUEST, "tenant_name_too_long");
    /// assert!(matches!(resolution, Resolution::Reject { code: "tenant_name_too_long", .. }));
    /// ```
    pub fn reject(status: StatusCode, code: &'static str) -> Self {
        Self::Reject { status, code }
    }

    /// The refusal of a request whose tenants disagree: 403 [`TENANT_MISMATCH`].
    ///
    /// ```
    /// use tenancy::{Resolution, TENANT_MISMATCH};
    ///
    /// assert!(matches!(Resolution::mismatch(), Resolution::Reject { code: TENANT_MISMATCH, .. }));
    /// ```
    pub fn mismatch() -> Self {
        Self::reject(StatusCode::FORBIDDEN, TENANT_MISMATCH)
    }

    /// The tenant's id, where this is one.
    ///
    /// ```
    /// use tenancy::Resolution;
    ///
    /// assert_eq!(Resolution::hint("acme").tenant_id().map(|id| id.as_str()), Some("acme"));
    /// assert_eq!(Resolution::NotMine.tenant_id(), None);
    /// ```
    #[must_use]
    pub fn tenant_id(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant { id, .. } => Some(id),
            Self::NotMine | Self::Reject { .. } => None,
        }
    }
}

/// What it is worth that a request is for a tenant.
///
/// ```
/// assert!(tenancy::Proof::Hint < tenancy::Proof::Proven);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// The request says so: a header, a host, a path. Anybody can.
    Hint,
    /// A credential that was verified belongs to the tenant: a signed token, a key.
    Proven,
}

/// A [`TenantResolver`] made of a closure.
///
/// ```
/// use tenancy::{RequestHead, Resolution, TenantResolver, resolver_fn};
///
/// // The office is one tenant's.
/// let office = resolver_fn(|request: &RequestHead<'_>| match request.peer {
///     Some(peer) if peer.is_loopback() => Resolution::hint("acme"),
///     _ => Resolution::NotMine,
/// });
///
/// let request = http::Request::new(());
/// let head = RequestHead::of(&request).with_peer([127, 0, 0, 1]);
/// assert_eq!(office.resolve(&head), Resolution::hint("acme"));
/// ```
pub fn resolver_fn<F>(resolve: F) -> ResolverFn<F>
where
    F: Fn(&RequestHead<'_>) -> Resolution + Send + Sync,
{
    ResolverFn(resolve)
}

/// What [`resolver_fn`] gives.
#[derive(Clone)]
pub struct ResolverFn<F>(F);

impl<F> fmt::Debug for ResolverFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResolverFn")
    }
}

impl<F> TenantResolver for ResolverFn<F>
where
    F: Fn(&RequestHead<'_>) -> Resolution + Send + Sync,
{
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        (self.0)(request)
    }
}

impl<R: TenantResolver + ?Sized> TenantResolver for Arc<R> {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        (**self).resolve(request)
    }
}

impl<R: TenantResolver + ?Sized> TenantResolver for Box<R> {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        (**self).resolve(request)
    }
}
