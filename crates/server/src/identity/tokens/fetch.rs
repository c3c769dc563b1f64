//! Gets the issuer's key set over HTTP: discovery (OpenID Connect Discovery §4), then the JWKS (RFC 7517 §5).
//!
//! Called by [`super::source`] alone, which decides when. Whoever controls these answers controls who may log in, so nothing is
//! followed or guessed: no redirect, no foreign issuer, no step down from https.
//! Invariant: one call costs at most two requests and two bodies of 1 MiB; the time limit around it is the caller's.

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use url::Url;

use super::keys::{SigningKey, usable_keys};

/// A realm's key set has some kilobytes; certificate chains may make it a hundred.
const MAX_BODY_BYTES: usize = 1 << 20;

const DISCOVERY: &str = "discovery document";
const KEY_SET: &str = "key set";

/// Why there are no new keys. For the log only.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the issuer's {what} could not be fetched")]
    Request { what: &'static str, source: reqwest::Error },
    #[error("the issuer answered {status} for its {what}")]
    Status { what: &'static str, status: StatusCode },
    #[error("the issuer's {what} is larger than 1 MiB")]
    TooLarge { what: &'static str },
    #[error("the issuer's {what} is not the JSON document that it should be")]
    Malformed { what: &'static str },
    #[error("the discovery document is that of another issuer")]
    ForeignIssuer,
    #[error("the discovery document's jwks_uri is no usable address")]
    BadJwksUri,
    #[error("the issuer's key set has no usable signing key")]
    NoKeys,
    #[error("the issuer did not answer in time")]
    TimedOut,
}

/// The issuer's keys as they are now, at least one.
pub(super) async fn fetch_keys(http: &Client, issuer: &str) -> Result<Vec<SigningKey>, FetchError> {
    let jwks_uri = discover(http, issuer).await?;
    let document = match get(http, jwks_uri.as_str(), KEY_SET).await? {
        Answer::Body(document) => document,
        Answer::NotFound => return Err(FetchError::Status { what: KEY_SET, status: StatusCode::NOT_FOUND }),
    };
    let keys = usable_keys(&document).ok_or(FetchError::Malformed { what: KEY_SET })?;
    // A set without keys is a broken proxy or a realm being imported, more likely than an issuer that means it.
    if keys.is_empty() { Err(FetchError::NoKeys) } else { Ok(keys) }
}

async fn discover(http: &Client, issuer: &str) -> Result<Url, FetchError> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        jwks_uri: String,
    }
    // OpenID Connect Discovery §4.1: a terminating slash goes before the path is appended.
    let base = issuer.trim_end_matches('/');
    let document = match get(http, &format!("{base}/.well-known/openid-configuration"), DISCOVERY).await? {
        Answer::Body(document) => document,
        Answer::NotFound => {
            return Url::parse(&format!("{base}/protocol/openid-connect/certs")).map_err(|_| FetchError::BadJwksUri);
        }
    };
    let document: Document =
        serde_json::from_slice(&document).map_err(|_| FetchError::Malformed { what: DISCOVERY })?;
    // OpenID Connect Discovery §4.3, RFC 8414 §3.3: the same text, or it is an impersonation or the hostname trap.
    if document.issuer != issuer {
        return Err(FetchError::ForeignIssuer);
    }
    usable_jwks_uri(issuer, &document.jwks_uri).ok_or(FetchError::BadJwksUri)
}

/// Any host, since the issuer says so, but https stays https.
fn usable_jwks_uri(issuer: &str, jwks_uri: &str) -> Option<Url> {
    let jwks_uri = Url::parse(jwks_uri).ok()?;
    let issuer = Url::parse(issuer).ok()?;
    match (issuer.scheme(), jwks_uri.scheme()) {
        (_, "https") | ("http", "http") => Some(jwks_uri),
        _ => None,
    }
}

enum Answer {
    Body(Vec<u8>),
    NotFound,
}

async fn get(http: &Client, url: &str, what: &'static str) -> Result<Answer, FetchError> {
    let request_failed = |source| FetchError::Request { what, source };
    let mut response = http.get(url).header("accept", "application/json").send().await.map_err(request_failed)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(Answer::NotFound),
        status => return Err(FetchError::Status { what, status }),
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(request_failed)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLarge { what });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer::Body(body))
}

#[cfg(test)]
mod tests {
    use super::usable_jwks_uri;

    #[track_caller]
    fn check(issuer: &str, jwks_uri: &str, usable: bool) {
        assert_eq!(usable_jwks_uri(issuer, jwks_uri).is_some(), usable, "{jwks_uri} of {issuer}");
    }

    #[test]
    fn keys_are_as_well_protected_as_their_issuer() {
        check("https://id.example/realms/a", "https://id.example/certs", true);
        check("https://id.example/realms/a", "https://keys.example/certs", true);
        check("https://id.example/realms/a", "http://id.example/certs", false);
        check("HTTPS://id.example/realms/a", "http://id.example/certs", false);
        check("http://localhost:8080/realms/a", "http://localhost:8080/certs", true);
        check("http://localhost:8080/realms/a", "https://localhost:8443/certs", true);
        check("http://localhost:8080/realms/a", "file:///etc/passwd", false);
        check("http://localhost:8080/realms/a", "/certs", false);
    }
}
