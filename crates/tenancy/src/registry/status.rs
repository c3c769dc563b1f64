//! What the registry hands out about its tenants.
//!
//! Look-ups give a [`Resolved`], everything else a [`TenantStatus`]. Both are snapshots that nothing changes
//! afterwards. Invariant: a `Resolved` exists only of a tenant that was fit to serve when it was made.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::health::Health;
use crate::id::TenantId;
use crate::reason::Reason;

/// A tenant that may be served, and what serves it.
///
/// It stays usable for as long as it is held, also when the tenant is replaced or unregistered meanwhile.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tenancy::{Register, TenantConfig, TenantRegistry};
///
/// let registry = TenantRegistry::builder().build();
/// registry.register("acme", TenantConfig::new("https://acme.example.com", "shop"), Register::default()).await.unwrap();
/// let resolved = registry.resolve_by_host("ACME.example.com:443").unwrap();
/// assert_eq!((&*resolved.tenant_id, *resolved.platform, resolved.config_version), ("acme", "shop", 1));
/// # }
/// ```
#[non_exhaustive]
pub struct Resolved<P> {
    /// Whose request it is.
    pub tenant_id: TenantId,
    /// `Healthy` or `Unverified`.
    pub health: Health,
    /// What serves the tenant.
    pub platform: Arc<P>,
    /// Which configuration this is of; 1 at first, one more with each replacement.
    pub config_version: u64,
}

impl<P> Clone for Resolved<P> {
    fn clone(&self) -> Self {
        Self { tenant_id: self.tenant_id.clone(), platform: Arc::clone(&self.platform), ..*self }
    }
}

impl<P> fmt::Debug for Resolved<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("tenant_id", &self.tenant_id)
            .field("health", &self.health)
            .field("config_version", &self.config_version)
            .finish_non_exhaustive()
    }
}

/// How one tenant stands.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tenancy::{Health, Register, TenantConfig, TenantRegistry};
///
/// let registry = TenantRegistry::builder().build();
/// let config = TenantConfig::new("https://acme.example.com/", ()).label("Acme");
/// let status = registry.register("acme", config, Register::default()).await.unwrap();
/// assert_eq!((status.health, status.consecutive_failures), (Health::Healthy, 0));
/// assert_eq!(status.urls, ["https://acme.example.com"]);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantStatus {
    /// Whose status it is.
    pub tenant_id: TenantId,
    /// Where the tenant is reached, in normal form; the canonical URL first.
    pub urls: Vec<String>,
    /// What was found out last.
    pub health: Health,
    /// Why the health is what it is; none where all is well or nothing was found yet.
    pub reason: Option<Reason>,
    /// Why the control plane does not let it be served, if so.
    pub suspended: Option<Reason>,
    /// When a verdict was reached last, whatever it was.
    pub last_checked_at: Option<SystemTime>,
    /// When a verdict was `Valid` last.
    pub last_valid_at: Option<SystemTime>,
    /// When the background recheck comes next, if there is one.
    pub next_check_at: Option<SystemTime>,
    /// Checks that failed since the last that did not: validations, and factories.
    pub consecutive_failures: u32,
    /// Starts at 1; one more with each replacement.
    pub config_version: u64,
    /// What the configuration calls the tenant, for people.
    pub label: Option<String>,
}

/// A change of a tenant's health, its registration or its leaving.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use futures_util::StreamExt;
/// use tenancy::{Health, Register, TenantConfig, TenantRegistry};
///
/// let registry = TenantRegistry::builder().build();
/// let mut events = registry.subscribe();
/// registry.register("acme", TenantConfig::new("https://acme.example.com", ()), Register::default()).await.unwrap();
/// registry.unregister("acme");
///
/// let event = events.next().await.unwrap();
/// assert_eq!((event.from, event.to), (None, Some(Health::Healthy)));
/// let event = events.next().await.unwrap();
/// assert_eq!((event.from, event.to, event.missed), (Some(Health::Healthy), None, 0));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthEvent {
    /// Whose health it is.
    pub tenant_id: TenantId,
    /// None: the tenant was just registered.
    pub from: Option<Health>,
    /// None: the tenant was unregistered.
    pub to: Option<Health>,
    /// Why, where something is wrong.
    pub reason: Option<Reason>,
    /// When.
    pub at: SystemTime,
    /// How many events this subscriber lost just before this one, because it read too slowly.
    pub missed: u64,
}
