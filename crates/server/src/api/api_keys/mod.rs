//! `/v1/api-keys`, and their verification for the products of the platform: one endpoint per file.

mod create;
mod list;
mod revoke;
mod rotate;
mod verify;
pub mod view;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, post_with};
use aide::transform::TransformOperation;

use super::state::ApiState;

/// Where products ask about a key.
pub(super) const VERIFY: &str = "/v1/internal/api-keys/verify";
pub(super) use verify::verify_api_key;

pub(super) fn routes() -> ApiRouter<ApiState> {
    ApiRouter::new()
        .api_route(
            "/v1/api-keys",
            post_with(create::create_api_key, create::docs).get_with(list::list_api_keys, list::docs),
        )
        .api_route("/v1/api-keys/{id}", delete_with(revoke::revoke_api_key, revoke::docs))
        .api_route("/v1/api-keys/{id}/rotate", post_with(rotate::rotate_api_key, rotate::docs))
        .api_route(VERIFY, post_with(verify::verify_api_key, verify::docs))
}

fn documented<'a>(operation: TransformOperation<'a>, id: &str, summary: &str, text: &str) -> TransformOperation<'a> {
    operation.id(id).tag("api keys").summary(summary).description(text)
}
