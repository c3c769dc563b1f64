//! Makes room for the audit events of the months to come, where the store keeps them by month.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Result;

use super::Job;
use crate::app::{App, Ctx};

pub(super) struct AuditPartitions;

#[async_trait]
impl Job for AuditPartitions {
    fn name(&self) -> &'static str {
        "audit_partitions"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(3_600)
    }

    async fn run(&self, app: &Arc<App>, ctx: &Ctx) -> Result<bool> {
        app.ensure_audit_partitions_all_tenants(ctx).await?;
        Ok(false)
    }
}
