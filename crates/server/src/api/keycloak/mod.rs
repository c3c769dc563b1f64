//! What Keycloak asks us: one endpoint per file.

mod claims;

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::Request;
use axum::handler::Handler;

use super::front::Answer;
use super::state::ApiState;

pub(super) fn routes() -> ApiRouter<ApiState> {
    ApiRouter::new().api_route("/v1/internal/keycloak/claims", post_with(claims::get_claims, claims::docs))
}

/// The short way to `get_claims`, which the protocol mapper asks at every token that it writes into.
pub(super) fn claims(request: Request, state: ApiState) -> Answer {
    claims::get_claims.call(request, state)
}
