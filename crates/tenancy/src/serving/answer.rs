//! What a request is answered with that reaches no tenant.
//!
//! The layers, the extractor and the admin routes write their refusals here and nowhere else. Two shapes: an empty body,
//! for hosts of which not even the existence is said, and problem details (RFC 9457) with a stable `code`. Invariant: a
//! text that somebody else wrote (a [`Reason`](crate::Reason)) is in a body only where `show_reasons` says so.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use crate::registry::Refusal;
use crate::resolver::TENANT_MISMATCH;

/// The same beginning as that of the registry service's problems.
const TYPE: &str = "urn:tenant-registry:problem:";

/// For tenants that wait for somebody to act, and not for a time that is known.
const A_WHILE: Duration = Duration::from_secs(60);

pub(super) enum Answer {
    Empty(StatusCode),
    Problem(Box<Problem>),
}

pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), retry_after: None, challenge: None }
    }

    pub(super) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    pub(super) fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl Answer {
    pub(super) const NOBODY: Self = Self::Empty(StatusCode::NOT_FOUND);

    pub(super) fn refusal(refusal: &Refusal, show_reasons: bool) -> Self {
        let unavailable = |code, title, said: &str, reason: Option<&str>, delay| {
            let detail = match reason.filter(|reason| show_reasons && !reason.is_empty()) {
                Some(reason) => format!("{said}: {reason}"),
                None => format!("{said}."),
            };
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, title, detail).retry_after(delay).into()
        };
        match refusal {
            Refusal::UnknownHost | Refusal::UnknownTenant => Self::NOBODY,
            Refusal::Pending { retry_after } => {
                unavailable("tenant_pending", "Tenant pending", "The tenant is not ready yet", None, *retry_after)
            }
            Refusal::Disabled { reason } => {
                unavailable("tenant_disabled", "Tenant disabled", "The tenant is disabled", Some(reason), A_WHILE)
            }
            Refusal::Suspended { reason } => {
                unavailable("tenant_suspended", "Tenant suspended", "The tenant is suspended", Some(reason), A_WHILE)
            }
        }
    }

    pub(super) fn rejection(status: StatusCode, code: &'static str) -> Self {
        if code == TENANT_MISMATCH {
            let detail = "The request names or proves more than one tenant.";
            return Problem::new(status, code, "Tenant mismatch", detail).into();
        }
        let title = status.canonical_reason().unwrap_or("Refused");
        Problem::new(status, code, title, "The request does not say for which tenant it is in a way that is allowed.")
            .into()
    }

    pub(super) fn mismatch() -> Self {
        Self::rejection(StatusCode::FORBIDDEN, TENANT_MISMATCH)
    }

    pub(super) fn conflicting_hosts() -> Self {
        let detail = "The request names two different hosts.";
        Problem::new(StatusCode::BAD_REQUEST, "host_mismatch", "Host mismatch", detail).into()
    }

    pub(super) fn into_response<R: From<Bytes>>(self) -> Response<R> {
        let problem = match self {
            Self::Empty(status) => {
                let mut response = Response::new(R::from(Bytes::new()));
                *response.status_mut() = status;
                return response;
            }
            Self::Problem(problem) => problem,
        };
        let body = serde_json::json!({
            "type": format!("{TYPE}{}", problem.code),
            "title": problem.title,
            "status": problem.status.as_u16(),
            "detail": problem.detail,
            "code": problem.code,
        });
        let mut response = Response::new(R::from(Bytes::from(body.to_string())));
        *response.status_mut() = problem.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(delay) = problem.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
        }
        if let Some(challenge) = problem.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// RFC 9110 §10.2.3 has whole seconds; none at all would have callers come back at once.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_rounded_up_to_whole_seconds() {
        let rounded = [0, 1, 999, 1_000, 1_001, 59_999].map(|ms| whole_seconds(Duration::from_millis(ms)));
        assert_eq!(rounded, [1, 1, 1, 1, 2, 60]);
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }
}
