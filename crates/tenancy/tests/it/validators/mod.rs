//! The validators that the crate brings along, against servers on this machine.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which clippy does not take for tests")]

mod all_of;
mod fetching;
mod http_probe;
mod jwks;
mod noop;
mod server;

use tenancy::{ValidationTarget, Validator, Verdict};

fn target(urls: &[&str]) -> ValidationTarget {
    ValidationTarget::new("acme", urls.iter().copied())
}

/// The reason of a failure that is a lasting one.
#[track_caller]
fn lasting(verdict: Verdict) -> String {
    match verdict {
        Verdict::Permanent(reason) => reason.to_string(),
        other => panic!("not a lasting failure: {other:?}"),
    }
}

/// The reason of a failure that is a passing one.
#[track_caller]
fn passing(verdict: Verdict) -> String {
    match verdict {
        Verdict::Transient(reason) => reason.to_string(),
        other => panic!("not a passing failure: {other:?}"),
    }
}

/// Without the trait in every file.
async fn verdict(validator: &impl Validator, target: &ValidationTarget) -> Verdict {
    validator.validate(target).await
}
