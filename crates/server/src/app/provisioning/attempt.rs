//! One claim on a tenant's identity work: what was read, what came of it so far, and how it is written down.
//!
//! `drive.rs` makes one, the steps change it. Invariant: a write holds the work, its audit events and the row of the feed
//! that makes every replica forget the tenant, or nothing of them, and nothing at all once the claim is lost.

use domain::audit::{AuditEvent, Crud};
use domain::provisioning::Step;
use domain::{AuditBatch, IdentityWork, Provisioning, Result, Tenant, Timestamp};
use store::{Saved, Scope, Unaudited};

use super::drive::{leased, shows};
use super::told::{named, told};
use crate::app::{App, Ctx};
use crate::identity::provider::IdentityError;

/// Why a step did not end.
#[derive(Debug)]
pub(super) enum Halt {
    /// The provider.
    Fault(IdentityError),
    /// The store.
    Store(domain::Error),
    /// Somebody else is at it by now.
    Lost,
    /// The service stops.
    Stopping,
}

impl From<IdentityError> for Halt {
    fn from(fault: IdentityError) -> Self {
        Self::Fault(fault)
    }
}

impl From<domain::Error> for Halt {
    fn from(error: domain::Error) -> Self {
        Self::Store(error)
    }
}

impl From<store::StoreError> for Halt {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// A claim under way.
pub(super) struct Attempt<'a> {
    pub(super) app: &'a App,
    pub(super) ctx: &'a Ctx,
    pub(super) work: IdentityWork,
    /// What is to be told with the next write.
    pub(super) events: Vec<AuditEvent>,
    /// How many steps were done.
    pub(super) steps: u32,
    /// What was last shown.
    shown: Provisioning,
}

impl<'a> Attempt<'a> {
    pub(super) fn of(app: &'a App, ctx: &'a Ctx, work: IdentityWork) -> Self {
        let shown = work.shown.clone();
        Self { app, ctx, work, events: Vec::new(), steps: 0, shown }
    }

    /// Notes an event about this tenant for the next write.
    pub(super) fn note(&mut self, action: &str) {
        self.events.push(told(self.ctx, &self.work, action, Crud::U));
    }

    /// Notes that a step failed.
    pub(super) fn note_failure(&mut self, step: Step, fault: &IdentityError) {
        let mut event = told(self.ctx, &self.work, "keycloak.provision_failed", Crud::U)
            .with("step", step.as_str())
            .with("reason", fault.kind.code());
        event.is_failure = true;
        event.description = Some(fault.detail.clone());
        self.events.push(event);
    }

    /// Gives the work back as if nobody had been at it, to be taken up at once.
    pub(super) fn hand_back(&mut self) {
        self.work.lease_until = None;
        self.work.due_at = Some(Timestamp::UNIX_EPOCH);
    }

    /// Writes down how far the work has come. A claim that goes on is renewed.
    pub(super) async fn write(&mut self) -> Result<Saved> {
        if self.work.lease_until.is_some() {
            self.work.lease_until = Some(leased(self.ctx.now()));
        }
        let mut events = std::mem::take(&mut self.events);
        let mut tx = self.app.store.begin(Scope::Platform).await?;
        let shows = shows(&self.shown, &self.work);
        let tenant = if shows || !events.is_empty() { tx.lock_tenant(self.work.tenant_id).await? } else { None };
        let tenant = tenant.map(|tenant| Tenant { provisioning: self.work.shown.clone(), ..tenant });
        let saved = tx.save_identity_work(&self.work, tenant.as_ref().filter(|_| shows)).await?;
        if saved == Saved::Lost {
            tracing::warn!(tenant = %self.work.tenant_id, "another worker took over this tenant's identity work");
            return Ok(saved);
        }
        if let Some(tenant) = &tenant {
            events = events.into_iter().map(|event| named(event, tenant)).collect();
        }
        let committed = match AuditBatch::from_events(events) {
            Some(batch) => tx.commit(batch).await,
            None => tx.commit_unaudited(Unaudited::Provisioning).await,
        };
        if shows {
            // Also when it failed: a commit whose answer was lost may have happened.
            self.app.directory.forget(self.work.tenant_id, &self.work.slug);
        }
        committed?;
        self.shown = self.work.shown.clone();
        Ok(saved)
    }

    /// As [`Attempt::write`], in the middle of a step.
    pub(super) async fn note_down(&mut self) -> Result<(), Halt> {
        match self.write().await? {
            Saved::Written | Saved::More => Ok(()),
            Saved::Lost => Err(Halt::Lost),
        }
    }

    /// Ends the work of a tenant of which nothing is left.
    pub(super) async fn remove(&mut self) -> Result<()> {
        let mut tx = self.app.store.begin(Scope::Platform).await?;
        if !tx.remove_identity_work(&self.work).await? {
            return Ok(());
        }
        match AuditBatch::from_events(std::mem::take(&mut self.events)) {
            Some(batch) => Ok(tx.commit(batch).await?),
            None => Ok(tx.commit_unaudited(Unaudited::Provisioning).await?),
        }
    }
}
