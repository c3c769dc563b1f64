//! GET `/v1/tenants/by-slug/{slug}`: what a portal's middleware asks on every request.

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::Resource;
use schemars::JsonSchema;

use super::view::{TenantReply, shared};
use crate::api::auth::{TenantRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::{Nothing, Params, PathDocs, TextPath};
use crate::api::state::ApiState;

/// The path.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the document alone")]
struct SlugPath {
    /// The tenant's slug.
    slug: String,
}

pub(super) async fn get_tenant_by_slug(
    TenantScoped(ctx, _): TenantScoped<TenantRead>,
    State(state): State<ApiState>,
    path: TextPath,
    params: Params<Nothing>,
) -> Result<TenantReply, ApiError> {
    params.read()?;
    shared(state.app.get_tenant_by_slug(&ctx, &path.text(Resource::Tenant)?).await?)
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "get_tenant_by_slug",
        "Read a tenant by its slug",
        "Answered from memory, which follows every change.",
    )
    .input::<PathDocs<SlugPath>>()
}
