//! GET `/v1/tenants/by-host/{host}?path=`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::{Error, FieldCode, Resource};
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{TenantReply, shared};
use crate::api::auth::{TenantRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::{Params, PathDocs, TextPath};
use crate::api::state::ApiState;

/// Which request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HostQuery {
    /// The path of the request, as it stands; `/` where nothing is said.
    #[schemars(length(max = 8192))]
    path: Option<String>,
}

/// The path.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the document alone")]
struct HostPath {
    /// A host in any spelling; a port is left out.
    host: String,
}

pub(super) async fn get_tenant_by_host(
    TenantScoped(ctx, _): TenantScoped<TenantRead>,
    State(state): State<ApiState>,
    host: TextPath,
    params: Params<HostQuery>,
) -> Result<TenantReply, ApiError> {
    let path = params.read()?.path.unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/') {
        return Err(Error::invalid("path", FieldCode::InvalidFormat, "must begin with /").into());
    }
    let path = tenancy::path_of(&path);
    shared(state.app.get_tenant_by_host(&ctx, &host.text(Resource::Tenant)?, path).await?)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "get_tenant_by_host",
        "Read the tenant that a host and path reach",
        "The longest prefix of the path on segment boundaries; an exact host shadows a wildcard.",
    )
    .input::<PathDocs<HostPath>>()
}
