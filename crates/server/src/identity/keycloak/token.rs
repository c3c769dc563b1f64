//! The service account's token: got once for all callers, kept until shortly before it ends.
//!
//! [`super::api::Api`] asks for it before each call and drops it after a 401. A request for a token is a task of its own: a
//! caller that goes away does not end it, and callers that come meanwhile join it. Invariant: one request at a time, and a
//! token that was dropped is not given out again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Secret;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::api::read_capped;
use super::refusal::{Failure, redacted, said};
use crate::identity::provider::FaultKind;

/// So long before its end a token is not used any more: calls take time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(30);

/// No token is kept for longer, whatever the answer says.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What a token lives where the answer does not say: what the realm `master` has.
const USUAL_SECONDS: u64 = 60;

const WHAT: &str = "getting a token";

/// A token as it is used.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) value: Secret,
    /// The roles of `realm-management` in it; none where it shows no such roles, as a lightweight one does not.
    pub(super) roles: Option<BTreeSet<String>>,
    good_until: Instant,
}

/// Whose token it is, and where it is got.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) http: reqwest::Client,
    pub(super) url: Url,
    pub(super) client_id: String,
    pub(super) secret: Secret,
    pub(super) timeout: Duration,
}

/// The one place where the token is kept.
#[derive(Debug, Clone)]
pub(super) struct TokenSource(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    account: Account,
    state: Mutex<State>,
}

type Outcome = Result<Arc<Token>, Failure>;

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    under_way: Option<watch::Receiver<Option<Outcome>>>,
}

impl TokenSource {
    pub(super) fn new(account: Account) -> Self {
        Self(Arc::new(Shared { account, state: Mutex::default() }))
    }

    /// A token that is good for a while.
    pub(super) async fn get(&self) -> Outcome {
        let mut waiting = {
            let mut state = self.0.lock();
            if let Some(token) = state.token.as_ref().filter(|token| Instant::now() < token.good_until) {
                return Ok(Arc::clone(token));
            }
            match &state.under_way {
                Some(waiting) => waiting.clone(),
                None => {
                    let (done, waiting) = watch::channel(None);
                    state.under_way = Some(waiting.clone());
                    let shared = Arc::clone(&self.0);
                    tokio::spawn(async move {
                        let outcome = shared.account.fetch().await;
                        let mut state = shared.lock();
                        state.under_way = None;
                        state.token = outcome.as_ref().ok().cloned();
                        done.send_replace(Some(outcome));
                    });
                    waiting
                }
            }
        };
        if let Ok(outcome) = waiting.wait_for(Option::is_some).await
            && let Some(outcome) = outcome.clone()
        {
            return outcome;
        }
        // The task is gone without an outcome: it panicked, or the runtime is being stopped. The next caller begins anew.
        let mut state = self.0.lock();
        if state.under_way.as_ref().is_some_and(|under_way| under_way.same_channel(&waiting)) {
            state.under_way = None;
        }
        Err(Failure::of(FaultKind::Unreachable, format!("{WHAT}: was broken off")))
    }

    /// Forgets this token; a newer one stays.
    pub(super) fn forget(&self, refused: &Arc<Token>) {
        let mut state = self.0.lock();
        if state.token.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            state.token = None;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    async fn fetch(&self) -> Outcome {
        let asked = Instant::now();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.secret.expose())
            .finish();
        let request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .timeout(self.timeout)
            .body(form);
        let hidden = [self.secret.expose()];
        let lost = |error: &reqwest::Error| {
            // A token more or less does no harm: whatever became of the request, it may be made again.
            Failure { unknown: false, ..Failure::of_transport(WHAT, error, &hidden) }
        };
        // And no status: the one of the call that the token is for would be meant.
        let mut answer = request.send().await.map_err(|error| lost(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = read_capped(&mut answer).await.map_err(|error| lost(&error))?;
        if status == StatusCode::OK {
            return token(&body, asked).map(Arc::new);
        }
        let failure = Failure::of_status(WHAT, status, &headers, &body, &hidden);
        let failure = Failure { unknown: false, status: None, ..failure };
        let said = said(&body).map(|text| format!(" ({})", redacted(&text, &hidden))).unwrap_or_default();
        Err(match status.as_u16() {
            400 | 401 => failure.instead(
                FaultKind::BadCredentials,
                format!(
                    "the service account is refused{said}: KEYCLOAK_CLIENT_ID or KEYCLOAK_CLIENT_SECRET is wrong, or the client \
                     is disabled or has no service account"
                ),
            ),
            403 => failure
                .instead(FaultKind::Misconfigured, format!("no token is given{said}: the realm is disabled, or a proxy forbids it")),
            404 => failure.instead(
                FaultKind::Misconfigured,
                format!(
                    "no token endpoint{said}: KEYCLOAK_REALM is not there, or KEYCLOAK_ADMIN_URL is not the base address \
                     (no /auth since Keycloak 17)"
                ),
            ),
            300..=399 => failure.instead(
                FaultKind::Misconfigured,
                "the token endpoint redirects: KEYCLOAK_ADMIN_URL must be the address itself (http or https, host)",
            ),
            _ => failure,
        })
    }
}

/// The token in an answer.
fn token(body: &[u8], asked: Instant) -> Result<Token, Failure> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(value) = body.get("access_token").and_then(Value::as_str).filter(|value| is_token(value)) else {
        let detail =
            "the token endpoint gives no token: does KEYCLOAK_ADMIN_URL lead to Keycloak, or to a page before it?";
        return Err(Failure::of(FaultKind::BadCredentials, detail));
    };
    let lifetime = Duration::from_secs(body.get("expires_in").and_then(Value::as_u64).unwrap_or(USUAL_SECONDS));
    let lifetime = lifetime.min(LONGEST);
    let kept = lifetime.checked_sub(MARGIN).filter(|kept| !kept.is_zero()).unwrap_or(lifetime / 2);
    Ok(Token { roles: roles(value), value: Secret::from(value), good_until: asked + kept })
}

/// RFC 6750 §2.1: what may stand behind `Bearer`.
fn is_token(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic())
}

/// The roles of `realm-management` in a token. Read to say what is missing, never to decide: its signature is not looked at.
fn roles(token: &str) -> Option<BTreeSet<String>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let roles = claims.get("resource_access")?.get("realm-management")?.get("roles")?.as_array()?;
    Some(roles.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        let asked = Instant::now();
        let kept = |body: &str| token(body.as_bytes(), asked).map(|token| token.good_until - asked).unwrap();
        assert_eq!(kept(r#"{"access_token":"a","expires_in":300}"#), Duration::from_secs(270));
        assert_eq!(kept(r#"{"access_token":"a","expires_in":31}"#), Duration::from_secs(1));
        assert_eq!(kept(r#"{"access_token":"a","expires_in":20}"#), Duration::from_secs(10), "short ones too");
        assert_eq!(kept(r#"{"access_token":"a","expires_in":"soon"}"#), Duration::from_secs(30));
        let endless = format!(r#"{{"access_token":"a","expires_in":{}}}"#, u64::MAX);
        assert_eq!(kept(&endless), LONGEST - MARGIN, "no more than an instant can hold");
        for none in ["", "<html>", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a b"}"#, r#"{"access_token":1}"#]
        {
            assert_eq!(token(none.as_bytes(), asked).unwrap_err().error.kind, FaultKind::BadCredentials, "{none}");
        }
    }

    #[test]
    fn roles_are_read_where_the_token_shows_them() {
        let of = |claims: &str| roles(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims)));
        let shown = of(r#"{"resource_access":{"realm-management":{"roles":["manage-users","view-users"]}}}"#).unwrap();
        assert!(shown.contains("manage-users") && shown.len() == 2, "{shown:?}");
        for none in [r#"{}"#, r#"{"resource_access":{"account":{"roles":[]}}}"#, "x"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(roles("opaque"), None);
    }
}
