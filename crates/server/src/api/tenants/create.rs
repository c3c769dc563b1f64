//! POST `/v1/tenants`

use std::collections::BTreeMap;

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::host::{HOSTS_MAX, too_many_hosts};
use domain::slug::{SLUG_MAX, SLUG_MIN, SLUG_PATTERN};
use domain::tenant::{ADMIN_NAME_MAX, EMAIL_MAX, METADATA_MAX, NAME_MAX, TRIAL_DAYS_DEFAULT, TRIAL_DAYS_MAX};
use domain::{Error, HostRoute, NewTenant, Plan, ReservedSlugs, Slug};
use schemars::JsonSchema;
use serde::Deserialize;

use super::view::{PlanWord, TenantReply, created};
use crate::api::auth::PlatformAdmin;
use crate::api::error::ApiError;
use crate::api::idempotency::IdempotencyKey;
use crate::api::input::{Body, Nothing, Params};
use crate::api::state::ApiState;
use crate::app::Provisioned;

/// A tenant to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateTenant {
    /// 3 to 63 of `a-z0-9-`, no dash at either end, not shaped like a UUID, not a reserved word.
    #[schemars(length(min = SLUG_MIN, max = SLUG_MAX), regex(pattern = SLUG_PATTERN))]
    slug: String,
    /// Its name for people.
    #[schemars(length(min = 1, max = NAME_MAX))]
    name: String,
    /// What it bought; `starter` where nothing is said.
    #[schemars(with = "Option<PlanWord>")]
    plan: Option<Plan>,
    /// Days of its trial; 14 where nothing is said.
    #[schemars(range(min = 1, max = TRIAL_DAYS_MAX))]
    trial_days: Option<u32>,
    /// Whom to invite as its first administrator.
    #[schemars(length(max = EMAIL_MAX), extend("format" = "email"))]
    admin_email: Option<String>,
    /// That person's name.
    #[schemars(length(min = 1, max = ADMIN_NAME_MAX))]
    admin_name: Option<String>,
    /// The platform's own notes: at most 50 members, keys of at most 40 characters, values of at most 500.
    #[schemars(extend("maxProperties" = METADATA_MAX))]
    metadata: Option<BTreeMap<String, String>>,
    /// URLs by which it is reached: scheme, host, optional path prefix.
    #[schemars(length(max = HOSTS_MAX))]
    hosts: Option<Vec<String>>,
}

impl CreateTenant {
    fn into_domain(self, reserved: &ReservedSlugs) -> Result<NewTenant, Error> {
        let mut violations = Vec::new();
        let mut hosts: Vec<HostRoute> = Vec::new();
        for (place, url) in (0_usize..).zip(self.hosts.unwrap_or_default()) {
            match HostRoute::parse(&format!("hosts.{place}"), &url) {
                // Two spellings of one route are one route.
                Ok(route) if hosts.iter().any(|known| known.same_route(&route)) => {}
                Ok(route) => hosts.push(route),
                Err(violation) => violations.push(violation),
            }
        }
        if hosts.len() > HOSTS_MAX {
            violations.push(too_many_hosts("hosts", hosts.len()));
        }
        let slug = match Slug::parse(&self.slug, reserved) {
            Ok(slug) => slug,
            Err(violation) => {
                violations.insert(0, violation);
                return Err(Error::Validation(violations));
            }
        };
        let new = NewTenant {
            slug,
            name: self.name,
            plan: self.plan.unwrap_or(Plan::Starter),
            trial_days: self.trial_days.unwrap_or(TRIAL_DAYS_DEFAULT),
            admin_email: self.admin_email,
            admin_name: self.admin_name,
            metadata: self.metadata.unwrap_or_default(),
            hosts,
        };
        violations.extend(new.check());
        if violations.is_empty() { Ok(new) } else { Err(Error::Validation(violations)) }
    }
}

pub(super) async fn create_tenant(
    PlatformAdmin(ctx): PlatformAdmin,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    key: IdempotencyKey,
    body: Body<CreateTenant>,
) -> Result<TenantReply<201>, ApiError> {
    params.read()?;
    let request = key.over(&body.bytes)?;
    let new = body.value.into_domain(state.app.reserved_slugs())?;
    let once = state.app.once(ctx, request, async move |app, ctx| app.create_tenant(&ctx, new).await).await?;
    let outcome: &Provisioned = &once.outcome;
    Ok(created(outcome)?.replayed(once.replayed))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "create_tenant",
        "Make a tenant",
        "It starts in trial. With `admin_email` it is provisioned at the identity provider: an organization, that person's account as its administrator, and the invitation. The answer waits for that a bounded time, tells in `provisioning` how far it has come, and never fails because of it. 409 `slug_taken` or `host_taken` where somebody else has the slug or a route.",
    )
}
