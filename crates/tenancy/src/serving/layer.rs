//! The layer that embedders put before their service, and what can be set on it.
//!
//! Called while a server is put together; what it makes, `gate.rs`, is what requests go through. Invariant: the layer as
//! it comes believes no header that a client could have written about where it comes from, and shows no reason.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use tower_layer::Layer;

use super::decide::{By, Config};
use super::gate::TenantGate;
use super::platform::{PlatformService, TenantService};
use super::report::RequestReport;
use crate::registry::TenantRegistry;
use crate::resolver::{Chain, TenantResolver};

/// Finds the tenant of every request, and lets nothing through without one.
///
/// The inner service finds it as [`CurrentTenant<P>`](crate::CurrentTenant) in the request's extensions. Everything else
/// is answered here:
///
/// | the request | the answer |
/// |---|---|
/// | for a host that nobody has, or whose prefixes do not cover the path | 404, empty |
/// | without a host, with an invalid one, with two `Host` headers | 404, empty |
/// | whose authority and `Host` differ in normal form (RFC 9113 §8.3.1) | 400 `host_mismatch` |
/// | for a tenant that is not ready | 503 `tenant_pending`, `Retry-After` |
/// | for a disabled or suspended tenant | 503 `tenant_disabled`, `tenant_suspended`, `Retry-After` |
/// | whose [`Principal`](crate::Principal) belongs to another tenant, whatever this one's state | 403 `tenant_mismatch` |
///
/// Where there is a body, it is problem details (RFC 9457) with the code as `code`. The host is the target's authority or
/// else `Host`; the path is matched as it stands, so that the layer belongs around a whole router and not inside of
/// `nest`. A layer that verifies credentials, such as [`BearerTokenAuth`](crate::BearerTokenAuth), goes outside of this one.
///
/// A lazy tenant is built by its first request, once for all that come meanwhile; nothing else on a request's way waits or
/// allocates but for the request's extensions. An inner service may be any whose response body can be made of [`Bytes`](bytes::Bytes), as
/// axum's can; others are wrapped in a [`TenantBody`](crate::TenantBody).
///
/// While the inner service works, it is inside of a `tracing` span `request` of level INFO with the field `tenant.id`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use tenancy::{CurrentTenant, Register, TenantConfig, TenantLayer, TenantRegistry};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// let registry = TenantRegistry::builder().build();
/// registry.register("acme", TenantConfig::new("https://acme.example.com", "a shop"), Register::default()).await?;
///
/// let service = ServiceBuilder::new().layer(TenantLayer::new(registry)).service(service_fn(
///     |request: Request<()>| async move {
///         let tenant = request.extensions().get::<CurrentTenant<&str>>().unwrap();
///         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(*tenant.platform))))
///     },
/// ));
///
/// let request = |host| Request::get("/").header("host", host).body(());
/// assert_eq!(service.clone().oneshot(request("acme.example.com")?).await?.status(), StatusCode::OK);
/// assert_eq!(service.oneshot(request("nobody.example.com")?).await?.status(), StatusCode::NOT_FOUND);
/// # Ok(())
/// # }
/// ```
pub struct TenantLayer<P> {
    config: Config<P>,
}

impl<P: Send + Sync + 'static> TenantLayer<P> {
    /// A layer that finds tenants by host and path.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// let layer = tenancy::TenantLayer::new(registry);
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn new(registry: TenantRegistry<P>) -> Self {
        let config =
            Config { registry, by: By::Host, trusted: Vec::new(), show_reasons: false, spans: true, hook: None };
        Self { config }
    }

    /// A layer that has a resolver say which tenant a request is for, and the registry whether it is served.
    ///
    /// The resolver is given the request's [`Principal`](crate::Principal) and peer from the extensions, and, where
    /// a trusted proxy forwards a host, this host in the place of the request's. It is weighed against the principal's
    /// tenant as in a [`Chain`], also where it is none. What it rejects is answered with its status and code, and a
    /// request that names nobody with an empty 404.
    ///
    /// ```
    /// use tenancy::{Chain, ClaimResolver, HeaderResolver, TenantLayer, TenantRegistry};
    ///
    /// let registry: TenantRegistry<()> = TenantRegistry::builder().build();
    /// let chain = Chain::new().then(ClaimResolver).then(HeaderResolver::default());
    /// let layer = TenantLayer::with_resolver(registry, chain);
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn with_resolver(registry: TenantRegistry<P>, resolver: impl TenantResolver + 'static) -> Self {
        let mut layer = Self::new(registry);
        layer.config.by = By::Resolver(Arc::new(Chain::new().then(resolver)));
        layer
    }

    /// Believes what these proxies forward: the `host` of `Forwarded` (RFC 7239) and `X-Forwarded-Host`. By default nobody
    /// is believed.
    ///
    /// A request counts as theirs by the address its connection came from, which a server leaves in the extensions: see
    /// [`PeerAddr`](crate::PeerAddr). Of several values, in one header or in several, the last counts, since it is the one
    /// that the proxy itself wrote. Where both headers name a host, they have to name the same (or 400 `host_mismatch`): a
    /// proxy should write one of them and remove the other. Without either, the request's own host counts.
    ///
    /// ```
    /// use tenancy::{IpNet, TenantLayer, TenantRegistry};
    ///
    /// let registry: TenantRegistry<()> = TenantRegistry::builder().build();
    /// let layer = TenantLayer::new(registry).trusted_proxies(["10.0.0.0/8".parse::<IpNet>()?]);
    /// # drop(layer);
    /// # Ok::<(), ipnet::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: impl IntoIterator<Item = impl Into<IpNet>>) -> Self {
        self.config.trusted = proxies.into_iter().map(Into::into).collect();
        self
    }

    /// Whether callers of a disabled or suspended tenant are told why, in the problem's `detail`. They are not by default:
    /// reasons are redacted, but written by drivers, validators and operators for other readers.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// let layer = tenancy::TenantLayer::new(registry).show_reasons(true);
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn show_reasons(mut self, yes: bool) -> Self {
        self.config.show_reasons = yes;
        self
    }

    /// Whether the inner service runs inside of a span that carries the tenant; it does by default. A span that nobody
    /// listens to costs a few nanoseconds.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// let layer = tenancy::TenantLayer::new(registry).spans(false);
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn spans(mut self, yes: bool) -> Self {
        self.config.spans = yes;
        self
    }

    /// Has every request reported once, for metrics by tenant. The hook is called on the request's way and must be quick.
    ///
    /// ```
    /// use tenancy::{RequestReport, TenantLayer, TenantRegistry};
    ///
    /// let registry: TenantRegistry<()> = TenantRegistry::builder().build();
    /// let layer = TenantLayer::new(registry).on_request(|request: &RequestReport<'_>| {
    ///     let tenant = request.tenant_id.map_or("none", |id| id.as_str());
    ///     println!("{tenant} {} {:?}", request.decision.as_str(), request.elapsed);
    /// });
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn on_request(mut self, hook: impl Fn(&RequestReport<'_>) + Send + Sync + 'static) -> Self {
        self.config.hook = Some(Arc::new(hook));
        self
    }

    /// The layer around the tenants' own apps: as [`TenantRegistry::into_service`], with what is set here.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<axum::Router> = tenancy::TenantRegistry::builder().build();
    /// let service = tenancy::TenantLayer::new(registry).show_reasons(true).into_service();
    /// # drop(service);
    /// ```
    #[must_use]
    pub fn into_service(self) -> TenantService<P> {
        self.layer(PlatformService::default())
    }
}

impl<P> Clone for TenantLayer<P> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<P> fmt::Debug for TenantLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantLayer")
            .field("registry", &self.config.registry)
            .field("trusted_proxies", &self.config.trusted)
            .field("show_reasons", &self.config.show_reasons)
            .finish_non_exhaustive()
    }
}

impl<S, P> Layer<S> for TenantLayer<P> {
    type Service = TenantGate<S, P>;

    fn layer(&self, inner: S) -> TenantGate<S, P> {
        TenantGate::new(inner, Arc::new(self.config.clone()))
    }
}
