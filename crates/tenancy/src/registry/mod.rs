//! The registry: which tenant serves a host, a path or an id, and whether it is fit to.
//!
//! Embedders hold a [`TenantRegistry`]. Look-ups read lock-free maps (`routes.rs`) and what a tenant's slot has
//! published (`slot.rs`), and wait for nobody; changes go through the book lock (who is registered, and where) and the
//! slot's lock (everything else), always in this order. Validating and building happens in flights (`flight.rs`),
//! replacing in `replace.rs`, and which verdict leads to which health is said in `standing.rs` alone. Invariants: a tenant
//! that was never valid is never handed out; a change is seen by look-ups in one step.

mod book;
mod builder;
mod config;
mod error;
mod events;
mod flight;
mod lookups;
mod refusal;
mod replace;
mod routes;
mod schedule;
mod slot;
mod standing;
mod status;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use foldhash::quality::RandomState;
use papaya::HashMap;
use tokio::sync::broadcast;

pub use builder::TenantRegistryBuilder;
pub use config::TenantConfig;
pub use error::RegistryError;
pub use events::HealthEvents;
pub use refusal::Refusal;
pub use status::{HealthEvent, Resolved, TenantStatus};

use self::flight::{Build, Wanted};
use self::routes::Routes;
use self::schedule::Schedule;
use self::slot::{Slot, Surroundings};
use crate::health::Health;
use crate::id::TenantId;
use crate::reason::Reason;
use crate::sync::Mutex;
use crate::validate::Validator;

/// More than any id needs, and little enough for a log line and a header.
const MAX_ID: usize = 255;

/// Whether [`TenantRegistry::register`] waits for the first validation.
///
/// ```
/// use tenancy::Register;
///
/// assert_eq!(Register::default(), Register::AwaitFirstValidation);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Register {
    /// It returns when the tenant is validated, and built if it is lazy.
    #[default]
    AwaitFirstValidation,
    /// It returns at once; a lazy tenant is built by its first request.
    InBackground,
}

/// The tenants of a server: who serves which host and path, and who is fit to.
///
/// Cheap to clone; all clones are one registry. Look-ups are synchronous and take no lock. What validates or builds needs
/// a tokio runtime of either flavour; registering tenants that need neither works anywhere.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tenancy::{Refusal, Register, TenantConfig, TenantRegistry};
///
/// let registry: TenantRegistry<&str> = TenantRegistry::builder().build();
/// registry.register("acme", TenantConfig::new("https://acme.example.com", "shop"), Register::default()).await?;
///
/// assert_eq!(*registry.resolve_by_host("acme.example.com")?.platform, "shop");
/// assert_eq!(registry.resolve_by_host("nobody.example.com").unwrap_err(), Refusal::UnknownHost);
/// # Ok(())
/// # }
/// ```
pub struct TenantRegistry<P> {
    inner: Arc<Inner<P>>,
}

pub(crate) struct Inner<P> {
    /// Held while tenants or routes come or go; before any slot's lock.
    book: Mutex<()>,
    tenants: HashMap<TenantId, Arc<Slot<P>>, RandomState>,
    routes: Routes<P>,
    validator: Option<Arc<dyn Validator>>,
    settings: Settings,
    around: Surroundings,
    schedule: Schedule<P>,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    auto_validate: bool,
    recheck_every: Option<Duration>,
    validation_timeout: Duration,
    factory_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auto_validate: true,
            recheck_every: None,
            validation_timeout: Duration::from_secs(10),
            factory_timeout: Duration::from_secs(60),
        }
    }
}

impl<P> Clone for TenantRegistry<P> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<P> fmt::Debug for TenantRegistry<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantRegistry").field("tenants", &self.inner.tenants.len()).finish_non_exhaustive()
    }
}

/// Changes, and what is known.
impl<P: Send + Sync + 'static> TenantRegistry<P> {
    /// A registry is made with this.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// # drop(registry);
    /// ```
    pub fn builder() -> TenantRegistryBuilder<P> {
        TenantRegistryBuilder::default()
    }

    fn new(
        validator: Option<Arc<dyn Validator>>,
        settings: Settings,
        clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    ) -> Self {
        // Without a validator there is nothing to find out.
        let recheck_every = settings.recheck_every.filter(|_| validator.is_some());
        let inner = Inner {
            book: Mutex::new(()),
            tenants: HashMap::with_hasher(RandomState::default()),
            routes: Routes::new(),
            validator,
            settings,
            around: Surroundings { clock, events: broadcast::Sender::new(events::BUFFER) },
            schedule: Schedule::new(recheck_every),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Adds a tenant, and has it validated unless the registry was built otherwise.
    ///
    /// A tenant whose first validation fails, or whose factory does, is registered all the same; the status says how it
    /// stands. Dropping the future once it was polled stops neither the registration nor the validation.
    ///
    /// # Errors
    /// [`RegistryError::InvalidUrl`], [`RegistryError::InvalidTenantId`], [`RegistryError::AlreadyRegistered`],
    /// [`RegistryError::RouteTaken`]: nothing has changed. [`RegistryError::UnknownTenant`]: it left while it was
    /// validated.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tenancy::{Health, Register, TenantConfig, TenantRegistry};
    ///
    /// let registry = TenantRegistry::builder().build();
    /// let config = TenantConfig::new("https://acme.example.com", "platform");
    /// let status = registry.register("acme", config, Register::AwaitFirstValidation).await.unwrap();
    /// assert_eq!(status.health, Health::Healthy);
    /// # }
    /// ```
    pub async fn register(
        &self,
        tenant_id: impl Into<TenantId>,
        config: TenantConfig<P>,
        how: Register,
    ) -> Result<TenantStatus, RegistryError> {
        let inner = &self.inner;
        let tenant_id = tenant_id.into();
        check_id(&tenant_id)?;
        let draft = config.draft()?;
        let lazy = matches!(draft.source, config::Source::Lazy(_));
        let valid_at = inner.validator.is_none().then(|| (inner.around.clock)());
        let slot = Arc::new(Slot::new(tenant_id.clone(), draft, valid_at));
        inner.enter_tenant(&tenant_id, &slot)?;
        inner.schedule.follow(inner);

        let validate = inner.validator.is_some() && inner.settings.auto_validate;
        let build = lazy && how == Register::AwaitFirstValidation && (validate || inner.validator.is_none());
        if !validate && !build {
            return Ok(slot.read().status());
        }
        let build = if build { Build::Yes } else { Build::No };
        let wanted = Wanted { validate, build };
        if how == Register::InBackground {
            let status = slot.read().status();
            inner.board(&slot, wanted);
            return Ok(status);
        }
        inner.fly(&slot, wanted).await.map(|status| *status).ok_or(RegistryError::UnknownTenant { tenant_id })
    }

    /// Gives a tenant another configuration without a gap: the old one serves until the new one is valid and built, and
    /// then the switch is one step. Always validates; competing calls go one after another, and wait for a validation
    /// under way. Dropping the future before the end leaves everything as it was.
    ///
    /// # Errors
    /// [`RegistryError::InvalidUrl`], [`RegistryError::RouteTaken`], [`RegistryError::ReplacementRefused`],
    /// [`RegistryError::UnknownTenant`]: nothing has changed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Register, TenantConfig, TenantRegistry};
    /// # let registry = TenantRegistry::builder().build();
    /// # registry.register("acme", TenantConfig::new("https://acme.example.com", 1), Register::default()).await.unwrap();
    /// let status = registry.replace("acme", TenantConfig::new("https://acme.example.com", 2)).await.unwrap();
    /// assert_eq!(status.config_version, 2);
    /// assert_eq!(*registry.get("acme").unwrap().platform, 2);
    /// # }
    /// ```
    pub async fn replace(&self, tenant_id: &str, config: TenantConfig<P>) -> Result<TenantStatus, RegistryError> {
        let draft = config.draft()?;
        let slot = self.inner.slot(tenant_id).ok_or_else(|| unknown(tenant_id))?;
        self.inner.schedule.follow(&self.inner);
        self.inner.replace(&slot, draft).await
    }

    /// Validates a tenant now, and builds it if it is lazy and not built. Concurrent calls share one validation, which
    /// runs on if its callers are dropped.
    ///
    /// # Errors
    /// [`RegistryError::UnknownTenant`], also if the tenant left meanwhile.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Health, Register, TenantConfig, TenantRegistry, ValidationTarget, Verdict, validator_fn};
    /// let validator = validator_fn(|_: ValidationTarget| async { Verdict::Valid });
    /// let registry = TenantRegistry::builder().validator(validator).auto_validate(false).build();
    /// registry.register("acme", TenantConfig::new("https://acme.example.com", ()), Register::default()).await.unwrap();
    /// assert_eq!(registry.health("acme"), Some(Health::Pending));
    /// assert_eq!(registry.recheck("acme").await.unwrap().health, Health::Healthy);
    /// # }
    /// ```
    pub async fn recheck(&self, tenant_id: &str) -> Result<TenantStatus, RegistryError> {
        let slot = self.inner.slot(tenant_id).ok_or_else(|| unknown(tenant_id))?;
        let wanted = Wanted { validate: true, build: Build::Yes };
        self.inner.schedule.follow(&self.inner);
        let landed = match self.inner.check_at_once(&slot) {
            Some(landed) => landed,
            None => self.inner.fly(&slot, wanted).await,
        };
        landed.map(|status| *status).ok_or_else(|| unknown(tenant_id))
    }

    /// Refuses a tenant whatever its health, until [`resume`](Self::resume): the control plane's word, not the server's
    /// finding. Another reason replaces the one before. Says whether the tenant is registered and something changed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Refusal, Register, TenantConfig, TenantRegistry};
    /// # let registry = TenantRegistry::builder().build();
    /// # registry.register("acme", TenantConfig::new("https://acme.example.com", ()), Register::default()).await.unwrap();
    /// assert!(registry.suspend("acme", "not paid"));
    /// assert_eq!(registry.get("acme").unwrap_err(), Refusal::Suspended { reason: "not paid".into() });
    /// assert!(!registry.suspend("nobody", "not paid"));
    /// # }
    /// ```
    pub fn suspend(&self, tenant_id: &str, reason: impl Into<Reason>) -> bool {
        self.inner.set_suspended(tenant_id, Some(reason.into()))
    }

    /// Takes a suspension back. Says whether the tenant is registered and was suspended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Register, TenantConfig, TenantRegistry};
    /// # let registry = TenantRegistry::builder().build();
    /// # registry.register("acme", TenantConfig::new("https://acme.example.com", ()), Register::default()).await.unwrap();
    /// registry.suspend("acme", "not paid");
    /// assert!(registry.resume("acme") && registry.get("acme").is_ok());
    /// assert!(!registry.resume("acme"));
    /// # }
    /// ```
    pub fn resume(&self, tenant_id: &str) -> bool {
        self.inner.set_suspended(tenant_id, None)
    }

    /// The health of a tenant, if it is registered. Suspension is no health: see [`status`](Self::status).
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// assert_eq!(registry.health("nobody"), None);
    /// ```
    #[must_use]
    pub fn health(&self, tenant_id: &str) -> Option<Health> {
        let slot = self.inner.slot(tenant_id)?;
        let state = slot.read();
        state.registered.then_some(state.standing.health)
    }

    /// How a tenant stands, if it is registered.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// assert_eq!(registry.status("nobody"), None);
    /// ```
    #[must_use]
    pub fn status(&self, tenant_id: &str) -> Option<TenantStatus> {
        let slot = self.inner.slot(tenant_id)?;
        let state = slot.read();
        state.registered.then(|| state.status())
    }

    /// How every tenant stands, by id. Tenants that come or go meanwhile may be in it or not.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// assert!(registry.list().is_empty());
    /// ```
    #[must_use]
    pub fn list(&self) -> Vec<TenantStatus> {
        let slots: Vec<Arc<Slot<P>>> = self.inner.tenants.pin().values().cloned().collect();
        let status = |slot: &Arc<Slot<P>>| {
            let state = slot.read();
            state.registered.then(|| state.status())
        };
        let mut list: Vec<TenantStatus> = slots.iter().filter_map(status).collect();
        list.sort_unstable_by(|a, b| a.tenant_id.cmp(&b.tenant_id));
        list
    }

    /// How many tenants are registered.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// assert_eq!(registry.len(), 0);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.tenants.len()
    }

    /// Whether nobody is registered.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// assert!(registry.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.tenants.is_empty()
    }

    /// Every change of health from now on, and who comes and goes. At least 1,024 events wait for a slow subscriber;
    /// one that loses some is told how many.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// let events = registry.subscribe();
    /// # drop(events);
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> HealthEvents {
        HealthEvents::new(self.inner.around.events.subscribe())
    }

    /// Removes a tenant: its routes are nobody's from now on. Requests in flight finish with the platform they hold.
    /// Says whether it was registered.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Register, TenantConfig, TenantRegistry};
    /// # let registry = TenantRegistry::builder().build();
    /// # registry.register("acme", TenantConfig::new("https://acme.example.com", ()), Register::default()).await.unwrap();
    /// assert!(registry.unregister("acme") && registry.resolve_by_host("acme.example.com").is_err());
    /// assert!(!registry.unregister("acme"));
    /// # }
    /// ```
    pub fn unregister(&self, tenant_id: &str) -> bool {
        self.inner.strike_tenant(tenant_id)
    }
}

/// # Errors
/// [`RegistryError::InvalidTenantId`].
fn check_id(tenant_id: &TenantId) -> Result<(), RegistryError> {
    let problem = if tenant_id.is_empty() {
        "it is empty"
    } else if tenant_id.len() > MAX_ID {
        "it is longer than 255 bytes"
    } else if tenant_id.chars().any(char::is_control) {
        "it holds a control character"
    } else {
        return Ok(());
    };
    Err(RegistryError::InvalidTenantId { tenant_id: tenant_id.clone(), reason: problem.into() })
}

fn unknown(tenant_id: &str) -> RegistryError {
    RegistryError::UnknownTenant { tenant_id: tenant_id.into() }
}
