//! A tenant on the wire.
//!
//! Invariant: the words of the enums are the domain's; a test compares them.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{Plan, Provisioning, Status, StatusReason, Tenant, Timestamp};
use http::header::{ETAG, LOCATION};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::api::error::ApiError;
use crate::api::reply::Reply;
use crate::api::schema::schema_words;
use crate::app::Provisioned;
use crate::app::directory::Known;
use crate::identity::provider::InviteKind;

/// A tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tenant")]
pub struct TenantView<'a> {
    /// Its id, a UUIDv7.
    id: Uuid,
    /// Its name in URLs; never changes.
    slug: &'a str,
    /// Its name for people.
    name: &'a str,
    /// What it bought.
    #[schemars(with = "PlanWord")]
    plan: Plan,
    /// Where it stands, by the service's clock.
    #[schemars(with = "StatusWord")]
    status: Status,
    /// Why it is frozen.
    #[schemars(with = "Option<StatusReasonWord>")]
    status_reason: Option<StatusReason>,
    /// When its trial ends or ended.
    trial_ends_at: Option<Timestamp>,
    /// The platform's own notes.
    metadata: &'a BTreeMap<String, String>,
    /// The URLs by which it is reached, in the order in which they were added.
    hosts: Vec<&'a str>,
    /// Counts changes of fields, status and hosts; also the `ETag`.
    version: i64,
    /// When it was made.
    created_at: Timestamp,
    /// When it last changed.
    updated_at: Timestamp,
    /// Since when it is frozen.
    frozen_at: Option<Timestamp>,
    /// How far its identity is provisioned.
    provisioning: ProvisioningView<'a>,
}

/// How far a tenant's identity is provisioned.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Provisioning")]
pub struct ProvisioningView<'a> {
    /// Where it stands.
    #[schemars(with = "ProvisioningWord")]
    status: &'static str,
    /// The step that is next, or failed: `organization`, `user`, `membership`, `admin`, `email`, `update`, or one of a
    /// freeze or of its end.
    step: Option<&'static str>,
    /// The organization at the identity provider.
    organization_id: Option<&'a str>,
    /// The way into the first account, in dev only, and only in the answers of a creation and of `provision`.
    invite_url: Option<&'a str>,
    /// What kind of link that is: `mail`, the one that was mailed, or `login`, the login page with the address filled in.
    #[schemars(with = "Option<InviteKindWord>")]
    invite_url_kind: Option<&'static str>,
    /// The code of what went wrong; more about it stands in the audit log.
    error: Option<&'a str>,
}

impl<'a> From<&'a Provisioning> for ProvisioningView<'a> {
    fn from(shown: &'a Provisioning) -> Self {
        Self {
            status: shown.status.as_str(),
            step: shown.step.map(|step| step.as_str()),
            organization_id: shown.organization_id.as_deref(),
            invite_url: None,
            invite_url_kind: None,
            error: shown.error.as_deref(),
        }
    }
}

schema_words! {
    /// What a tenant bought.
    PlanWord as "Plan" { Starter, Professional, Enterprise }
    /// Where a tenant stands.
    StatusWord as "Status" { Trial, Active, Frozen }
    /// Why a tenant is frozen.
    StatusReasonWord as "StatusReason" { Cancelled, TrialExpired }
    /// Where provisioning stands.
    ProvisioningWord as "ProvisioningStatus" { Skipped, Pending, Provisioned, Failed }
    /// What kind of link leads to an invitation.
    InviteKindWord as "InviteKind" { Mail, Login }
}

impl<'a> From<&'a Tenant> for TenantView<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        Self {
            id: tenant.id.0,
            slug: tenant.slug.as_str(),
            name: &tenant.name,
            plan: tenant.plan,
            status: tenant.status,
            status_reason: tenant.status_reason,
            trial_ends_at: tenant.trial_ends_at,
            metadata: &tenant.metadata,
            hosts: tenant.hosts.iter().map(|route| route.url.as_str()).collect(),
            version: tenant.version,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
            frozen_at: tenant.frozen_at,
            provisioning: (&tenant.provisioning).into(),
        }
    }
}

/// A tenant as an answer.
pub(super) type TenantReply<const STATUS: u16 = 200> = Reply<TenantView<'static>, STATUS>;

/// The answer, with its `ETag`.
pub(super) fn reply<const STATUS: u16>(tenant: &Tenant) -> Result<TenantReply<STATUS>, ApiError> {
    Ok(Reply::of(&TenantView::from(tenant))?.header(ETAG, &etag(tenant)))
}

/// The answer about a tenant from memory.
pub(super) fn shared(tenant: Arc<Known>) -> Result<TenantReply, ApiError> {
    let body =
        tenant.rendered(|tenant| Ok::<_, ApiError>(TenantReply::<200>::of(&TenantView::from(tenant))?.into_body()))?;
    Ok(Reply::from_body(body).header(ETAG, &etag(&tenant)))
}

fn etag(tenant: &Tenant) -> String {
    format!("\"{}\"", tenant.version)
}

/// The answer after provisioning. This and a creation are the only ones with a way into the account.
pub(super) fn provisioned<const STATUS: u16>(outcome: &Provisioned) -> Result<TenantReply<STATUS>, ApiError> {
    let mut view = TenantView::from(&outcome.tenant);
    view.provisioning.invite_url = outcome.invite.as_ref().map(|invite| invite.url.as_str());
    view.provisioning.invite_url_kind = outcome.invite_kind.map(|kind| match kind {
        InviteKind::Mail => "mail",
        InviteKind::Login => "login",
    });
    Ok(Reply::of(&view)?.header(ETAG, &etag(&outcome.tenant)))
}

/// The answer of a creation.
pub(super) fn created(outcome: &Provisioned) -> Result<TenantReply<201>, ApiError> {
    Ok(provisioned(outcome)?.header(LOCATION, &format!("/v1/tenants/{}", outcome.tenant.id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ProvisioningStatus;
    use schemars::SchemaGenerator;
    use serde_json::Value;

    #[track_caller]
    fn check<T: JsonSchema>(words: &[&str]) {
        let schema = T::json_schema(&mut SchemaGenerator::default()).to_value();
        let listed = |schema: &Value| schema.get("enum").or(schema.get("const")).cloned();
        let found: Vec<String> = match listed(&schema) {
            Some(Value::Array(found)) => found.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        };
        assert_eq!(found, words);
    }

    #[test]
    fn the_document_has_the_words_of_the_domain() {
        check::<PlanWord>(&[Plan::Starter, Plan::Professional, Plan::Enterprise].map(Plan::as_str));
        check::<StatusWord>(&[Status::Trial, Status::Active, Status::Frozen].map(Status::as_str));
        check::<StatusReasonWord>(&[StatusReason::Cancelled, StatusReason::TrialExpired].map(StatusReason::as_str));
        let statuses = [
            ProvisioningStatus::Skipped,
            ProvisioningStatus::Pending,
            ProvisioningStatus::Provisioned,
            ProvisioningStatus::Failed,
        ];
        check::<ProvisioningWord>(&statuses.map(ProvisioningStatus::as_str));
        assert!(PlanWord::schema_name() == "Plan" && ProvisioningWord::schema_name() == "ProvisioningStatus");
    }
}
