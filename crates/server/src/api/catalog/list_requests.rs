//! GET `/v1/catalog/requests`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::RequestStatus;
use schemars::JsonSchema;
use serde::Deserialize;
use store::RequestFilter;
use uuid::Uuid;

use super::view::{CatalogRequestView, RequestStatusWord};
use crate::api::auth::{CatalogRequest, TenantScoped};
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::input::Params;
use crate::api::page::{LIMIT_MAX, LIMIT_MIN, PageView};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

/// Which requests, and which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// At most this many; 50 where nothing is said.
    #[schemars(range(min = LIMIT_MIN, max = LIMIT_MAX))]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only this tenant's.
    #[schemars(with = "Option<Uuid>")]
    tenant_id: Option<String>,
    /// Only those that stand so.
    #[schemars(with = "Option<RequestStatusWord>")]
    status: Option<RequestStatus>,
}

pub(super) async fn list_catalog_requests(
    TenantScoped(ctx, _): TenantScoped<CatalogRequest>,
    State(state): State<ApiState>,
    params: Params<ListQuery>,
) -> Result<Reply<PageView<CatalogRequestView<'static>>>, ApiError> {
    let query = params.read()?;
    let tenant = query.tenant_id.as_deref().map(|text| tenant_id("tenant_id", text)).transpose()?;
    let filter = RequestFilter { tenant, status: query.status };
    let list = format!("requests {:?} {:?} {:?}", ctx.caller.reach, filter.tenant, filter.status);
    let listing = state.cursors.listing(list, query.limit);
    let found = state.app.list_catalog_requests(&ctx, filter, listing.page(query.cursor.as_deref())?).await?;
    let (found, next_cursor) = listing.cut(found, |last| last.id);
    Reply::of(&PageView { items: found.iter().map(CatalogRequestView::from).collect(), next_cursor })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "list_catalog_requests",
        "List requests for products",
        "Newest first, decided ones too. A tenant's caller sees its own.",
    )
}
