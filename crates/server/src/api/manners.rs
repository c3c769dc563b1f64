//! The manners of every answer, in one layer around all routes.
//!
//! Request id, client address, time limit, panics, problem+json, security headers, metrics and the log line are here and
//! nowhere else. Invariant: whatever happens inside, the caller gets an answer with a request id, and an error is
//! problem+json.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::ids::uuid_v7;
use futures_util::FutureExt;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::error::{ApiError, PROBLEM_JSON, Problem};
use super::forwarded;
use super::state::ApiState;
use crate::telemetry::continue_trace;
use domain::Error;

/// The header of the request's id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// POSTs that change nothing (contract §2, "reading POSTs"): as quiet as a GET, since products send them by the thousand.
pub const READING_POSTS: &[&str] = &["/v1/entitlements/check", super::api_keys::VERIFY, super::keycloak::CLAIMS];

/// What is known of a request before anybody looks into it.
#[derive(Debug, Clone)]
pub struct RequestInfo {
    /// Its id.
    pub request_id: Arc<str>,
    /// The address of the client, behind trusted proxies.
    pub client: Option<IpAddr>,
}

/// The layer around a router's routes.
pub async fn manners(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let route = route.as_ref().map(MatchedPath::as_str);
    around(&state, request, peer, route, |request| next.run(request)).await
}

/// Answers a request by `inner`, with manners. `route` is the template that its path matched.
pub(super) async fn around<F: Future<Output = Response>>(
    state: &ApiState,
    mut request: Request,
    peer: Option<IpAddr>,
    route: Option<&str>,
    inner: impl FnOnce(Request) -> F,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let uri = request.uri().clone();
    let request_id = request_id(state, request.headers());
    let client = peer.map(|peer| forwarded::client(peer, request.headers(), &state.trusted_proxies));
    request.extensions_mut().insert(RequestInfo { request_id: Arc::clone(&request_id), client });

    let describe = || {
        tracing::info_span!(
            "request",
            method = method.as_str(),
            route = route.unwrap_or_default(),
            request_id = &*request_id,
            trace_id = tracing::field::Empty,
            otel.kind = "server",
        )
    };
    // A read that succeeds writes no line, and making a span is the dearest part of answering one from memory: where
    // nobody collects spans, it gets one only when there is something to say.
    let reads = method.is_safe() || route.is_some_and(|route| READING_POSTS.contains(&route));
    let wanted = state.traced
        || !reads
        || request.headers().contains_key("traceparent")
        || tracing::enabled!(tracing::Level::DEBUG);
    let span = if wanted { describe() } else { Span::none() };
    // A trace that goes on elsewhere (W3C Trace Context) is named in the log too.
    if wanted && let Some(trace_id) = continue_trace(&span, request.headers()) {
        span.record("trace_id", trace_id);
    }
    let active = state.metrics.request_started(method.as_str());
    let work = AssertUnwindSafe(inner(request)).catch_unwind();
    let mut response = async {
        match tokio::time::timeout(state.request_timeout, work).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => {
                let internal = format!("panic: {}", panic_text(&*panic));
                ApiError::from(Error::Internal { internal }).into_response()
            }
            Err(_) => {
                let internal = format!("no answer within {:?}", state.request_timeout);
                ApiError::from(Error::Timeout { internal }).into_response()
            }
        }
    }
    .instrument(span.clone())
    .await;
    let internal = finish_problem(&mut response, &request_id, uri.path());
    headers(response.headers_mut(), &request_id);
    drop(active);

    let (status, elapsed) = (response.status(), started.elapsed());
    state.metrics.record_request(method.as_str(), route, status.as_u16(), elapsed);
    let span = if span.is_none() && !status.is_success() { describe() } else { span };
    span.in_scope(|| log(reads, status, elapsed.as_micros(), internal.as_deref()));
    response
}

/// One line per request: errors of ours loudly, writes and refusals as news, reads only when asked for.
fn log(reads: bool, status: StatusCode, micros: u128, internal: Option<&str>) {
    let status_code = status.as_u16();
    if status.is_server_error() {
        tracing::error!(status = status_code, micros, cause = internal.unwrap_or_default(), "request failed");
    } else if status.is_client_error() || !reads {
        tracing::info!(status = status_code, micros, "request");
    } else {
        tracing::debug!(status = status_code, micros, "request");
    }
}

/// The caller's id where it is one (`[A-Za-z0-9._-]{1,128}`), else a new one.
fn request_id(state: &ApiState, headers: &HeaderMap) -> Arc<str> {
    let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fits = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    match sent.filter(fits) {
        Some(id) => id.into(),
        None => {
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            Arc::from(&*uuid_v7(&**state.app.clock(), &**state.app.rng()).hyphenated().encode_lower(&mut text))
        }
    }
}

/// Writes the body of an error, whoever made it: ours carry a [`Problem`]; the router's own have only a status.
fn finish_problem(response: &mut Response, request_id: &str, path: &str) -> Option<String> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None => bare(status),
    };
    let body = problem.body(request_id, path).to_string();
    let headers = response.headers_mut();
    headers.remove(http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    *response.body_mut() = Body::from(body);
    problem.internal
}

fn bare(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("not_found", "there is nothing at this path"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "this path does not take this method; see Allow"),
        StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", "this media type is not taken here"),
        StatusCode::REQUEST_TIMEOUT => ("timeout", "the request took too long to arrive"),
        status if status.is_server_error() => ("internal", "something went wrong on our side"),
        _ => ("bad_request", "the request cannot be read"),
    };
    Problem::new(status, code, detail)
}

fn headers(headers: &mut HeaderMap, request_id: &str) {
    let fixed = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
