//! DELETE `/v1/catalog/{key}`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::Resource;
use schemars::JsonSchema;

use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::input::{Nothing, Params, PathDocs, TextPath};
use crate::api::reply::NoContent;
use crate::api::state::ApiState;

/// The path.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the document alone")]
struct KeyPath {
    /// The product's key.
    key: String,
}

pub(super) async fn delete_product(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: TextPath,
    params: Params<Nothing>,
) -> Result<NoContent, ApiError> {
    params.read()?;
    state.app.delete_product(&ctx, &path.text(Resource::Product)?).await?;
    Ok(NoContent)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "delete_product",
        "Take a product out of the catalog",
        "409 `product_in_use` when a tenant has, or had, it. Requests for it stay, and can be rejected.",
    )
    .input::<PathDocs<KeyPath>>()
}
