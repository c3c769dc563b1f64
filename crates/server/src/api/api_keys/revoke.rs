//! DELETE `/v1/api-keys/{id}`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::ApiKeyId;

use crate::api::auth::{ApiKeysWrite, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::{IdPath, Nothing, Params};
use crate::api::reply::NoContent;
use crate::api::state::ApiState;

pub(super) async fn revoke_api_key(
    TenantScoped(ctx, _): TenantScoped<ApiKeysWrite>,
    State(state): State<ApiState>,
    path: IdPath<ApiKeyId>,
    params: Params<Nothing>,
) -> Result<NoContent, ApiError> {
    params.read()?;
    state.app.revoke_api_key(&ctx, path.id()?).await?;
    Ok(NoContent)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "revoke_api_key",
        "Revoke an API key",
        "At once and for good; again it changes nothing. A frozen tenant's people and keys may do this too.",
    )
}
