//! The whole server in one call: listener, authentication, tenants, admin routes, graceful shutdown.
//!
//! What a program's `main` calls when its tenants are apps. Tests start the same with [`serve_with`] on a port of the
//! system's choice. Invariant: authentication comes before the tenant is looked for, so that without a credential nobody
//! learns which hosts there are.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::Request;
use axum::response::Response;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_layer::Layer;
use tower_service::Service;

use super::admin::{AdminAuth, admin_router};
use super::auth::{AuthError, BearerTokenAuth};
use super::connections;
use super::layer::TenantLayer;
use super::report::{RequestHook, RequestReport};
use crate::registry::TenantRegistry;
use crate::resolver::{Principal, RequestHead, TenantResolver};

/// How [`serve`] serves. Fields may be added: end with `..ServeOptions::default()`.
///
/// ```
/// use std::net::SocketAddr;
/// use tenancy::{AuthError, BearerTokenAuth, ServeOptions};
///
/// let options = ServeOptions {
///     addr: SocketAddr::from(([0, 0, 0, 0], 8080)),
///     auth: BearerTokenAuth::new(|_token: String| async move { Err(AuthError::Invalid) }),
///     ..ServeOptions::default()
/// };
/// # drop(options);
/// ```
pub struct ServeOptions {
    /// Where to listen. `127.0.0.1:8080` by default: that others can connect is for a deployment to say.
    pub addr: SocketAddr,
    /// Who gets in. A request without a valid token is answered 401 before its tenant is looked for, and a token that
    /// belongs to another tenant than the request is for with 403 `tenant_mismatch`. By default nobody is asked
    /// ([`BearerTokenAuth::none`]), and the tenants' apps are on their own.
    pub auth: BearerTokenAuth,
    /// What names a request's tenant; host and path by default. See [`TenantLayer::with_resolver`].
    pub resolver: Option<Arc<dyn TenantResolver>>,
    /// Whose forwarded headers are believed; nobody's by default. See [`TenantLayer::trusted_proxies`].
    pub trusted_proxies: Vec<IpNet>,
    /// Whether callers are told why a tenant is refused; they are not by default. See [`TenantLayer::show_reasons`].
    pub show_reasons: bool,
    /// Has every request for a tenant reported; none is by default. See [`TenantLayer::on_request`].
    pub on_request: Option<RequestHook>,
    /// The admin routes, on an address of their own; there are none by default. See [`admin_router`].
    pub admin: Option<AdminOptions>,
    /// When to stop. By default when the process is told to: SIGINT or SIGTERM, Ctrl-C elsewhere.
    pub shutdown: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// How long requests in flight get to end after that; 30 s by default. Those that do not are cut off.
    pub drain_limit: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            auth: BearerTokenAuth::none(),
            resolver: None,
            trusted_proxies: Vec::new(),
            show_reasons: false,
            on_request: None,
            admin: None,
            shutdown: None,
            drain_limit: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("addr", &self.addr)
            .field("auth", &self.auth)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("show_reasons", &self.show_reasons)
            .field("admin", &self.admin)
            .field("drain_limit", &self.drain_limit)
            .finish_non_exhaustive()
    }
}

/// Where the admin routes are, and who may use them.
///
/// ```
/// use std::net::SocketAddr;
/// use tenancy::{AdminOptions, AuthError, BearerTokenAuth};
///
/// let auth = BearerTokenAuth::new(|_token: String| async move { Err(AuthError::Forbidden) });
/// let admin = AdminOptions::new(SocketAddr::from(([127, 0, 0, 1], 9090)), auth);
/// # drop(admin);
/// ```
#[derive(Clone)]
pub struct AdminOptions {
    addr: SocketAddr,
    auth: Arc<dyn AdminAuth>,
}

impl AdminOptions {
    /// The admin routes on `addr`, behind `auth`.
    ///
    /// ```
    /// # use tenancy::{AdminOptions, BearerTokenAuth};
    /// let admin = AdminOptions::new(([127, 0, 0, 1], 9090), BearerTokenAuth::none());
    /// # drop(admin);
    /// ```
    pub fn new(addr: impl Into<SocketAddr>, auth: impl AdminAuth) -> Self {
        Self { addr: addr.into(), auth: Arc::new(auth) }
    }
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminOptions").field("addr", &self.addr).finish_non_exhaustive()
    }
}

struct Shared(Arc<dyn AdminAuth>);

#[async_trait]
impl AdminAuth for Shared {
    async fn judge(&self, request: &RequestHead<'_>) -> Result<Principal, AuthError> {
        self.0.judge(request).await
    }
}

/// Why a server did not start.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tenancy::{ServeError, ServeOptions, TenantRegistry, serve};
///
/// let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let registry: TenantRegistry<axum::Router> = TenantRegistry::builder().build();
/// let options = ServeOptions { addr: taken.local_addr()?, ..ServeOptions::default() };
/// assert!(matches!(serve(registry, options).await, Err(ServeError::Bind { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The process cannot be told to stop.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// Serves the tenants' apps on `options.addr`, HTTP/1.1 and HTTP/2 without TLS, until it is told to stop.
///
/// It then takes no more connections, and returns when the requests in flight have ended, or have been cut off because
/// [`drain_limit`](ServeOptions::drain_limit) was over. Dropping the future ends everything at once. A connection over
/// HTTP/1 that brings no request for 30 s is closed, and one over HTTP/2 whose peer does not answer pings.
///
/// Requests go through the authentication first and a [`TenantLayer`] then; apps find the `Principal`, the
/// [`CurrentTenant`](crate::CurrentTenant) and axum's `ConnectInfo<SocketAddr>` in the request's extensions.
///
/// # Errors
/// [`ServeError`]: an address cannot be listened on, or signals cannot. Nothing was served.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::get};
/// use tenancy::{AuthError, BearerTokenAuth, Principal, Register, ServeOptions, TenantConfig, TenantRegistry, serve};
///
/// let registry = TenantRegistry::builder().build();
/// let acme = Router::new().route("/", get(|| async { "Acme" }));
/// registry.register("acme", TenantConfig::new("https://acme.example.com", acme), Register::default()).await?;
///
/// let auth = BearerTokenAuth::new(|token: String| async move {
///     if token == "s3cret" { Ok(Principal::token("user-7").with_tenant("acme")) } else { Err(AuthError::Invalid) }
/// });
/// serve(registry, ServeOptions { auth, ..ServeOptions::default() }).await?;
/// # Ok(())
/// # }
/// ```
pub async fn serve<P>(registry: TenantRegistry<P>, options: ServeOptions) -> Result<(), ServeError>
where
    P: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    P::Future: Send,
{
    let listener = bind(options.addr).await?;
    serve_with(listener, registry, options).await
}

/// As [`serve`], with a listener that is there already: a socket that was handed over, or a port of the system's choice.
/// `options.addr` plays no part.
///
/// # Errors
/// As [`serve`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tenancy::{ServeOptions, TenantRegistry, serve_with};
///
/// let registry: TenantRegistry<axum::Router> = TenantRegistry::builder().build();
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let shutdown = Some(Box::pin(std::future::ready(())) as _);
/// serve_with(listener, registry, ServeOptions { shutdown, ..ServeOptions::default() }).await?;
/// # Ok(())
/// # }
/// ```
pub async fn serve_with<P>(
    listener: TcpListener,
    registry: TenantRegistry<P>,
    options: ServeOptions,
) -> Result<(), ServeError>
where
    P: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    P::Future: Send,
{
    let ServeOptions {
        auth, resolver, trusted_proxies, show_reasons, on_request, admin, shutdown, drain_limit, ..
    } = options;
    let shutdown = match shutdown {
        Some(shutdown) => shutdown,
        None => signals().map_err(ServeError::Signals)?,
    };
    let admin = match admin {
        Some(AdminOptions { addr, auth }) => Some((bind(addr).await?, admin_router(registry.clone(), Shared(auth)))),
        None => None,
    };
    let mut layer = match resolver {
        Some(resolver) => TenantLayer::with_resolver(registry, resolver),
        None => TenantLayer::new(registry),
    };
    layer = layer.trusted_proxies(trusted_proxies).show_reasons(show_reasons);
    if let Some(hook) = on_request {
        layer = layer.on_request(move |request: &RequestReport<'_>| hook(request));
    }
    let service = auth.layer(layer.into_service());

    tracing::info!(addr = listener.local_addr().ok().map(tracing::field::display), "serving");
    let (sender, stop) = watch::channel(());
    let tenants = connections::run(listener, service, stop.clone(), drain_limit);
    let operators = async {
        if let Some((listener, router)) = admin {
            connections::run(listener, router, stop, drain_limit).await;
        }
    };
    let told = async {
        shutdown.await;
        tracing::info!(?drain_limit, "stopping: requests in flight may end");
        drop(sender);
    };
    tokio::join!(tenants, operators, told);
    Ok(())
}

async fn bind(addr: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addr).await.map_err(|source| ServeError::Bind { addr, source })
}

/// Listens from the call on, and not from the first poll.
#[cfg(unix)]
fn signals() -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(Box::pin(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }))
}

#[cfg(not(unix))]
fn signals() -> io::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    Ok(Box::pin(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }))
}
