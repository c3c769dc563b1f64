//! What happened, who did it, and to what.
//!
//! Every change in `app` ends with an [`AuditBatch`]; the store commits both or neither. Invariant: an event is never
//! changed after it was written; when its tenant is deleted, readers see it without its group.

pub mod publish;
pub mod search;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{EventId, TenantId};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::words::words;

pub use publish::{NewEvent, NewGroup, Receipt};
pub use search::ActionPattern;

words! {
    /// What kind of thing was done.
    Crud {
        /// Created.
        C = "c",
        /// Read.
        R = "r",
        /// Updated.
        U = "u",
        /// Deleted.
        D = "d",
    }
}

/// Somebody or something that acts, or is acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// What it is known by.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What kind of thing it is; targets only.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Where it can be looked at.
    pub href: Option<String>,
    /// More about it.
    pub fields: BTreeMap<String, String>,
}

impl Party {
    /// A party known by its id alone.
    #[must_use]
    pub fn actor(id: impl Into<String>) -> Self {
        Self { id: id.into(), name: None, kind: None, href: None, fields: BTreeMap::new() }
    }

    /// A thing of this registry.
    #[must_use]
    pub fn target(kind: &str, id: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: Some(kind.to_owned()), name: Some(name.into()), ..Self::actor(id) }
    }
}

/// One event, in the shape of Retraced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Its id.
    pub id: EventId,
    /// The tenant it belongs to, while that exists.
    pub group: Option<TenantId>,
    /// The tenant's name at the time.
    pub group_name: Option<String>,
    /// What was done: `tenant.created`.
    pub action: String,
    /// What kind of thing that is.
    pub crud: Crud,
    /// Who did it; none only for anonymous events.
    pub actor: Option<Party>,
    /// To what it was done.
    pub target: Option<Party>,
    /// When it happened, by whoever says so.
    pub created: Timestamp,
    /// When this registry heard of it.
    pub received: Timestamp,
    /// From where.
    pub source_ip: Option<IpAddr>,
    /// In words.
    pub description: Option<String>,
    /// Whether nobody is named.
    pub is_anonymous: bool,
    /// Whether it failed.
    pub is_failure: bool,
    /// Details.
    pub fields: BTreeMap<String, String>,
    /// The sender's component.
    pub component: Option<String>,
    /// The sender's version.
    pub version: Option<String>,
    /// The sender's own id of the event.
    pub external_id: Option<String>,
    /// Carried along; `request_id` among it.
    pub metadata: BTreeMap<String, String>,
}

impl AuditEvent {
    /// The event about a tenant, with the tenant as group.
    #[must_use]
    pub fn about(mut self, tenant: &Tenant) -> Self {
        self.group = Some(tenant.id);
        self.group_name = Some(tenant.name.clone());
        self
    }

    /// With a detail.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<String>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
}

/// One or more events: a change without any cannot be committed.
#[derive(Debug, Clone)]
pub struct AuditBatch(Vec<AuditEvent>);

impl AuditBatch {
    /// A batch of one.
    #[must_use]
    pub fn of(event: AuditEvent) -> Self {
        Self(vec![event])
    }

    /// A batch of these, if there are any.
    #[must_use]
    pub fn from_events(events: Vec<AuditEvent>) -> Option<Self> {
        (!events.is_empty()).then_some(Self(events))
    }

    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> &[AuditEvent] {
        &self.0
    }
}
