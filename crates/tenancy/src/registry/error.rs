//! Why a change of the registry was refused.

use crate::id::TenantId;
use crate::reason::Reason;

/// Why `register`, `replace` or `recheck` changed nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tenancy::{Register, RegistryError, TenantConfig, TenantRegistry};
///
/// let registry: TenantRegistry<()> = TenantRegistry::builder().build();
/// let config = || TenantConfig::new("https://acme.example.com", ());
/// registry.register("acme", config(), Register::default()).await.unwrap();
///
/// let error = registry.register("other", config(), Register::default()).await.unwrap_err();
/// assert!(matches!(error, RegistryError::RouteTaken { holder, .. } if holder == "acme"));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A tenant with this id is there already; `replace` changes it.
    #[error("the tenant `{tenant_id}` is registered already")]
    AlreadyRegistered {
        /// The id.
        tenant_id: TenantId,
    },
    /// Another tenant holds, or is about to hold, this very route.
    #[error("the route {host}{path} belongs to the tenant `{holder}`")]
    RouteTaken {
        /// The host, or the wildcard, in normal form.
        host: String,
        /// The path prefix; `/` for a whole host.
        path: String,
        /// Who holds it.
        holder: TenantId,
    },
    /// A URL of the configuration is none that a tenant can be reached by.
    #[error("the URL `{url}` is not usable: {reason}")]
    InvalidUrl {
        /// The URL, userinfo aside.
        url: String,
        /// What is wrong with it.
        reason: Reason,
    },
    /// The id is empty, too long, or holds control characters.
    #[error("{tenant_id:?} is no tenant id: {reason}")]
    InvalidTenantId {
        /// The id.
        tenant_id: TenantId,
        /// What is wrong with it.
        reason: Reason,
    },
    /// No tenant has this id, or it left meanwhile.
    #[error("no tenant has the id `{tenant_id}`")]
    UnknownTenant {
        /// The id.
        tenant_id: TenantId,
    },
    /// The new configuration is not valid, or its platform could not be built: everything is as it was.
    #[error("the replacement of the tenant `{tenant_id}` was refused: {reason}")]
    ReplacementRefused {
        /// Whose.
        tenant_id: TenantId,
        /// What was found.
        reason: Reason,
    },
}
