//! POST `/v1/tenants/{id}/activate`

use std::sync::Arc;

use aide::transform::TransformOperation;
use axum::extract::State;

use super::view::{TenantReply, reply};
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, IfMatch, Nothing, Params, TenantPath};
use crate::api::state::ApiState;
use crate::app::{App, Ctx};

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
    let work = async move |app: Arc<App>, ctx: Ctx| app.activate_tenant(&ctx, id, &seen).await;
    let once = state.app.once(ctx, request, work).await?;
    Ok(reply(&once.outcome)?.replayed(once.replayed))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "activate_tenant",
        "Activate a tenant",
        "Trial or frozen becomes active; 409 `invalid_transition` for one that is active.",
    )
}
