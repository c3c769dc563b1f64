//! Background work: reconcilers that bring what is written into line with what is so.
//!
//! `serve` starts one task for each and waits for them when it stops. Invariant: running a job twice, or on two replicas
//! at once, is running it once; a job holds no lock between its batches, so that stopping hands everything back.

mod audit_detach;
mod audit_partitions;
mod idempotency_purge;
mod identity_probe;
pub(crate) mod key_last_use;
mod provisioning;
mod trial_expiry;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{Error, Result};
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Ctx};

/// After this long a batch is given up.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);

/// A reconciler.
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// What it is called in logs, metrics and audit.
    fn name(&self) -> &'static str;
    /// How long to wait after there was nothing left to do.
    fn every(&self) -> Duration;
    /// Does a batch. Says whether there is more to do at once.
    async fn run(&self, app: &Arc<App>, ctx: &Ctx) -> Result<bool>;
    /// Ends when there is something to do before the time is over.
    async fn nudged(&self, _app: &App) {
        std::future::pending::<()>().await;
    }
}

/// Every job of the service. Add yours here.
#[must_use]
pub fn all() -> Vec<Arc<dyn Job>> {
    vec![
        Arc::new(trial_expiry::TrialExpiry),
        Arc::new(audit_detach::AuditDetach),
        Arc::new(audit_partitions::AuditPartitions),
        Arc::new(idempotency_purge::IdempotencyPurge),
        Arc::new(key_last_use::KeyLastUse),
        Arc::new(provisioning::Provisioning),
        Arc::new(identity_probe::IdentityProbe),
    ]
}

/// Starts every job; each ends when told to stop.
#[must_use]
pub fn start(app: &Arc<App>, stop: &CancellationToken) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for job in all() {
        tasks.spawn(run(job, Arc::clone(app), stop.clone()));
    }
    tasks
}

async fn run(job: Arc<dyn Job>, app: Arc<App>, stop: CancellationToken) {
    let ctx = app.job_ctx(job.name());
    while !stop.is_cancelled() {
        // A statement's own limit is the server's to keep; a server that is gone without a word keeps none.
        let batch = tokio::time::timeout(BATCH_TIMEOUT, job.run(&app, &ctx));
        let outcome = match AssertUnwindSafe(batch).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::Timeout { internal: format!("no end within {BATCH_TIMEOUT:?}") }),
            Err(_) => Err(Error::internal("a job panicked")),
        };
        let wait = match outcome {
            Ok(true) => continue,
            Ok(false) => job.every(),
            Err(error) => {
                tracing::warn!(job = job.name(), %error, "a job failed and will be tried again");
                job.every().min(Duration::from_secs(5))
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = job.nudged(&app) => {}
        }
    }
}
