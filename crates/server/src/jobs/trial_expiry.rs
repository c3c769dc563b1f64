//! Writes down trials that ran out. Readers see them frozen without it; followers of the audit log do not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Result;

use super::Job;
use crate::app::{App, Ctx};

/// How many tenants are frozen in one transaction.
const BATCH: usize = 100;

pub(super) struct TrialExpiry;

#[async_trait]
impl Job for TrialExpiry {
    fn name(&self) -> &'static str {
        "trial_expiry"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run(&self, app: &Arc<App>, ctx: &Ctx) -> Result<bool> {
        Ok(app.expire_trials_all_tenants(ctx, BATCH).await? == BATCH)
    }
}
