//! The crate as an embedder sees it: tables of cases that read like the rules, and properties for what no table holds.
//!
//! One binary for all of it, a file per subject. A case is one line through a `#[track_caller]` check, so that a
//! failure names the line; cases of properties can be raised with `PROPTEST_CASES`.

mod health;
mod host_router;
mod host_router_changes;
mod hosts;
mod lazy_platforms;
mod near;
mod redaction;
mod registry;
mod resolver_chain;
mod resolvers;
mod routes;
mod serving;
mod validators;
