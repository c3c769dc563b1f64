//! What operators and their tools ask: liveness, readiness, metrics, the document.
//!
//! Nothing here needs a credential, and nothing here shows tenant data. Invariant: liveness asks nothing of anybody, so
//! that a database that is away does not restart the service.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use aide::transform::TransformOperation;

use super::auth::Public;
use super::error::{ApiError, Problem};
use super::reply::Reply;
use super::state::ApiState;
use crate::telemetry::METRICS_CONTENT_TYPE;

/// The answer of a probe.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Probe")]
pub(super) struct ProbeView {
    /// `ok` or `ready`.
    pub status: &'static str,
}

/// The answer of `/health`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub(super) struct HealthView {
    /// `healthy`.
    pub status: &'static str,
    /// The version of the service.
    pub version: &'static str,
}

/// GET `/healthz`
///
/// # Errors
/// None.
pub(super) async fn healthz(_: Public) -> Result<Reply<ProbeView>, ApiError> {
    Reply::of(&ProbeView { status: "ok" })
}

/// GET `/health`
///
/// # Errors
/// None.
pub(super) async fn health(_: Public) -> Result<Reply<HealthView>, ApiError> {
    Reply::of(&HealthView { status: "healthy", version: env!("CARGO_PKG_VERSION") })
}

/// GET `/readyz`
///
/// # Errors
/// 503 while stopping, without the store, and with a schema that is behind this program's.
pub(super) async fn readyz(_: Public, State(state): State<ApiState>) -> Result<Reply<ProbeView>, ApiError> {
    let not_ready = |why: String| ApiError::from(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why));
    if state.is_stopping() {
        return Err(not_ready("the service is shutting down".to_owned()));
    }
    let schema = state.app.check_store().await.map_err(|error| {
        tracing::warn!(%error, "not ready: the store does not answer");
        not_ready("the store does not answer".to_owned())
    })?;
    // A newer schema is no reason: during a rollout the old replicas serve on it until the new ones are there. Starting on
    // one is refused.
    if schema.current < schema.wanted {
        let detail = format!("the schema is at migration {}, this program wants {}", schema.current, schema.wanted);
        return Err(not_ready(detail));
    }
    Reply::of(&ProbeView { status: "ready" })
}

/// GET `/metrics`
pub(super) async fn metrics(State(state): State<ApiState>) -> Response {
    typed(METRICS_CONTENT_TYPE, state.metrics_reader.text().into())
}

/// GET `/openapi.json`
pub(super) async fn openapi_json(State(state): State<ApiState>) -> Response {
    typed("application/json", state.document.json.clone())
}

/// GET `/openapi.yaml`
pub(super) async fn openapi_yaml(State(state): State<ApiState>) -> Response {
    typed("application/yaml", state.document.yaml.clone())
}

/// GET `/docs`
pub(super) async fn docs(State(state): State<ApiState>) -> Response {
    let mut response = typed("text/html; charset=utf-8", state.document.html.clone());
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

fn typed(media_type: &'static str, body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body).into_response()
}

pub(super) fn healthz_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("healthz").tag("operations").summary("Liveness").description("Answers as long as the process runs.")
}

pub(super) fn health_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("health").tag("operations").summary("Health, for agent-plane clients")
}

pub(super) fn readyz_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("readyz").tag("operations").summary("Readiness").description(
        "200 when the store answers, its schema is current and the service is not shutting down; else 503.",
    )
}
