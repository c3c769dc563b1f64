//! `/v1/catalog`: one endpoint per file, each with its handler and its documentation.

mod approve;
mod delete;
mod list;
mod list_requests;
mod put;
mod reject;
mod request;
mod trial_request;
pub mod view;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with, post_with, put_with};
use aide::transform::TransformOperation;

use super::state::ApiState;

pub(super) fn routes() -> ApiRouter<ApiState> {
    ApiRouter::new()
        .api_route("/v1/catalog", get_with(list::list_products, list::docs))
        .api_route("/v1/catalog/request", post_with(request::request_product, request::docs))
        .api_route("/v1/catalog/trial-request", post_with(trial_request::request_trial, trial_request::docs))
        .api_route("/v1/catalog/requests", get_with(list_requests::list_catalog_requests, list_requests::docs))
        .api_route("/v1/catalog/requests/{id}/approve", post_with(approve::approve_catalog_request, approve::docs))
        .api_route("/v1/catalog/requests/{id}/reject", post_with(reject::reject_catalog_request, reject::docs))
        .api_route(
            "/v1/catalog/{key}",
            put_with(put::put_product, put::docs).merge(delete_with(delete::delete_product, delete::docs)),
        )
}

fn documented<'a>(operation: TransformOperation<'a>, id: &str, summary: &str, text: &str) -> TransformOperation<'a> {
    operation.id(id).tag("catalog").summary(summary).description(text)
}
