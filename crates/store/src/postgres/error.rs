//! Where PostgreSQL's SQLSTATEs and constraint names are read, and nowhere else.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::error::{Conflict, StoreError};

/// Reads an error of the server (codes: PostgreSQL documentation, appendix A).
pub(crate) fn read(error: &PgDatabaseError) -> StoreError {
    let text = || format!("{} (SQLSTATE {})", error.message(), error.code());
    match (error.code(), error.constraint()) {
        ("23505", Some("tenants_slug_unique")) => StoreError::Conflict(Conflict::SlugTaken),
        ("23505", Some("tenant_hosts_route")) => {
            StoreError::Conflict(Conflict::HostTaken { host: String::new(), prefix: String::new() })
        }
        // Integrity constraints, row security and missing grants, data that does not fit.
        (code, _) if code.starts_with("23") || code.starts_with("22") || code == "42501" => StoreError::Refused(text()),
        // lock_not_available, query_canceled (statement_timeout), idle_in_transaction_session_timeout
        ("55P03" | "57014" | "25P03", _) => StoreError::Timeout(text()),
        // serialization_failure, deadlock_detected, read_only_sql_transaction (the writable host moved)
        ("40001" | "40P01" | "25006", _) => StoreError::Unavailable(text()),
        // connection exceptions, insufficient resources, operator intervention, system errors
        (code, _) if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Unavailable(text())
        }
        _ => StoreError::Other(text()),
    }
}

/// Whether the connection is gone, with or without a word of the server: what was under way may have been done or not.
/// After any other error of the server it was not.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        _ => false,
    }
}
