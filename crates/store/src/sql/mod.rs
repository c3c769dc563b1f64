//! What both backends say to their database in the same words: the SQL stands here once, and a macro stamps it onto
//! each backend's transaction type. What differs (row security, locks, the feed) lives in the backend's folder.
//!
//! Invariant: every query of a tenant's transaction carries that tenant's predicate, as its first parameter or, where a page
//! is put together, as its first condition, so that a backend without row security shows a tenant no more than one with it.

use crate::error::{Result, StoreError};
use crate::port::Scope;

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod catalog;
pub(crate) mod changes;
pub(crate) mod idempotency;
pub(crate) mod installation;
pub(crate) mod provisioning;
pub(crate) mod read_tx;
pub(crate) mod tenants;
pub(crate) mod types;

/// Runs a piece of work on the connection of a live transaction, and finishes the transaction when it fails.
macro_rules! attempt {
    ($tx:expr, $conn:ident => $body:block) => {{
        let outcome: $crate::error::Result<_> = match $tx.live() {
            Ok($conn) => async { $body }.await,
            Err(error) => Err(error),
        };
        $tx.settle(outcome)
    }};
    // The same for what only the platform may write: PostgreSQL's grants say so too, SQLite has none.
    ($tx:expr, platform $conn:ident => $body:block) => {{
        let scope = $tx.scope;
        let outcome: $crate::error::Result<_> = match $tx.live() {
            Ok($conn) => {
                async {
                    $crate::sql::platform_only(scope)?;
                    $body
                }
                .await
            }
            Err(error) => Err(error),
        };
        $tx.settle(outcome)
    }};
}
pub(crate) use attempt;

/// Refuses what a tenant's transaction may not write.
pub(crate) fn platform_only(scope: Scope) -> Result<()> {
    match scope {
        Scope::Platform => Ok(()),
        Scope::Tenant(id) => Err(StoreError::Refused(format!("a transaction of tenant {id} may not write this"))),
    }
}
