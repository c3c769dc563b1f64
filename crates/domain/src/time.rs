//! Time and randomness are parameters, so that tests need no sleeping and snapshots no redaction.
//!
//! Every layer above takes `&dyn Clock` and `&dyn Rng`; only `server` implements them on the operating system.
//! Invariant: a [`Timestamp`] that leaves this crate has microsecond precision, since that is what both stores keep.

use std::fmt::Debug;

pub use jiff::Timestamp;
pub use jiff::{SignedDuration, Span};

/// Where "now" comes from.
pub trait Clock: Send + Sync + Debug + 'static {
    /// The current instant, in microsecond precision.
    fn now(&self) -> Timestamp;
}

/// Where randomness comes from. Production fills from the operating system's generator.
pub trait Rng: Send + Sync + Debug + 'static {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// Cuts an instant to the microsecond, the precision of both stores.
#[must_use]
pub fn to_micros(at: Timestamp) -> Timestamp {
    from_micros(at.as_microsecond())
}

/// The instant that is `micros` microseconds after the Unix epoch; instants outside jiff's range become its nearest end.
#[must_use]
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// `at` moved by whole days of 24 hours, staying inside the range of RFC 3339 years.
#[must_use]
pub fn plus_days(at: Timestamp, days: i64) -> Timestamp {
    let micros = days.saturating_mul(24 * 3_600 * 1_000_000);
    from_micros(at.as_microsecond().saturating_add(micros))
}
