//! How a registry is put together.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Settings, TenantRegistry};
use crate::validate::Validator;

/// What [`TenantRegistry::builder`] gives; every setting is optional.
///
/// ```
/// use std::time::Duration;
/// use tenancy::{TenantRegistry, ValidationTarget, Verdict, validator_fn};
///
/// let registry: TenantRegistry<()> = TenantRegistry::builder()
///     .validator(validator_fn(|_: ValidationTarget| async { Verdict::Valid }))
///     .recheck_every(Duration::from_secs(300))
///     .validation_timeout(Duration::from_secs(5))
///     .build();
/// # drop(registry);
/// ```
#[must_use = "nothing is there until `build` is called"]
pub struct TenantRegistryBuilder<P> {
    validator: Option<Arc<dyn Validator>>,
    settings: Settings,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    platform: PhantomData<fn() -> P>,
}

impl<P> Default for TenantRegistryBuilder<P> {
    fn default() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where the registry takes the system's clock")]
        let clock = Box::new(SystemTime::now);
        Self { validator: None, settings: Settings::default(), clock, platform: PhantomData }
    }
}

impl<P> TenantRegistryBuilder<P> {
    /// What decides whether a tenant is fit to serve. Without one, every tenant is valid at once.
    ///
    /// ```
    /// use tenancy::{TenantRegistry, ValidationTarget, Verdict, validator_fn};
    ///
    /// let validator = validator_fn(|_: ValidationTarget| async { Verdict::Valid });
    /// let registry: TenantRegistry<()> = TenantRegistry::builder().validator(validator).build();
    /// # drop(registry);
    /// ```
    pub fn validator(mut self, validator: impl Validator + 'static) -> Self {
        self.validator = Some(Arc::new(validator));
        self
    }

    /// Whether registering validates; it does by default. With `false`, tenants stay `pending` until a `recheck`.
    /// Without a validator it has no effect.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().auto_validate(false).build();
    /// # drop(registry);
    /// ```
    pub fn auto_validate(mut self, yes: bool) -> Self {
        self.settings.auto_validate = yes;
        self
    }

    /// Validates every tenant again in the background, this long after its last validation, give or take a tenth. With
    /// each further failure in a row the delay doubles, up to eight times. Off by default, and with zero.
    ///
    /// A tenant that was never validated (see [`auto_validate`](Self::auto_validate)) waits for its first `recheck`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let registry: tenancy::TenantRegistry<()> =
    ///     tenancy::TenantRegistry::builder().recheck_every(Duration::from_secs(300)).build();
    /// # drop(registry);
    /// ```
    pub fn recheck_every(mut self, interval: Duration) -> Self {
        self.settings.recheck_every = (!interval.is_zero()).then_some(interval);
        self
    }

    /// How long a validation may take before it counts as a passing failure; 10 s by default.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let registry: tenancy::TenantRegistry<()> =
    ///     tenancy::TenantRegistry::builder().validation_timeout(Duration::from_secs(2)).build();
    /// # drop(registry);
    /// ```
    pub fn validation_timeout(mut self, limit: Duration) -> Self {
        self.settings.validation_timeout = limit;
        self
    }

    /// How long a factory may take before it has failed; 60 s by default.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let registry: tenancy::TenantRegistry<()> =
    ///     tenancy::TenantRegistry::builder().factory_timeout(Duration::from_secs(10)).build();
    /// # drop(registry);
    /// ```
    pub fn factory_timeout(mut self, limit: Duration) -> Self {
        self.settings.factory_timeout = limit;
        self
    }

    /// The clock behind the times of statuses and events, for tests; the system's by default. Delays are tokio's.
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// let registry: tenancy::TenantRegistry<()> =
    ///     tenancy::TenantRegistry::builder().clock(|| SystemTime::UNIX_EPOCH).build();
    /// # drop(registry);
    /// ```
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Box::new(now);
        self
    }

    /// The registry, with nobody in it.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// assert!(registry.is_empty());
    /// ```
    #[must_use]
    pub fn build(self) -> TenantRegistry<P>
    where
        P: Send + Sync + 'static,
    {
        TenantRegistry::new(self.validator, self.settings, self.clock)
    }
}

impl<P> fmt::Debug for TenantRegistryBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantRegistryBuilder")
            .field("validator", &self.validator.is_some())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
