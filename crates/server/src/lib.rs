//! The tenant registry service.
//!
//! [`serve`] runs it: tests and production start the same function, with their own listener, store and clock. `cli`
//! is the command line around it. Layers: `api` → `app` → the store's port; `jobs` → `app`; only this file and `cli` name
//! a concrete store. Invariant: nothing of a running service is global.

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod identity;
pub mod jobs;
mod listener;
pub mod telemetry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use domain::{ACME, Clock, KeyEnv, Plan, ProductInput, ProductKey, ReservedSlugs, Rng, Secret, Slug, Status, Tenant};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use store::Store;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use api::page::Cursors;
use api::state::{ApiState, Inner};
use app::{App, Directory, Parts};
use config::Config;
use identity::tokens::{TokenSettings, TokenSetupError, TokenVerifier};
use telemetry::{Metrics, MetricsReader};

/// What closing the store gets when requests used up all of the time to stop.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// The products that a store in memory starts with: key, name, description, days of a trial.
const EXAMPLES: [(&str, &str, &str, u32); 3] = [
    ("analytics", "Analytics", "Dashboards and scheduled reports over your own data.", 14),
    ("document-ai", "Document AI", "Reads invoices, contracts and forms, and files what it finds.", 30),
    ("voice-agents", "Voice Agents", "Answer calls and book appointments around the clock.", 7),
];

/// What a service is given beside its configuration.
#[derive(Debug)]
pub struct Deps {
    /// Where things are kept.
    pub store: Arc<dyn Store>,
    /// The service's clock, shifted in dev.
    pub clock: Arc<dyn Clock>,
    /// Whose tokens are believed ([`token_verifier`]); none without an issuer.
    pub verifier: Option<TokenVerifier>,
    /// Where ids come from.
    pub rng: Arc<dyn Rng>,
    /// Makes further instruments.
    pub meter: Meter,
    /// What is counted of requests.
    pub metrics: Metrics,
    /// Reads it out.
    pub metrics_reader: MetricsReader,
    /// The platform admin's token, in dev only.
    pub dev_token: Option<Secret>,
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Store(#[from] store::StoreError),
    /// The schema is not the one of this program.
    #[error("{0}")]
    Schema(String),
    /// The document cannot be written: a fault of ours.
    #[error("the OpenAPI document cannot be written: {0}")]
    Document(String),
    /// The seed of a store in memory was refused.
    #[error("the store cannot be seeded: {0}")]
    Seed(domain::Error),
}

/// Runs the service on a listener until `shutdown` is cancelled, and then until requests in flight have ended or the
/// configured time is over.
///
/// # Errors
/// [`ServeError`], before the first connection is taken.
pub async fn serve(
    config: &Config,
    deps: Deps,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let Deps { store, clock, verifier, rng, meter, metrics, metrics_reader, dev_token } = deps;
    let schema = store.check().await?;
    if schema.current != schema.wanted {
        return Err(ServeError::Schema(mend(schema)));
    }
    let installation = store.installation().await?;
    let directory = Arc::new(Directory::new(Arc::clone(&store), config.database.max_staleness));
    watch_read_model(&meter, &directory);
    let reserved = config.tenants.reserved_slugs.iter().cloned().collect();
    let app = Arc::new(App::new(Parts {
        store: Arc::clone(&store),
        directory: Arc::clone(&directory),
        clock,
        rng,
        reserved,
        key_env: config.app_env.key_env(),
        claims_lookup_keys: config.tenants.claims_lookup_keys.iter().cloned().collect(),
    }));
    let state = ApiState::new(Inner {
        app: Arc::clone(&app),
        verifier,
        dev_token,
        schemas: api::Schemas::default(),
        cursors: Cursors::new(&installation.cursor_key),
        trusted_proxies: config.http.trusted_proxies.clone(),
        request_timeout: config.http.request_timeout,
        traced: config.telemetry.otlp_endpoint.is_some(),
        metrics,
        metrics_reader,
        document: api::document().map_err(ServeError::Document)?,
        stopping: AtomicBool::new(false),
    });

    let background = CancellationToken::new();
    let follower = tokio::spawn({
        let (directory, stop) = (Arc::clone(&directory), background.clone());
        async move { directory.follow(stop).await }
    });
    let mut jobs = jobs::start(&app, &background);

    let front = api::Front::new(state.clone(), &config.http.allowed_origins);
    let ending = listener::Ending { drain: config.shutdown_drain, deadline: config.shutdown_timeout };
    let until = listener::run(listener, front, &state, &shutdown, ending).await;

    background.cancel();
    let orderly = async {
        let _ = follower.await;
        while jobs.join_next().await.is_some() {}
        write_down_key_uses(&app).await;
        store.close().await;
    };
    // A request that was given up may still hold a connection, for which closing would wait.
    if tokio::time::timeout_at(until.max(Instant::now() + LAST_GRACE), orderly).await.is_err() {
        tracing::warn!("the store could not be closed in time: somebody still holds a connection");
    }
    Ok(())
}

/// What the job had not come to yet.
async fn write_down_key_uses(app: &App) {
    loop {
        match app.note_key_uses_all_tenants(jobs::key_last_use::BATCH).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "when some API keys were last used could not be written down");
                return;
            }
        }
    }
}

/// The verifier of the configured issuer's tokens, if there is one. It is made before the port is taken, so that settings
/// which cannot work are refused first, and judges by the real clock, whatever the service's own is shifted by.
///
/// # Errors
/// When the issuer's address or the certificates of this machine cannot be used.
pub fn token_verifier(config: &Config, real_clock: Arc<dyn Clock>) -> Result<Option<TokenVerifier>, TokenSetupError> {
    let Some(issuer) = &config.keycloak.issuer else { return Ok(None) };
    TokenVerifier::new(TokenSettings::new(issuer, &config.keycloak.audience), real_clock).map(Some)
}

/// Puts the tenant `acme` and three products into a store in memory.
///
/// # Errors
/// [`ServeError::Seed`].
pub async fn seed(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>, rng: &Arc<dyn Rng>) -> Result<(), ServeError> {
    let app = App::new(Parts {
        store: Arc::clone(store),
        directory: Arc::new(Directory::new(Arc::clone(store), Duration::ZERO)),
        clock: Arc::clone(clock),
        rng: Arc::clone(rng),
        reserved: ReservedSlugs::default(),
        key_env: KeyEnv::Dev,
        claims_lookup_keys: Vec::new(),
    });
    let now = clock.now();
    let acme = Tenant {
        id: ACME,
        slug: Slug::stored("acme".to_owned()),
        name: "Acme".to_owned(),
        plan: Plan::Starter,
        status: Status::Active,
        status_reason: None,
        trial_ends_at: None,
        metadata: BTreeMap::new(),
        hosts: Vec::new(),
        version: 1,
        created_at: now,
        updated_at: now,
        frozen_at: None,
        admin_email: None,
        admin_name: None,
    };
    let ctx = app.job_ctx("seed");
    app.seed_tenant(&ctx, acme).await.map_err(ServeError::Seed)?;
    for (key, name, description, days) in EXAMPLES {
        let input = ProductInput {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            trial_days: Some(days),
            requestable: Some(true),
        };
        let key = ProductKey::stored(key.to_owned());
        app.put_product(&ctx, key, input).await.map_err(ServeError::Seed)?;
    }
    Ok(())
}

/// Shows how old memory may be, which is what on-call looks at when reads grow slower, and how much is in it.
fn watch_read_model(meter: &Meter, directory: &Arc<Directory>) {
    let watched = Arc::downgrade(directory);
    meter
        .f64_observable_gauge("tenant_registry.read_model.age")
        .with_unit("s")
        .with_description("Time since the read model last confirmed the change feed")
        .with_callback(move |gauge| {
            if let Some(age) = watched.upgrade().and_then(|directory| directory.age()) {
                gauge.observe(age.as_secs_f64(), &[]);
            }
        })
        .build();
    let watched = Arc::downgrade(directory);
    meter
        .u64_observable_gauge("tenant_registry.read_model.entries")
        .with_description("Names that the read model has an answer for, by what they are")
        .with_callback(move |gauge| {
            for (name, size) in watched.upgrade().iter().flat_map(|directory| directory.sizes()) {
                gauge.observe(u64::try_from(size).unwrap_or(u64::MAX), &[KeyValue::new("by", name)]);
            }
        })
        .build();
}

/// Which command mends a schema that is not the one of this program.
fn mend(schema: store::SchemaState) -> String {
    let store::SchemaState { current, wanted } = schema;
    if current > wanted {
        format!(
            "the database is at migration {current}, ahead of this program, which knows {wanted}: start the newer release \
             (or, where data may be lost, run its `tenant-registry migrate down`)"
        )
    } else {
        format!(
            "the database is at migration {current}, behind this program, which wants {wanted}: run \
             `tenant-registry migrate up` (or `make migrate-up`), or start with MIGRATE_ON_START=true"
        )
    }
}
