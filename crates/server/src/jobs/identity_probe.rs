//! Asks the identity provider whether everything that provisioning needs is in place, at the start and every minute.
//!
//! What is wrong is one line in the log when it begins, and a metric while it lasts. It stops nobody: reads, keys and
//! entitlements need no identity provider.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Result;

use super::Job;
use crate::app::{App, Ctx};

pub(super) struct IdentityProbe;

#[async_trait]
impl Job for IdentityProbe {
    fn name(&self) -> &'static str {
        "identity_probe"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self, app: &Arc<App>, _ctx: &Ctx) -> Result<bool> {
        app.probe_identity().await;
        Ok(false)
    }
}
