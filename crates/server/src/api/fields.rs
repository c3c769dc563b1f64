//! Members of inputs whose text has a form that the schema names and does not check: ids and times.
//!
//! Invariant: what is read here is what this service gives out: hyphenated UUIDs, and RFC 3339 times of whole
//! microseconds.

use domain::time::to_micros;
use domain::{FieldCode, TenantId, Timestamp, Violation};

/// The tenant that a body or a query names.
///
/// # Errors
/// `invalid_format`.
pub fn tenant_id(field: &str, text: &str) -> Result<TenantId, Violation> {
    text.parse().map_err(|_| Violation::new(field, FieldCode::InvalidFormat, "is not a UUID"))
}

/// A time (RFC 3339 §5.6), with its offset, cut to the microsecond.
///
/// # Errors
/// `invalid_format`.
pub fn instant(field: &str, text: &str) -> Result<Timestamp, Violation> {
    let invalid = || Violation::new(field, FieldCode::InvalidFormat, "is not a time of RFC 3339 with its offset");
    if !has_the_form(text.as_bytes()) {
        return Err(invalid());
    }
    text.to_ascii_uppercase().parse().map(to_micros).map_err(|_| invalid())
}

/// The parser knows more forms than the standard.
fn has_the_form(text: &[u8]) -> bool {
    let fits = |pattern: &[u8], text: &[u8]| {
        pattern.len() == text.len()
            && pattern.iter().zip(text).all(|(wanted, found)| match wanted {
                b'0' => found.is_ascii_digit(),
                other => found.eq_ignore_ascii_case(other),
            })
    };
    let Some((begin, mut rest)) = text.split_at_checked(19) else { return false };
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = fraction.get(digits..).unwrap_or_default();
    }
    fits(b"0000-00-00T00:00:00", begin) && (fits(b"Z", rest) || fits(b"+00:00", rest) || fits(b"-00:00", rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(instant("at", text).ok().map(|at| at.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn times_are_those_of_the_standard() {
        check("2026-11-21T10:00:00Z", Some("2026-11-21T10:00:00Z"));
        check("2026-11-21t10:00:00z", Some("2026-11-21T10:00:00Z"));
        check("2026-11-21T10:00:00.5Z", Some("2026-11-21T10:00:00.5Z"));
        check("2026-11-21T10:00:00.123456789Z", Some("2026-11-21T10:00:00.123456Z"));
        check("2026-11-21T10:00:00+02:00", Some("2026-11-21T08:00:00Z"));
        check("2026-11-21T00:00:00-00:30", Some("2026-11-21T00:30:00Z"));
        check("9999-12-30T23:59:59Z", Some("9999-12-30T23:59:59Z"));
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21T10:00Z",
            "2026-11-21T10:00:00",
            "2026-11-21 10:00:00Z",
            "2026-11-21T10:00:00.Z",
            "2026-11-21T10:00:00+0200",
            "2026-11-21T10:00:00+02",
            "2026-11-21T10:00:00Z[UTC]",
            "2026-13-01T10:00:00Z",
            "2026-02-30T10:00:00Z",
            "2026-11-21T25:00:00Z",
            "20261121T100000Z",
            "+002026-11-21T10:00:00Z",
            "1795255200",
            "tomorrow",
            "2026-11-21T10:00:00Zz",
            "２026-11-21T10:00:00Z",
        ] {
            check(bad, None);
        }
    }
}
