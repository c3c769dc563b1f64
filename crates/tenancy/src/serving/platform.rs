//! Every tenant is its own app: requests go to the platform of their tenant.
//!
//! [`TenantRegistry::into_service`] puts it behind a [`TenantLayer`]; by itself it goes innermost, where layers of one's
//! own stand between the tenant's being found and its app. Invariant: a platform is called once it said that it is ready,
//! and by the clone that said so.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::answer::Answer;
use super::current::CurrentTenant;
use super::gate::TenantGate;
use super::layer::TenantLayer;
use crate::registry::TenantRegistry;

/// Many apps behind one listener: what [`TenantRegistry::into_service`] gives.
///
/// ```
/// let registry: tenancy::TenantRegistry<axum::Router> = tenancy::TenantRegistry::builder().build();
/// let service: tenancy::TenantService<axum::Router> = registry.into_service();
/// # drop(service);
/// ```
pub type TenantService<P> = TenantGate<PlatformService<P>, P>;

impl<P: Send + Sync + 'static> TenantRegistry<P> {
    /// The tenants as one service, where every platform is a service of its own (an axum `Router`, for instance): a
    /// [`TenantLayer`] around them. For other settings than a layer's defaults there is [`TenantLayer::into_service`].
    ///
    /// A platform is cloned for each request, has to be ready before it is called, and is kept by the request until it is
    /// answered, whatever happens to its tenant meanwhile.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use tenancy::{Register, TenantConfig, TenantRegistry};
    /// use tower::ServiceExt;
    ///
    /// let registry = TenantRegistry::builder().build();
    /// let acme = Router::new().route("/", get(|| async { "Acme's own app" }));
    /// registry.register("acme", TenantConfig::new("https://acme.example.com", acme), Register::default()).await?;
    ///
    /// let request = Request::get("/").header("host", "acme.example.com").body(Body::empty())?;
    /// let response = registry.clone().into_service().oneshot(request).await?;
    /// assert_eq!(axum::body::to_bytes(response.into_body(), 100).await?, "Acme's own app");
    ///
    /// // With feature `axum` it goes to `axum::serve` as it is.
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let server = axum::serve(listener, registry.into_service());
    /// # drop(server);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn into_service(self) -> TenantService<P> {
        TenantLayer::new(self).into_service()
    }
}

/// A service that hands each request to the platform of its [`CurrentTenant`]. It belongs behind a [`TenantLayer`]; without
/// one it answers 500.
///
/// ```
/// use axum::Router;
/// use tenancy::{PlatformService, TenantLayer, TenantRegistry};
/// use tower::ServiceBuilder;
///
/// let registry: TenantRegistry<Router> = TenantRegistry::builder().build();
/// let service = ServiceBuilder::new()
///     .layer(TenantLayer::new(registry))
///     // Layers that read who the tenant is, for limits or accounting, go here.
///     .service(PlatformService::<Router>::default());
/// # drop(service);
/// ```
pub struct PlatformService<P>(PhantomData<fn() -> P>);

impl<P> Default for PlatformService<P> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<P> Clone for PlatformService<P> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<P> fmt::Debug for PlatformService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlatformService")
    }
}

impl<P, B, R> Service<Request<B>> for PlatformService<P>
where
    P: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = P::Error;
    type Future = PlatformFuture<P, B>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        // Which platform has to be ready shows with the request.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> PlatformFuture<P, B> {
        let platform = request.extensions().get::<CurrentTenant<P>>().map(|current| (*current.platform).clone());
        if platform.is_none() {
            tracing::error!(
                platform = std::any::type_name::<P>(),
                "no TenantLayer of this platform is before the service"
            );
        }
        PlatformFuture { step: Step::Readying { held: platform.map(|platform| (platform, request)) } }
    }
}

pin_project! {
    /// What a [`PlatformService`] answers with.
    ///
    /// ```
    /// fn is_a_future<T: Future>() {}
    /// is_a_future::<tenancy::PlatformFuture<axum::Router, axum::body::Body>>();
    /// ```
    pub struct PlatformFuture<P, B>
    where
        P: Service<Request<B>>,
    {
        #[pin]
        step: Step<P, P::Future, B>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<P, F, B> {
        Readying { held: Option<(P, Request<B>)> },
        Called { #[pin] future: F },
    }
}

impl<P, B> fmt::Debug for PlatformFuture<P, B>
where
    P: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformFuture").finish_non_exhaustive()
    }
}

impl<P, B, R> Future for PlatformFuture<P, B>
where
    P: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, P::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            match step.as_mut().project() {
                StepProj::Called { future } => return future.poll(cx),
                StepProj::Readying { held } => {
                    let Some((platform, _)) = held else {
                        return Poll::Ready(Ok(Answer::Empty(StatusCode::INTERNAL_SERVER_ERROR).into_response()));
                    };
                    ready!(platform.poll_ready(cx))?;
                    let Some((mut platform, request)) = held.take() else { continue };
                    let future = platform.call(request);
                    step.set(Step::Called { future });
                }
            }
        }
    }
}
