//! GET `/v1/audit`

use aide::transform::TransformOperation;
use axum::extract::{RawQuery, State};

use super::filter::{filtered, judge_caller};
use super::view::EventView;
use crate::api::auth::{AuditRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::Params;
use crate::api::page::{LIMIT_MAX, LIMIT_MIN, PageView};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

filtered! {
    /// Which events, and which page of them.
    ListQuery {
        /// At most this many; 50 where nothing is said.
        #[schemars(range(min = LIMIT_MIN, max = LIMIT_MAX))]
        limit: Option<usize>,
        /// `next_cursor` of the page before.
        cursor: Option<String>,
    }
}

pub(super) async fn list_audit_events(
    TenantScoped(ctx, _): TenantScoped<AuditRead>,
    State(state): State<ApiState>,
    RawQuery(sent): RawQuery,
    params: Params<ListQuery>,
) -> Result<Reply<PageView<EventView<'static>>>, ApiError> {
    judge_caller(&ctx.caller, sent.as_deref())?;
    let mut query = params.read()?;
    let (limit, cursor) = (query.limit, query.cursor.take());
    let filter = query.filter()?;
    let list = format!("audit {:?} {filter:?}", ctx.caller.reach);
    let listing = state.cursors.listing(list, limit);
    let events = state.app.list_audit_events(&ctx, filter, listing.page(cursor.as_deref())?).await?;
    let (events, next_cursor) = listing.cut(events, |last| (last.received, last.id));
    Reply::of(&PageView { items: events.iter().map(EventView::from).collect(), next_cursor })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "list_audit_events",
        "List audit events",
        "Newest first, by the time at which they were received. A tenant's caller sees its own tenant's, a platform admin \
         all of them. `from` and `to` are half-open.",
    )
}
