//! The tenant that a request was found to be for, where handlers and further layers find it.
//!
//! [`TenantLayer`](crate::TenantLayer) puts it into a request's extensions. Invariant: nobody else makes one, so that a
//! request which carries it has been let through.

use std::ops::Deref;

use crate::id::TenantId;
use crate::registry::Resolved;

/// Whose request it is, for layers that do not know the platform: credentials that are verified inside of the
/// [`TenantLayer`](crate::TenantLayer) are weighed against it.
#[derive(Clone)]
pub(super) struct ServedTenant(pub(super) TenantId);

/// What a [`TenantLayer`](crate::TenantLayer) leaves in the extensions of every request that it lets through. It derefs
/// to [`Resolved`].
///
/// ```
/// use tenancy::CurrentTenant;
///
/// struct Shop;
///
/// fn who<B>(request: &http::Request<B>) -> Option<&str> {
///     request.extensions().get::<CurrentTenant<Shop>>().map(|current| current.tenant_id.as_str())
/// }
/// assert_eq!(who(&http::Request::new(())), None);
/// ```
#[derive(Debug)]
pub struct CurrentTenant<P>(Resolved<P>);

impl<P> CurrentTenant<P> {
    pub(super) fn new(resolved: Resolved<P>) -> Self {
        Self(resolved)
    }

    /// The tenant, to keep.
    ///
    /// ```
    /// use tenancy::{CurrentTenant, Resolved};
    ///
    /// fn keep(current: &CurrentTenant<()>) -> Resolved<()> {
    ///     current.clone().into_resolved()
    /// }
    /// # let _ = keep;
    /// ```
    #[must_use]
    pub fn into_resolved(self) -> Resolved<P> {
        self.0
    }
}

impl<P> Clone for CurrentTenant<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P> Deref for CurrentTenant<P> {
    type Target = Resolved<P>;

    fn deref(&self) -> &Resolved<P> {
        &self.0
    }
}
