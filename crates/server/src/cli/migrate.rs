//! `tenant-registry migrate up|down|down-all|version|create NAME`.
//!
//! Works with the login that owns the schema (`MIGRATION_DATABASE_URL`, else `DATABASE_URL`).

use std::path::Path;

use domain::Clock;
use store::migrate::{self, MigrationError, Target};
use store::{SchemaState, StoreError};

use super::{Outcome, block_on, say};
use crate::clock::SystemClock;
use crate::config::{Config, DatabaseUrl, MigrateCommand};

pub(super) fn run(command: &MigrateCommand, config: &Config) -> Outcome {
    if let MigrateCommand::Create { name } = command {
        return create(name);
    }
    let target = target(config.database.for_migrations()).ok_or(
        "there is nothing to migrate: the store in memory migrates itself. Set DATABASE_URL (or MIGRATION_DATABASE_URL)",
    )?;
    if matches!(command, MigrateCommand::DownAll) && !config.app_env.is_dev() {
        return Err(format!("migrate down-all removes every table, and is refused in APP_ENV={}", config.app_env));
    }
    let state = block_on(async {
        match command {
            MigrateCommand::Up => migrate::up(&target).await,
            MigrateCommand::Down => migrate::down(&target, false).await,
            MigrateCommand::DownAll => migrate::down(&target, true).await,
            MigrateCommand::Version => migrate::version(&target).await,
            MigrateCommand::Create { .. } => Err(MigrationError::Store(StoreError::Finished)),
        }
    })?
    .map_err(|error| error.to_string())?;
    let SchemaState { current, wanted } = state;
    say(&match current.cmp(&wanted) {
        std::cmp::Ordering::Equal => format!("schema at migration {current}, as this program wants"),
        std::cmp::Ordering::Less => format!("schema at migration {current}, this program wants {wanted}"),
        std::cmp::Ordering::Greater => format!("schema at migration {current}, ahead of this program ({wanted})"),
    })
}

/// The database to migrate; none for the store in memory.
pub(super) fn target(url: &DatabaseUrl) -> Option<Target> {
    match url {
        DatabaseUrl::Memory => None,
        DatabaseUrl::Sqlite { path } => Some(Target::Sqlite(path.clone())),
        DatabaseUrl::Postgres { url } => Some(Target::Postgres(url.clone())),
    }
}

/// New migrations are written into the source tree, where the binary that embeds them is built from.
fn create(name: &str) -> Outcome {
    let folder = Path::new("crates/store/migrations");
    if !folder.is_dir() {
        return Err(format!("{} is not here: run this in the root of the source tree", folder.display()));
    }
    let stamp = SystemClock::default().now().strftime("%Y%m%d%H%M%S").to_string();
    let written = migrate::create(folder, &stamp, name).map_err(|error| error.to_string())?;
    let lines: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    say(&lines.join("\n"))
}
