//! Time and randomness are parameters, so that tests need no sleeping and snapshots no redaction.
//!
//! Every layer above takes `&dyn Clock` and `&dyn Rng`; only `server` implements them on the operating system.
//! Invariant: a [`Timestamp`] that leaves this crate has microsecond precision, since that is what both stores keep.

use std::fmt::Debug;

pub use jiff::Timestamp;
use jiff::civil::DateTime;
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

/// The instant that is `micros` microseconds after the Unix epoch; instants outside the range become its nearest end.
#[must_use]
pub fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { last_instant() })
}

/// `at` moved by whole days of 24 hours, staying inside the range of RFC 3339 years.
#[must_use]
pub fn plus_days(at: Timestamp, days: i64) -> Timestamp {
    let micros = days.saturating_mul(24 * 3_600 * 1_000_000);
    from_micros(at.as_microsecond().saturating_add(micros))
}

/// What a time must be, for people.
pub const RFC_3339: &str = "must be an RFC 3339 time with an offset, as 2026-11-21T09:30:00Z";

/// The last instant there is here, in the last days of the year 9999: a whole second, since jiff reaches further only by a
/// part of one that stores would round.
#[must_use]
pub fn last_instant() -> Timestamp {
    Timestamp::from_second(Timestamp::MAX.as_second()).unwrap_or(Timestamp::MAX)
}

/// Reads a time of RFC 3339 §5.6, which has an offset, to the microsecond. Laxer spellings of ISO 8601 are none.
///
/// A time after [`last_instant`], as the end of the year 9999 that stands for "never", is taken as that instant. One
/// before the year 0000, once its offset is applied, could not be written in four digits, and is none.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't'])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.bytes().position(|b| !b.is_ascii_digit()).filter(|end| *end > 0)?;
            rest.split_at_checked(end)?
        }
        None => ("0", rest),
    };
    if !has_shape(date, "0000-00-00") || !has_shape(clock, "00:00:00") {
        return None;
    }
    let offset = offset_seconds(offset)?;
    // Nine digits are what the parser takes; more say nothing that is kept.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let local: DateTime = format!("{date}T{clock}.{fraction}").parse().ok()?;
    // Counted from the epoch and not made an instant at once: the clock at the offset may be outside the range.
    let local = local.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_micros();
    let micros = i64::try_from(local).ok()?.checked_sub(offset * 1_000_000)?;
    // 0000-01-01T00:00:00Z.
    const FIRST: i64 = -62_167_219_200_000_000;
    (micros >= FIRST).then(|| from_micros(micros).min(last_instant()))
}

/// Whether a text has a digit where `shape` has a `0`, and elsewhere the same bytes.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(b, s)| if s == b'0' { b.is_ascii_digit() } else { b == s })
}

/// How far ahead of UTC an offset is, in seconds.
fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = if has_shape(text, "+00:00") { 1 } else { -1 };
    if sign < 0 && !has_shape(text, "-00:00") {
        return None;
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
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
            ("2026-09-21T14:13:20.000001999999999999999999Z", base + 1),
            ("2026-09-21T10:43:20.5-03:30", base + 500_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
            ("0000-01-01T00:00:00-01:00", -62_167_215_600_000_000),
            ("0000-01-01T01:00:00+01:00", -62_167_219_200_000_000),
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
            "2026-09-21T14:13:20+24:00",
            "2026-09-21T14:13:20+02:60",
            "2026-09-21T14:13:20.5.5Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-32T00:00:00Z",
        ] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_end_of_time_is_the_last_instant_there_is() {
        assert_eq!(to_micros(last_instant()), last_instant(), "whole microseconds, as the stores keep");
        for never in [
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31T01:00:00+02:00",
            "9999-12-31T23:59:59-23:59",
        ] {
            assert_eq!(parse_rfc3339(never), Some(last_instant()), "{never}");
        }
        assert!(parse_rfc3339("9999-12-30T00:00:00Z").unwrap() < last_instant());
        assert_eq!(parse_rfc3339(&last_instant().to_string()), Some(last_instant()));
    }
}
