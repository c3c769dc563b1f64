//! POST `/v1/catalog/trial-request`

use std::sync::Arc;

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::api::auth::{CatalogRequest, TenantScoped};
use crate::api::entitlements::view::EntitlementView;
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, Nothing, Params};
use crate::api::reply::Reply;
use crate::api::state::ApiState;
use crate::app::{App, Ctx};

/// A wish to try.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestTrial {
    /// For whom.
    #[schemars(with = "Uuid")]
    tenant_id: String,
    /// Which product: a key of the catalog.
    #[schemars(length(max = 255))]
    product: String,
}

pub(super) async fn request_trial(
    TenantScoped(ctx, _): TenantScoped<CatalogRequest>,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    key: IdempotencyKey,
    body: Body<RequestTrial>,
) -> Result<Reply<EntitlementView<'static>, 201>, ApiError> {
    params.read()?;
    let request = key.over(&body.bytes)?;
    let RequestTrial { tenant_id: tenant, product } = body.value;
    let tenant = tenant_id("tenant_id", &tenant)?;
    state.app.judge_reach(&ctx, tenant, &product).await?;
    let work = async move |app: Arc<App>, ctx: Ctx| app.request_trial(&ctx, tenant, &product).await;
    let once = state.app.once(ctx, request, work).await?;
    Ok(Reply::of(&EntitlementView::from(&once.outcome))?.replayed(once.replayed))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "request_trial",
        "Start a trial of a product",
        "It begins at once and lasts the product's `trial_days`. One trial of a product for each tenant: a second is 409 \
         `trial_already_used`; 409 `entitlement_already_active` where the tenant has the product.",
    )
}
