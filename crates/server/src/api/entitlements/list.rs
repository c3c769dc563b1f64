//! GET `/v1/entitlements`

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::view::EntitlementView;
use crate::api::auth::{EntitlementsRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::input::Params;
use crate::api::page::{LIMIT_MAX, LIMIT_MIN, PageView};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

/// Whose entitlements, and which page of them.
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
}

pub(super) async fn list_entitlements(
    TenantScoped(ctx, _): TenantScoped<EntitlementsRead>,
    State(state): State<ApiState>,
    params: Params<ListQuery>,
) -> Result<Reply<PageView<EntitlementView<'static>>>, ApiError> {
    let query = params.read()?;
    let tenant = query.tenant_id.as_deref().map(|text| tenant_id("tenant_id", text)).transpose()?;
    let list = format!("entitlements {:?} {tenant:?}", ctx.caller.reach);
    let listing = state.cursors.listing(list, query.limit);
    let found = state.app.list_entitlements(&ctx, tenant, listing.page(query.cursor.as_deref())?).await?;
    let (found, next_cursor) = listing.cut(found, |last| last.entitlement.id);
    Reply::of(&PageView { items: found.iter().map(EntitlementView::from).collect(), next_cursor })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "list_entitlements",
        "List entitlements",
        "Newest first, one per tenant and product, revoked and expired ones too. A tenant's caller sees its own; a named \
         tenant that is absent or foreign is 404 `tenant_not_found`.",
    )
}
