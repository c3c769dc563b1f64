//! What decides whether a tenant is fit to serve.
//!
//! The registry calls a [`Validator`] when a tenant is registered, replaced or rechecked, never while a request waits
//! for a look-up. Which verdict leads to which health is the registry's to decide (`registry/standing.rs`); a validator
//! only says what it saw. Invariant: a verdict that is no `Valid` has a reason.

pub(crate) mod all_of;
#[cfg(feature = "http")]
pub(crate) mod http;
pub(crate) mod noop;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::id::TenantId;
use crate::reason::Reason;

/// Finds out whether a tenant is fit to serve.
///
/// A validator that panics or takes longer than the registry's time limit counts as [`Verdict::Transient`]. One tenant
/// is validated once at a time; different tenants are validated at once. Make one of a closure with [`validator_fn`].
///
/// ```
/// use tenancy::{ValidationTarget, Validator, Verdict, async_trait};
///
/// /// Accepts tenants that are in the list of those who paid.
/// struct Paid(Vec<String>);
///
/// #[async_trait]
/// impl Validator for Paid {
///     async fn validate(&self, target: &ValidationTarget) -> Verdict {
///         if self.0.iter().any(|id| target.tenant_id == *id) {
///             Verdict::Valid
///         } else {
///             Verdict::Permanent("not on the list".into())
///         }
///     }
/// }
/// # let _ = Paid(Vec::new());
/// ```
#[async_trait]
pub trait Validator: Send + Sync {
    /// Says what it found out about `target`.
    async fn validate(&self, target: &ValidationTarget) -> Verdict;
}

/// What a validation found.
///
/// ```
/// use tenancy::Verdict;
///
/// let verdict = Verdict::Transient("connection refused".into());
/// assert_ne!(verdict, Verdict::Valid);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The tenant is fit to serve.
    Valid,
    /// It could not be found out, or the trouble is a passing one: a network, a time limit, a server's 5xx.
    Transient(Reason),
    /// It is not, until somebody changes something: a wrong key, a 404.
    Permanent(Reason),
}

/// What is validated: one configuration of one tenant.
///
/// Cheap to clone, so that a closure may take it along.
///
/// ```
/// use tenancy::{ValidationTarget, Verdict};
///
/// async fn only_https(target: ValidationTarget) -> Verdict {
///     match target.urls.iter().find(|url| !url.starts_with("https:")) {
///         None => Verdict::Valid,
///         Some(url) => Verdict::Permanent(format!("{url} is not encrypted").into()),
///     }
/// }
/// # let _ = tenancy::validator_fn(only_https);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ValidationTarget {
    /// Whose configuration it is.
    pub tenant_id: TenantId,
    /// Its URLs in normal form, the canonical one first. A wildcard host is `*.example.com`, as registered.
    pub urls: Arc<[String]>,
    /// The public JSON Web Key (RFC 7517) that the tenant signs with, if it has one.
    pub signing_key: Option<Value>,
    /// What the configuration says beside.
    pub metadata: Arc<BTreeMap<String, String>>,
}

impl ValidationTarget {
    /// A target by itself, for tests of validators; the registry makes its own.
    ///
    /// ```
    /// let target = tenancy::ValidationTarget::new("acme", ["https://acme.example.com"]);
    /// assert_eq!(target.urls[0], "https://acme.example.com");
    /// ```
    #[must_use]
    pub fn new(tenant_id: impl Into<TenantId>, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            urls: urls.into_iter().map(Into::into).collect(),
            signing_key: None,
            metadata: Arc::default(),
        }
    }

    /// The same with a signing key.
    ///
    /// ```
    /// # use serde_json::json;
    /// let key = json!({"kty": "OKP", "kid": "k1"});
    /// let target = tenancy::ValidationTarget::new("acme", ["https://acme.example.com"]).with_signing_key(key);
    /// assert_eq!(target.signing_key.unwrap()["kid"], "k1");
    /// ```
    #[must_use]
    pub fn with_signing_key(mut self, key: Value) -> Self {
        self.signing_key = Some(key);
        self
    }

    /// The same with one more entry of metadata.
    ///
    /// ```
    /// let target = tenancy::ValidationTarget::new("acme", ["https://acme.example.com"]).with_metadata("region", "eu");
    /// assert_eq!(target.metadata["region"], "eu");
    /// ```
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.metadata).insert(key.into(), value.into());
        self
    }
}

/// A [`Validator`] made of a closure or an async function.
///
/// ```
/// use tenancy::{ValidationTarget, Verdict, validator_fn};
///
/// let validator = validator_fn(|_target: ValidationTarget| async move { Verdict::Valid });
/// # let _ = validator;
/// ```
pub fn validator_fn<F, Fut>(validate: F) -> ValidatorFn<F>
where
    F: Fn(ValidationTarget) -> Fut + Send + Sync,
    Fut: Future<Output = Verdict> + Send,
{
    ValidatorFn(validate)
}

/// What [`validator_fn`] gives.
#[derive(Clone)]
pub struct ValidatorFn<F>(F);

impl<F> fmt::Debug for ValidatorFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValidatorFn")
    }
}

#[async_trait]
impl<F, Fut> Validator for ValidatorFn<F>
where
    F: Fn(ValidationTarget) -> Fut + Send + Sync,
    Fut: Future<Output = Verdict> + Send,
{
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        (self.0)(target.clone()).await
    }
}

#[async_trait]
impl<V: Validator + ?Sized> Validator for Arc<V> {
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        (**self).validate(target).await
    }
}

#[async_trait]
impl<V: Validator + ?Sized> Validator for Box<V> {
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        (**self).validate(target).await
    }
}
