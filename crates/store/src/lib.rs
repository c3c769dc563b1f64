//! The store: a port, the contract suite that says what a right backend is, and two backends, SQLite and PostgreSQL.
//!
//! `server` opens one by its connection string and knows no more of it than [`Store`]. Invariant: SQL, SQLSTATEs and
//! constraint names stay inside this crate.

mod error;
pub mod migrate;
mod port;
pub mod postgres;
mod sql;
pub mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Conflict, Result, StoreError};
pub use port::{
    ApiKeys, AuditFilter, AuditLog, Catalog, CatalogReads, ChangePage, Claim, Claimed, EntitlementFilter,
    EntitlementRow, Entitlements, Idempotency, Installation, Page, ProvisioningReads, ProvisioningWork, Publisher,
    ReadTx, Removal, RequestFilter, Saved, SchemaState, Scope, Store, TenantFilter, TenantRoute, Tenants, Tx,
    Unaudited,
};
