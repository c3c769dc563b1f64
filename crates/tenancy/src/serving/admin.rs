//! Looking after a server's tenants over HTTP: list, status, recheck, unregister.
//!
//! For operators, on an address of its own or nested in a router. Invariants: there is no router without somebody who
//! judges credentials, and every request is judged before anything else is looked at, unknown paths too; a credential
//! that belongs to a tenant never is an operator's.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{Answer, Problem};
use super::auth::{AuthError, BearerTokenAuth};
use super::host;
use crate::reason::Reason;
use crate::registry::{RegistryError, TenantRegistry, TenantStatus};
use crate::resolver::{Principal, RequestHead};

/// Judges who may look after the tenants.
///
/// [`BearerTokenAuth`] is one. A principal with a tenant is refused by the router whatever the judge says of it: it is
/// that tenant's, and no operator.
///
/// ```
/// use tenancy::{AdminAuth, AuthError, Principal, RequestHead, async_trait};
///
/// /// Whoever is on this machine.
/// struct Local;
///
/// #[async_trait]
/// impl AdminAuth for Local {
///     async fn judge(&self, request: &RequestHead<'_>) -> Result<Principal, AuthError> {
///         match request.peer {
///             Some(peer) if peer.is_loopback() => Ok(Principal::api_key("local")),
///             _ => Err(AuthError::Forbidden),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait AdminAuth: Send + Sync + 'static {
    /// Says who it is, or why not.
    ///
    /// # Errors
    /// An [`AuthError`], which is the answer's status.
    async fn judge(&self, request: &RequestHead<'_>) -> Result<Principal, AuthError>;
}

#[async_trait]
impl AdminAuth for BearerTokenAuth {
    async fn judge(&self, request: &RequestHead<'_>) -> Result<Principal, AuthError> {
        self.authenticate(request.headers).await
    }
}

/// The routes for whoever runs the server, all of them behind `auth`:
///
/// | route | answer |
/// |---|---|
/// | `GET /tenants` | 200 `{"tenants": […]}`, by id |
/// | `GET /tenants/{id}` | 200 the tenant's status, or 404 `tenant_not_found` |
/// | `POST /tenants/{id}/recheck` | 200 the status after a validation, or 404 `tenant_not_found` |
/// | `DELETE /tenants/{id}` | 204, also where nobody has the id |
///
/// A status has the fields of [`TenantStatus`]; times are RFC 3339 in UTC, absent values null. Without a credential the
/// answer is 401 with `WWW-Authenticate: Bearer`; errors are problem details (RFC 9457), but for 405, which is empty and has `Allow`. Ids are percent-encoded in
/// paths.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{body::Body, http::Request, http::StatusCode};
/// use tenancy::{AuthError, BearerTokenAuth, Principal, TenantRegistry, admin_router};
/// use tower::ServiceExt;
///
/// let registry: TenantRegistry<()> = TenantRegistry::builder().build();
/// let auth = BearerTokenAuth::new(|token: String| async move {
///     if token == "operator's" { Ok(Principal::api_key("operator")) } else { Err(AuthError::Invalid) }
/// });
/// let admin = admin_router(registry, auth);
///
/// let response = admin.clone().oneshot(Request::get("/tenants").body(Body::empty())?).await?;
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// let request = Request::get("/tenants").header("authorization", "Bearer operator's").body(Body::empty())?;
/// assert_eq!(admin.oneshot(request).await?.status(), StatusCode::OK);
/// # Ok(())
/// # }
/// ```
pub fn admin_router<P: Send + Sync + 'static>(registry: TenantRegistry<P>, auth: impl AdminAuth) -> Router {
    let auth: Arc<dyn AdminAuth> = Arc::new(auth);
    Router::new()
        .route("/tenants", get(list_tenants))
        .route("/tenants/{id}", get(get_tenant).delete(unregister_tenant))
        .route("/tenants/{id}/recheck", post(recheck_tenant))
        .fallback(async || not_found("not_found", "There is nothing here."))
        .with_state(registry)
        .layer(middleware::from_fn(move |request, next| guard(Arc::clone(&auth), request, next)))
}

async fn guard(auth: Arc<dyn AdminAuth>, mut request: Request, next: Next) -> Response {
    // The body is none of the judge's business, and would make what is waited for hard to share between threads.
    let (parts, body) = request.into_parts();
    let judged = {
        let peer = host::peer(&parts.extensions);
        auth.judge(&RequestHead { peer, ..RequestHead::from(&parts) }).await
    };
    let principal = match judged {
        Ok(principal) if principal.tenant.is_some() => return AuthError::Forbidden.answer().into_response(),
        Ok(principal) => principal,
        Err(error) => return error.answer().into_response(),
    };
    request = Request::from_parts(parts, body);
    request.extensions_mut().insert(principal);
    next.run(request).await
}

type Id = Result<Path<String>, PathRejection>;

async fn list_tenants<P: Send + Sync + 'static>(State(registry): State<TenantRegistry<P>>) -> Response {
    let tenants: Vec<Value> = registry.list().iter().map(view).collect();
    reply(&json!({ "tenants": tenants }))
}

async fn get_tenant<P: Send + Sync + 'static>(State(registry): State<TenantRegistry<P>>, id: Id) -> Response {
    let Ok(Path(id)) = id else { return no_such_tenant() };
    registry.status(&id).map_or_else(no_such_tenant, |status| reply(&view(&status)))
}

async fn recheck_tenant<P: Send + Sync + 'static>(
    State(registry): State<TenantRegistry<P>>,
    Extension(operator): Extension<Principal>,
    id: Id,
) -> Response {
    let Ok(Path(id)) = id else { return no_such_tenant() };
    match registry.recheck(&id).await {
        Ok(status) => {
            tracing::info!(operator = operator.subject, tenant_id = id, health = %status.health, "tenant rechecked");
            reply(&view(&status))
        }
        Err(RegistryError::UnknownTenant { .. }) => no_such_tenant(),
        Err(error) => {
            tracing::error!(tenant_id = id, %error, "a recheck failed");
            let (status, detail) = (StatusCode::INTERNAL_SERVER_ERROR, "The tenant could not be checked.");
            Answer::from(Problem::new(status, "recheck_failed", "Recheck failed", detail)).into_response()
        }
    }
}

async fn unregister_tenant<P: Send + Sync + 'static>(
    State(registry): State<TenantRegistry<P>>,
    Extension(operator): Extension<Principal>,
    id: Id,
) -> Response {
    if let Ok(Path(id)) = id
        && registry.unregister(&id)
    {
        tracing::info!(operator = operator.subject, tenant_id = id, "tenant unregistered");
    }
    StatusCode::NO_CONTENT.into_response()
}

fn no_such_tenant() -> Response {
    not_found("tenant_not_found", "No tenant has this id.")
}

fn not_found(code: &'static str, detail: &str) -> Response {
    Answer::from(Problem::new(StatusCode::NOT_FOUND, code, "Not found", detail)).into_response()
}

fn reply(value: &Value) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], value.to_string()).into_response()
}

fn view(status: &TenantStatus) -> Value {
    json!({
        "tenant_id": status.tenant_id.as_str(),
        "urls": status.urls,
        "health": status.health.as_str(),
        "reason": status.reason.as_ref().map(Reason::as_str),
        "suspended": status.suspended.as_ref().map(Reason::as_str),
        "last_checked_at": status.last_checked_at.and_then(rfc3339),
        "last_valid_at": status.last_valid_at.and_then(rfc3339),
        "next_check_at": status.next_check_at.and_then(rfc3339),
        "consecutive_failures": status.consecutive_failures,
        "config_version": status.config_version,
        "label": status.label,
    })
}

/// None for what is no year of four digits: a clock that tells such a time is an embedder's in a test.
fn rfc3339(at: SystemTime) -> Option<String> {
    Timestamp::try_from(at).ok().map(|at| at.to_string())
}
