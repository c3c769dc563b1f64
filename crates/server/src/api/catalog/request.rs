//! POST `/v1/catalog/request`

use std::sync::Arc;

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::catalog_request::MESSAGE_MAX;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::view::CatalogRequestView;
use crate::api::auth::{CatalogRequest, TenantScoped};
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, Nothing, Params};
use crate::api::reply::Reply;
use crate::api::state::ApiState;
use crate::app::{App, Ctx};

/// A wish.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestProduct {
    /// For whom.
    #[schemars(with = "Uuid")]
    tenant_id: String,
    /// Which product: a key of the catalog.
    #[schemars(length(max = 255))]
    product: String,
    /// Why, for whoever decides.
    #[schemars(length(max = MESSAGE_MAX))]
    message: Option<String>,
}

pub(super) async fn request_product(
    TenantScoped(ctx, _): TenantScoped<CatalogRequest>,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    key: IdempotencyKey,
    body: Body<RequestProduct>,
) -> Result<Reply<CatalogRequestView<'static>, 202>, ApiError> {
    params.read()?;
    let request = key.over(&body.bytes)?;
    let RequestProduct { tenant_id: tenant, product, message } = body.value;
    let tenant = tenant_id("tenant_id", &tenant)?;
    state.app.judge_reach(&ctx, tenant, &product).await?;
    let work = async move |app: Arc<App>, ctx: Ctx| app.request_product(&ctx, tenant, &product, message).await;
    let once = state.app.once(ctx, request, work).await?;
    Ok(Reply::of(&CatalogRequestView::from(&once.outcome))?.replayed(once.replayed))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "request_product",
        "Ask for a product",
        "A platform admin decides. 409 `request_already_open` while one of this tenant for this product is undecided.",
    )
}
