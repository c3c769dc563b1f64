//! PUT `/v1/entitlements`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::{Error, Grant, GrantState, Limits, TenantId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::view::{EntitlementView, GrantWord, LIMITS, grant, limit_schema};
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::input::{Body, Nothing, Params};
use crate::api::reply::{Put, Reply};
use crate::api::state::ApiState;

/// What a tenant is to have of a product. What is not said is none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutEntitlement {
    /// To whom.
    #[schemars(with = "Uuid")]
    tenant_id: String,
    /// Which product: a key of the catalog.
    #[schemars(length(max = 255))]
    product: String,
    /// As what.
    #[schemars(with = "GrantWord")]
    state: GrantState,
    /// From when on.
    #[schemars(with = "Option<Timestamp>")]
    starts_at: Option<String>,
    /// Until when: in the future, and after `starts_at`.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
    /// Numbers and switches by name: at most 100, names of at most 64 characters.
    #[schemars(
        with = "Option<BTreeMap<String, Value>>",
        extend("maxProperties" = LIMITS, "additionalProperties" = limit_schema())
    )]
    limits: Option<Limits>,
}

impl PutEntitlement {
    fn into_domain(self) -> Result<(TenantId, String, Grant), Error> {
        let mut violations = Vec::new();
        let (starts_at, expires_at) = (self.starts_at.as_deref(), self.expires_at.as_deref());
        let grant = grant(self.state, starts_at, expires_at, self.limits, &mut violations);
        match tenant_id("tenant_id", &self.tenant_id) {
            Ok(tenant) if violations.is_empty() => return Ok((tenant, self.product, grant)),
            Ok(_) => {}
            Err(violation) => violations.insert(0, violation),
        }
        Err(Error::Validation(violations))
    }
}

pub(super) async fn put_entitlement(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    body: Body<PutEntitlement>,
) -> Result<Put<EntitlementView<'static>>, ApiError> {
    params.read()?;
    let (tenant, product, grant) = body.value.into_domain()?;
    let (shown, is_new) = state.app.put_entitlement(&ctx, tenant, &product, grant).await?;
    let view = EntitlementView::from(&shown);
    Ok(if is_new { Put::Created(Reply::of(&view)?) } else { Put::Replaced(Reply::of(&view)?) })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "put_entitlement",
        "Give a tenant a product, or change what it has of it",
        "201 for the first of a tenant and product, 200 for every later one, also after a revocation: it is the same \
         entitlement again. 422 `unknown_product` for a product that the catalog does not have.",
    )
}
