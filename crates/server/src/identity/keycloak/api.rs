//! One call of the Admin API: its token, its time limit, its repetitions, and what its answer means.
//!
//! The files beside this one say what is called; nothing else here sends to Keycloak but [`super::token`]. Repeated is only
//! what may be: calls that had no connection, and of the others those that do the same however often (GET, PUT, DELETE, and
//! POSTs marked so). Invariant: one call is answered within its own limit times its tries, and no redirect is followed.

use std::sync::Arc;
use std::time::Duration;

use domain::{Rng, Secret};
use reqwest::header::LOCATION;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::refusal::Failure;
use super::settings::{Limits, below};
use super::token::{Token, TokenSource};
use crate::identity::provider::FaultKind;

/// The answers that are read have some kilobytes.
const MAX_BODY: usize = 1 << 20;

/// A longer wait than this is the caller's.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Which roles of `realm-management` a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Organizations,
    Users,
    Both,
}

/// Whether a call may be made again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It does the same however often.
    Freely,
    /// It would do it again.
    Never,
    /// It would, it waits for a mail server, and its 500 is about that.
    Mail,
}

/// A call below `/admin/realms/{realm}`.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// In words, for whoever reads that it failed.
    pub(super) what: &'static str,
    pub(super) needs: Needs,
    pub(super) repeat: Repeat,
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<Value>,
    /// Whether 404 means that a thing with an id is not there; otherwise it means the realm or a switch of it.
    pub(super) names_a_thing: bool,
}

impl<'a> Call<'a> {
    /// Reads a list or searches one.
    pub(super) fn list(what: &'static str, needs: Needs, path: &'a [&'a str], query: &'a [(&'a str, &'a str)]) -> Self {
        let (method, repeat) = (Method::GET, Repeat::Freely);
        Self { what, needs, repeat, method, path, query, body: None, names_a_thing: false }
    }

    /// Does something with a thing that has an id.
    pub(super) fn thing(what: &'static str, needs: Needs, method: Method, path: &'a [&'a str]) -> Self {
        let repeat = if method == Method::POST { Repeat::Never } else { Repeat::Freely };
        Self { what, needs, repeat, method, path, query: &[], body: None, names_a_thing: true }
    }

    /// Makes something in a list.
    pub(super) fn create(what: &'static str, needs: Needs, path: &'a [&'a str], body: Value) -> Self {
        let (method, repeat) = (Method::POST, Repeat::Never);
        Self { what, needs, repeat, method, path, query: &[], body: Some(body), names_a_thing: false }
    }

    pub(super) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    pub(super) fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(super) fn repeat(self, repeat: Repeat) -> Self {
        Self { repeat, ..self }
    }

    /// A list within a thing: 404 is about the thing.
    pub(super) fn of_a_thing(self) -> Self {
        Self { names_a_thing: true, ..self }
    }
}

/// A success.
#[derive(Debug)]
pub(super) struct Answer {
    location: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// What it says. Members that we do not know are passed over.
    pub(super) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::of(FaultKind::Garbled, format!("{what}: the answer cannot be understood")))
    }
}

/// The Admin API of a realm.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) http: reqwest::Client,
    /// `…/admin/realms/{realm}`.
    pub(super) realm: Url,
    pub(super) tokens: TokenSource,
    pub(super) secret: Secret,
    pub(super) limits: Limits,
    pub(super) rng: Arc<dyn Rng>,
}

impl Api {
    /// Makes the call, again where that is safe.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, Failure> {
        let mut tries = 0;
        loop {
            let failure = match self.authorized(&call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if tries >= self.limits.retries
                || !is_repeatable(&failure, call.repeat)
                || !self.pause(&failure, tries).await
            {
                return Err(self.explained(&call, failure).await);
            }
            tries += 1;
        }
    }

    /// The JSON of an answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Failure> {
        let what = call.what;
        self.send(call).await?.json(what)
    }

    /// The same, or none where the thing is not there.
    pub(super) async fn find<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, Failure> {
        match self.get(call).await {
            Err(failure) if failure.error.kind == FaultKind::Gone => Ok(None),
            other => other.map(Some),
        }
    }

    /// Waits before the next try, unless whoever answered wants to be left alone for longer than is worth waiting here.
    pub(super) async fn pause(&self, failure: &Failure, tries: u32) -> bool {
        let mut chance = [0; 2];
        self.rng.fill(&mut chance);
        let full = self.limits.pause.saturating_mul(1 << tries.min(8)).min(LONGEST_PAUSE);
        // Between half of it and all of it, so that callers who failed together do not come back together.
        let jittered = full / 2 + (full / 2).mul_f64(f64::from(u16::from_le_bytes(chance)) / f64::from(u16::MAX));
        let pause = failure.error.retry_after.unwrap_or(jittered);
        if pause > LONGEST_PAUSE {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }

    /// One try, with a second token where the first is refused.
    async fn authorized(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let token = self.tokens.get().await?;
        match self.once(call, &token).await {
            Err(failure) if failure.is(StatusCode::UNAUTHORIZED) => self.tokens.forget(&token),
            other => return other,
        }
        let token = self.tokens.get().await?;
        self.once(call, &token).await.inspect_err(|failure| {
            if failure.is(StatusCode::UNAUTHORIZED) {
                self.tokens.forget(&token);
            }
        })
    }

    async fn once(&self, call: &Call<'_>, token: &Token) -> Result<Answer, Failure> {
        let Some(mut url) = below(&self.realm, call.path) else {
            return Err(Failure::of(FaultKind::Gone, format!("{}: that is no id", call.what)));
        };
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let limit = if call.repeat == Repeat::Mail { self.limits.mail_call } else { self.limits.call };
        let mut request: RequestBuilder = self
            .http
            .request(call.method.clone(), url)
            .bearer_auth(token.value.expose())
            .header("accept", "application/json")
            .timeout(limit);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let hidden = [self.secret.expose(), token.value.expose()];
        let lost = |error: &reqwest::Error| Failure::of_transport(call.what, error, &hidden);
        let mut answer = request.send().await.map_err(|error| lost(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = read_capped(&mut answer).await;
        if !status.is_success() {
            // Whatever became of its body, this is the answer.
            let body = body.unwrap_or_default();
            return Err(Failure::of_status(call.what, status, &headers, &body, &hidden));
        }
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { location, body: body.map_err(|error| lost(&error))? })
    }

    /// The failure with what it means here: which role is missing, what a 404 is about, whose fault a 500 is.
    async fn explained(&self, call: &Call<'_>, failure: Failure) -> Failure {
        let what = call.what;
        match failure.status.map(|status| status.as_u16()) {
            Some(401) => failure.instead(
                FaultKind::TokenRefused,
                format!(
                    "{what}: a new token is refused as well: KEYCLOAK_ADMIN_URL must have the host that Keycloak puts into `iss` \
                     (KC_HOSTNAME)"
                ),
            ),
            Some(403) => {
                let lacking = self.lacking(call.needs).await;
                failure.instead(FaultKind::MissingRole, format!("{what}: {lacking}"))
            }
            Some(404) if call.names_a_thing => match self.is_realm_there().await {
                Ok(()) => failure,
                Err(other) => other,
            },
            Some(404) => {
                let detail = format!(
                    "{}: organizations are switched off in the realm, or KEYCLOAK_REALM is not there, or KEYCLOAK_ADMIN_URL \
                     leads elsewhere",
                    failure.error.detail
                );
                failure.instead(FaultKind::Misconfigured, detail)
            }
            Some(300..=399) => failure.instead(
                FaultKind::Misconfigured,
                format!("{what}: a redirect: KEYCLOAK_ADMIN_URL must be the address itself (http or https, host)"),
            ),
            Some(500) if call.repeat == Repeat::Mail => {
                let detail = failure.error.detail.clone();
                failure.instead(FaultKind::MailFailed, detail)
            }
            _ => failure,
        }
    }

    /// Asks for something that is always there, to tell a missing thing from a missing realm.
    async fn is_realm_there(&self) -> Result<(), Failure> {
        let call = Call::list(
            "looking for the realm's organizations",
            Needs::Organizations,
            &["organizations"],
            &[("max", "1")],
        );
        match self.authorized(&call).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(Box::pin(self.explained(&call, failure)).await),
        }
    }

    /// Which of the needed roles the token does not show.
    pub(super) async fn lacking(&self, needs: Needs) -> String {
        let token = match self.tokens.get().await {
            Ok(token) => token,
            Err(failure) => return failure.error.detail,
        };
        lacking(&token, needs)
            .unwrap_or_else(|| "the service account may not do this, though its token has the roles".to_owned())
    }
}

/// Which of the needed roles a token does not show, as a sentence; none where it shows them all.
pub(super) fn lacking(token: &Token, needs: Needs) -> Option<String> {
    let mut needed = Vec::new();
    if needs != Needs::Users {
        needed.push(("manage-organizations", "manage-realm"));
    }
    if needs != Needs::Organizations {
        needed.push(("manage-users", "manage-users"));
    }
    let names = |roles: &[(&str, &str)]| roles.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
    let Some(roles) = &token.roles else {
        return Some(format!(
            "the service account's token has no roles of realm-management, {} among them: they were not given, or \
             fullScopeAllowed is off for the client",
            names(&needed)
        ));
    };
    needed.retain(|(name, older)| !roles.contains(*name) && !roles.contains(*older));
    (!needed.is_empty()).then(|| format!("the service account lacks {} of realm-management", names(&needed)))
}

fn is_repeatable(failure: &Failure, repeat: Repeat) -> bool {
    if !failure.quick {
        return false;
    }
    let passing = matches!(failure.error.kind, FaultKind::Unreachable | FaultKind::Unavailable);
    match (failure.status, repeat) {
        // Whoever asks us to slow down has not done it: 429 and 503 are said before the work.
        _ if !failure.unknown => passing && (failure.status.is_none() || repeat == Repeat::Freely),
        (_, Repeat::Freely) => passing,
        (_, Repeat::Never | Repeat::Mail) => false,
    }
}

/// The body of an answer, or as much of it as is worth reading.
pub(super) async fn read_capped(answer: &mut reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = MAX_BODY - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_BODY {
            break;
        }
    }
    Ok(body)
}

/// The id that an answer's `Location` ends in, where it points below the list that was posted to. Behind some proxies it is
/// missing or names another host; then the caller looks the thing up.
pub(super) fn id_in_location(answer: &Answer, list: &Url) -> Option<String> {
    let location = Url::parse(answer.location.as_deref()?).ok()?;
    let same = location.scheme() == list.scheme()
        && location.host() == list.host()
        && location.port_or_known_default() == list.port_or_known_default();
    let id = location.path().strip_prefix(list.path())?.strip_prefix('/')?;
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (same && plain).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_from_a_location_below_the_list_alone() {
        let list = Url::parse("http://h:8080/sub/admin/realms/r/users").unwrap();
        let id = |location: Option<&str>| {
            id_in_location(&Answer { location: location.map(str::to_owned), body: Vec::new() }, &list)
        };
        assert_eq!(id(Some("http://h:8080/sub/admin/realms/r/users/5a-b")).as_deref(), Some("5a-b"));
        for not in [
            "http://other:8080/sub/admin/realms/r/users/5a-b",
            "https://h:8080/sub/admin/realms/r/users/5a-b",
            "http://h:8080/admin/realms/r/users/5a-b",
            "http://h:8080/sub/admin/realms/r/users/",
            "http://h:8080/sub/admin/realms/r/users/5a/b",
            "/sub/admin/realms/r/users/5a-b",
            "",
        ] {
            assert_eq!(id(Some(not)), None, "{not}");
        }
        assert_eq!(id(None), None);
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let status = |code: u16| {
            Failure::of_status("x", StatusCode::from_u16(code).unwrap(), &reqwest::header::HeaderMap::new(), b"", &[])
        };
        for code in [429, 500, 502, 503, 504] {
            assert!(is_repeatable(&status(code), Repeat::Freely), "{code}");
            assert!(!is_repeatable(&status(code), Repeat::Never), "{code}");
            assert!(!is_repeatable(&status(code), Repeat::Mail), "{code}");
        }
        for code in [301, 400, 401, 403, 404, 409, 415] {
            assert!(!is_repeatable(&status(code), Repeat::Freely), "{code}");
        }
        let refused = Failure::of(FaultKind::Unreachable, "");
        let cut = Failure { unknown: true, ..refused.clone() };
        let timeout = Failure { quick: false, ..Failure::of(FaultKind::Timeout, "") };
        for repeat in [Repeat::Freely, Repeat::Never, Repeat::Mail] {
            assert!(is_repeatable(&refused, repeat), "nothing was sent");
            assert_eq!(is_repeatable(&cut, repeat), repeat == Repeat::Freely);
            assert!(!is_repeatable(&timeout, repeat), "its time is used up");
        }
    }
}
