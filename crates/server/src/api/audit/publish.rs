//! POST `/v1/audit`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::{Error, EventId};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::event::Events;
use crate::api::auth::{AuditWrite, TenantScoped};
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Nothing, Params};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

/// What the published events are known by: `id` for one, `ids` for an array.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Published {
    /// Of one event.
    One {
        /// Its id.
        id: Uuid,
    },
    /// Of an array.
    Many {
        /// Their ids, in order.
        ids: Vec<Uuid>,
    },
}

pub(super) async fn publish_events(
    TenantScoped(ctx, _): TenantScoped<AuditWrite>,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    key: IdempotencyKey,
    body: Events,
) -> Result<Reply<Published, 201>, ApiError> {
    params.read()?;
    let request = key.over(&body.bytes)?;
    let publication = body.publication;
    let is_array = publication.is_array;
    state.app.judge_publication(&ctx, &publication).await?;
    let once = state.app.once(ctx, request, async move |app, ctx| app.publish_events(&ctx, publication).await).await?;
    let mut ids = once.outcome.iter().map(|EventId(id)| *id);
    let published = if is_array {
        Published::Many { ids: ids.collect() }
    } else {
        Published::One { id: ids.next().ok_or_else(|| Error::internal("an event was published without an id"))? }
    };
    Ok(Reply::of(&published)?.replayed(once.replayed))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "publish_events",
        "Publish audit events",
        "One event, or an array of 1 to 1,000, which is stored whole or not at all. A body may have up to 8 MiB. An event \
         whose `external_id` its tenant has had is not stored again: its id is that of the first. Publishing is not itself \
         audited.",
    )
}
