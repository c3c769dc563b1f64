//! PUT `/v1/tenants/{id}/hosts`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::HostRoute;
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{TenantReply, reply};
use crate::api::auth::{HostsWrite, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::{Body, IfMatch, Nothing, Params, TenantPath};
use crate::api::state::ApiState;

/// A route to be added.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddHost {
    /// Scheme, host, optional path prefix.
    #[schemars(length(min = 1, max = 2048))]
    url: String,
}

pub(super) async fn add_host(
    TenantScoped(ctx, _): TenantScoped<HostsWrite>,
    State(state): State<ApiState>,
    path: TenantPath,
    params: Params<Nothing>,
    seen: IfMatch,
    body: Body<AddHost>,
) -> Result<TenantReply, ApiError> {
    params.read()?;
    let seen = seen.read()?;
    let route = HostRoute::parse("url", &body.value.url)?;
    reply(&state.app.add_host(&ctx, path.id()?, &seen, route).await?)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "add_host",
        "Add a host route",
        "A route is host and path prefix; scheme and port are only shown. A second PUT of one route changes nothing. \
         409 `host_taken` where another tenant has it, or, for all but platform admins, overlaps it.",
    )
}
