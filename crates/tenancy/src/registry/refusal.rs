//! What a look-up answers instead of a tenant.
//!
//! Look-ups return it, the serving layers turn it into a response. Invariant: a refusal carries nothing that could
//! serve, so that nobody serves a refused tenant by forgetting a check.

use std::time::Duration;

use crate::reason::Reason;

/// Why a request is not served.
///
/// ```
/// use tenancy::{Refusal, TenantRegistry};
///
/// let registry: TenantRegistry<()> = TenantRegistry::builder().build();
/// assert_eq!(registry.resolve_by_host("nobody.example.com").unwrap_err(), Refusal::UnknownHost);
/// assert_eq!(registry.get("nobody").unwrap_err(), Refusal::UnknownTenant);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No tenant is reached by this host and path, or the host is none.
    #[error("no tenant is reached by this host and path")]
    UnknownHost,
    /// No tenant has this id.
    #[error("no tenant has this id")]
    UnknownTenant,
    /// The tenant has not been validated yet, or not been built.
    #[error("the tenant is not ready yet")]
    Pending {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The latest validation failed for a lasting reason, or the factory failed.
    #[error("the tenant is disabled: {reason}")]
    Disabled {
        /// What was found.
        reason: Reason,
    },
    /// The control plane says that this tenant is not to be served.
    #[error("the tenant is suspended: {reason}")]
    Suspended {
        /// What was given with the suspension.
        reason: Reason,
    },
}
