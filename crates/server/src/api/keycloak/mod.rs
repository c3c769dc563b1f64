//! What Keycloak asks us: one endpoint per file.

mod claims;

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;

use super::state::ApiState;

/// Where the protocol mapper asks, at every token that it writes into.
pub(super) const CLAIMS: &str = "/v1/internal/keycloak/claims";
pub(super) use claims::get_claims;

pub(super) fn routes() -> ApiRouter<ApiState> {
    ApiRouter::new().api_route(CLAIMS, post_with(claims::get_claims, claims::docs))
}
