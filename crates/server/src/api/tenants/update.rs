//! PATCH `/v1/tenants/{id}`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::tenant::NAME_MAX;
use domain::{MetadataPatch, Plan, TenantPatch};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::view::{PlanWord, TenantReply, reply};
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::input::{IfMatch, Nothing, Params, Patch, TenantPath};
use crate::api::state::ApiState;

/// A merge patch (RFC 7396) of a tenant: what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TenantPatch")]
pub(super) struct TenantPatchBody {
    /// A new name; null is refused.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = NAME_MAX))]
    name: Option<String>,
    /// A new plan; null is refused.
    #[serde(default)]
    #[schemars(with = "PlanWord")]
    plan: Option<Plan>,
    /// Member by member: a text sets, null removes; `metadata: null` removes everything.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<BTreeMap<String, Option<String>>>")]
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
}

/// Tells a null from an absent member.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

impl From<TenantPatchBody> for TenantPatch {
    fn from(body: TenantPatchBody) -> Self {
        let metadata = body.metadata.map(|metadata| metadata.map_or(MetadataPatch::Clear, MetadataPatch::Merge));
        Self { name: body.name, plan: body.plan, metadata }
    }
}

pub(super) async fn update_tenant(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    path: TenantPath,
    params: Params<Nothing>,
    seen: IfMatch,
    Patch(body): Patch<TenantPatchBody>,
) -> Result<TenantReply, ApiError> {
    params.read()?;
    let seen = seen.read()?;
    let patch = TenantPatch::from(body);
    let violations = patch.check();
    if !violations.is_empty() {
        return Err(domain::Error::Validation(violations).into());
    }
    reply(&state.app.update_tenant(&ctx, path.id()?, &seen, patch).await?)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "update_tenant",
        "Change a tenant's fields",
        "A merge patch (RFC 7396). What changes nothing leaves the version as it is.",
    )
}
