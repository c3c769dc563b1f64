//! POST `/v1/catalog/requests/{id}/approve`

use std::collections::BTreeMap;
use std::sync::Arc;

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::{CatalogRequestId, Error, Grant, GrantState, Limits, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::view::CatalogRequestView;
use crate::api::auth::PlatformAdmin;
use crate::api::entitlements::view::{GrantWord, LIMITS, grant, limit_schema};
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, IdPath, Nothing, Params};
use crate::api::reply::Reply;
use crate::api::state::ApiState;
use crate::app::{App, Ctx};

/// What the tenant gets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveRequest {
    /// As what; `active` where nothing is said.
    #[schemars(with = "Option<GrantWord>")]
    state: Option<GrantState>,
    /// Until when: in the future.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    /// Numbers and switches by name: at most 100, names of at most 64 characters.
    #[schemars(
        with = "Option<BTreeMap<String, Value>>",
        extend("maxProperties" = LIMITS, "additionalProperties" = limit_schema())
    )]
    limits: Option<Limits>,
}

impl ApproveRequest {
    fn into_domain(self) -> Result<Grant, Error> {
        let mut violations = Vec::new();
        let state = self.state.unwrap_or(GrantState::Active);
        let grant = grant(state, None, self.expires_at.as_deref(), self.limits, &mut violations);
        if violations.is_empty() { Ok(grant) } else { Err(Error::Validation(violations)) }
    }
}

pub(super) async fn approve_catalog_request(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: IdPath<CatalogRequestId>,
    params: Params<Nothing>,
    key: IdempotencyKey,
    body: Body<ApproveRequest>,
) -> Result<Reply<CatalogRequestView<'static>>, ApiError> {
    params.read()?;
    let request = key.over(&body.bytes)?;
    let grant = body.value.into_domain()?;
    let id = path.id()?;
    let work = async move |app: Arc<App>, ctx: Ctx| app.approve_catalog_request(&ctx, id, grant).await;
    let once = state.app.once(ctx, request, work).await?;
    Ok(Reply::of(&CatalogRequestView::from(&once.outcome))?.replayed(once.replayed))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "approve_catalog_request",
        "Agree to a request",
        "The tenant has the product from then on, as the answer to its request. Decided once: 409 \
         `request_already_decided`. 422 `unknown_product` when the product is gone.",
    )
}
