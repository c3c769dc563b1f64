//! GET `/v1/tenants/{id}`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::view::{TenantReply, shared};
use crate::api::auth::{TenantRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::{Nothing, Params, TenantPath};
use crate::api::state::ApiState;

pub(super) async fn get_tenant(
    TenantScoped(ctx, _): TenantScoped<TenantRead>,
    State(state): State<ApiState>,
    path: TenantPath,
    params: Params<Nothing>,
) -> Result<TenantReply, ApiError> {
    params.read()?;
    shared(state.app.get_tenant(&ctx, path.id()?).await?)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(operation, "get_tenant", "Read a tenant", "404 for an absent tenant and for a foreign one.")
}
