//! Where SQLite's result codes and messages are read, and nowhere else.

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

use crate::error::{Conflict, StoreError};

/// Primary result codes (<https://www.sqlite.org/rescode.html>): the low byte of an extended one.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const CONSTRAINT: i32 = 19;

/// Whether somebody else has the file: two that open a new one at once, or change its schema, are told so without waiting.
pub(crate) fn is_locked(text: &str) -> bool {
    text.contains("database is locked") || text.contains("database schema is locked")
}

pub(crate) fn read(error: &SqliteError) -> StoreError {
    let text = error.message().to_owned();
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    match code & 0xff {
        CONSTRAINT if text.contains("tenants.slug") => StoreError::Conflict(Conflict::SlugTaken),
        CONSTRAINT if text.contains("tenant_hosts.host, tenant_hosts.prefix") => {
            StoreError::Conflict(Conflict::HostTaken { host: String::new(), prefix: String::new() })
        }
        CONSTRAINT => StoreError::Refused(text),
        BUSY | LOCKED | READONLY | IOERR | FULL | CANTOPEN => StoreError::Unavailable(text),
        INTERRUPT => StoreError::Timeout(text),
        _ => StoreError::Other(text),
    }
}
