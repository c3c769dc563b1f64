//! The way of a request through a layer: decided at once, carried to the inner service, or answered.
//!
//! What [`TenantLayer`](crate::TenantLayer) makes. The served path neither boxes nor waits: a lookup, the extensions, the
//! inner service's own future; only a tenant that is not there yet is waited for. Invariant: the inner service that was
//! ready is the one that is called.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;
use tracing::Span;

use super::answer::Answer;
use super::current::{CurrentTenant, ServedTenant};
use super::decide::{Built, Config, Found, Refused};
use super::report::{Decision, Watch};
use crate::registry::Resolved;

/// A service behind a [`TenantLayer`](crate::TenantLayer).
///
/// ```
/// use tenancy::{TenantGate, TenantLayer, TenantRegistry};
/// use tower::Layer;
///
/// let registry: TenantRegistry<()> = TenantRegistry::builder().build();
/// let gate: TenantGate<axum::Router, ()> = TenantLayer::new(registry).layer(axum::Router::new());
/// # drop(gate);
/// ```
pub struct TenantGate<S, P> {
    inner: S,
    config: Arc<Config<P>>,
}

impl<S, P> TenantGate<S, P> {
    pub(super) fn new(inner: S, config: Arc<Config<P>>) -> Self {
        Self { inner, config }
    }
}

impl<S: Clone, P> Clone for TenantGate<S, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for TenantGate<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantGate")
            .field("inner", &self.inner)
            .field("registry", &self.config.registry)
            .finish_non_exhaustive()
    }
}

impl<S, P, B, R> Service<Request<B>> for TenantGate<S, P>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    P: Send + Sync + 'static,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = TenantFuture<S, B, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> TenantFuture<S, B, P> {
        let mut watch = self.config.hook.as_ref().map(Watch::begin);
        match self.config.find(&request) {
            Found::Served(resolved) => {
                let (span, future) = enter(&mut self.inner, request, resolved, &self.config, &mut watch);
                TenantFuture { step: Step::Served { future }, span, watch }
            }
            Found::Refused(refused) => {
                let answer = turn_away(refused, &mut watch);
                TenantFuture { step: Step::Answered { answer: Some(answer) }, span: Span::none(), watch }
            }
            Found::Waiting(built) => {
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                let config = Arc::clone(&self.config);
                let waiting = Some(Box::new(Waiting { built, inner, request, config }));
                TenantFuture { step: Step::Waiting { waiting }, span: Span::none(), watch }
            }
        }
    }
}

/// Hands a request to the inner service.
#[inline]
fn enter<S, P, B>(
    inner: &mut S,
    mut request: Request<B>,
    resolved: Resolved<P>,
    config: &Config<P>,
    watch: &mut Option<Watch>,
) -> (Span, S::Future)
where
    S: Service<Request<B>>,
    P: Send + Sync + 'static,
{
    if let Some(watch) = watch {
        watch.decided(Decision::Served, Some(resolved.tenant_id.clone()));
    }
    let span = config.span(&resolved.tenant_id);
    request.extensions_mut().insert(ServedTenant(resolved.tenant_id.clone()));
    request.extensions_mut().insert(CurrentTenant::new(resolved));
    let future = span.in_scope(|| inner.call(request));
    (span, future)
}

fn turn_away(refused: Refused, watch: &mut Option<Watch>) -> Answer {
    if let Some(watch) = watch {
        watch.decided(refused.decision, refused.tenant_id);
    }
    refused.answer
}

pin_project! {
    /// What a [`TenantGate`] answers with.
    ///
    /// ```
    /// fn is_a_future<T: Future>() {}
    /// is_a_future::<tenancy::TenantFuture<axum::Router, axum::body::Body, ()>>();
    /// ```
    pub struct TenantFuture<S, B, P>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        step: Step<S, S::Future, B, P>,
        span: Span,
        watch: Option<Watch>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<S, F, B, P> {
        Served { #[pin] future: F },
        Waiting { waiting: Option<Box<Waiting<S, B, P>>> },
        Answered { answer: Option<Answer> },
    }
}

/// A request whose tenant is being built.
struct Waiting<S, B, P> {
    built: Built<P>,
    inner: S,
    request: Request<B>,
    config: Arc<Config<P>>,
}

impl<S, B, P> fmt::Debug for TenantFuture<S, B, P>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Served { .. } => "served",
            Step::Waiting { .. } => "waiting",
            Step::Answered { .. } => "answered",
        };
        f.debug_struct("TenantFuture").field("step", &step).finish_non_exhaustive()
    }
}

impl<S, B, P, R> Future for TenantFuture<S, B, P>
where
    S: Service<Request<B>, Response = Response<R>>,
    P: Send + Sync + 'static,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = loop {
            match this.step.as_mut().project() {
                StepProj::Served { future } => {
                    let _inside = this.span.enter();
                    break ready!(future.poll(cx));
                }
                StepProj::Waiting { waiting } => {
                    let Some(held) = waiting.as_mut() else { return Poll::Pending };
                    let built = ready!(held.built.as_mut().poll(cx));
                    let Some(held) = waiting.take() else { return Poll::Pending };
                    let Waiting { mut inner, request, config, .. } = *held;
                    match config.settle(built, &request) {
                        Ok(resolved) => {
                            let (span, future) = enter(&mut inner, request, resolved, &config, this.watch);
                            *this.span = span;
                            this.step.set(Step::Served { future });
                        }
                        Err(refused) => {
                            let answer = Some(turn_away(refused, this.watch));
                            this.step.set(Step::Answered { answer });
                        }
                    }
                }
                StepProj::Answered { answer } => {
                    let Some(answer) = answer.take() else { return Poll::Pending };
                    break Ok(answer.into_response());
                }
            }
        };
        if let Some(mut watch) = this.watch.take()
            && let Ok(response) = &response
        {
            watch.answered(response.status());
        }
        Poll::Ready(response)
    }
}
