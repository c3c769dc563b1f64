//! POST `/v1/catalog/requests/{id}/reject`

use std::sync::Arc;

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::CatalogRequestId;

use super::view::CatalogRequestView;
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, IdPath, Nothing, Params};
use crate::api::reply::Reply;
use crate::api::state::ApiState;
use crate::app::{App, Ctx};

pub(super) async fn reject_catalog_request(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: IdPath<CatalogRequestId>,
    params: Params<Nothing>,
    key: IdempotencyKey,
    body: Body<Nothing>,
) -> Result<Reply<CatalogRequestView<'static>>, ApiError> {
    params.read()?;
    let request = key.over(&body.bytes)?;
    let id = path.id()?;
    let work = async move |app: Arc<App>, ctx: Ctx| app.reject_catalog_request(&ctx, id).await;
    let once = state.app.once(ctx, request, work).await?;
    Ok(Reply::of(&CatalogRequestView::from(&once.outcome))?.replayed(once.replayed))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "reject_catalog_request",
        "Decline a request",
        "The tenant may ask again. Decided once: 409 `request_already_decided`.",
    )
}
