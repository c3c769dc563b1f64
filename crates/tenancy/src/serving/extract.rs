//! The tenant of a request as an axum extractor.
//!
//! For handlers behind a [`TenantLayer`](crate::TenantLayer). Invariant: a handler that takes a [`Tenant`] does not run
//! for a caller who proved to belong to another one, also where authentication stands inside of the layer.

use std::ops::Deref;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::answer::{Answer, Problem};
use super::current::CurrentTenant;
use super::decide::check;
use crate::registry::Resolved;
use crate::resolver::Principal;

/// The tenant that a request is for. It derefs to [`Resolved`].
///
/// It reads what [`TenantLayer`](crate::TenantLayer) left. As `Option<Tenant<P>>` it is None where there is no layer of
/// that platform.
///
/// ```
/// use axum::{Router, routing::get};
/// use tenancy::{Tenant, TenantLayer, TenantRegistry};
///
/// struct Shop {
///     name: &'static str,
/// }
///
/// async fn hello(tenant: Tenant<Shop>) -> String {
///     format!("{} of {}", tenant.platform.name, tenant.tenant_id)
/// }
///
/// let registry: TenantRegistry<Shop> = TenantRegistry::builder().build();
/// let app: Router = Router::new().route("/", get(hello)).layer(TenantLayer::new(registry));
/// # drop(app);
/// ```
#[derive(Debug)]
pub struct Tenant<P>(pub Resolved<P>);

impl<P> Clone for Tenant<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P> Deref for Tenant<P> {
    type Target = Resolved<P>;

    fn deref(&self) -> &Resolved<P> {
        &self.0
    }
}

impl<P, S> FromRequestParts<S> for Tenant<P>
where
    P: Send + Sync + 'static,
    S: Sync,
{
    type Rejection = NoTenant;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoTenant> {
        let Some(current) = parts.extensions.get::<CurrentTenant<P>>() else {
            tracing::error!(
                platform = std::any::type_name::<P>(),
                path = parts.uri.path(),
                "a handler asks for a tenant, and no TenantLayer of this platform is before it"
            );
            return Err(NoTenant::NoLayer);
        };
        check(parts.extensions.get::<Principal>(), &current.tenant_id).map_err(|_| NoTenant::Mismatch)?;
        Ok(Self(current.clone().into_resolved()))
    }
}

impl<P, S> OptionalFromRequestParts<S> for Tenant<P>
where
    P: Send + Sync + 'static,
    S: Sync,
{
    type Rejection = NoTenant;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, NoTenant> {
        if parts.extensions.get::<CurrentTenant<P>>().is_none() {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some)
    }
}

/// Why a handler does not get its [`Tenant`].
///
/// ```
/// use axum::response::IntoResponse;
/// use tenancy::NoTenant;
///
/// assert_eq!(NoTenant::NoLayer.into_response().status(), 500);
/// assert_eq!(NoTenant::Mismatch.into_response().status(), 403);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoTenant {
    /// No [`TenantLayer`](crate::TenantLayer) of the platform is before the handler: 500, and an error in the log.
    #[error("no TenantLayer of this platform is before the handler")]
    NoLayer,
    /// The caller proved to belong to another tenant: 403 `tenant_mismatch`.
    #[error("the caller belongs to another tenant")]
    Mismatch,
}

impl IntoResponse for NoTenant {
    fn into_response(self) -> Response {
        let answer: Answer = match self {
            Self::Mismatch => Answer::mismatch(),
            Self::NoLayer => {
                let (status, detail) =
                    (StatusCode::INTERNAL_SERVER_ERROR, "The server is not set up for this request.");
                Problem::new(status, "internal_error", "Internal error", detail).into()
            }
        };
        answer.into_response()
    }
}
