//! The rules of single fields of a tenant, which no type can hold.
//!
//! `NewTenant::check`, `TenantPatch::check` and the transitions ask them. Invariant: each says which field broke which rule.

use std::collections::BTreeMap;

use super::{EMAIL_MAX, METADATA_KEY_MAX, METADATA_MAX, METADATA_VALUE_MAX, NAME_MAX, TRIAL_DAYS_MAX};
use crate::error::{FieldCode, Violation};
use crate::text;

pub(super) fn days_out_of_range(field: &str) -> Violation {
    Violation::new(field, FieldCode::OutOfRange, format!("must be between 1 and {TRIAL_DAYS_MAX} days"))
}

pub(super) fn too_many_members(count: usize) -> Violation {
    Violation::new(
        "metadata",
        FieldCode::TooLong,
        format!("may have at most {METADATA_MAX} members, would have {count}"),
    )
}

pub(crate) fn check_name(field: &str, name: &str) -> Vec<Violation> {
    check_text(field, name, NAME_MAX)
}

/// Text for people: not blank, no control characters, at most `max` characters.
pub(super) fn check_text(field: &str, value: &str, max: usize) -> Vec<Violation> {
    let mut violations = Vec::new();
    let length = value.chars().count();
    if value.trim().is_empty() {
        violations.push(Violation::new(field, FieldCode::TooShort, "must not be blank"));
    } else if length > max {
        violations.push(Violation::new(
            field,
            FieldCode::TooLong,
            format!("may have at most {max} characters, has {length}"),
        ));
    }
    if text::has_control(value) {
        violations.push(Violation::new(field, FieldCode::InvalidFormat, "must not contain control characters"));
    }
    violations
}

/// The shape of an address that a mail server can take: one `@`, a local part of at most 64 octets and a domain with a
/// dot (RFC 5321 §4.5.3.1), no spaces or control characters. Whether it exists, only a mail tells.
pub(super) fn check_email(field: &str, email: &str) -> Option<Violation> {
    if email.chars().count() > EMAIL_MAX {
        return Some(Violation::new(field, FieldCode::TooLong, format!("may have at most {EMAIL_MAX} characters")));
    }
    let well_formed = email.rsplit_once('@').is_some_and(|(local, host)| {
        (1..=64).contains(&local.len())
            && !local.contains('@')
            && !email.chars().any(|c| {
                c.is_whitespace()
                    || c.is_control()
                    || matches!(c, '<' | '>' | '(' | ')' | ',' | ';' | ':' | '"' | '\\' | '[' | ']')
            })
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && host.contains('.')
            // A host may end in the root's dot and hold `_`, a mail domain may not (RFC 5321 §4.1.2).
            && !host.ends_with('.')
            && tenancy::normalize_host(host).is_ok_and(|normal| is_mail_domain(&normal))
    });
    (!well_formed).then(|| Violation::new(field, FieldCode::InvalidFormat, "is not an e-mail address"))
}

/// Of a host in normal form.
pub(super) fn is_mail_domain(host: &str) -> bool {
    let label = |label: &str| {
        !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.parse::<std::net::IpAddr>().is_err() && host.split('.').all(label)
}

pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if metadata.len() > METADATA_MAX {
        violations.push(too_many_members(metadata.len()));
    }
    for (key, value) in metadata {
        violations.extend(check_metadata_member(key, Some(value)));
    }
    violations
}

pub(super) fn check_metadata_member(key: &str, value: Option<&str>) -> Vec<Violation> {
    let field = format!("metadata.{key}");
    let mut violations = Vec::new();
    let length = key.chars().count();
    if length == 0 {
        violations.push(Violation::new(&field, FieldCode::TooShort, "a key must not be empty"));
    } else if length > METADATA_KEY_MAX {
        violations.push(Violation::new(
            &field,
            FieldCode::TooLong,
            format!("a key may have at most {METADATA_KEY_MAX} characters, has {length}"),
        ));
    }
    if text::has_control(key) {
        violations.push(Violation::new(&field, FieldCode::InvalidFormat, "a key must not contain control characters"));
    }
    let length = value.map_or(0, |value| value.chars().count());
    if length > METADATA_VALUE_MAX {
        violations.push(Violation::new(
            &field,
            FieldCode::TooLong,
            format!("a value may have at most {METADATA_VALUE_MAX} characters, has {length}"),
        ));
    }
    if value.is_some_and(|value| value.contains('\0')) {
        violations.push(Violation::new(&field, FieldCode::NotAllowed, "must not contain NUL"));
    }
    violations
}
