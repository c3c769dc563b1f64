//! The service as its users have it: over HTTP, on both stores.
//!
//! One binary, a file per resource. Helpers go through the public API.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "in a test a failure is the answer"
)]
#![expect(unreachable_pub, missing_docs, reason = "a test binary has no users")]

mod process;
mod support;
mod tenants;
mod tokens;
