//! Takes up identity work that is due: what a request did not wait for, what failed, and what changes and the clock ask for.
//!
//! Each tenant's work runs in a task of its own, under its own limits and its lease; the batch only starts them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Result;

use super::Job;
use crate::app::{App, Ctx};

pub(super) struct Provisioning;

#[async_trait]
impl Job for Provisioning {
    fn name(&self) -> &'static str {
        "provisioning"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run(&self, app: &Arc<App>, ctx: &Ctx) -> Result<bool> {
        app.take_up_provisioning_all_tenants(ctx).await?;
        Ok(false)
    }

    async fn nudged(&self, app: &App) {
        app.provisioning_nudged().await;
    }
}
