//! Takes the group from the events of deleted tenants, a batch at a time. Readers see them without it at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Result;

use super::Job;
use crate::app::{App, Ctx};

/// How many events lose their group in one transaction.
const BATCH: usize = 1_000;

pub(super) struct AuditDetach;

#[async_trait]
impl Job for AuditDetach {
    fn name(&self) -> &'static str {
        "audit_detach"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn run(&self, app: &Arc<App>, ctx: &Ctx) -> Result<bool> {
        Ok(app.detach_audit_events_all_tenants(ctx, BATCH).await? > 0)
    }
}
