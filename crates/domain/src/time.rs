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

/// What a time must be, for people.
pub const RFC_3339: &str = "must be an RFC 3339 time with an offset, as 2026-11-21T09:30:00Z";

/// Reads a time of RFC 3339 §5.6, which has an offset, to the microsecond. Laxer spellings of ISO 8601 are none.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let shape = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(b, s)| if s == b'0' { b.is_ascii_digit() } else { b == s })
    };
    let time = rest.strip_prefix(['T', 't'])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.bytes().position(|b| !b.is_ascii_digit())?;
            // Nine digits are what the parser takes; more say nothing that is kept.
            if end == 0 || end > 9 { None } else { fraction.get(end..) }?
        }
        None => rest,
    };
    let offset = matches!(rest, "Z" | "z") || shape(rest, "+00:00") || shape(rest, "-00:00");
    if shape(date, "0000-00-00") && shape(clock, "00:00:00") && offset {
        text.parse().ok().map(to_micros)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_rfc() {
        let micros = |text: &str| parse_rfc3339(text).map(Timestamp::as_microsecond);
        let base = 1_790_000_000_000_000;
        for (good, expected) in [
            ("2026-09-21T14:13:20Z", base),
            ("2026-09-21t14:13:20z", base),
            ("2026-09-21T14:13:20.000001999Z", base + 1),
            ("2026-09-21T16:13:20+02:00", base),
            ("2026-09-21T14:13:20-00:00", base),
            ("1969-12-31T23:59:59.9Z", -100_000),
        ] {
            assert_eq!(micros(good), Some(expected), "{good}");
        }
        for bad in [
            "",
            "now",
            "2026-09-21",
            "2026-09-21T14:13:20",
            "2026-09-21 14:13:20Z",
            "20260921T141320Z",
            "2026-09-21T14:13Z",
            "2026-09-21T14:13:20+0200",
            "2026-09-21T14:13:20+02",
            "2026-09-21T14:13:20,5Z",
            "2026-09-21T14:13:20.Z",
            "2026-09-21T14:13:20.5",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-09-21T25:00:00Z",
            "+002026-09-21T14:13:20Z",
            "2026-09-21T14:13:20Z[Europe/Berlin]",
            "1790000000",
            "2026-09-21T14:13:20+02:00:00",
            " 2026-09-21T14:13:20Z",
            "２026-09-21T14:13:20Z",
        ] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }
}
