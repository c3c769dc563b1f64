//! Schema migrations, embedded in the binary.
//!
//! `tenant-registry migrate …`, the start of the server, and tests call this. Every call has a connection of its own and
//! closes it, because the migrator takes a session lock that an error would leave behind in a pool. Invariant: two
//! processes that migrate at once end with one migrated schema.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::Secret;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, Row};

use crate::error::{Result, StoreError};
use crate::port::SchemaState;
use crate::postgres::{Hosts, roles};
use crate::sqlite::error::is_locked;
use crate::sqlite::{BUSY_TIMEOUT, connect_options};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// A database whose schema is to be changed.
#[derive(Debug, Clone)]
pub enum Target {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, with the login that owns the schema.
    Postgres(Secret),
}

/// How a migration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// The database cannot be reached.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The database was migrated by a newer program.
    #[error(
        "the database has migration {0}, which this program does not know: use the newer release, or migrate down with it"
    )]
    Ahead(i64),
    /// A migration that was applied is not the one of this program.
    #[error("migration {0} was applied with another text: a released migration must never be edited")]
    Changed(i64),
    /// Anything else.
    #[error("migration failed: {0}")]
    Failed(String),
}

impl From<MigrateError> for MigrationError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Ahead(version),
            MigrateError::VersionMismatch(version) => Self::Changed(version),
            other => Self::Failed(chain(&other)),
        }
    }
}

/// An error and everything beneath it: the database's own words, and its hint, are at the bottom.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(postgres) = inner.downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            text = format!("{text}: {}", postgres.message());
            if let Some(hint) = postgres.hint() {
                text = format!("{text}. {hint}");
            }
            return text;
        }
        if let Some(sqlx::Error::Database(database)) = inner.downcast_ref::<sqlx::Error>() {
            text = format!("{text}: {}", database.message());
            let postgres = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
            if let Some(hint) = postgres.and_then(sqlx::postgres::PgDatabaseError::hint) {
                text = format!("{text}. {hint}");
            }
            return text;
        }
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Applies every migration that is missing. Says how the schema stands afterwards.
///
/// # Errors
/// [`MigrationError`].
pub async fn up(target: &Target) -> Result<SchemaState, MigrationError> {
    match target {
        Target::Sqlite(path) => sqlite_up(path).await,
        Target::Postgres(url) => {
            let mut conn = postgres_connection(url).await?;
            let outcome = POSTGRES.run_direct(None, &mut conn, false).await;
            let state = postgres_state(&mut conn).await;
            conn.close().await.map_err(StoreError::from)?;
            outcome?;
            Ok(state?)
        }
    }
}

/// Takes back the newest migration, or all of them. What was in the tables is lost.
///
/// # Errors
/// [`MigrationError`].
pub async fn down(target: &Target, all: bool) -> Result<SchemaState, MigrationError> {
    let before = version(target).await?;
    match target {
        Target::Sqlite(path) => {
            let mut conn = sqlite_connection(path).await?;
            let outcome = SQLITE.undo(&mut conn, below(&SQLITE, before.current, all)).await;
            let state = sqlite_state(&mut conn).await;
            if outcome.is_ok() && state.as_ref().is_ok_and(|state| state.current == 0) {
                sqlx::raw_sql("DROP TABLE IF EXISTS _sqlx_migrations")
                    .execute(&mut conn)
                    .await
                    .map_err(StoreError::from)?;
            }
            conn.close().await.map_err(StoreError::from)?;
            outcome?;
            Ok(state?)
        }
        Target::Postgres(url) => {
            let mut conn = postgres_connection(url).await?;
            let outcome = POSTGRES.undo(&mut conn, below(&POSTGRES, before.current, all)).await;
            let state = postgres_state(&mut conn).await;
            if outcome.is_ok() && state.as_ref().is_ok_and(|state| state.current == 0) {
                sqlx::raw_sql("DROP TABLE IF EXISTS _sqlx_migrations")
                    .execute(&mut conn)
                    .await
                    .map_err(StoreError::from)?;
            }
            conn.close().await.map_err(StoreError::from)?;
            outcome?;
            Ok(state?)
        }
    }
}

/// How the schema stands.
///
/// # Errors
/// [`MigrationError::Store`] when the database cannot be asked.
pub async fn version(target: &Target) -> Result<SchemaState, MigrationError> {
    match target {
        Target::Sqlite(path) => {
            let mut conn = sqlite_connection(path).await?;
            let state = sqlite_state(&mut conn).await;
            conn.close().await.map_err(StoreError::from)?;
            Ok(state?)
        }
        Target::Postgres(url) => {
            let mut conn = postgres_connection(url).await?;
            let state = postgres_state(&mut conn).await;
            conn.close().await.map_err(StoreError::from)?;
            Ok(state?)
        }
    }
}

/// The migration that stands below `current`, or 0.
fn below(migrator: &Migrator, current: i64, all: bool) -> i64 {
    if all {
        return 0;
    }
    migrator.iter().map(|migration| migration.version).filter(|version| *version < current).max().unwrap_or(0)
}

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

pub(crate) async fn sqlite_up(path: &Path) -> Result<SchemaState, MigrationError> {
    let begin = Instant::now();
    loop {
        // Several processes may start on one file at once: the migrator's own lock does nothing on SQLite, and neither
        // the change of a new file to WAL nor a transaction that began with a read waits for the other process.
        match sqlite_up_once(path).await {
            Err(error) if is_locked(&error.to_string()) && begin.elapsed() < BUSY_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(None) => {}
            Ok(Some(state)) => return Ok(state),
            Err(error) => return Err(error),
        }
    }
}

/// None: another process came between, and may have more to do; it is to be tried again.
async fn sqlite_up_once(path: &Path) -> Result<Option<SchemaState>, MigrationError> {
    let mut conn = sqlite_connection(path).await?;
    let before = sqlite_state(&mut conn).await?;
    let outcome = async {
        conn.ensure_migrations_table("_sqlx_migrations").await?;
        SQLITE.run_direct(None, &mut conn, false).await
    }
    .await;
    let state = sqlite_state(&mut conn).await;
    conn.close().await.map_err(StoreError::from)?;
    match outcome {
        // The other process won a step: what counts is that the schema gets there, whoever takes the next one. A step
        // that fails by itself stays where it was.
        Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..))
            if state.as_ref().is_ok_and(|state| state.current > before.current) =>
        {
            return Ok(None);
        }
        other => other?,
    }
    Ok(Some(state?))
}

async fn sqlite_connection(path: &Path) -> Result<sqlx::SqliteConnection> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            StoreError::Unavailable(format!("cannot make the folder of the database file: {error}"))
        })?;
    }
    make_private(path)?;
    Ok(sqlx::SqliteConnection::connect_with(&connect_options(path)).await?)
}

/// Makes a missing file readable by nobody else: it holds addresses of people and the key of the list cursors. SQLite
/// gives its companions (`-wal`, `-shm`) the same mode.
fn make_private(path: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // What is wrong with the path is SQLite's to say.
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn postgres_connection(url: &Secret) -> Result<sqlx::PgConnection> {
    let hosts = Hosts::parse(url.expose())?;
    Ok(sqlx::PgConnection::connect_with(&hosts.options(hosts.writable().await?)).await?)
}

pub(crate) async fn sqlite_state(conn: &mut sqlx::SqliteConnection) -> Result<SchemaState> {
    const THERE: &str = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
    let there = sqlx::query(THERE).fetch_optional(&mut *conn).await?.is_some();
    let current = match there {
        true => sqlx::query(NEWEST).fetch_one(conn).await?.try_get::<i64, _>(0)?,
        false => 0,
    };
    Ok(SchemaState { current, wanted: newest(&SQLITE) })
}

pub(crate) async fn postgres_state(conn: &mut sqlx::PgConnection) -> Result<SchemaState> {
    let there = sqlx::query("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *conn).await?;
    if !there.try_get::<bool, _>(0)? {
        return Ok(SchemaState { current: 0, wanted: newest(&POSTGRES) });
    }
    // The service's login needs no right of its own (NOINHERIT): what may be read belongs to the roles that it can take.
    const READABLE: &str = "SELECT has_table_privilege('_sqlx_migrations', 'SELECT')";
    if !sqlx::query(READABLE).fetch_one(&mut *conn).await?.try_get::<bool, _>(0)? {
        sqlx::query(AssertSqlSafe(format!("SET ROLE {}", roles::PLATFORM))).execute(&mut *conn).await?;
    }
    let current = sqlx::query(NEWEST).fetch_one(conn).await?.try_get::<i64, _>(0)?;
    Ok(SchemaState { current, wanted: newest(&POSTGRES) })
}

const NEWEST: &str = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success";

/// Writes two empty migrations, up and down, for each backend into `folder` (the crate's `migrations`).
///
/// # Errors
/// When the name is not `a-z0-9_`, or a file cannot be written.
pub fn create(folder: &Path, stamp: &str, name: &str) -> Result<Vec<PathBuf>, MigrationError> {
    if name.is_empty() || !name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_')) {
        return Err(MigrationError::Failed(format!("the name {name:?} may contain only a-z, 0-9 and _")));
    }
    let mut written = Vec::new();
    for backend in ["postgres", "sqlite"] {
        for direction in ["up", "down"] {
            let path = folder.join(backend).join(format!("{stamp}_{name}.{direction}.sql"));
            let text = format!("-- {backend}, {direction}: say why this change is made.\n");
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
                .map_err(|error| MigrationError::Failed(format!("{}: {error}", path.display())))?;
            written.push(path);
        }
    }
    Ok(written)
}
