//! Bearer tokens as a layer: a request goes on with a verified [`Principal`] or not at all.
//!
//! What [`BearerTokenAuth`] makes of a service. Invariant: a principal that was in the request before is not what the
//! inner service finds; only the one of this token is.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::answer::Answer;
use super::auth::{AuthError, BearerTokenAuth, Judged};
use super::current::ServedTenant;
use super::decide::check;
use crate::resolver::Principal;

impl<S> Layer<S> for BearerTokenAuth {
    type Service = BearerGate<S>;

    fn layer(&self, inner: S) -> BearerGate<S> {
        BearerGate { inner, auth: self.clone() }
    }
}

/// A service behind [`BearerTokenAuth`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Extension, Router, body::Body, http::Request, http::StatusCode, routing::get};
/// use tenancy::{AuthError, BearerTokenAuth, Principal};
/// use tower::{Layer, ServiceExt};
///
/// let auth = BearerTokenAuth::new(|token: String| async move {
///     if token == "let-me-in" { Ok(Principal::token("user-7")) } else { Err(AuthError::Invalid) }
/// });
/// let app = Router::new().route("/", get(|Extension(who): Extension<Principal>| async move { who.subject }));
///
/// let response = auth.layer(app).oneshot(Request::get("/").body(Body::empty())?).await?;
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(response.headers()["www-authenticate"], "Bearer");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BearerGate<S> {
    inner: S,
    auth: BearerTokenAuth,
}

impl<S, B, R> Service<Request<B>> for BearerGate<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BearerFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> BearerFuture<S, B> {
        if !self.auth.asks() {
            return BearerFuture { step: Step::Served { future: self.inner.call(request) } };
        }
        let step = match self.auth.judge(request.headers()) {
            Ok(judged) => {
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                Step::Judging { judging: Some(Box::new(Judging { judged, inner, request })) }
            }
            Err(error) => Step::Refused { error },
        };
        BearerFuture { step }
    }
}

pin_project! {
    /// What a [`BearerGate`] answers with.
    ///
    /// ```
    /// fn is_a_future<T: Future>() {}
    /// is_a_future::<tenancy::BearerFuture<axum::Router, axum::body::Body>>();
    /// ```
    pub struct BearerFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        step: Step<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<S, F, B> {
        Served { #[pin] future: F },
        Judging { judging: Option<Box<Judging<S, B>>> },
        Refused { error: AuthError },
    }
}

struct Judging<S, B> {
    judged: Judged,
    inner: S,
    request: Request<B>,
}

impl<S, B> fmt::Debug for BearerFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerFuture").finish_non_exhaustive()
    }
}

impl<S, B, R> Future for BearerFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            match step.as_mut().project() {
                StepProj::Served { future } => return future.poll(cx),
                StepProj::Refused { error } => return Poll::Ready(Ok(error.answer().into_response())),
                StepProj::Judging { judging } => {
                    let Some(held) = judging.as_mut() else { return Poll::Pending };
                    let verdict = ready!(held.judged.as_mut().poll(cx));
                    let Some(held) = judging.take() else { return Poll::Pending };
                    let Judging { mut inner, mut request, .. } = *held;
                    match verdict {
                        Ok(principal) if belongs_elsewhere(&principal, &request) => {
                            return Poll::Ready(Ok(Answer::mismatch().into_response()));
                        }
                        Ok(principal) => {
                            request.extensions_mut().insert::<Principal>(principal);
                            let future = inner.call(request);
                            step.set(Step::Served { future });
                        }
                        Err(error) => step.set(Step::Refused { error }),
                    }
                }
            }
        }
    }
}

/// Where the tenant was found first, a credential of another one comes too late to be weighed there.
fn belongs_elsewhere<B>(principal: &Principal, request: &Request<B>) -> bool {
    let served = request.extensions().get::<ServedTenant>();
    served.is_some_and(|served| check(Some(principal), &served.0).is_err())
}
