//! `/v1/tenants`: one endpoint per file, each with its handler and its documentation.

mod activate;
mod add_host;
mod cancel;
mod create;
mod delete;
mod extend_trial;
mod get;
mod get_by_host;
mod get_by_slug;
mod list;
mod provision;
mod remove_host;
mod update;
pub mod view;

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with, patch_with, post_with, put_with};
use aide::transform::TransformOperation;

use domain::Tenant;

use super::error::ApiError;
use super::state::ApiState;
use crate::app::{App, Ctx, IdempotentRequest};
use view::TenantReply;

pub(super) fn routes() -> ApiRouter<ApiState> {
    ApiRouter::new()
        .api_route(
            "/v1/tenants",
            post_with(create::create_tenant, create::docs).get_with(list::list_tenants, list::docs),
        )
        .api_route("/v1/tenants/by-slug/{slug}", get_with(get_by_slug::get_tenant_by_slug, get_by_slug::docs))
        .api_route("/v1/tenants/by-host/{host}", get_with(get_by_host::get_tenant_by_host, get_by_host::docs))
        .api_route(
            "/v1/tenants/{id}",
            get_with(get::get_tenant, get::docs)
                .merge(patch_with(update::update_tenant, update::docs))
                .merge(delete_with(delete::delete_tenant, delete::docs)),
        )
        .api_route("/v1/tenants/{id}/activate", post_with(activate::activate_tenant, activate::docs))
        .api_route("/v1/tenants/{id}/cancel", post_with(cancel::cancel_tenant, cancel::docs))
        .api_route("/v1/tenants/{id}/provision", post_with(provision::provision_tenant, provision::docs))
        .api_route("/v1/tenants/{id}/extend-trial", post_with(extend_trial::extend_trial, extend_trial::docs))
        .api_route(
            "/v1/tenants/{id}/hosts",
            put_with(add_host::add_host, add_host::docs)
                .merge(delete_with(remove_host::remove_host, remove_host::docs)),
        )
}

/// Runs a change of one tenant once for its idempotency key, and answers with the tenant.
async fn change_once<W, F>(
    state: &ApiState,
    ctx: Ctx,
    request: Option<IdempotentRequest>,
    work: W,
) -> Result<TenantReply, ApiError>
where
    W: FnOnce(Arc<App>, Ctx) -> F + Send + 'static,
    F: Future<Output = domain::Result<Tenant>> + Send + 'static,
{
    let once = state.app.once(ctx, request, work).await?;
    Ok(view::reply(&once.outcome)?.replayed(once.replayed))
}

fn documented<'a>(operation: TransformOperation<'a>, id: &str, summary: &str, text: &str) -> TransformOperation<'a> {
    operation.id(id).tag("tenants").summary(summary).description(text)
}
