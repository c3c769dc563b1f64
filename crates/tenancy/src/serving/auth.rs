//! Who is behind a request: bearer tokens (RFC 6750), verified by the embedder.
//!
//! [`BearerTokenAuth`] reads the token, has the embedder's function judge it, and says what a refusal looks like; as a
//! layer (`auth_layer.rs`), for the admin routes and for `serve`. Invariants: a request with two credentials, or with one
//! that cannot be read, has none; a token is in no log line and in no answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use super::answer::{Answer, Problem};
use crate::resolver::Principal;

pub(super) type Judged = Pin<Box<dyn Future<Output = Result<Principal, AuthError>> + Send>>;
type Validate = dyn Fn(String) -> Judged + Send + Sync;

/// Why a caller is not let in. What more there is to say belongs in the log of whoever found it out.
///
/// ```
/// use tenancy::AuthError;
///
/// assert_eq!(AuthError::Expired.to_string(), "the token has expired");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is no bearer token: 401 `unauthenticated`.
    #[error("a bearer token is needed")]
    Missing,
    /// The token is not one of ours, or cannot be read: 401 `unauthenticated`.
    #[error("the token is not valid")]
    Invalid,
    /// The token was valid once: 401 `unauthenticated`.
    #[error("the token has expired")]
    Expired,
    /// The token is valid, and not for this: 403 `forbidden`.
    #[error("the token does not allow this")]
    Forbidden,
    /// Whoever has to be asked about the token does not answer: 503 `auth_unavailable`.
    #[error("tokens cannot be verified at the moment")]
    Unavailable,
}

impl AuthError {
    pub(super) fn answer(self) -> Answer {
        let unauthenticated = |challenge| {
            let detail = capitalised(self);
            Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Unauthenticated", detail).challenge(challenge)
        };
        let problem = match self {
            // RFC 6750 §3.1: no error code where there was no token.
            Self::Missing => unauthenticated("Bearer"),
            Self::Invalid => unauthenticated(r#"Bearer error="invalid_token""#),
            Self::Expired => {
                unauthenticated(r#"Bearer error="invalid_token", error_description="the token has expired""#)
            }
            Self::Forbidden => Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", capitalised(self)),
            Self::Unavailable => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Problem::new(status, "auth_unavailable", "Authentication unavailable", capitalised(self))
                    .retry_after(Duration::from_secs(1))
            }
        };
        problem.into()
    }
}

fn capitalised(error: AuthError) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| format!("{}{}.", first.to_ascii_uppercase(), characters.as_str()))
}

/// Has a function of the embedder verify bearer tokens, and leaves the [`Principal`] that it gives.
///
/// It is a layer (`tower`), which puts the principal into the request's extensions, where
/// [`TenantLayer`](crate::TenantLayer), resolvers and handlers read it; so it goes outside of a `TenantLayer`. It is what
/// `ServeOptions` takes, and what guards `admin_router`.
///
/// The token stands in `Authorization`, after the scheme `Bearer` in any case (RFC 9110 §11.1). A header that comes
/// twice, or a token with white space in it, is [`AuthError::Invalid`]; another scheme is [`AuthError::Missing`]. Preflight
/// requests of browsers carry no token, so that a layer for CORS goes outside of this one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tenancy::{AuthError, BearerTokenAuth, Principal};
///
/// let auth = BearerTokenAuth::new(|token: String| async move {
///     match token.as_str() {
///         "s3cret" => Ok::<Principal, AuthError>(Principal::token("user-7").with_tenant("acme")),
///         _ => Err(AuthError::Invalid),
///     }
/// });
///
/// let request = http::Request::get("/").header("authorization", "bearer s3cret").body(())?;
/// assert_eq!(auth.authenticate(request.headers()).await?.subject, "user-7");
/// assert_eq!(auth.authenticate(&http::HeaderMap::new()).await, Err(AuthError::Missing));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BearerTokenAuth {
    /// None: nobody is asked.
    validate: Option<Arc<Validate>>,
}

impl BearerTokenAuth {
    /// Asks `validate` about every token.
    ///
    /// ```
    /// use tenancy::{AuthError, BearerTokenAuth};
    ///
    /// let nobody = BearerTokenAuth::new(|_token: String| async move { Err(AuthError::Forbidden) });
    /// # drop(nobody);
    /// ```
    pub fn new<F, Fut>(validate: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Principal, AuthError>> + Send + 'static,
    {
        Self { validate: Some(Arc::new(move |token| Box::pin(validate(token)))) }
    }

    /// Asks nobody for a token: every request passes, and has no [`Principal`]. For servers whose tenants' apps do their
    /// own authentication, and what `ServeOptions::default()` has. Where a credential is needed (`admin_router`,
    /// [`authenticate`](Self::authenticate)), nobody gets through.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tenancy::{AuthError, BearerTokenAuth};
    ///
    /// let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, "Bearer x".parse().unwrap())]);
    /// assert_eq!(BearerTokenAuth::none().authenticate(&headers).await, Err(AuthError::Invalid));
    /// # }
    /// ```
    #[must_use]
    pub fn none() -> Self {
        Self { validate: None }
    }

    /// Who is behind a request with these headers.
    ///
    /// # Errors
    /// An [`AuthError`]: there is no token, or what the embedder's function said of it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tenancy::{AuthError, BearerTokenAuth, Principal};
    ///
    /// let auth = BearerTokenAuth::new(|token: String| async move {
    ///     if token == "let-me-in" { Ok(Principal::token("user-7")) } else { Err(AuthError::Invalid) }
    /// });
    /// assert_eq!(auth.authenticate(&http::HeaderMap::new()).await, Err(AuthError::Missing));
    /// # }
    /// ```
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, AuthError> {
        self.judge(headers)?.await
    }

    pub(super) fn asks(&self) -> bool {
        self.validate.is_some()
    }

    pub(super) fn judge(&self, headers: &HeaderMap) -> Result<Judged, AuthError> {
        let token = token(headers)?;
        let validate = self.validate.as_ref().ok_or(AuthError::Invalid)?;
        Ok(validate(token.to_owned()))
    }
}

impl fmt::Debug for BearerTokenAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerTokenAuth").field("asks", &self.asks()).finish_non_exhaustive()
    }
}

fn token(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(AuthError::Missing),
        (Some(value), None) => value.to_str().map_err(|_| AuthError::Invalid)?,
        (Some(_), Some(_)) => return Err(AuthError::Invalid),
    };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Missing);
    }
    match token.trim() {
        "" => Err(AuthError::Missing),
        // Two tokens, or two headers that were joined into one (RFC 6750 §2.1 has neither in a token).
        token if token.contains([' ', '\t', ',']) => Err(AuthError::Invalid),
        token => Ok(token),
    }
}
