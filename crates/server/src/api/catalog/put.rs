//! PUT `/v1/catalog/{key}`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::product::{DESCRIPTION_MAX, KEY_MAX, KEY_PATTERN};
use domain::tenant::{NAME_MAX, TRIAL_DAYS_MAX};
use domain::{ProductInput, ProductKey, Resource};
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::ProductView;
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::input::{Body, Nothing, Params, PathDocs, TextPath};
use crate::api::reply::{Put, Reply};
use crate::api::state::ApiState;

/// The path.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the document alone")]
struct KeyPath {
    /// 1 to 64 of `a-z0-9._-`, a letter or digit at either end.
    #[schemars(length(min = 1, max = KEY_MAX), regex(pattern = KEY_PATTERN))]
    key: String,
}

/// What is said of a product. What is not said is as if the product were new.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutProduct {
    /// Its name for people.
    #[schemars(length(min = 1, max = NAME_MAX))]
    name: String,
    /// What it is.
    #[schemars(length(max = DESCRIPTION_MAX))]
    description: Option<String>,
    /// Days of a trial of it; 14 where nothing is said.
    #[schemars(range(min = 1, max = TRIAL_DAYS_MAX))]
    trial_days: Option<u32>,
    /// Whether tenants may ask for it; they may where nothing is said.
    requestable: Option<bool>,
}

pub(super) async fn put_product(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: TextPath,
    params: Params<Nothing>,
    body: Body<PutProduct>,
) -> Result<Put<ProductView<'static>>, ApiError> {
    params.read()?;
    // Bytes that are no text are no key either.
    let key = ProductKey::parse(&path.text(Resource::Product).unwrap_or_else(|_| "\u{fffd}".to_owned()))?;
    let PutProduct { name, description, trial_days, requestable } = body.value;
    let input = ProductInput { name, description, trial_days, requestable };
    let (product, is_new) = state.app.put_product(&ctx, key, input).await?;
    let view = ProductView::from(&product);
    Ok(if is_new { Put::Created(Reply::of(&view)?) } else { Put::Replaced(Reply::of(&view)?) })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "put_product",
        "Put a product into the catalog, or replace what is said of it",
        "201 for a new one, 200 for one that is there. The key never changes.",
    )
    .input::<PathDocs<KeyPath>>()
}
