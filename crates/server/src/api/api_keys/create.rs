//! POST `/v1/api-keys`

use std::borrow::Cow;

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::api_key::{SCOPE_MAX, SCOPE_PATTERN, SCOPES_MAX};
use domain::tenant::NAME_MAX;
use domain::{Error, NewApiKey, Timestamp, Violation};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::view::{MintedView, minted};
use crate::api::auth::{ApiKeysWrite, TenantScoped};
use crate::api::error::ApiError;
use crate::api::fields::{instant, tenant_id};
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, Nothing, Params};
use crate::api::reply::Reply;
use crate::api::state::ApiState;

/// A key to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateApiKey {
    /// Whose it will be; null for a key of the platform, which only platform admins make.
    tenant_id: Nullable,
    /// Its name for people.
    #[schemars(length(min = 1, max = NAME_MAX))]
    name: String,
    /// What it may be used for: only what whoever makes it holds. Each counts once.
    #[schemars(length(max = SCOPES_MAX), inner(length(min = 1, max = SCOPE_MAX), regex(pattern = SCOPE_PATTERN)))]
    scopes: Option<Vec<String>>,
    /// When its time is over; never where nothing is said. RFC 3339.
    #[schemars(with = "Option<Timestamp>")]
    expires_at: Option<String>,
}

/// An id that must be said, and may be null.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Nullable(Option<String>);

impl JsonSchema for Nullable {
    fn schema_name() -> Cow<'static, str> {
        "NullableTenantId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "format": "uuid" })
    }
}

impl CreateApiKey {
    fn into_domain(self) -> Result<NewApiKey, Error> {
        let mut violations = Vec::new();
        let mut note = |violation: Violation| violations.push(violation);
        let tenant_id = self.tenant_id.0.and_then(|text| tenant_id("tenant_id", &text).map_err(&mut note).ok());
        let expires_at = self.expires_at.and_then(|text| instant("expires_at", &text).map_err(&mut note).ok());
        if !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        Ok(NewApiKey { tenant_id, name: self.name, scopes: self.scopes.unwrap_or_default(), expires_at })
    }
}

pub(super) async fn create_api_key(
    TenantScoped(ctx, _): TenantScoped<ApiKeysWrite>,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    key: IdempotencyKey,
    body: Body<CreateApiKey>,
) -> Result<Reply<MintedView<'static>, 201>, ApiError> {
    params.read()?;
    let request = key.over(&body.bytes)?;
    let new = body.value.into_domain()?;
    minted(&state.app.once(ctx, request, async move |app, ctx| app.create_api_key(&ctx, new).await).await?)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "create_api_key",
        "Make an API key",
        "`plaintext` is shown in this answer and never again. 403 for scopes that the caller does not hold, and for a key of the platform of anybody but a platform admin.",
    )
}
