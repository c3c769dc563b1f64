//! `tenant-registry serve`: the service itself.
//!
//! Refuses what must not run outside dev, opens the store, migrates where it should, and serves until told to stop.
//! Invariant: every refusal is said before the port is taken.

use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Clock, Rng, Secret};
use store::postgres::{PgSettings, PgStore, roles};
use store::sqlite::SqliteStore;
use store::{Store, StoreError, migrate};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::migrate::target;
use super::{Outcome, block_on};
use crate::clock::{SystemClock, SystemRng};
use crate::config::{Config, DatabaseUrl, ListenAddr};
use crate::{Deps, telemetry};

/// Why this configuration must not be served, if it must not.
pub(super) fn refusal(config: &Config) -> Option<String> {
    let refusals: Vec<String> = config.check().iter().map(|refusal| format!("  {refusal}")).collect();
    (!refusals.is_empty()).then(|| format!("refusing to start in APP_ENV={}:\n{}", config.app_env, refusals.join("\n")))
}

/// Serves a configuration without a [`refusal`].
pub(super) fn run(config: Config) -> Outcome {
    let telemetry = telemetry::init(&config.telemetry).map_err(|error| error.to_string())?;
    let outcome = block_on(start(&config, &telemetry));
    telemetry.shutdown();
    outcome?
}

async fn start(config: &Config, telemetry: &telemetry::Telemetry) -> Outcome {
    let stop = stop_signal()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::shifted(config.development.clock_offset.as_secs()));
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::default());
    let store = open(config).await?;
    if matches!(config.database.url, DatabaseUrl::Memory) {
        crate::seed(&store, &clock, &rng).await.map_err(|error| error.to_string())?;
    }
    let dev_token = config.app_env.is_dev().then(|| dev_token(config, &*rng));
    let real_clock = Arc::new(SystemClock::default());
    let verifier = crate::token_verifier(config, real_clock).map_err(|error| error.to_string())?;
    let identity = crate::identity_provider(config, &rng).map_err(|error| error.to_string())?;
    let listener = bind(&config.addr).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tracing::info!(%address, env = config.app_env.as_str(), store = config.database.url.kind(), "listening");
    if let Some(token) = &dev_token {
        greet(config, address.port(), token);
    }
    let deps = Deps {
        store,
        clock,
        verifier,
        rng,
        identity,
        meter: telemetry.meter().clone(),
        metrics: telemetry.metrics().clone(),
        metrics_reader: telemetry.metrics_reader(),
        dev_token,
    };
    crate::serve(config, deps, listener, stop).await.map_err(|error| error.to_string())?;
    tracing::info!("stopped");
    Ok(())
}

/// Cancelled by SIGTERM and SIGINT.
fn stop_signal() -> Result<CancellationToken, String> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind).map_err(|error| format!("signals cannot be heard: {error}"))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signal.recv().await;
            tracing::info!("stopping");
            stop.cancel();
        });
    }
    Ok(stop)
}

/// A failure of the database, with what to do where that is known.
fn explained(error: &StoreError) -> String {
    match roles::explain(error) {
        Some(hint) => format!("{error}: {hint}"),
        None => error.to_string(),
    }
}

async fn open(config: &Config) -> Result<Arc<dyn Store>, String> {
    if let DatabaseUrl::Postgres { url } = &config.database.url {
        prepare(config, url).await?;
    }
    connect(config).await
}

/// The configured store, as it is.
pub(super) async fn connect(config: &Config) -> Result<Arc<dyn Store>, String> {
    let fail = |error: StoreError| explained(&error);
    match &config.database.url {
        DatabaseUrl::Memory => Ok(Arc::new(SqliteStore::in_memory().await.map_err(fail)?)),
        DatabaseUrl::Sqlite { path } => Ok(Arc::new(SqliteStore::open(path).await.map_err(fail)?)),
        DatabaseUrl::Postgres { url } => {
            let settings = PgSettings {
                url: url.clone(),
                max_connections: config.database.max_connections,
                statement_timeout: config.database.statement_timeout,
                lock_timeout: config.database.lock_timeout,
            };
            Ok(Arc::new(PgStore::connect(settings).await.map_err(fail)?))
        }
    }
}

/// Brings the schema up where that is wanted, and looks at what the login may do.
async fn prepare(config: &Config, url: &Secret) -> Outcome {
    if config.database.migrate_on_start
        && let Some(target) = target(config.database.for_migrations())
    {
        let state = migrate::up(&target).await.map_err(|error| error.to_string())?;
        tracing::info!(migration = state.current, "schema is up to date");
    } else {
        check_schema(&migrate::Target::Postgres(url.clone())).await?;
    }
    let problems = roles::excess_power(url.expose()).await.map_err(|error| error.to_string())?;
    if problems.is_empty() {
        return Ok(());
    }
    if config.app_env.is_dev() {
        tracing::warn!(problems = problems.join("; "), "the database login is mightier than it may be outside dev");
        return Ok(());
    }
    Err(format!(
        "refusing to start in APP_ENV={}: {}. Log in as a role that is only a member of {} and {}",
        config.app_env,
        problems.join("; "),
        roles::PLATFORM,
        roles::TENANT
    ))
}

/// Refuses a schema that is not the one of this program, and says what mends it.
pub(super) async fn check_schema(target: &migrate::Target) -> Outcome {
    let state = migrate::version(target).await.map_err(|error| {
        if let migrate::MigrationError::Store(error) = &error { explained(error) } else { error.to_string() }
    })?;
    if state.current == state.wanted { Ok(()) } else { Err(crate::mend(state)) }
}

fn dev_token(config: &Config, rng: &dyn Rng) -> Secret {
    config.development.token.clone().unwrap_or_else(|| {
        let mut random = [0_u8; 24];
        rng.fill(&mut random);
        Secret::from(format!("dev-{}", URL_SAFE_NO_PAD.encode(random)))
    })
}

/// All addresses of `ADDR`, the first that can be taken.
async fn bind(addr: &ListenAddr) -> Result<TcpListener, String> {
    let mut failure = String::new();
    for (host, port) in addr.candidates() {
        match TcpListener::bind((host.as_str(), port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = format!("cannot listen on {host}:{port}: {error}"),
        }
    }
    Err(failure)
}

/// What a newcomer pastes first. Dev only, and on standard output rather than in the log.
fn greet(config: &Config, port: u16, token: &Secret) {
    // Only the store in memory is sure to have a tenant.
    let path = if matches!(config.database.url, DatabaseUrl::Memory) { "/by-slug/acme" } else { "" };
    let _ = writeln!(
        std::io::stdout(),
        "\nTry it:\n\n  curl -s http://localhost:{port}/v1/tenants{path} -H 'Authorization: Bearer {}'\n\n\
         API reference: http://localhost:{port}/docs\n",
        token.expose()
    );
}
