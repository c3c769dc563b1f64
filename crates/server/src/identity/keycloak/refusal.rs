//! What of an answer may be told: a fault with one line for operators and the audit log.
//!
//! Everything of this adapter that fails ends as a [`Failure`] made here. Keycloak's error bodies have four shapes and its
//! sentences change between versions: they are shown, shortened, and decide nothing. Invariant: no line has the client's
//! secret, a token, a link or an address of a person in it.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::identity::provider::{FaultKind, IdentityError};

/// How much of a sentence is shown.
const SHOWN_CHARS: usize = 160;

/// A word this long is no word: a token, a key, a page.
const WORD_CHARS: usize = 64;

/// A proxy's idea of "later" is believed up to this.
const LATEST: Duration = Duration::from_secs(3600);

/// A call that did not succeed, with what the adapter itself must know of it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: IdentityError,
    /// What was answered, if something was.
    pub(super) status: Option<StatusCode>,
    /// Whether the server may have done what was asked all the same.
    pub(super) unknown: bool,
    /// Whether it failed without using up its time: only then is there time for another try.
    pub(super) quick: bool,
}

impl Failure {
    /// One that had no effect and will not go away by itself.
    pub(super) fn of(kind: FaultKind, detail: impl Into<String>) -> Self {
        let error = IdentityError { kind, detail: detail.into(), retry_after: None };
        Self { error, status: None, unknown: false, quick: true }
    }

    pub(super) fn is(&self, status: StatusCode) -> bool {
        self.status == Some(status)
    }

    /// Whether looking again may show that what was wanted is there: a conflict (Keycloak says 409 or 400, by who lost the
    /// race how), or an outcome that nobody knows.
    pub(super) fn may_be_there(&self) -> bool {
        self.quick && (self.unknown || self.is(StatusCode::CONFLICT) || self.is(StatusCode::BAD_REQUEST))
    }

    /// The same with another kind and a line of its own.
    pub(super) fn instead(mut self, kind: FaultKind, detail: impl Into<String>) -> Self {
        self.error.kind = kind;
        self.error.detail = detail.into();
        self
    }

    /// The same with a line of its own.
    pub(super) fn instead_detail(mut self, detail: impl Into<String>) -> Self {
        self.error.detail = detail.into();
        self
    }

    /// No answer: what is known of why.
    pub(super) fn of_transport(what: &str, error: &reqwest::Error, hidden: &[&str]) -> Self {
        let why = redacted(&root_cause(error), hidden);
        let (kind, unknown, detail) = match (error.is_connect(), error.is_timeout()) {
            (true, true) => (FaultKind::Unreachable, false, format!("{what}: no connection in time")),
            (true, false) => (FaultKind::Unreachable, false, format!("{what}: no connection: {why}")),
            (false, true) => (FaultKind::Timeout, true, format!("{what}: no answer in time")),
            (false, false) => (FaultKind::Unreachable, true, format!("{what}: the connection ended early: {why}")),
        };
        Self { unknown, quick: !error.is_timeout(), ..Self::of(kind, detail) }
    }

    /// An answer other than success. What 403 and 404 mean is for the caller to say.
    pub(super) fn of_status(what: &str, status: StatusCode, headers: &HeaderMap, body: &[u8], hidden: &[&str]) -> Self {
        let kind = match status.as_u16() {
            401 => FaultKind::TokenRefused,
            403 => FaultKind::MissingRole,
            404 => FaultKind::Gone,
            408 | 429 | 500.. => FaultKind::Unavailable,
            300..=399 => FaultKind::Misconfigured,
            _ => FaultKind::Rejected,
        };
        let said = said(body).map(|text| format!(": {}", redacted(&text, hidden))).unwrap_or_default();
        let detail = format!("{what}: {}{said}", status.as_u16());
        let retry_after = (kind == FaultKind::Unavailable).then(|| retry_after(headers)).flatten();
        let error = IdentityError { kind, detail, retry_after };
        Self { error, status: Some(status), unknown: status.is_server_error(), quick: true }
    }
}

impl From<Failure> for IdentityError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// The innermost error: `Connection refused`, where the outer ones repeat the address.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// RFC 9110 §10.2.3, in seconds. A date would need the server's clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LATEST))
}

/// The sentence in an error body, in any of Keycloak's shapes: `errorMessage` (with `field` and `params` or without),
/// `error` with `error_description` or without, `errors` with several of them. Nothing of a body that is no JSON: pages are
/// long, and say whatever they like.
pub(super) fn said(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_str(&String::from_utf8_lossy(body)).ok()?;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let one =
        |value: &Value| match (text(value, "errorMessage"), text(value, "error"), text(value, "error_description")) {
            (Some(message), ..) => Some(match text(value, "field") {
                Some(field) => format!("{field}: {message}"),
                None => message,
            }),
            (None, Some(code), Some(description)) => Some(format!("{code}: {description}")),
            (None, Some(only), None) | (None, None, Some(only)) => Some(only),
            (None, None, None) => None,
        };
    let several = body.get("errors").and_then(Value::as_array).map(|errors| errors.iter().filter_map(one).collect());
    one(&body).or_else(|| several.map(|several: Vec<String>| several.join("; "))).filter(|text| !text.is_empty())
}

/// A text without what is hidden, and without words that are addresses, links or tokens.
pub(super) fn redacted(text: &str, hidden: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut shown = String::new();
    for word in plain.split_whitespace() {
        let telling = word.contains('@')
            || word.contains("://")
            || word.contains("eyJ")
            || word.contains("key=")
            || word.contains("token=")
            || word.chars().count() > WORD_CHARS;
        let word = if telling { "***" } else { word };
        if shown.chars().count() + word.chars().count() > SHOWN_CHARS {
            shown.push('…');
            break;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        assert_eq!(said(body.as_bytes()).as_deref(), expected, "{body}");
    }

    #[test]
    fn every_shape_of_an_error_body_is_read() {
        check(
            r#"{"errorMessage":"A organization with the same name already exists."}"#,
            Some("A organization with the same name already exists."),
        );
        check(
            r#"{"error":"conflict","error_description":"Duplicate resource error"}"#,
            Some("conflict: Duplicate resource error"),
        );
        check(r#"{"error":"Realm not found."}"#, Some("Realm not found."));
        check(
            r#"{"field":"email","errorMessage":"error-invalid-email","params":["email"]}"#,
            Some("email: error-invalid-email"),
        );
        check(
            r#"{"errors":[{"field":"email","errorMessage":"a"},{"field":"lastName","errorMessage":"b"}]}"#,
            Some("email: a; lastName: b"),
        );
        for nothing in ["", "<html>no</html>", "[]", "{}", r#"{"error":1}"#, r#"{"errors":[]}"#, "null"] {
            check(nothing, None);
        }
        assert_eq!(
            said(b"{\"error\":\"caf\xe9\"}").as_deref(),
            Some("caf\u{fffd}"),
            "bytes that are no text are replaced"
        );
    }

    #[test]
    fn what_is_shown_is_short_and_tells_no_secret() {
        let text =
            "secret hunter2 for max@example.com at https://id.example/x?key=eyJhbGci token eyJhbGci.x.y key=abc\nend";
        assert_eq!(redacted(text, &["hunter2", ""]), "secret *** for *** at *** token *** *** end");
        let long = redacted(&"word ".repeat(10_000), &[]);
        assert!(long.chars().count() <= SHOWN_CHARS + 2 && long.ends_with('…'), "{long}");
        assert_eq!(redacted(&"x".repeat(65), &[]), "***");
    }

    #[test]
    fn a_proxy_may_say_when_to_come_back() {
        let at = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]));
        assert_eq!(at("7"), Some(Duration::from_secs(7)));
        assert_eq!(at("999999"), Some(LATEST));
        for none in ["", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(at(none), None, "{none}");
        }
    }
}
