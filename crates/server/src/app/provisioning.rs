//! Provisioning: a tenant's organization and first administrator at the identity provider, and everything that follows of it.
//!
//! Writes of tenants and entitlements ask for the work in their own transaction (the store does); a request that waits for
//! it and the job both call [`App::drive`], under one lease per tenant. Invariants: no transaction is open while the
//! provider is called; a request waits no longer than its bound, and the work goes on without it; what a link would let
//! somebody into is in one answer and nowhere else.

mod attempt;
mod drive;
mod freeze;
mod removal;
mod steps;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::provisioning::own_until;
use domain::{AuditBatch, IdentityWork, Result, Tenant, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Scope, Unaudited};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::tenants::{Precondition, Write};
use super::{App, Ctx};
use crate::identity::provider::{IdentityProvider, InviteKind, InviteLink};

/// How many tenants the job has in hand at once in one process.
const JOB_AT_ONCE: usize = 16;
/// How many tenants requests have in hand at once in one process; beyond that they leave it to the job.
const REQUESTS_AT_ONCE: usize = 128;
/// How often a request looks whether somebody else has done the work: at first, and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// How much longer than its bound a request may take before it counts as ended.
const LEEWAY: Duration = Duration::from_secs(5);
/// How long the state of the work is looked for when a request has waited long enough.
const LAST_LOOK: Duration = Duration::from_millis(500);
/// After this long the probe is given up.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// How provisioning is done.
#[derive(Debug)]
pub struct IdentitySettings {
    /// Where organizations and accounts are kept.
    pub provider: Arc<dyn IdentityProvider>,
    /// Whether freezing shuts people out, beside marking their tokens.
    pub shut_when_frozen: bool,
    /// How long a request waits.
    pub patience: Duration,
    /// Whether answers show the way into a new account: in dev alone.
    pub shows_links: bool,
    /// Cancelled when the service begins to stop: requests wait no longer, and what is under way is handed back.
    pub stop: CancellationToken,
}

/// What the application keeps for provisioning.
#[derive(Debug)]
pub(super) struct Identity {
    settings: IdentitySettings,
    /// Something is to be done at once.
    nudge: Notify,
    requests: Arc<Semaphore>,
    jobs: Arc<Semaphore>,
    tasks: TaskTracker,
    ready: AtomicBool,
    probed: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Identity {
    pub(super) fn new(settings: IdentitySettings) -> Self {
        Self {
            settings,
            nudge: Notify::new(),
            requests: Arc::new(Semaphore::new(REQUESTS_AT_ONCE)),
            jobs: Arc::new(Semaphore::new(JOB_AT_ONCE)),
            tasks: TaskTracker::new(),
            ready: AtomicBool::new(false),
            probed: AtomicBool::new(false),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }
}

/// What is told of provisioning in this process, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct IdentityFigures {
    /// Whether the last probe of the provider found everything in place.
    pub ready: bool,
    /// Attempts that did everything.
    pub done: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Tenants in hand now.
    pub under_way: usize,
}

/// Which work may be taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// What this request asked for, too.
    Own,
    /// What is due for everybody.
    Everybodys,
}

/// A tenant, and in dev the way into its first account.
#[derive(Debug, Serialize, Deserialize)]
pub struct Provisioned {
    /// The tenant as it stands now.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// The way in. Never kept: an answer that is repeated has none.
    #[serde(skip)]
    pub invite: Option<InviteLink>,
    /// What kind of link that is, or was.
    #[serde(default)]
    pub invite_kind: Option<InviteKind>,
}

impl Provisioned {
    /// A tenant with nobody to invite.
    pub(super) fn nobody(tenant: Tenant) -> Self {
        Self { tenant, invite: None, invite_kind: None }
    }
}

impl App {
    /// Runs or resumes a tenant's provisioning, or mails the invitation again, and waits for it a bounded time. A tenant
    /// with nobody to invite is left as it is.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`; what goes wrong at the provider is no error, but told with the tenant.
    pub async fn provision_tenant(
        self: &Arc<Self>,
        ctx: &Ctx,
        id: TenantId,
        seen: &Precondition,
    ) -> Result<Provisioned> {
        let (asked, deadline) = (ctx.now(), self.deadline());
        let mut write = self.write_tenant(ctx, id, seen).await?;
        let asks = write.tx.ask_for_provisioning(&write.tenant, asked, own_until(asked)).await?;
        if !asks {
            return Ok(Provisioned::nobody(self.finish(ctx, write).await?));
        }
        let tenant = self.finish_provisioning_request(ctx, write).await?;
        self.provision_within(ctx, tenant, asked, deadline).await
    }

    /// Commits what was asked for. What comes of it is audited; that it was asked for is not.
    async fn finish_provisioning_request(&self, ctx: &Ctx, write: Write) -> Result<Tenant> {
        let Write { mut tx, tenant, events, .. } = write;
        if let Some(claim) = &ctx.claim {
            let outcome = serde_json::to_string(&tenant).map_err(domain::Error::internal)?;
            tx.complete_for_now(claim, &outcome, self.waits_until(ctx.now())).await?;
        }
        let committed = match AuditBatch::from_events(events) {
            Some(batch) => tx.commit(batch).await,
            None => tx.commit_unaudited(Unaudited::Provisioning).await,
        };
        self.forget_tenant(&tenant);
        committed?;
        Ok(tenant)
    }

    /// Until when a request that began at `at` may still be waiting, by the service's clock.
    pub(super) fn waits_until(&self, at: Timestamp) -> Timestamp {
        let longest = self.identity.settings.patience + LEEWAY;
        let micros = i64::try_from(longest.as_micros()).unwrap_or(i64::MAX);
        domain::time::from_micros(at.as_microsecond().saturating_add(micros))
    }

    /// When a request that begins now has waited long enough.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.identity.settings.patience
    }

    /// Drives a tenant's work and waits for it until `deadline`; what is not done by then goes on. The tenant was committed.
    pub(super) async fn provision_within(
        self: &Arc<Self>,
        ctx: &Ctx,
        tenant: Tenant,
        since: Timestamp,
        deadline: Instant,
    ) -> Result<Provisioned> {
        let id = tenant.id;
        let settled = tokio::time::timeout_at(deadline, self.settle(ctx, id)).await;
        match settled {
            Ok(Ok(())) | Err(_) => {}
            // The tenant is there all the same, and the job will come to it.
            Ok(Err(error)) => tracing::warn!(%error, tenant = %id, "provisioning could not be followed"),
        }
        // A tenant that somebody deleted meanwhile is told of as it was.
        let (tenant, work) = match tokio::time::timeout(LAST_LOOK, self.look_at(id)).await {
            Ok(Ok((found, work))) => (found.unwrap_or(tenant), work),
            Ok(Err(error)) => {
                tracing::warn!(%error, tenant = %id, "how far provisioning has come cannot be read");
                (tenant, None)
            }
            Err(_) => {
                tracing::warn!(tenant = %id, "how far provisioning has come could not be read in time");
                (tenant, None)
            }
        };
        let tenant = tenant.at(ctx.now());
        let invite = match work {
            Some(work) if self.identity.settings.shows_links && work.account_id.is_some() => {
                let link = self.identity.settings.provider.invite_link(&work.email, since);
                tokio::time::timeout_at(deadline, link).await.ok().flatten()
            }
            Some(_) | None => None,
        };
        let invite_kind = invite.as_ref().map(|invite| invite.kind);
        let outcome = Provisioned { tenant, invite, invite_kind };
        self.keep_outcome(ctx, &outcome).await;
        Ok(outcome)
    }

    /// Drives the work in a task of its own until nobody is at it and nothing is due.
    async fn settle(self: &Arc<Self>, ctx: &Ctx, id: TenantId) -> Result<()> {
        let mut pause = LOOKS.0;
        loop {
            if let Ok(permit) = Arc::clone(&self.identity.requests).try_acquire_owned()
                && !self.identity.settings.stop.is_cancelled()
            {
                let (app, ctx) = (Arc::clone(self), Ctx { claim: None, ..ctx.clone() });
                let task = async move {
                    let _permit = permit;
                    app.drive(&ctx, id, Whose::Own).await
                };
                match self.identity.tasks.spawn(task.in_current_span()).await {
                    Ok(outcome) => outcome?,
                    Err(error) => return Err(domain::Error::internal(error)),
                }
            }
            if self.identity.settings.stop.is_cancelled() {
                return Ok(());
            }
            let now = self.clock.now();
            match self.look_at(id).await?.1 {
                Some(work) if work.lease_until.is_some_and(|until| until > now) => {}
                Some(work) if is_open(&work, now) => {}
                Some(_) | None => return Ok(()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }

    async fn look_at(&self, id: TenantId) -> Result<(Option<Tenant>, Option<IdentityWork>)> {
        let mut tx = self.store.read(Scope::Platform).await?;
        Ok((tx.get_tenant(id).await?, tx.get_identity_work(id).await?))
    }

    /// Keeps what is answered for a repetition of the request, which would be told of an earlier state otherwise.
    async fn keep_outcome(&self, ctx: &Ctx, outcome: &Provisioned) {
        let Some(claim) = &ctx.claim else { return };
        let kept = async {
            let outcome = serde_json::to_string(outcome).map_err(domain::Error::internal)?;
            let mut tx = self.store.begin(Scope::Platform).await?;
            tx.complete(claim, &outcome).await?;
            Ok::<_, domain::Error>(tx.commit_unaudited(Unaudited::Idempotency).await?)
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "a repetition of this request will be told of a tenant that is still being provisioned");
        }
    }

    /// Says that identity work was asked for: the job need not wait for its time.
    pub(super) fn nudge_provisioning(&self, tenant: &Tenant) {
        if tenant.admin_email.is_some() {
            self.identity.nudge.notify_one();
        }
    }

    /// Until something is asked for.
    pub async fn provisioning_nudged(&self) {
        self.identity.nudge.notified().await;
    }

    /// Takes up due work of as many tenants as there is room for, each in a task of its own: one that hangs holds up nobody.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn take_up_provisioning_all_tenants(self: &Arc<Self>, ctx: &Ctx) -> Result<()> {
        let room = self.identity.jobs.available_permits();
        if room == 0 || self.identity.settings.stop.is_cancelled() {
            return Ok(());
        }
        let due = self.store.due_identity_work(ctx.now(), room).await?;
        // There may be more than there was room for. After a failure the next look is soon enough.
        let more = due.len() >= room;
        for id in due {
            let Ok(permit) = Arc::clone(&self.identity.jobs).try_acquire_owned() else { break };
            let (app, ctx) = (Arc::clone(self), ctx.clone());
            self.identity.tasks.spawn(async move {
                let _permit = permit;
                match app.drive(&ctx, id, Whose::Everybodys).await {
                    Ok(_) if more => app.identity.nudge.notify_one(),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, tenant = %id, "identity work could not go on and will be tried again");
                    }
                }
            });
        }
        Ok(())
    }

    /// Asks the provider whether everything is in place, and says so where that is news.
    pub async fn probe_identity(&self) {
        let probe = tokio::time::timeout(PROBE_LIMIT, self.identity.settings.provider.probe());
        let outcome = match probe.await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {PROBE_LIMIT:?}")),
        };
        let was_ready = self.identity.ready.swap(outcome.is_ok(), Ordering::Relaxed);
        let news = !self.identity.probed.swap(true, Ordering::Relaxed) || was_ready != outcome.is_ok();
        match outcome {
            Ok(()) if news => tracing::info!("the identity provider is ready"),
            Err(problem) if news => {
                tracing::error!(
                    problem,
                    "the identity provider cannot be used: tenants are not provisioned until it can"
                );
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// What is told of provisioning in this process.
    #[must_use]
    pub fn identity_figures(&self) -> IdentityFigures {
        let identity = &self.identity;
        IdentityFigures {
            ready: identity.ready.load(Ordering::Relaxed),
            done: identity.done.load(Ordering::Relaxed),
            failed: identity.failed.load(Ordering::Relaxed),
            under_way: identity.tasks.len(),
        }
    }

    /// Takes up nothing more, and waits until what is under way has handed back.
    pub async fn stop_provisioning(&self) {
        self.identity.settings.stop.cancel();
        self.identity.tasks.close();
        self.identity.tasks.wait().await;
    }
}

/// Whether what was asked for is still to be taken up, and not waiting after a failure or for the clock.
fn is_open(work: &IdentityWork, now: Timestamp) -> bool {
    work.done < work.wanted && work.attempts == 0 && work.due_at.is_some_and(|due| due <= own_until(now))
}
