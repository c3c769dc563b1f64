//! The service as its users have it: over HTTP, on both stores.
//!
//! One binary, a file per resource. Helpers go through the public API.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "in a test a failure is the answer"
)]
mod api_keys;
mod audit;
mod auth;
mod bad_input;
mod catalog;
mod claims;
mod directory;
mod entitlements;
mod idempotency;
mod keycloak;
mod manners;
mod operations;
mod process;
mod support;
mod tenants;
mod tidy;
mod tokens;
