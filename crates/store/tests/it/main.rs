//! The store as its callers see it, in one binary: the contract suite on every backend, and a file per subject for what
//! only one backend can do.
//!
//! PostgreSQL is private to this process (`store::testing::postgres`). Invariant: without it the run fails, unless
//! TEST_SHORT=1 asks to leave it out, and then each test says so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which clippy does not take for tests")]

mod audit_months;
mod contract;
mod lists_sqlite;
mod migrations;
mod postgres_feed;
mod postgres_hosts;
mod postgres_keys;
mod postgres_publishing;
mod roles;
mod sqlite_full;
mod support;
