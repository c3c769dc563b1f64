//! Doing something once, however often it is asked for with the same key.
//!
//! The key is reserved with a lease in a short transaction of its own, and completed in the transaction of the change.
//! What is kept is the outcome; `api` renders it. Invariant: a crash between the two leaves a lease that ends, and never a
//! change whose repetition would fail.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::uuid_v7;
use domain::time::from_micros;
use domain::{Error, Reach, Result, Timestamp};
use serde::de::DeserializeOwned;
use store::{Claim, Claimed, Scope, Unaudited};
use tracing::Instrument;

use super::{App, Ctx};

/// How long a record is kept.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How long a request may hold its key; longer than any request may take.
const LEASE: Duration = Duration::from_secs(120);

/// A request that carried an `Idempotency-Key`.
#[derive(Debug, Clone)]
pub struct IdempotentRequest {
    /// The key.
    pub key: String,
    /// What the request was, in short.
    pub fingerprint: String,
}

/// An outcome, and whether it is the first request's.
#[derive(Debug)]
pub struct Once<T> {
    /// What came of it.
    pub outcome: T,
    /// Whether it was kept from an earlier request.
    pub replayed: bool,
}

impl App {
    /// Runs `work`, or gives the kept outcome of the first request with this key. The work runs on when the caller goes
    /// away, so that a broken connection leaves no half-used key. Whoever calls has judged role and reach before: a person
    /// may be less, or somebody of another tenant, than when the outcome was kept.
    ///
    /// # Errors
    /// `IdempotencyKeyReused`, `IdempotencyInProgress`, and those of `work`, whose reservation is given back.
    pub async fn once<T, W, F>(
        self: &Arc<Self>,
        ctx: Ctx,
        request: Option<IdempotentRequest>,
        work: W,
    ) -> Result<Once<T>>
    where
        T: DeserializeOwned + Send + 'static,
        W: FnOnce(Arc<Self>, Ctx) -> F + Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let app = Arc::clone(self);
        let task = async move {
            let Some(request) = request else {
                let outcome = work(app, ctx).await?;
                return Ok(Once { outcome, replayed: false });
            };
            let claim = Arc::new(app.claim(&ctx, request));
            match app.reserve(&claim, ctx.now()).await? {
                Claimed::Reserved => {}
                Claimed::InProgress => {
                    app.judge_freeze(&ctx).await?;
                    return Err(Error::IdempotencyInProgress);
                }
                Claimed::Reused => return Err(Error::IdempotencyKeyReused),
                Claimed::Done { outcome } => {
                    app.judge_freeze(&ctx).await?;
                    let outcome = serde_json::from_str(&outcome).map_err(Error::internal)?;
                    return Ok(Once { outcome, replayed: true });
                }
            }
            let ctx = Ctx { claim: Some(Arc::clone(&claim)), ..ctx };
            match work(Arc::clone(&app), ctx).await {
                Ok(outcome) => Ok(Once { outcome, replayed: false }),
                Err(error) => {
                    app.release(&claim).await;
                    Err(error)
                }
            }
        };
        match tokio::spawn(task.in_current_span()).await {
            Ok(outcome) => outcome,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(cancelled) => Err(Error::Unavailable { internal: cancelled.to_string() }),
            },
        }
    }

    /// A frozen tenant's people and keys get no kept answer either: a freeze is judged before a replay. Whoever is bound by
    /// one writes to a single tenant, and that the request is about this one the caller of [`App::once`] has judged.
    async fn judge_freeze(&self, ctx: &Ctx) -> Result<()> {
        let Reach::One(own) = ctx.caller.reach else { return Ok(()) };
        match self.directory.by_id(own).await? {
            Some(tenant) => ctx.caller.may_write_to(&tenant, ctx.now()),
            None => Ok(()),
        }
    }

    /// Removes records whose time is over, a batch at a time. Says how many went.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn purge_idempotency(&self, ctx: &Ctx, batch: usize) -> Result<u64> {
        let mut tx = self.store.begin(Scope::Platform).await?;
        let purged = tx.purge(ctx.now(), batch).await?;
        tx.commit_unaudited(Unaudited::Idempotency).await?;
        Ok(purged)
    }

    fn claim(&self, ctx: &Ctx, request: IdempotentRequest) -> Claim {
        let now = ctx.now();
        Claim {
            caller: ctx.caller.idempotency_owner.clone(),
            key: request.key,
            fingerprint: request.fingerprint,
            token: uuid_v7(&*ctx.clock, &*ctx.rng),
            lease_until: after(now, LEASE),
            expires_at: after(now, KEPT),
        }
    }

    async fn reserve(&self, claim: &Claim, now: Timestamp) -> Result<Claimed> {
        let mut tx = self.store.begin(Scope::Platform).await?;
        let claimed = tx.reserve(claim, now).await?;
        if claimed == Claimed::Reserved {
            tx.commit_unaudited(Unaudited::Idempotency).await?;
        }
        Ok(claimed)
    }

    /// Best effort: a reservation that cannot be given back ends with its lease.
    async fn release(&self, claim: &Claim) {
        let outcome = async {
            let mut tx = self.store.begin(Scope::Platform).await?;
            tx.release(claim).await?;
            tx.commit_unaudited(Unaudited::Idempotency).await
        };
        if let Err(error) = outcome.await {
            tracing::warn!(%error, "an idempotency reservation was left to its lease");
        }
    }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
    from_micros(now.as_microsecond().saturating_add(micros))
}
