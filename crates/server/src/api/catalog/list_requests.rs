//! GET `/v1/catalog/requests`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::{CatalogRequestId, Error, RequestStatus};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Page, RequestFilter};
use uuid::Uuid;

use super::view::{CatalogRequestView, RequestStatusWord};
use crate::api::auth::{CatalogRequest, TenantScoped};
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::input::Params;
use crate::api::page::{LIMIT_DEFAULT, LIMIT_MAX, LIMIT_MIN, PageView, cut};
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
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let list = format!("requests {:?} {:?} {:?}", ctx.caller.reach, filter.tenant, filter.status);
    let after = match &query.cursor {
        Some(cursor) => {
            let last = state.cursors.open(&list, cursor)?;
            Some(last.parse::<CatalogRequestId>().map_err(|_| Error::InvalidCursor)?)
        }
        None => None,
    };
    let found = state.app.list_catalog_requests(&ctx, filter, Page { after, limit: limit + 1 }).await?;
    let seal = |last: &domain::CatalogRequest| state.cursors.seal(&list, &last.id.to_string());
    let (found, next_cursor) = cut(found, limit, seal);
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
