//! DELETE `/v1/tenants/{id}/hosts?url=`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::HostRoute;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::auth::{HostsWrite, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::{IfMatch, Params, TenantPath};
use crate::api::reply::NoContent;
use crate::api::state::ApiState;

/// Which route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveHost {
    /// The route in any spelling.
    #[schemars(length(min = 1, max = 2048))]
    url: String,
}

pub(super) async fn remove_host(
    TenantScoped(ctx, _): TenantScoped<HostsWrite>,
    State(state): State<ApiState>,
    path: TenantPath,
    params: Params<RemoveHost>,
    seen: IfMatch,
) -> Result<NoContent, ApiError> {
    let query = params.read()?;
    let seen = seen.read()?;
    let route = HostRoute::parse("url", &query.url)?;
    state.app.remove_host(&ctx, path.id()?, &seen, route).await?;
    Ok(NoContent)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(operation, "remove_host", "Remove a host route", "204 whether it was there or not.")
}
