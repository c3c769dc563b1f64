//! `/v1/audit`: one endpoint per file, each with its handler and its documentation.

mod accept;
mod csv;
mod event;
mod export;
mod filter;
mod list;
mod publish;
pub mod view;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use aide::transform::TransformOperation;

use super::state::ApiState;

pub(super) fn routes() -> ApiRouter<ApiState> {
    ApiRouter::new()
        .api_route(
            "/v1/audit",
            post_with(publish::publish_events, publish::docs).get_with(list::list_audit_events, list::docs),
        )
        .api_route("/v1/audit/export", get_with(export::export_audit_events, export::docs))
}

fn documented<'a>(operation: TransformOperation<'a>, id: &str, summary: &str, text: &str) -> TransformOperation<'a> {
    operation.id(id).tag("audit").summary(summary).description(text)
}
