//! Serving requests: the tenant of each is found, or the request is answered here and reaches nobody.
//!
//! Embedders put a [`TenantLayer`] before their own service, or make the registry a service of its own where every
//! tenant is an app ([`into_service`](crate::TenantRegistry::into_service)). `decide.rs` says for whom a request is,
//! `gate.rs` carries it there, `host.rs` and `forwarded.rs` read which host was asked for, `answer.rs` writes refusals.
//! Invariant: what stands behind a layer sees a request only with a tenant that may be served, and a request whose
//! verified principal belongs to another tenant never gets there.

mod answer;
mod auth;
mod auth_layer;
mod body;
mod current;
mod decide;
mod forwarded;
mod gate;
mod host;
mod layer;
mod platform;
mod report;

#[cfg(feature = "axum")]
mod admin;
#[cfg(feature = "axum")]
mod extract;
#[cfg(feature = "axum")]
mod make;

#[cfg(feature = "serve")]
mod connections;
#[cfg(feature = "serve")]
mod serve;

pub use auth::{AuthError, BearerTokenAuth};
pub use auth_layer::{BearerFuture, BearerGate};
pub use body::TenantBody;
pub use current::CurrentTenant;
pub use gate::{TenantFuture, TenantGate};
pub use host::PeerAddr;
/// A network, as [`TenantLayer::trusted_proxies`] takes it.
pub use ipnet::IpNet;
pub use layer::TenantLayer;
pub use platform::{PlatformFuture, PlatformService, TenantService};
pub use report::{Decision, RequestHook, RequestReport};

#[cfg(feature = "axum")]
pub use admin::{AdminAuth, admin_router};
#[cfg(feature = "axum")]
pub use extract::{NoTenant, Tenant};

#[cfg(feature = "serve")]
pub use serve::{AdminOptions, ServeError, ServeOptions, serve, serve_with};
