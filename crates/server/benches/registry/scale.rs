//! How long the parts of a run take: in full, or shortened to see that every part runs.
//!
//! `BENCH_SHORT=1 make bench` shortens the parts that ask here. Invariant: a short run says so under its table, since its
//! figures mean nothing.

use std::time::Duration;

/// Whether this run is to prove that the parts run, and nothing more.
pub(crate) fn is_short() -> bool {
    std::env::var_os("BENCH_SHORT").is_some_and(|value| !value.is_empty())
}

/// How many rounds are measured of which the medians are compared.
pub(crate) fn rounds() -> usize {
    if is_short() { 2 } else { 11 }
}

/// How long a round takes.
pub(crate) fn length(full: Duration) -> Duration {
    if is_short() { full / 4 } else { full }
}

/// How many of something there are.
pub(crate) fn many(full: u64) -> u64 {
    if is_short() { (full / 100).max(1) } else { full }
}
