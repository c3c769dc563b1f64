//! Writes down when API keys were last used.
//!
//! Requests only remember it, once per key and minute; this writes it in batches. What is remembered when the process is
//! killed is lost, which a time that is coarse anyway can bear; a process that stops in order writes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Result;

use super::Job;
use crate::app::{App, Ctx};

/// How many keys go in one statement.
pub(crate) const BATCH: usize = 1_000;

pub(super) struct KeyLastUse;

#[async_trait]
impl Job for KeyLastUse {
    fn name(&self) -> &'static str {
        "key_last_use"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn run(&self, app: &Arc<App>, _ctx: &Ctx) -> Result<bool> {
        app.note_key_uses_all_tenants(BATCH).await
    }
}
