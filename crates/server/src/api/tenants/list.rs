//! GET `/v1/tenants`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::tenant::NAME_MAX;
use domain::{Plan, Status, text};
use schemars::JsonSchema;
use serde::Deserialize;
use store::TenantFilter;

use super::view::{PlanWord, StatusWord, TenantView};
use crate::api::auth::{TenantRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::Params;
use crate::api::page::{LIMIT_MAX, LIMIT_MIN, PageView};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

/// Which tenants, and which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// At most this many; 50 where nothing is said.
    #[schemars(range(min = LIMIT_MIN, max = LIMIT_MAX))]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only of this status.
    #[schemars(with = "Option<StatusWord>")]
    status: Option<Status>,
    /// Only of this plan.
    #[schemars(with = "Option<PlanWord>")]
    plan: Option<Plan>,
    /// Only with this text in name or slug, whatever its case; no wildcards.
    #[schemars(length(min = 1, max = NAME_MAX))]
    q: Option<String>,
}

pub(super) async fn list_tenants(
    TenantScoped(ctx, _): TenantScoped<TenantRead>,
    State(state): State<ApiState>,
    params: Params<ListQuery>,
) -> Result<Reply<PageView<TenantView<'static>>>, ApiError> {
    let query = params.read()?;
    let filter = TenantFilter {
        status: query.status,
        plan: query.plan,
        text: query.q.map(|text| text::fold(&text)),
        ..TenantFilter::default()
    };
    let list = format!("tenants {:?} {:?} {:?} {:?}", ctx.caller.reach, filter.status, filter.plan, filter.text);
    let listing = state.cursors.listing(list, query.limit);
    let tenants = state.app.list_tenants(&ctx, filter, listing.page(query.cursor.as_deref())?).await?;
    let (tenants, next_cursor) = listing.cut(tenants, |last| last.id);
    Reply::of(&PageView { items: tenants.iter().map(TenantView::from).collect(), next_cursor })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "list_tenants",
        "List tenants",
        "Newest first. A tenant's caller sees its own tenant, a platform admin or a service all of them.",
    )
}
