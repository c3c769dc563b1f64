//! GET `/v1/audit`

use aide::transform::TransformOperation;
use axum::extract::{RawQuery, State};
use domain::time::from_micros;
use domain::{AuditEvent, Error, EventId, Timestamp};
use store::Page;

use super::filter::{filtered, judge_caller};
use super::view::EventView;
use crate::api::auth::{AuditRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::Params;
use crate::api::page::{LIMIT_DEFAULT, LIMIT_MAX, LIMIT_MIN, PageView, cut};
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
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let cursor = query.cursor.take();
    let filter = query.filter()?;
    let list = format!("audit {:?} {filter:?}", ctx.caller.reach);
    let after = match cursor {
        Some(cursor) => Some(place(&state.cursors.open(&list, &cursor)?).ok_or(Error::InvalidCursor)?),
        None => None,
    };
    // One more than asked for tells whether there is a next page.
    let events = state.app.list_audit_events(&ctx, filter, Page { after, limit: limit + 1 }).await?;
    let (events, next_cursor) = cut(events, limit, |last: &AuditEvent| {
        state.cursors.seal(&list, &format!("{} {}", last.received.as_microsecond(), last.id))
    });
    Reply::of(&PageView { items: events.iter().map(EventView::from).collect(), next_cursor })
}

/// The place in the log that a cursor names.
fn place(last: &str) -> Option<(Timestamp, EventId)> {
    let (received, id) = last.split_once(' ')?;
    Some((from_micros(received.parse().ok()?), id.parse().ok()?))
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
