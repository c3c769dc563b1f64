//! What every decision is told beside its input: who asks, in which request, and by which clock and generator.
//!
//! `api/auth.rs` makes one for each request, a job makes its own. It is the first argument of every app method.
//! Invariant: an audit event made here carries the actor, the request's id and the caller's address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use domain::{AuditEvent, Caller, CallerKind, Clock, Crud, EventId, Party, Reach, Rng, Timestamp};
use store::Claim;

/// The circumstances of one request or of one run of a job.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The request, for logs and audit; none for jobs.
    pub request_id: Option<Arc<str>>,
    /// From where.
    pub source_ip: Option<IpAddr>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub rng: Arc<dyn Rng>,
    /// The idempotency reservation that is completed with the change.
    pub claim: Option<Arc<Claim>>,
    /// Until when the request may go on after its change is committed: a repetition is told that it still runs.
    pub runs_until: Option<Timestamp>,
}

impl Ctx {
    /// The circumstances of something that the service does by itself; `name` stands in audit as `system:<name>`.
    #[must_use]
    pub fn system(name: &str, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        let actor = format!("system:{name}");
        let caller = Caller {
            idempotency_owner: actor.clone(),
            actor,
            kind: CallerKind::PlatformAdmin,
            reach: Reach::All,
            scopes: Arc::default(),
        };
        Self { caller: Arc::new(caller), request_id: None, source_ip: None, clock, rng, claim: None, runs_until: None }
    }

    /// The current instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An event of this actor in this request, at `now`.
    #[must_use]
    pub fn event(&self, action: &str, crud: Crud, target: Party, now: Timestamp) -> AuditEvent {
        let request = self.request_id.iter().map(|id| ("request_id".to_owned(), id.to_string()));
        AuditEvent {
            id: EventId::generate(&*self.clock, &*self.rng),
            group: None,
            group_name: None,
            action: action.to_owned(),
            crud,
            actor: Some(Party::actor(self.caller.actor.clone())),
            target: Some(target),
            created: now,
            received: now,
            source_ip: self.source_ip,
            description: None,
            is_anonymous: false,
            is_failure: false,
            fields: BTreeMap::new(),
            component: None,
            version: None,
            external_id: None,
            metadata: request.collect(),
        }
    }
}
