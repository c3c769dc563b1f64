//! POST `/v1/tenants/{id}/extend-trial`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::tenant::TRIAL_DAYS_MAX;
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::TenantReply;
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, IfMatch, Nothing, Params, TenantPath};
use crate::api::state::ApiState;

/// By how much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExtendTrial {
    /// Days to add.
    #[schemars(range(min = 1, max = TRIAL_DAYS_MAX))]
    days: u32,
}

pub(super) async fn extend_trial(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: TenantPath,
    params: Params<Nothing>,
    seen: IfMatch,
    key: IdempotencyKey,
    body: Body<ExtendTrial>,
) -> Result<TenantReply, ApiError> {
    params.read()?;
    let seen = seen.read()?;
    let request = key.over(&body.bytes)?;
    let days = body.value.days;
    let id = path.id()?;
    super::change_once(&state, ctx, request, async move |app, ctx| app.extend_trial(&ctx, id, &seen, days).await).await
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "extend_trial",
        "Make a trial end later",
        "Added to the current end; after the trial ran out, counted from now, and the tenant is in trial again. 409 `invalid_transition` otherwise.",
    )
}
