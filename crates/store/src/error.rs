//! What a store can answer beside rows. SQLSTATEs and constraint names are read in `<backend>/error.rs` and nowhere else.
//!
//! Invariant: not found is an `Option` and never an error; a lost race over a name is a typed [`Conflict`].

use domain::Error;

/// The result of every store call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a store call failed. The transaction that it belonged to is finished.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else has it.
    #[error("conflict: {0}")]
    Conflict(Conflict),
    /// An earlier call of this transaction failed, so nothing more can be done with it.
    #[error("the transaction is finished, because an earlier call failed")]
    Finished,
    /// A check of the database refused the row: the rule stands above too, so this is a fault of ours.
    #[error("the database refused a row: {0}")]
    Refused(String),
    /// The database is away, overloaded, or not to be written to.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// It took longer than the limit of a statement or a lock.
    #[error("the database took too long: {0}")]
    Timeout(String),
    /// What was read is not what was ever written.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// Anything else.
    #[error("database error: {0}")]
    Other(String),
}

/// What somebody else has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// The host route.
    #[error("the route {host}{prefix} is taken")]
    HostTaken {
        /// Host in normal form.
        host: String,
        /// Prefix in normal form.
        prefix: String,
    },
    /// The row changed since it was read.
    #[error("the row changed since it was read")]
    Stale,
    /// The idempotency reservation ran out and went to somebody else.
    #[error("the idempotency reservation was lost")]
    ReservationLost,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(Conflict::HostTaken { host, prefix }) => Self::HostTaken { host, prefix },
            StoreError::Conflict(Conflict::ReservationLost) => Self::IdempotencyInProgress,
            StoreError::Unavailable(internal) => Self::Unavailable { internal },
            StoreError::Timeout(internal) => Self::Unavailable { internal },
            StoreError::Conflict(Conflict::SlugTaken | Conflict::Stale)
            | StoreError::Finished
            | StoreError::Refused(_)
            | StoreError::Damaged(_)
            | StoreError::Other(_) => Self::internal(error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            if let Some(postgres) = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                return crate::postgres::error::read(postgres);
            }
            if let Some(sqlite) = database.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                return crate::sqlite::error::read(sqlite);
            }
        }
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => Self::Damaged(error.to_string()),
            other => Self::Other(other.to_string()),
        }
    }
}
