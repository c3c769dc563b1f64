//! GET `/v1/catalog`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::time::from_micros;
use domain::{Error, Product, ProductKey, Result, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use store::Page;

use super::view::ProductView;
use crate::api::auth::{CatalogRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::Params;
use crate::api::page::{LIMIT_DEFAULT, LIMIT_MAX, LIMIT_MIN, PageView, cut};
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
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    // What a caller sees of it is a filter too.
    let list = format!("catalog {}", ctx.caller.is_platform_admin());
    let after = query.cursor.map(|cursor| place_of(&state.cursors.open(&list, &cursor)?)).transpose()?;
    let found = state.app.list_products(&ctx, Page { after, limit: limit + 1 }).await?;
    let seal =
        |last: &Product| state.cursors.seal(&list, &format!("{} {}", last.created_at.as_microsecond(), last.key));
    let (found, next_cursor) = cut(found, limit, seal);
    Reply::of(&PageView { items: found.iter().map(ProductView::from).collect(), next_cursor })
}

fn place_of(sealed: &str) -> Result<(Timestamp, ProductKey)> {
    let (micros, key) = sealed.split_once(' ').ok_or(Error::InvalidCursor)?;
    let micros: i64 = micros.parse().map_err(|_| Error::InvalidCursor)?;
    Ok((from_micros(micros), ProductKey::stored(key.to_owned())))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "list_products",
        "List the products of the catalog",
        "Newest first. Platform admins see all, everybody else those that can be requested.",
    )
}
