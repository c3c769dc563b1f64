//! Members of inputs whose text has a form that the schema names and does not check: ids and times.
//!
//! Invariant: what is read here is what this service gives out: hyphenated UUIDs, and RFC 3339 times of whole
//! microseconds.

use domain::time::{RFC_3339, parse_rfc3339};
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
    parse_rfc3339(text).ok_or_else(|| Violation::new(field, FieldCode::InvalidFormat, RFC_3339))
}
