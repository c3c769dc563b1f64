//! Removes idempotency records whose 24 hours are over.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Result;

use super::Job;
use crate::app::{App, Ctx};

/// How many records go in one transaction.
const BATCH: usize = 1_000;

pub(super) struct IdempotencyPurge;

#[async_trait]
impl Job for IdempotencyPurge {
    fn name(&self) -> &'static str {
        "idempotency_purge"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self, app: &Arc<App>, ctx: &Ctx) -> Result<bool> {
        Ok(app.purge_idempotency(ctx, BATCH).await? == u64::try_from(BATCH).unwrap_or(u64::MAX))
    }
}
