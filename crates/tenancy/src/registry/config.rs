//! What a tenant is registered with.
//!
//! Embedders fill a [`TenantConfig`]; `Draft` is what the registry reads out of it before it touches anything. Invariant:
//! a draft's routes differ from each other and are in normal form.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::error::RegistryError;
use crate::id::TenantId;
use crate::reason::Reason;
use crate::redact::redacted;
use crate::route::RouteUrl;
use crate::validate::ValidationTarget;

/// A tenant as an embedder describes it: where it is reached, and what serves it.
///
/// ```
/// use tenancy::TenantConfig;
///
/// let config = TenantConfig::new("https://acme.example.com", "the platform")
///     .alias("https://shop.acme.example/eu")
///     .label("Acme Ltd")
///     .metadata("region", "eu");
/// # let _ = config;
/// ```
#[must_use = "a configuration does nothing until it is registered"]
pub struct TenantConfig<P> {
    urls: Vec<String>,
    source: Source<P>,
    label: Option<String>,
    metadata: BTreeMap<String, String>,
    signing_key: Option<Value>,
}

/// Where a platform comes from.
pub(crate) enum Source<P> {
    Ready(Arc<P>),
    Lazy(Factory<P>),
}

/// A factory with its error already in words.
pub(crate) type Factory<P> = Arc<dyn Fn() -> BoxFuture<'static, Result<P, Reason>> + Send + Sync>;

impl<P> TenantConfig<P> {
    /// A tenant whose platform is there already. Without a path the URL owns its whole host, with one the prefix; the
    /// host may be a wildcard of one label, `https://*.example.com`.
    ///
    /// The URL is read when the tenant is registered, see [`RouteUrl::parse`].
    ///
    /// ```
    /// let config = tenancy::TenantConfig::new("https://acme.example.com/api", ());
    /// # let _ = config;
    /// ```
    pub fn new(url: impl Into<String>, platform: P) -> Self {
        Self::shared(url, Arc::new(platform))
    }

    /// As [`TenantConfig::new`], of a platform that is shared with others.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let shop = Arc::new("shop");
    /// let config = tenancy::TenantConfig::shared("https://acme.example.com", Arc::clone(&shop));
    /// # let _ = config;
    /// ```
    pub fn shared(url: impl Into<String>, platform: Arc<P>) -> Self {
        Self::from_source(url.into(), Source::Ready(platform))
    }

    /// A tenant whose platform is built when it is needed first. When `factory` fails or panics, the tenant is
    /// `disabled` with what it said, and a `recheck` runs it again.
    ///
    /// ```
    /// use tenancy::TenantConfig;
    ///
    /// let config = TenantConfig::lazy("https://beta.example.com", || async { Ok::<_, std::io::Error>("platform") });
    /// # let _ = config;
    /// ```
    pub fn lazy<F, Fut, E>(url: impl Into<String>, factory: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P, E>> + Send + 'static,
        E: Display,
    {
        let factory = move || factory().map(|built| built.map_err(|error| Reason::from(error.to_string()))).boxed();
        Self::from_source(url.into(), Source::Lazy(Arc::new(factory)))
    }

    fn from_source(url: String, source: Source<P>) -> Self {
        Self { urls: vec![url], source, label: None, metadata: BTreeMap::new(), signing_key: None }
    }

    /// One more URL that the tenant is reached by.
    ///
    /// ```
    /// let config = tenancy::TenantConfig::new("https://acme.example.com", ()).alias("https://www.acme.example");
    /// # let _ = config;
    /// ```
    pub fn alias(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// What people call the tenant; shown in its status.
    ///
    /// ```
    /// let config = tenancy::TenantConfig::new("https://acme.example.com", ()).label("Acme Ltd");
    /// # let _ = config;
    /// ```
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// An entry for the validator to read; a later one of the same key wins.
    ///
    /// ```
    /// let config = tenancy::TenantConfig::new("https://acme.example.com", ()).metadata("region", "eu");
    /// # let _ = config;
    /// ```
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The public JSON Web Key (RFC 7517) that the tenant signs with, for the validator of JWKS.
    ///
    /// ```
    /// # use serde_json::json;
    /// let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    /// let config = tenancy::TenantConfig::new("https://acme.example.com", ()).signing_key(key);
    /// # let _ = config;
    /// ```
    pub fn signing_key(mut self, jwk: Value) -> Self {
        self.signing_key = Some(jwk);
        self
    }

    /// Reads the URLs.
    pub(crate) fn draft(self) -> Result<Draft<P>, RegistryError> {
        let mut routes: Vec<RouteUrl> = Vec::with_capacity(self.urls.len());
        for url in self.urls {
            let route = RouteUrl::parse(&url).map_err(|error| RegistryError::InvalidUrl {
                url: redacted(&url),
                reason: Reason::from(error.to_string()),
            })?;
            if !routes.iter().any(|held| held.same_route(&route)) {
                routes.push(route);
            }
        }
        let extras = Extras { label: self.label, metadata: self.metadata, signing_key: self.signing_key };
        Ok(Draft { routes: routes.into_boxed_slice(), source: self.source, extras: extras.boxed() })
    }
}

impl<P> fmt::Debug for TenantConfig<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantConfig")
            .field("urls", &self.urls.iter().map(|url| redacted(url)).collect::<Vec<_>>())
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// A configuration that was read.
pub(crate) struct Draft<P> {
    pub(crate) routes: Box<[RouteUrl]>,
    pub(crate) source: Source<P>,
    pub(crate) extras: Option<Box<Extras>>,
}

/// What most tenants do not have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extras {
    pub(crate) label: Option<String>,
    metadata: BTreeMap<String, String>,
    signing_key: Option<Value>,
}

impl Extras {
    fn boxed(self) -> Option<Box<Self>> {
        let empty = self.label.is_none() && self.metadata.is_empty() && self.signing_key.is_none();
        (!empty).then(|| Box::new(self))
    }
}

/// What a validator is told about a configuration.
pub(crate) fn target(tenant_id: &TenantId, routes: &[RouteUrl], extras: Option<&Extras>) -> ValidationTarget {
    let mut target = ValidationTarget::new(tenant_id, routes.iter().map(RouteUrl::to_string));
    if let Some(extras) = extras {
        target.metadata = Arc::new(extras.metadata.clone());
        target.signing_key.clone_from(&extras.signing_key);
    }
    target
}
