//! An audit event on the wire.
//!
//! Invariant: an event of a tenant that is gone has no group, whatever is stored.

use std::collections::BTreeMap;
use std::net::IpAddr;

use domain::{AuditEvent, Crud, Party, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

/// What happened.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEvent")]
pub struct EventView<'a> {
    /// Its id, a UUIDv7.
    pub(super) id: Uuid,
    /// What was done: `tenant.created`.
    pub(super) action: &'a str,
    /// What kind of thing that is.
    #[schemars(with = "CrudWord")]
    pub(super) crud: Crud,
    /// The tenant it belongs to; null once that is deleted, and for events of no tenant.
    pub(super) group: Option<GroupView<'a>>,
    /// Who did it; null for anonymous events.
    pub(super) actor: Option<ActorView<'a>>,
    /// To what it was done.
    pub(super) target: Option<TargetView<'a>>,
    /// When it happened, by whoever says so.
    pub(super) created: Timestamp,
    /// When this registry heard of it.
    pub(super) received: Timestamp,
    /// From where.
    #[schemars(with = "Option<String>")]
    pub(super) source_ip: Option<IpAddr>,
    /// In words.
    pub(super) description: Option<&'a str>,
    /// Whether nobody is named.
    pub(super) is_anonymous: bool,
    /// Whether it failed.
    pub(super) is_failure: bool,
    /// Details.
    pub(super) fields: &'a BTreeMap<String, String>,
    /// The sender's component.
    pub(super) component: Option<&'a str>,
    /// The sender's version.
    pub(super) version: Option<&'a str>,
    /// The sender's own id of the event.
    pub(super) external_id: Option<&'a str>,
    /// Carried along; `request_id` among it.
    pub(super) metadata: &'a BTreeMap<String, String>,
}

/// The tenant that an event belongs to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditGroup")]
pub struct GroupView<'a> {
    /// The tenant's id.
    pub(super) id: Uuid,
    /// The tenant's name at the time.
    pub(super) name: Option<&'a str>,
}

/// Who did it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditActor")]
pub struct ActorView<'a> {
    /// What they are known by.
    pub(super) id: &'a str,
    /// What people call them.
    pub(super) name: Option<&'a str>,
    /// Where they can be looked at.
    pub(super) href: Option<&'a str>,
    /// More about them.
    pub(super) fields: &'a BTreeMap<String, String>,
}

/// To what it was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditTarget")]
pub struct TargetView<'a> {
    /// What it is known by.
    pub(super) id: &'a str,
    /// What people call it.
    pub(super) name: Option<&'a str>,
    /// What kind of thing it is.
    pub(super) r#type: Option<&'a str>,
    /// Where it can be looked at.
    pub(super) href: Option<&'a str>,
    /// More about it.
    pub(super) fields: &'a BTreeMap<String, String>,
}

/// What kind of thing was done: created, read, updated, deleted.
#[derive(JsonSchema)]
#[schemars(rename = "Crud")]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "read by the document and the input check alone")]
pub(super) enum CrudWord {
    C,
    R,
    U,
    D,
}

fn actor(party: &Party) -> ActorView<'_> {
    ActorView { id: &party.id, name: party.name.as_deref(), href: party.href.as_deref(), fields: &party.fields }
}

fn target(party: &Party) -> TargetView<'_> {
    TargetView {
        id: &party.id,
        name: party.name.as_deref(),
        r#type: party.kind.as_deref(),
        href: party.href.as_deref(),
        fields: &party.fields,
    }
}

impl<'a> From<&'a AuditEvent> for EventView<'a> {
    fn from(event: &'a AuditEvent) -> Self {
        Self {
            id: event.id.0,
            action: &event.action,
            crud: event.crud,
            group: event.group.map(|id| GroupView { id: id.0, name: event.group_name.as_deref() }),
            actor: event.actor.as_ref().map(actor),
            target: event.target.as_ref().map(target),
            created: event.created,
            received: event.received,
            source_ip: event.source_ip,
            description: event.description.as_deref(),
            is_anonymous: event.is_anonymous,
            is_failure: event.is_failure,
            fields: &event.fields,
            component: event.component.as_deref(),
            version: event.version.as_deref(),
            external_id: event.external_id.as_deref(),
            metadata: &event.metadata,
        }
    }
}
