//! Driving one tenant's identity work: claim it, do a step, write it down, and so on until nothing is left or one fails.
//!
//! Requests and the job come here. Invariants: every write names the fence of the claim, so that a worker whose lease ran
//! out changes nothing; between two writes there is one step, and a crash anywhere is made good by the next claim.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::audit::Crud;
use domain::provisioning::{Retry, Standing, Step, Wanted, own_until, wait};
use domain::time::from_micros;
use domain::{IdentityWork, Provisioning, Result, TenantId, Timestamp};
use store::{Saved, Scope, Unaudited};

use super::Whose;
use super::attempt::{Attempt, Halt};
use super::told::told;
use crate::app::{App, Ctx};
use crate::identity::provider::{FaultKind, IdentityError};

/// How long a step may take, all of its calls together; longer than the longest call of an adapter.
const STEP_LIMIT: Duration = Duration::from_secs(60);
/// How long a claim holds without being renewed, which every write does; longer than any step.
const LEASE: Duration = Duration::from_secs(120);
/// How long work rests that the store failed.
const PAUSE: Duration = Duration::from_secs(2);
/// What a step that is under way gets when the service stops.
const GRACE: Duration = Duration::from_secs(2);
/// How often in one attempt something that was made before may turn out to be gone.
const SET_BACKS: u32 = 3;

/// How a claim ended.
enum End {
    /// Nothing is left to do.
    Done,
    /// Something was asked for meanwhile.
    More,
    /// A step failed, or somebody else is at it.
    Over,
}

impl App {
    /// Does what is due for a tenant; nothing where somebody else is at it. What goes wrong at the provider is written down
    /// and no error.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn drive(&self, ctx: &Ctx, tenant: TenantId, whose: Whose) -> Result<()> {
        while let Some(work) = self.claim_work(ctx, tenant, whose).await? {
            let fence = work.fence;
            match self.work_off(ctx, work).await {
                Ok(End::More) => {}
                Ok(End::Done | End::Over) => break,
                Err(error) => {
                    // Best effort: a claim that cannot be given back ends with its lease.
                    let _ = self.let_go(tenant, fence, after(ctx.now(), PAUSE)).await;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Gives a claim back after the store failed.
    async fn let_go(&self, id: TenantId, fence: i64, due_at: Timestamp) -> Result<()> {
        let mut tx = self.store.begin(Scope::Platform).await?;
        let Some(mut work) = tx.get_identity_work(id).await?.filter(|work| work.fence == fence) else { return Ok(()) };
        work.lease_until = None;
        work.due_at = Some(due_at);
        tx.save_identity_work(&work, None).await?;
        Ok(tx.commit_unaudited(Unaudited::Provisioning).await?)
    }

    async fn claim_work(&self, ctx: &Ctx, id: TenantId, whose: Whose) -> Result<Option<IdentityWork>> {
        let now = ctx.now();
        let due_by = match whose {
            Whose::Own => own_until(now),
            Whose::Everybodys => now,
        };
        let mut tx = self.store.begin(Scope::Platform).await?;
        let tenant = tx.lock_tenant(id).await?;
        let claimed = tx.claim_identity_work(id, now, due_by, after(now, LEASE)).await?;
        let Some(mut work) = claimed else { return Ok(None) };
        let before = work.shown.clone();
        work.begin();
        let shows = tenant.map(|tenant| domain::Tenant { provisioning: work.shown.clone(), ..tenant });
        if work.shown == before {
            tx.commit_unaudited(Unaudited::Provisioning).await?;
        } else {
            tx.save_identity_work(&work, shows.as_ref()).await?;
            let committed = tx.commit_unaudited(Unaudited::Provisioning).await;
            self.directory.forget(id, &work.slug);
            committed?;
        }
        Ok(Some(work))
    }

    async fn work_off(&self, ctx: &Ctx, work: IdentityWork) -> Result<End> {
        let mut attempt = Attempt::of(self, ctx, work);
        let mut set_backs = 0;
        loop {
            let Some(wanted) = self.wanted_now(&mut attempt).await? else { return Ok(End::Over) };
            let Some(step) = attempt.work.next(&wanted) else { return self.finish_work(attempt, &wanted).await };
            let Err(halt) = self.limited(&mut attempt, step, &wanted).await else {
                attempt.steps += 1;
                if let Some(next) = attempt.work.next(&wanted) {
                    attempt.work.go_on(next);
                    if attempt.write().await? == Saved::Lost {
                        return Ok(End::Over);
                    }
                    continue;
                }
                return self.finish_work(attempt, &wanted).await;
            };
            let fault = match halt {
                Halt::Lost => return Ok(End::Over),
                Halt::Store(error) => return Err(error),
                Halt::Stopping => {
                    attempt.hand_back();
                    attempt.write().await?;
                    return Ok(End::Over);
                }
                Halt::Fault(fault) => fault,
            };
            if fault.kind == FaultKind::Gone && set_backs < SET_BACKS && self.set_back(&mut attempt, step).await {
                set_backs += 1;
                if attempt.write().await? == Saved::Lost {
                    return Ok(End::Over);
                }
                continue;
            }
            return self.fail_work(attempt, step, &fault).await;
        }
    }

    /// One step, within its time, and cut short when the service stops.
    async fn limited(&self, attempt: &mut Attempt<'_>, step: Step, wanted: &Wanted) -> Result<(), Halt> {
        let stopping = async {
            self.identity.settings.stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        if self.identity.settings.stop.is_cancelled() {
            return Err(Halt::Stopping);
        }
        tokio::select! {
            outcome = tokio::time::timeout(STEP_LIMIT, self.do_step(attempt, step, wanted)) => outcome.unwrap_or_else(|_| {
                Err(Halt::Fault(IdentityError {
                    kind: FaultKind::Timeout,
                    detail: format!("no end within {STEP_LIMIT:?}"),
                    retry_after: None,
                }))
            }),
            () = stopping => Err(Halt::Stopping),
        }
    }

    /// What is wanted at this moment, read in one view with what was asked for. None: somebody else is at it.
    async fn wanted_now(&self, attempt: &mut Attempt<'_>) -> Result<Option<Wanted>> {
        let id = attempt.work.tenant_id;
        let mut tx = self.store.read(Scope::Platform).await?;
        let Some(written) = tx.get_identity_work(id).await?.filter(|written| written.fence == attempt.work.fence)
        else {
            return Ok(None);
        };
        attempt.work.wanted = written.wanted;
        attempt.work.asked_at = written.asked_at;
        attempt.work.gone = written.gone;
        let Some(tenant) = tx.get_tenant(id).await? else { return Ok(Some(Wanted::gone())) };
        let entitlements = tx.entitlements_of(id).await?;
        let now = attempt.ctx.now();
        Ok(Some(Wanted::of(&tenant, &entitlements, self.identity.settings.shut_when_frozen, now)))
    }

    async fn finish_work(&self, mut attempt: Attempt<'_>, wanted: &Wanted) -> Result<End> {
        self.identity.done.fetch_add(1, Ordering::Relaxed);
        if wanted.standing == Standing::Gone {
            let removed = (attempt.steps > 0).then(|| told(attempt.ctx, &attempt.work, "keycloak.removed", Crud::D));
            attempt.events.extend(removed);
            attempt.remove().await?;
            return Ok(End::Done);
        }
        let now = attempt.ctx.now();
        if attempt.work.finish(attempt.work.wanted, wanted, now) {
            attempt.note("keycloak.provisioned");
        }
        Ok(match attempt.write().await? {
            Saved::Written => End::Done,
            Saved::More => End::More,
            Saved::Lost => End::Over,
        })
    }

    async fn fail_work(&self, mut attempt: Attempt<'_>, step: Step, fault: &IdentityError) -> Result<End> {
        self.identity.failed.fetch_add(1, Ordering::Relaxed);
        let retry = Retry { passing: fault.kind.is_passing(), after: fault.retry_after };
        let pause = wait(attempt.work.attempts + 1, retry, &*attempt.ctx.rng);
        if attempt.work.fail(step, fault.kind.code(), after(attempt.ctx.now(), pause)) {
            attempt.note_failure(step, fault);
            let (tenant, reason) = (attempt.work.tenant_id, fault.to_string());
            tracing::warn!(%tenant, step = step.as_str(), reason, "provisioning failed and will be tried again");
        }
        attempt.write().await?;
        Ok(End::Over)
    }
}

/// What is shown changed: readers are told.
pub(super) fn shows(before: &Provisioning, work: &IdentityWork) -> bool {
    *before != work.shown
}

/// Until when a write extends the claim.
pub(super) fn leased(now: Timestamp) -> Timestamp {
    after(now, LEASE)
}

fn after(now: Timestamp, pause: Duration) -> Timestamp {
    let micros = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
    from_micros(now.as_microsecond().saturating_add(micros))
}
