//! POST `/v1/api-keys/{id}/rotate`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::ApiKeyId;
use domain::api_key::OVERLAP_MAX;
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{MintedView, minted};
use crate::api::auth::{ApiKeysWrite, TenantScoped};
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, IdPath, Nothing, Params};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

/// How the old key ends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateApiKey {
    /// How long the old key lives on, in seconds; never longer than it would have. 0 where nothing is said: it is revoked
    /// at once.
    #[schemars(range(min = 0, max = OVERLAP_MAX))]
    overlap_seconds: Option<u32>,
}

pub(super) async fn rotate_api_key(
    TenantScoped(ctx, _): TenantScoped<ApiKeysWrite>,
    State(state): State<ApiState>,
    path: IdPath<ApiKeyId>,
    params: Params<Nothing>,
    key: IdempotencyKey,
    body: Body<RotateApiKey>,
) -> Result<Reply<MintedView<'static>, 201>, ApiError> {
    params.read()?;
    let request = key.over(&body.bytes)?;
    let overlap = body.value.overlap_seconds.unwrap_or(0);
    let id = path.id()?;
    state.app.judge_rotation(&ctx, id).await?;
    minted(&state.app.once(ctx, request, async move |app, ctx| app.rotate_api_key(&ctx, id, overlap).await).await?)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "rotate_api_key",
        "Replace an API key",
        "A new key with the same properties. 409 `key_not_rotatable` for a key that is revoked, expired, or rotated already; 403 where it has scopes that the caller does not hold.",
    )
}
