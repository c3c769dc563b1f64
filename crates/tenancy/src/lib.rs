//! The embeddable multi-tenant runtime: how a server names its tenants' hosts, routes and health.
//!
//! It exists so that registration, look-up and every embedder read a host or a route by one set of rules. A control
//! plane calls [`RouteUrl::parse`] on what a tenant registers; a server calls [`normalize_host_cow`] and
//! [`longest_prefix`] on what a request carries. The invariant: two spellings of one host have one text, the normal
//! form, and nothing that is not in normal form is ever compared.
//!
//! ```
//! use tenancy::{RouteUrl, longest_prefix, normalize_host, path_of};
//!
//! let shop = RouteUrl::parse("HTTPS://Bücher.Example:443/shop/")?;
//! assert_eq!(shop.to_string(), "https://xn--bcher-kva.example/shop");
//!
//! // The same host as a request spells it: with a port, or with the root dot.
//! let host = normalize_host("xn--bcher-kva.example.:443")?;
//! assert!(shop.host().matches(&host));
//!
//! let routes = [("/", "front"), (shop.prefix(), "shop")];
//! assert_eq!(longest_prefix(routes, path_of("/shop/cart?id=7")), Some(("/shop", "shop")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod health;
mod host;
mod id;
mod pattern;
mod prefix;
mod reason;
mod redact;
mod registry;
pub mod resolver;
mod route;
#[cfg(feature = "tower")]
mod serving;
mod sync;
mod validate;

/// What an implementation of [`Validator`] is annotated with.
pub use async_trait::async_trait;
pub use health::{Health, UnknownHealth};
pub use host::{HostError, is_normal_host, normalize_host, normalize_host_cow};
pub use id::TenantId;
pub use pattern::HostPattern;
pub use prefix::{longest_prefix, path_of, prefix_covers, prefixes_overlap};
pub use reason::Reason;
pub use registry::{
    HealthEvent, HealthEvents, Refusal, Register, RegistryError, Resolved, TenantConfig, TenantRegistry,
    TenantRegistryBuilder, TenantStatus,
};
pub use resolver::{
    ApiKeyResolver, Chain, ClaimResolver, ConstantResolver, HeaderResolver, HostResolver, PathResolver, Principal,
    PrincipalKind, Proof, RequestHead, Resolution, ResolverFn, TENANT_MISMATCH, TenantResolver, resolver_fn,
};
pub use route::{RouteUrl, UrlError};
#[cfg(feature = "axum")]
pub use serving::{AdminAuth, NoTenant, Tenant, admin_router};
#[cfg(feature = "serve")]
pub use serving::{AdminOptions, ServeError, ServeOptions, serve, serve_with};
#[cfg(feature = "tower")]
pub use serving::{
    AuthError, BearerFuture, BearerGate, BearerTokenAuth, CurrentTenant, Decision, IpNet, PeerAddr, PlatformFuture,
    PlatformService, RequestHook, RequestReport, TenantBody, TenantFuture, TenantGate, TenantLayer, TenantService,
};
pub use validate::{ValidationTarget, Validator, ValidatorFn, Verdict, validator_fn};
