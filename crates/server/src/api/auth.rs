//! Who calls, and whether they may: extractors that stand in every handler's signature.
//!
//! [`PlatformAdmin`], [`TenantScoped`], [`Service`] and [`Public`] each write themselves into the document as `x-may-call`,
//! from which the coverage tests are made. Invariants: exactly one credential is judged, and a request with two different
//! ones is refused; comparing a secret takes the same time wherever it differs.

use std::marker::PhantomData;
use std::sync::Arc;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::extract::FromRequestParts;
use domain::access::scope;
use domain::api_key::format::KEY_START;
use domain::{Caller, CallerKind, Error, Reach, Result, TenantId, text};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};
use http::request::Parts;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::error::{ApiError, NO_CREDENTIAL};
use super::manners::RequestInfo;
use super::state::ApiState;
use crate::app::Ctx;
use crate::identity::tokens::{ClaimedTenant, PublicReason, VerifiedToken};

/// The header for API keys.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The most bytes of a token's `sub`.
const SUBJECT_MAX: usize = 255;

/// The member of an operation in the document that says who may call it.
pub const MAY_CALL: &str = "x-may-call";

/// Only platform admins.
#[derive(Debug)]
pub struct PlatformAdmin(pub Ctx);

/// Whoever holds a scope, in the tenants that they reach.
#[derive(Debug)]
pub struct TenantScoped<S>(pub Ctx, pub PhantomData<S>);

/// Anybody.
#[derive(Debug)]
pub struct Public;

/// Services of the platform (`registry:internal`), and platform admins.
#[derive(Debug)]
pub struct Service(pub Ctx);

/// Scopes as a type: whoever holds one of them may.
pub trait Permission: Send + Sync + 'static {
    /// The scopes, of which one is enough.
    const SCOPES: &'static [&'static str];
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $($scope:ident)|+),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;
        impl Permission for $name {
            const SCOPES: &'static [&'static str] = &[$(scope::$scope),+];
        }
    )+};
}
permissions! {
    /// `tenant:read`
    TenantRead = TENANT_READ,
    /// `hosts:write`
    HostsWrite = HOSTS_WRITE,
    /// `entitlements:read`
    EntitlementsRead = ENTITLEMENTS_READ,
    /// `tenant:read` or `entitlements:read`: either of them shows the catalog.
    CatalogRead = TENANT_READ | ENTITLEMENTS_READ,
    /// `catalog:request`
    CatalogRequest = CATALOG_REQUEST,
    /// `api_keys:read`
    ApiKeysRead = API_KEYS_READ,
    /// `api_keys:write`
    ApiKeysWrite = API_KEYS_WRITE,
    /// `audit:read`
    AuditRead = AUDIT_READ,
    /// `audit:write`
    AuditWrite = AUDIT_WRITE,
}

impl FromRequestParts<ApiState> for PlatformAdmin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let ctx = authenticate(parts, state).await?;
        if ctx.caller.is_platform_admin() {
            Ok(Self(ctx))
        } else {
            Err(Error::Forbidden("only platform admins may do this").into())
        }
    }
}

impl FromRequestParts<ApiState> for Service {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let ctx = authenticate(parts, state).await?;
        if ctx.caller.holds(scope::REGISTRY_INTERNAL) {
            Ok(Self(ctx))
        } else {
            Err(Error::Forbidden("only services of the platform may do this").into())
        }
    }
}

impl<S: Permission> FromRequestParts<ApiState> for TenantScoped<S> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let ctx = authenticate(parts, state).await?;
        if S::SCOPES.iter().any(|scope| ctx.caller.holds(scope)) {
            Ok(Self(ctx, PhantomData))
        } else {
            Err(Error::Forbidden("the credential does not allow this").into())
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Public {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}

fn may_call(operation: &mut Operation, who: &str) {
    operation.extensions.insert(MAY_CALL.to_owned(), json!(who));
    if who != "public" {
        operation.security =
            ["bearer", "apiKey"].map(|name| [(name.to_owned(), Vec::new())].into_iter().collect()).to_vec();
    }
}

impl OperationInput for PlatformAdmin {
    fn operation_input(_ctx: &mut GenContext, operation: &mut Operation) {
        may_call(operation, "platform_admin");
    }
}

impl<S: Permission> OperationInput for TenantScoped<S> {
    fn operation_input(_ctx: &mut GenContext, operation: &mut Operation) {
        may_call(operation, &S::SCOPES.join(" | "));
    }
}

impl OperationInput for Service {
    fn operation_input(_ctx: &mut GenContext, operation: &mut Operation) {
        may_call(operation, scope::REGISTRY_INTERNAL);
    }
}

impl OperationInput for Public {
    fn operation_input(_ctx: &mut GenContext, operation: &mut Operation) {
        may_call(operation, "public");
    }
}

/// Finds the caller of a request.
async fn authenticate(parts: &Parts, state: &ApiState) -> Result<Ctx> {
    let credential = credential(&parts.headers)?;
    let caller = identify(credential, state).await?;
    let info = parts.extensions.get::<RequestInfo>();
    Ok(Ctx {
        caller,
        request_id: info.map(|info| Arc::clone(&info.request_id)),
        source_ip: info.and_then(|info| info.client),
        clock: Arc::clone(state.app.clock()),
        rng: Arc::clone(state.app.rng()),
        claim: None,
        runs_until: None,
    })
}

/// A credential as it was sent.
#[derive(Debug, Clone, Copy)]
struct Credential<'a> {
    text: &'a str,
    /// `X-API-Key` takes keys, and in dev the dev token, but no tokens of an issuer.
    as_key: bool,
}

fn credential(headers: &HeaderMap) -> Result<Credential<'_>> {
    let bearer = single(headers, &AUTHORIZATION)?.map(|value| {
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        let token = token.trim();
        if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
            Ok(token)
        } else {
            Err(Error::Unauthenticated("the Authorization header is not `Bearer` and a token"))
        }
    });
    let key = single(headers, &API_KEY)?.map(str::trim).filter(|key| !key.is_empty());
    match (bearer.transpose()?, key) {
        (None, None) => Err(Error::Unauthenticated(NO_CREDENTIAL)),
        (Some(token), None) => Ok(Credential { text: token, as_key: false }),
        (None, Some(key)) => Ok(Credential { text: key, as_key: true }),
        (Some(token), Some(key)) if token == key => Ok(Credential { text: token, as_key: false }),
        (Some(_), Some(_)) => Err(Error::Unauthenticated("the request carries two different credentials")),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Error::Unauthenticated("a credential header stands twice"));
    }
    first
        .map(|value| value.to_str().map_err(|_| Error::Unauthenticated("a credential header is not ASCII")))
        .transpose()
}

async fn identify(credential: Credential<'_>, state: &ApiState) -> Result<Arc<Caller>> {
    if let Some(dev) = &state.dev_token
        && bool::from(dev.expose().as_bytes().ct_eq(credential.text.as_bytes()))
    {
        return Ok(Arc::new(Caller {
            actor: "dev-token".to_owned(),
            idempotency_owner: "dev-token".to_owned(),
            kind: CallerKind::PlatformAdmin,
            reach: Reach::All,
            scopes: Arc::default(),
        }));
    }
    // No token of an issuer begins so: they begin with the braces of their header in base64.
    if credential.text.starts_with(KEY_START) {
        return state.app.caller_with_key(credential.text).await;
    }
    let verifier = match (&state.verifier, credential.as_key) {
        (Some(verifier), false) => verifier,
        (_, true) => return Err(Error::Unauthenticated("the API key is not known")),
        (None, false) => return Err(Error::Unauthenticated("the token is not valid")),
    };
    // Boxed, so that requests with a key do not carry the room for fetching an issuer's keys.
    let token = Box::pin(verifier.verify(credential.text)).await.map_err(|error| {
        tracing::debug!(reason = error.reason(), "a token was refused");
        match error.public() {
            PublicReason::Invalid => Error::Unauthenticated("the token is not valid"),
            PublicReason::Expired => Error::Unauthenticated("the token has expired"),
            PublicReason::Unavailable => Error::Unavailable { internal: error.reason().to_owned() },
        }
    })?;
    // PostgreSQL keeps no NUL, a log line no other control character, and an index no text without end; the standard
    // allows 255 (OpenID Connect Core §2).
    if text::has_control(&token.subject) || token.subject.len() > SUBJECT_MAX {
        return Err(Error::Unauthenticated("the token is not valid"));
    }
    caller_of(&token, state).await.map(Arc::new)
}

/// What a verified token makes of its bearer.
async fn caller_of(token: &VerifiedToken, state: &ApiState) -> Result<Caller> {
    let tenant = claimed_tenant(token, state).await?;
    let (kind, reach) = if token.is_platform_admin() {
        (CallerKind::PlatformAdmin, Reach::All)
    } else if token.has_scope(scope::REGISTRY_INTERNAL) {
        (CallerKind::Service, Reach::All)
    } else {
        let kind = if token.is_it_admin() { CallerKind::TenantAdmin } else { CallerKind::Member };
        match tenant {
            Some(reach) if token.is_it_admin() || token.is_member() => (kind, reach),
            _ => (CallerKind::Nobody, Reach::None),
        }
    };
    Ok(Caller {
        actor: format!("user:{}", token.subject),
        idempotency_owner: format!("{} {}", token.issuer, token.subject),
        kind,
        reach,
        scopes: Arc::default(),
    })
}

/// The one tenant that a token names, looked up by every name it gives.
async fn claimed_tenant(token: &VerifiedToken, state: &ApiState) -> Result<Option<Reach>> {
    let (id, slug) = match token.tenant.named() {
        ClaimedTenant::None => return Ok(None),
        ClaimedTenant::Disagreement => return Err(Error::TenantMismatch),
        ClaimedTenant::Named { id, slug } => (id, slug),
    };
    let directory = state.app.directory();
    let by_id = match id.map(str::parse::<TenantId>) {
        Some(Ok(id)) => Some(directory.by_id(id).await?.map(|tenant| tenant.id)),
        Some(Err(_)) => Some(None),
        None => None,
    };
    let by_slug = match slug {
        Some(slug) => Some(directory.by_slug(slug).await?.map(|tenant| tenant.id)),
        None => None,
    };
    match (by_id, by_slug) {
        (Some(one), Some(other)) if one != other => Err(Error::TenantMismatch),
        (Some(found), _) | (None, Some(found)) => Ok(Some(found.map_or(Reach::None, Reach::One))),
        (None, None) => Ok(None),
    }
}
