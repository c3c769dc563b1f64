//! Where tenants are kept, and how patiently the database is asked.
//!
//! The store's constructors and the migration commands read it.
//! Invariant: a connection string with a password exists only inside [`Secret`].

use std::path::PathBuf;
use std::time::Duration;

use domain::Secret;

use super::reader::Reader;

/// A store, by its `DATABASE_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// Nothing durable.
    Memory,
    /// One file.
    Sqlite {
        /// The database's file; `-wal` and `-shm` stand beside it.
        path: PathBuf,
    },
    /// PostgreSQL, possibly several hosts.
    Postgres {
        /// The text as given: hosts separated by commas stay in it.
        url: Secret,
    },
}

impl DatabaseUrl {
    /// Reads `DATABASE_URL`.
    ///
    /// # Errors
    /// The accepted forms, without the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite_path(path.strip_prefix("//").unwrap_or(path));
        }
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        match rest {
            Some("") => Err("names no host; write `postgres://user:password@host:5432/name`".to_owned()),
            Some(rest) if rest.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                Err("contains a space or control character; in a password, write it percent-escaped (`%20`)".to_owned())
            }
            Some(_) => Ok(Self::Postgres { url: Secret::from(text) }),
            None => {
                Err("must be empty (in memory), `sqlite:PATH`, or `postgres://user:password@host:5432/name` with one \
                host or several (`h1:5432,h2:5432`)"
                    .to_owned())
            }
        }
    }

    /// `memory`, `sqlite` or `postgres`, for logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres { .. } => "postgres",
        }
    }
}

/// Other tools take `sqlite::memory:` and options behind `?`; here both would quietly become odd file names.
fn sqlite_path(path: &str) -> Result<DatabaseUrl, String> {
    if path.is_empty() || path == ":memory:" {
        return Err("names no file; leave it empty for a store in memory, or write `sqlite:PATH`".to_owned());
    }
    if path.contains(['?', '\0']) {
        return Err("takes no options; write `sqlite:PATH`".to_owned());
    }
    Ok(DatabaseUrl::Sqlite { path: PathBuf::from(path) })
}

/// Store and migrations.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`.
    pub url: DatabaseUrl,
    /// `MIGRATION_DATABASE_URL`, where it is set.
    pub migration_url: Option<DatabaseUrl>,
    /// `MIGRATE_ON_START`.
    pub migrate_on_start: bool,
    /// `DATABASE_MAX_CONNECTIONS`, per pool of requests.
    pub max_connections: u32,
    /// `DATABASE_STATEMENT_TIMEOUT_SECONDS`.
    pub statement_timeout: Duration,
    /// `DATABASE_LOCK_TIMEOUT_SECONDS`.
    pub lock_timeout: Duration,
    /// `MAX_STALENESS_SECONDS`.
    pub max_staleness: Duration,
}

impl DatabaseConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.parsed("DATABASE_URL", DatabaseUrl::Memory, DatabaseUrl::parse);
        let migration_url = reader.parsed("MIGRATION_DATABASE_URL", DatabaseUrl::Memory, DatabaseUrl::parse);
        let max_connections = reader.number("DATABASE_MAX_CONNECTIONS", 1..=1000);
        Self {
            url,
            migration_url: Some(migration_url).filter(|url| *url != DatabaseUrl::Memory),
            migrate_on_start: reader.boolean("MIGRATE_ON_START"),
            max_connections: u32::try_from(max_connections).unwrap_or(1),
            statement_timeout: reader.seconds("DATABASE_STATEMENT_TIMEOUT_SECONDS", 1..=3600),
            lock_timeout: reader.seconds("DATABASE_LOCK_TIMEOUT_SECONDS", 1..=3600),
            max_staleness: reader.seconds("MAX_STALENESS_SECONDS", 0..=3600),
        }
    }

    /// The login of `migrate`: `MIGRATION_DATABASE_URL`, else `DATABASE_URL`.
    #[must_use]
    pub fn for_migrations(&self) -> &DatabaseUrl {
        self.migration_url.as_ref().unwrap_or(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn sqlite(text: &str, path: &str) {
        assert_eq!(DatabaseUrl::parse(text), Ok(DatabaseUrl::Sqlite { path: PathBuf::from(path) }));
    }

    #[test]
    fn the_three_stores() {
        assert_eq!(DatabaseUrl::parse(""), Ok(DatabaseUrl::Memory));
        sqlite("sqlite:registry.db", "registry.db");
        sqlite("sqlite:/data/registry.db", "/data/registry.db");
        sqlite("sqlite:///data/registry.db", "/data/registry.db");
        for text in
            ["postgres://u:p@h1:5432,h2:5433/r?sslmode=require", "postgresql://h/r", "postgres:///r?host=/run/pg"]
        {
            let DatabaseUrl::Postgres { url } = DatabaseUrl::parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(url.expose(), text);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_accepted_forms_and_without_the_password() {
        for text in [
            "mysql://u:planted@h/r",
            "planted",
            "host=h password=planted",
            "postgres://u:plan ted@h",
            "postgres:planted",
        ] {
            let message = DatabaseUrl::parse(text).unwrap_err();
            assert!(!message.contains("plan"), "{message}");
        }
        assert!(DatabaseUrl::parse("mysql://h").unwrap_err().contains("`sqlite:PATH`"));
        for text in ["sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro", "postgres://"] {
            assert!(DatabaseUrl::parse(text).is_err(), "{text}");
        }
    }
}
