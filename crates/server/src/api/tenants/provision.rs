//! POST `/v1/tenants/{id}/provision`

use aide::transform::TransformOperation;
use axum::extract::State;

use super::view::{TenantReply, provisioned};
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, IfMatch, Nothing, Params, TenantPath};
use crate::api::state::ApiState;
use crate::app::Provisioned;

pub(super) async fn provision_tenant(
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
    let once = state.app.once(ctx, request, async move |app, ctx| app.provision_tenant(&ctx, id, &seen).await).await?;
    let outcome: &Provisioned = &once.outcome;
    Ok(provisioned(outcome)?.replayed(once.replayed))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "provision_tenant",
        "Provision a tenant, or invite again",
        "Goes on from the first step that is not done, without waiting for the next attempt. Where all is done and the account has no password yet, the invitation is mailed again. A tenant without `admin_email` is left as it is.",
    )
}
