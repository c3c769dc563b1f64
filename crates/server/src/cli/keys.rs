//! `tenant-registry keys create`: an API key, made on the database.
//!
//! How an installation gets its first key, when there is nobody yet who could ask the service for one. Invariant: the
//! key's text is the only thing on standard output; what can be said of it is on standard error.

use std::io::Write as _;
use std::sync::Arc;

use domain::{ApiKey, Clock, Error, NewApiKey, ReservedSlugs, Rng, TenantId};
use store::Store;
use store::migrate::Target;

use super::migrate::target;
use super::serve::{check_schema, connect};
use super::{Outcome, block_on};
use crate::app::{App, Directory, Parts};
use crate::clock::{SystemClock, SystemRng};
use crate::config::{Config, KeysCommand};

pub(super) fn run(command: KeysCommand, config: &Config) -> Outcome {
    let KeysCommand::Create { name, tenant, scopes, expires_at } = command;
    let new = NewApiKey { tenant_id: None, name, scopes, expires_at };
    block_on(create(config, new, tenant))?
}

async fn create(config: &Config, new: NewApiKey, tenant: Option<String>) -> Outcome {
    let Some(target) = target(&config.database.url) else {
        return Err(
            "a key of the store in memory would be gone with this command: set DATABASE_URL to the database of the service"
                .to_owned(),
        );
    };
    if let Target::Sqlite(path) = &target
        && !path.exists()
    {
        // Asking for its schema would make it.
        return Err(format!(
            "there is no database at {}: start the service once, or run `tenant-registry migrate up`",
            path.display()
        ));
    }
    check_schema(&target).await?;
    let store = connect(config).await?;
    let made = create_on(config, Arc::clone(&store), new, tenant).await;
    store.close().await;
    let (key, text) = made.map_err(|error| explained(&error))?;
    let owner = key.tenant_id.map_or_else(|| "the platform".to_owned(), |id| format!("tenant {id}"));
    let end = key.expires_at.map_or_else(|| "does not expire".to_owned(), |at| format!("expires at {at}"));
    let scopes = if key.scopes.is_empty() { "no scopes".to_owned() } else { key.scopes.join(" ") };
    let _ = writeln!(
        std::io::stderr(),
        "made API key {} ({:?}) of {owner}: {scopes}; {end}. It is not shown again.",
        key.id,
        key.name
    );
    // Nobody can be shown it again: that it went nowhere is a failure, unlike elsewhere.
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("made key {}, but its text could not be written: revoke it ({error})", key.id))
}

async fn create_on(
    config: &Config,
    store: Arc<dyn Store>,
    mut new: NewApiKey,
    tenant: Option<String>,
) -> Result<(ApiKey, String), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::shifted(config.development.clock_offset.as_secs()));
    let rng: Arc<dyn Rng> = Arc::new(SystemRng::default());
    let app = App::new(Parts {
        directory: Arc::new(Directory::new(Arc::clone(&store), config.database.max_staleness)),
        store,
        clock,
        rng,
        reserved: ReservedSlugs::default(),
        key_env: config.app_env.key_env(),
        claims_lookup_keys: Vec::new(),
    });
    let ctx = app.job_ctx("cli");
    if let Some(named) = tenant {
        let tenant = match named.parse::<TenantId>() {
            Ok(id) => app.get_tenant(&ctx, id).await?,
            Err(_) => app.get_tenant_by_slug(&ctx, &named).await?,
        };
        new.tenant_id = Some(tenant.id);
    }
    let minted = app.create_api_key(&ctx, new).await?;
    let text = minted.plaintext.ok_or_else(|| Error::internal("a key that was just made has no text"))?;
    Ok((minted.key, text.expose().to_owned()))
}

/// For an operator, who may read everything, field by field.
fn explained(error: &Error) -> String {
    match error {
        Error::Validation(violations) => {
            violations.iter().map(|one| format!("{}: {}", one.field, one.message)).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}
