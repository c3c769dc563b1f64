//! GET `/v1/api-keys`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::{ApiKey, ApiKeyId, Error};
use schemars::JsonSchema;
use serde::Deserialize;
use store::Page;

use super::view::ApiKeyView;
use crate::api::auth::{ApiKeysRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::input::Params;
use crate::api::page::{LIMIT_DEFAULT, LIMIT_MAX, LIMIT_MIN, PageView, cut};
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
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let list = format!("api-keys {:?} {tenant:?}", ctx.caller.reach);
    let after = match &query.cursor {
        Some(cursor) => {
            let last = state.cursors.open(&list, cursor)?;
            Some(last.parse::<ApiKeyId>().map_err(|_| Error::InvalidCursor)?)
        }
        None => None,
    };
    // One more than asked for tells whether there is a next page.
    let keys = state.app.list_api_keys(&ctx, tenant, Page { after, limit: limit + 1 }).await?;
    let (keys, next_cursor) = cut(keys, limit, |last: &ApiKey| state.cursors.seal(&list, &last.id.to_string()));
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
