//! Decisions: one file per resource. No HTTP types and no SQL; a tidy test keeps both out.
//!
//! `api` and `jobs` call it. Every change runs in one store transaction that ends in [`App::commit`], with its audit
//! events and, where the request carried a key, its idempotent outcome. Invariant: when a method returns, what it changed
//! is committed, and this process's read model knows.

pub mod api_keys;
pub mod audit;
pub mod catalog;
pub mod claims;
mod ctx;
pub mod directory;
pub mod entitlements;
mod group_commit;
mod idempotency;
pub mod known_key;
pub mod provisioning;
pub mod tenants;

use std::sync::Arc;
use std::time::Duration;

use domain::time::from_micros;
use domain::{AuditBatch, AuditEvent, Clock, Error, KeyEnv, ReservedSlugs, Result, Rng};
use serde::Serialize;
use store::{SchemaState, Store, Tx, Unaudited};

pub use ctx::Ctx;
pub use directory::Directory;
pub use idempotency::{IdempotentRequest, Once};
pub use known_key::KnownKey;
pub use provisioning::{IdentitySettings, Provisioned};

/// The application: everything that decides.
#[derive(Debug)]
pub struct App {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    reserved: ReservedSlugs,
    key_env: KeyEnv,
    claims_lookup_keys: Vec<String>,
    key_uses: api_keys::KeyUses,
    single_events: Arc<group_commit::GroupCommit>,
    identity: provisioning::Identity,
}

/// What the application is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where things are kept.
    pub store: Arc<dyn Store>,
    /// What is read from memory.
    pub directory: Arc<Directory>,
    /// The service's clock.
    pub clock: Arc<dyn Clock>,
    /// The service's generator.
    pub rng: Arc<dyn Rng>,
    /// Names that no tenant may take.
    pub reserved: ReservedSlugs,
    /// Where the keys that are made here are good.
    pub key_env: KeyEnv,
    /// The metadata keys by which the claims of a tenant may be asked for.
    pub claims_lookup_keys: Vec<String>,
    /// How identities are provisioned.
    pub identity: IdentitySettings,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, directory, clock, rng, reserved, key_env, claims_lookup_keys, identity } = parts;
        Self {
            single_events: Arc::new(group_commit::GroupCommit::new(Arc::clone(&store))),
            key_uses: api_keys::KeyUses::default(),
            identity: provisioning::Identity::new(identity),
            store,
            directory,
            clock,
            rng,
            reserved,
            key_env,
            claims_lookup_keys,
        }
    }

    /// The read model.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The circumstances of a job.
    #[must_use]
    pub fn job_ctx(&self, name: &str) -> Ctx {
        Ctx::system(name, Arc::clone(&self.clock), Arc::clone(&self.rng))
    }

    /// The service's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The service's generator.
    #[must_use]
    pub fn rng(&self) -> &Arc<dyn Rng> {
        &self.rng
    }

    /// Names that no tenant may take.
    #[must_use]
    pub fn reserved_slugs(&self) -> &ReservedSlugs {
        &self.reserved
    }

    /// Whether the store answers, within two seconds, and how its schema stands.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn check_store(&self) -> Result<SchemaState> {
        match tokio::time::timeout(Duration::from_secs(2), self.store.check()).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Error::Unavailable { internal: "the store did not answer within two seconds".to_owned() }),
        }
    }

    /// Ends a change: its idempotent outcome, its audit events, its feed rows, in one commit. What changed nothing keeps
    /// its outcome all the same, so that its repetition is told from a request that is still running.
    async fn commit(
        &self,
        ctx: &Ctx,
        mut tx: Box<dyn Tx>,
        outcome: &(impl Serialize + Sync),
        mut events: Vec<AuditEvent>,
    ) -> Result<()> {
        if let Some(claim) = &ctx.claim {
            let outcome = serde_json::to_string(outcome).map_err(Error::internal)?;
            match ctx.runs_until {
                Some(until) => tx.complete_for_now(claim, &outcome, until).await?,
                None => tx.complete(claim, &outcome).await?,
            }
            if events.is_empty() {
                return Ok(tx.commit_unaudited(Unaudited::Idempotency).await?);
            }
        } else if events.is_empty() {
            return Ok(());
        }
        // Events of one transaction keep their order in a list that is sorted by time.
        for (place, event) in (0..).zip(&mut events) {
            event.received = from_micros(event.received.as_microsecond().saturating_add(place));
        }
        let batch = AuditBatch::from_events(events).ok_or_else(|| Error::internal("a change without an event"))?;
        Ok(tx.commit(batch).await?)
    }
}
