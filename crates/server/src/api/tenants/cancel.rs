//! POST `/v1/tenants/{id}/cancel`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::tenant::REASON_MAX;
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::TenantReply;
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, IfMatch, Nothing, Params, TenantPath};
use crate::api::state::ApiState;

/// Why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelTenant {
    /// For the audit log: the description of `tenant.cancelled`.
    #[schemars(length(max = REASON_MAX))]
    reason: Option<String>,
}

pub(super) async fn cancel_tenant(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: TenantPath,
    params: Params<Nothing>,
    seen: IfMatch,
    key: IdempotencyKey,
    body: Body<CancelTenant>,
) -> Result<TenantReply, ApiError> {
    params.read()?;
    let seen = seen.read()?;
    let request = key.over(&body.bytes)?;
    let reason = body.value.reason;
    let id = path.id()?;
    super::change_once(&state, ctx, request, async move |app, ctx| app.cancel_tenant(&ctx, id, &seen, reason).await)
        .await
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "cancel_tenant",
        "Freeze a tenant",
        "Trial or active becomes frozen, with the reason `cancelled`; 409 `invalid_transition` for one that is frozen.",
    )
}
