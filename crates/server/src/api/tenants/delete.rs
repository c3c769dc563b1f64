//! DELETE `/v1/tenants/{id}`

use aide::transform::TransformOperation;
use axum::extract::State;

use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::input::{IfMatch, Nothing, Params, TenantPath};
use crate::api::reply::NoContent;
use crate::api::state::ApiState;

pub(super) async fn delete_tenant(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: TenantPath,
    params: Params<Nothing>,
    seen: IfMatch,
) -> Result<NoContent, ApiError> {
    params.read()?;
    let seen = seen.read()?;
    state.app.delete_tenant(&ctx, path.id()?, &seen).await?;
    Ok(NoContent)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "delete_tenant",
        "Delete a frozen tenant",
        "Everything of the tenant goes with it; its audit events stay, without their group. The slug is free again.",
    )
}
