//! POST `/v1/tenants/{id}/activate`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::view::TenantReply;
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, IfMatch, Nothing, Params, TenantPath};
use crate::api::state::ApiState;

pub(super) async fn activate_tenant(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: TenantPath,
    params: Params<Nothing>,
    seen: IfMatch,
    key: IdempotencyKey,
    body: Body<Nothing>,
) -> Result<TenantReply, ApiError> {
    params.read()?;
    let seen = seen.read()?;
    let request = key.over(&body.bytes)?;
    let id = path.id()?;
    super::change_once(&state, ctx, request, async move |app, ctx| app.activate_tenant(&ctx, id, &seen).await).await
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "activate_tenant",
        "Activate a tenant",
        "Trial or frozen becomes active; 409 `invalid_transition` for one that is active.",
    )
}
