//! Tenants over HTTP, contract §3 line by line.
//!
//! One file per call or subject. Invariant: a refused request leaves no trace, which the helper `refused` checks.

mod by_host;
mod clock;
mod create;
mod delete;
mod edges;
mod hosts;
mod lifecycle;
mod list;
mod update;
