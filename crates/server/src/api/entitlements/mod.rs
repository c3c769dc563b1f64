//! `/v1/entitlements`: one endpoint per file, each with its handler and its documentation.

mod check;
mod list;
mod put;
mod revoke;
pub mod view;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, post_with, put_with};
use aide::transform::TransformOperation;

use super::state::ApiState;

pub(super) fn routes() -> ApiRouter<ApiState> {
    ApiRouter::new()
        .api_route(
            "/v1/entitlements",
            put_with(put::put_entitlement, put::docs).get_with(list::list_entitlements, list::docs),
        )
        .api_route("/v1/entitlements/check", post_with(check::check_entitlement, check::docs))
        .api_route("/v1/entitlements/{id}", delete_with(revoke::revoke_entitlement, revoke::docs))
}

fn documented<'a>(operation: TransformOperation<'a>, id: &str, summary: &str, text: &str) -> TransformOperation<'a> {
    operation.id(id).tag("entitlements").summary(summary).description(text)
}
