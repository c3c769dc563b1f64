//! DELETE `/v1/entitlements/{id}`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::EntitlementId;

use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::input::{IdPath, Nothing, Params};
use crate::api::reply::NoContent;
use crate::api::state::ApiState;

pub(super) async fn revoke_entitlement(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: IdPath<EntitlementId>,
    params: Params<Nothing>,
) -> Result<NoContent, ApiError> {
    params.read()?;
    state.app.revoke_entitlement(&ctx, path.id()?).await?;
    Ok(NoContent)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "revoke_entitlement",
        "Take a product back",
        "It stays in the list, as `revoked`. 204 again for one that was revoked before.",
    )
}
