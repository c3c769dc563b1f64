//! HTTP only: routes, their documentation, and the manners that all answers share.
//!
//! `lib.rs` builds the router once. A handler extracts, makes one call into `app`, and maps; who may call stands in its
//! signature. Invariant: registering a route documents it, in one act.

pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod catalog;
mod document;
pub mod entitlements;
pub mod error;
pub mod fields;
mod forwarded;
mod front;
pub mod idempotency;
pub mod input;
mod json;
pub mod keycloak;
pub mod manners;
mod operations;
pub mod page;
pub mod reply;
mod schema;
pub mod state;
pub mod tenants;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use aide::openapi::OpenApi;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::AllowedOrigins;
use state::{ApiState, Document};

pub use front::Front;
pub use schema::Schemas;

/// Every documented route. Add yours here.
fn routes() -> ApiRouter<ApiState> {
    ApiRouter::new()
        .merge(api_keys::routes())
        .merge(tenants::routes())
        .merge(entitlements::routes())
        .merge(catalog::routes())
        .merge(audit::routes())
        .merge(keycloak::routes())
        .api_route("/healthz", get_with(operations::healthz, operations::healthz_docs))
        .api_route("/readyz", get_with(operations::readyz, operations::readyz_docs))
        .api_route("/health", get_with(operations::health, operations::health_docs))
}

/// The routes, and the document that came of registering them.
fn documented_routes() -> (Router<ApiState>, OpenApi) {
    aide::generate::reset_context();
    let mut document = document::begin();
    let router = routes().finish_api(&mut document);
    document::finish(&mut document);
    (router, document)
}

/// The document in its three forms.
///
/// # Errors
/// When it cannot be written, which is a fault of ours.
pub fn document() -> Result<Document, String> {
    document::render(&documented_routes().1)
}

/// The router of the whole API.
fn router(state: ApiState, origins: &AllowedOrigins) -> Router {
    let (documented, _) = documented_routes();
    let router = documented
        .route("/metrics", get(operations::metrics))
        .route("/openapi.json", get(operations::openapi_json))
        .route("/openapi.yaml", get(operations::openapi_yaml))
        .route("/docs", get(operations::docs))
        .fallback(async || http::StatusCode::NOT_FOUND);
    // Manners are outermost, so that a preflight's answer has them too.
    let router = match cors(origins) {
        Some(layer) => router.layer(layer),
        None => router,
    };
    router.layer(from_fn_with_state(state.clone(), manners::manners)).with_state(state)
}

/// Off unless configured: without it no browser lets another origin's page read an answer.
fn cors(origins: &AllowedOrigins) -> Option<CorsLayer> {
    use http::Method;
    let allowed = match origins {
        AllowedOrigins::None => return None,
        AllowedOrigins::Any => AllowOrigin::any(),
        AllowedOrigins::Listed(list) => AllowOrigin::list(list.iter().filter_map(|origin| origin.parse().ok())),
    };
    let headers = [
        "authorization",
        "content-type",
        "if-match",
        "idempotency-key",
        "x-api-key",
        "x-request-id",
        "x-tenant-id",
        "traceparent",
    ];
    let exposed = ["etag", "location", "x-request-id", "idempotent-replayed", "retry-after"];
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers(headers.map(http::HeaderName::from_static))
            .expose_headers(exposed.map(http::HeaderName::from_static)),
    )
}
