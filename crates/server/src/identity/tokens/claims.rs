//! What a verified token says: who, until when, with which roles and scopes.
//!
//! [`super::TokenVerifier`] calls [`judge`] once the signature is right; the authentication extractor reads the
//! [`VerifiedToken`] that comes out. The rules are those of RFC 7519 §4.1 and RFC 9068 §4 with Keycloak's `typ` claim.
//! Invariant: a claim that is present and of the wrong type refuses the token; it is never read as absent.

use std::sync::Arc;

use domain::Timestamp;
use domain::time::from_micros;
use serde_json::{Map, Value};

use super::error::TokenError;
use super::tenant::{self, TenantClaim};

/// An `iat` further ahead than this is no clock skew. Wider than the leeway: `iat` does not limit validity, `nbf` does.
const MAX_ISSUED_AHEAD_MICROS: i64 = 5 * 60 * 1_000_000;

const PLATFORM_ADMIN: &str = "PLATFORM_ADMIN";
const IT_ADMIN: &str = "IT_ADMIN";
const MEMBER: &str = "MEMBER";

/// A token whose signature, issuer, audience, type and times were right when it was judged.
///
/// It holds no part of the token's text, so it may be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedToken {
    /// `iss`; with [`Self::subject`] it identifies the caller.
    pub issuer: Arc<str>,
    /// `sub`, never empty. Unique within the issuer only.
    pub subject: String,
    /// `preferred_username`, for the eye; users can change it.
    pub username: Option<String>,
    /// `azp` or else `client_id`: the client that asked for the token.
    pub client_id: Option<String>,
    /// Realm roles (`realm_access.roles`). Client roles (`resource_access`) mean nothing here.
    pub roles: Vec<String>,
    /// The granted scopes (RFC 6749 §3.3).
    pub scopes: Vec<String>,
    /// `exp`, without leeway.
    pub expires_at: Timestamp,
    /// Which tenant the token names, not yet looked up.
    pub tenant: TenantClaim,
    /// Whether the organization's groups make the caller `IT_ADMIN`; `None` where the organization claim carries no groups,
    /// and the realm role decides.
    pub it_admin_by_group: Option<bool>,
}

impl VerifiedToken {
    /// Whether the caller has this realm role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// Whether this scope was granted.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }

    /// Whether the caller has the realm role `PLATFORM_ADMIN`.
    #[must_use]
    pub fn is_platform_admin(&self) -> bool {
        self.has_role(PLATFORM_ADMIN)
    }

    /// Whether the caller is `IT_ADMIN`: by the organization's groups where the token carries them, else by realm role.
    /// It means something only together with a tenant ([`TenantClaim::named`]).
    #[must_use]
    pub fn is_it_admin(&self) -> bool {
        self.it_admin_by_group.unwrap_or_else(|| self.has_role(IT_ADMIN))
    }

    /// Whether the caller has the realm role `MEMBER`. It means something only together with a tenant.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.has_role(MEMBER)
    }
}

/// What a token is held against.
pub(super) struct Expectation<'a> {
    pub(super) issuer: &'a Arc<str>,
    pub(super) audience: &'a str,
    pub(super) leeway_micros: i64,
    pub(super) now: Timestamp,
    /// The header's `typ` is `at+jwt`.
    pub(super) is_at_jwt: bool,
}

/// Judges the payload of a token whose signature is right.
pub(super) fn judge(payload: &[u8], expected: &Expectation<'_>) -> Result<VerifiedToken, TokenError> {
    let claims: Map<String, Value> =
        serde_json::from_slice(payload).map_err(|_| TokenError::Malformed("the payload is not a JSON object"))?;

    match text(&claims, "iss", "`iss` is not a string")? {
        Some(issuer) if issuer == &**expected.issuer => {}
        Some(_) | None => return Err(TokenError::WrongIssuer),
    }
    let audiences = texts(claims.get("aud"), "`aud` is neither a string nor an array of strings")?;
    if !audiences.contains(&expected.audience) {
        return Err(TokenError::WrongAudience);
    }
    // Keycloak signs ID and logout tokens with the same keys and tells them apart by this claim only. Issuers without it
    // must use the header (RFC 9068 §2.1), or an ID token would pass for an access token (RFC 8725 §3.11).
    match text(&claims, "typ", "`typ` is not a string")? {
        Some("Bearer") => {}
        None if expected.is_at_jwt => {}
        Some(_) | None => return Err(TokenError::WrongType),
    }
    let expires_at = judge_times(&claims, expected)?;
    let subject = match text(&claims, "sub", "`sub` is not a string")? {
        Some(subject) if !subject.is_empty() => subject.to_owned(),
        Some(_) | None => return Err(TokenError::Malformed("`sub` is absent or empty")),
    };

    let tenancy = tenant::read(&claims)?;
    let client_id = match text(&claims, "azp", "`azp` is not a string")? {
        Some(client) => Some(client),
        None => text(&claims, "client_id", "`client_id` is not a string")?,
    };
    Ok(VerifiedToken {
        issuer: Arc::clone(expected.issuer),
        subject,
        username: text(&claims, "preferred_username", "`preferred_username` is not a string")?.map(str::to_owned),
        client_id: client_id.map(str::to_owned),
        roles: realm_roles(&claims)?,
        scopes: scopes(&claims)?,
        expires_at,
        tenant: tenancy.claim,
        it_admin_by_group: tenancy.it_admin_by_group,
    })
}

/// `exp`, `nbf` and `iat` (RFC 7519 §4.1.4 to §4.1.6); gives `exp`.
fn judge_times(claims: &Map<String, Value>, expected: &Expectation<'_>) -> Result<Timestamp, TokenError> {
    let now = expected.now.as_microsecond();
    let expires = date(claims, "exp", "`exp` is not a number")?.ok_or(TokenError::Malformed("`exp` is absent"))?;
    if now >= expires.saturating_add(expected.leeway_micros) {
        return Err(TokenError::Expired);
    }
    if let Some(begins) = date(claims, "nbf", "`nbf` is not a number")?
        && now < begins.saturating_sub(expected.leeway_micros)
    {
        return Err(TokenError::NotYetValid);
    }
    if let Some(issued) = date(claims, "iat", "`iat` is not a number")?
        && issued > now.saturating_add(MAX_ISSUED_AHEAD_MICROS)
    {
        return Err(TokenError::IssuedInFuture);
    }
    Ok(from_micros(expires))
}

fn realm_roles(claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
    const ILL_TYPED: &str = "`realm_access.roles` is not an array of strings";
    match claims.get("realm_access") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(access)) => Ok(owned(&texts(access.get("roles"), ILL_TYPED)?)),
        Some(_) => Err(TokenError::Malformed(ILL_TYPED)),
    }
}

fn scopes(claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
    let parts = texts(claims.get("scope"), "`scope` is neither a string nor an array of strings")?;
    Ok(parts.iter().flat_map(|part| part.split(' ')).filter(|scope| !scope.is_empty()).map(str::to_owned).collect())
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// A claim that must be a string where it is present. `null` is absent.
fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &str,
    ill_typed: &'static str,
) -> Result<Option<&'a str>, TokenError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Malformed(ill_typed)),
    }
}

/// A claim that may be a string or an array of strings, as `aud` may (RFC 7519 §4.1.3). `null` is absent.
pub(super) fn texts<'a>(value: Option<&'a Value>, ill_typed: &'static str) -> Result<Vec<&'a str>, TokenError> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().ok_or(TokenError::Malformed(ill_typed))).collect()
        }
        Some(_) => Err(TokenError::Malformed(ill_typed)),
    }
}

/// A `NumericDate` (RFC 7519 §2) in microseconds; it may have a fraction. What does not fit becomes the nearest end.
fn date(claims: &Map<String, Value>, name: &str, ill_typed: &'static str) -> Result<Option<i64>, TokenError> {
    let number = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(TokenError::Malformed(ill_typed)),
    };
    match (number.as_i64(), number.as_f64()) {
        (Some(seconds), _) => Ok(Some(seconds.saturating_mul(1_000_000))),
        // The cast saturates, and what is below a microsecond does not count.
        (None, Some(seconds)) => Ok(Some((seconds * 1e6) as i64)),
        (None, None) => Err(TokenError::Malformed(ill_typed)),
    }
}
