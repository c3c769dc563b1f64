//! GET `/v1/api-keys`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::ApiKeyView;
use crate::api::auth::{ApiKeysRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::input::Params;
use crate::api::page::{LIMIT_MAX, LIMIT_MIN, PageView};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

/// Which keys, and which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only those of this tenant.
    #[schemars(extend("format" = "uuid"))]
    tenant_id: Option<String>,
    /// At most this many; 50 where nothing is said.
    #[schemars(range(min = LIMIT_MIN, max = LIMIT_MAX))]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

pub(super) async fn list_api_keys(
    TenantScoped(ctx, _): TenantScoped<ApiKeysRead>,
    State(state): State<ApiState>,
    params: Params<ListQuery>,
) -> Result<Reply<PageView<ApiKeyView<'static>>>, ApiError> {
    let query = params.read()?;
    let tenant = query.tenant_id.as_deref().map(|text| tenant_id("tenant_id", text)).transpose()?;
    let list = format!("api-keys {:?} {tenant:?}", ctx.caller.reach);
    let listing = state.cursors.listing(list, query.limit);
    let keys = state.app.list_api_keys(&ctx, tenant, listing.page(query.cursor.as_deref())?).await?;
    let (keys, next_cursor) = listing.cut(keys, |last| last.id);
    Reply::of(&PageView { items: keys.iter().map(ApiKeyView::from).collect(), next_cursor })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "list_api_keys",
        "List API keys",
        "Newest first, revoked ones too. A tenant's caller sees its own; a platform admin and a key of the platform see all of them, those of the platform included.",
    )
}
