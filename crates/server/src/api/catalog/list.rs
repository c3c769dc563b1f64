//! GET `/v1/catalog`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::ProductView;
use crate::api::auth::{CatalogRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::Params;
use crate::api::page::{LIMIT_MAX, LIMIT_MIN, PageView};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

/// Which page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// At most this many; 50 where nothing is said.
    #[schemars(range(min = LIMIT_MIN, max = LIMIT_MAX))]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

pub(super) async fn list_products(
    TenantScoped(ctx, _): TenantScoped<CatalogRead>,
    State(state): State<ApiState>,
    params: Params<ListQuery>,
) -> Result<Reply<PageView<ProductView<'static>>>, ApiError> {
    let query = params.read()?;
    // What a caller sees of it is a filter too.
    let list = format!("catalog {}", ctx.caller.is_platform_admin());
    let listing = state.cursors.listing(list, query.limit);
    let found = state.app.list_products(&ctx, listing.page(query.cursor.as_deref())?).await?;
    let (found, next_cursor) = listing.cut(found, |last| (last.created_at, last.key.clone()));
    Reply::of(&PageView { items: found.iter().map(ProductView::from).collect(), next_cursor })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "list_products",
        "List the products of the catalog",
        "Newest first. Platform admins see all, everybody else those that can be requested.",
    )
}
