//! The embeddable multi-tenant runtime: which tenant a request is for, whether that tenant is fit to serve, and what
//! serves it.
//!
//! Every multi-tenant server needs a map from hosts to tenants, a notion of their health and a way to change both while
//! it runs. This crate is that part: look-ups that take no lock, a health that a tenant cannot fake, replacements without
//! a gap, and the pieces around them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tenancy::{Refusal, Register, TenantConfig, TenantRegistry, ValidationTarget, Verdict, validator_fn};
//!
//! // Whether a tenant is fit to serve is yours to say; without a validator everyone is.
//! let validator = validator_fn(|tenant: ValidationTarget| async move {
//!     match tenant.metadata.get("plan") {
//!         Some(_) => Verdict::Valid,
//!         None => Verdict::Permanent("has no plan".into()),
//!     }
//! });
//! let registry = TenantRegistry::builder().validator(validator).build();
//!
//! let acme = TenantConfig::new("https://acme.example.com", "the shop of Acme").metadata("plan", "team");
//! registry.register("acme", acme, Register::AwaitFirstValidation).await?;
//! let beta = TenantConfig::new("https://beta.example.com", "the shop of Beta");
//! registry.register("beta", beta, Register::AwaitFirstValidation).await?;
//!
//! // On the path of every request:
//! let resolved = registry.resolve_by_host("ACME.example.com:443")?;
//! assert_eq!((&*resolved.tenant_id, *resolved.platform), ("acme", "the shop of Acme"));
//! assert_eq!(
//!     registry.resolve_by_host("beta.example.com").unwrap_err(),
//!     Refusal::Disabled { reason: "has no plan".into() },
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # Health
//!
//! | state | meaning | traffic |
//! |---|---|---|
//! | [`pending`](Health::Pending) | registered, never validated | refused: 503 with `Retry-After` |
//! | [`healthy`](Health::Healthy) | validated | served |
//! | [`unverified`](Health::Unverified) | was healthy; the latest validation failed for a passing reason | served |
//! | [`disabled`](Health::Disabled) | failed for a lasting reason | refused: 503, until a recheck succeeds |
//!
//! [`Health::after`] is the whole transition. A tenant that was never valid never serves, and one tenant's trouble touches
//! no other. [Suspension](TenantRegistry::suspend) is no health: it is the control plane's word, and counts before it.
//!
//! # What is here
//!
//! - [`TenantRegistry`]: tenants by host, path and id; register, replace, recheck, suspend, unregister; events.
//! - [`Validator`]: what decides whether a tenant is fit; [`validator_fn`] makes one of a closure.
//! - [`HostRouter`] and [`LazyPlatforms`]: for servers whose tenants are in a database and too many to register.
//! - [`resolver`]: which tenant a request names, by header, claim, key, host or path, and how far that is proven.
//! - [`normalize_host`], [`RouteUrl`], [`HostPattern`]: the one reading of hosts and routes.
//! - The [`cookbook`]: subdomains, paths, custom domains, key rotation, draining, tests.
//!
//! | feature | brings |
//! |---|---|
//! | `http` | validators that fetch: [`jwks`], [`http_probe`] |
//! | `tower` | [`TenantLayer`], [`into_service`](TenantRegistry::into_service), [`BearerTokenAuth`] |
//! | `axum` | the extractor [`Tenant`], [`admin_router`] |
//! | `serve` | [`serve`]: the whole server in one call |
//!
//! None is on by default, and the default tree has no HTTP client, no web framework and no database.
//!
//! # What is not here
//!
//! It stores nothing: after a restart the tenants are registered again, by you or by the service's client. It terminates
//! no TLS, limits no rates, and authenticates nobody by itself. A validator that blocks its thread is not interrupted:
//! time limits work at awaits.

pub mod cookbook;
mod flight;
mod health;
mod host;
mod host_router;
mod id;
mod lazy_platforms;
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
pub use host::{HostError, is_normal_host, normalize_host, normalize_host_cow, normalize_host_keeping_port};
pub use host_router::{HostRouter, HostRouterBuilder, HostRouterStats, LookupError};
pub use id::TenantId;
pub use lazy_platforms::{BuildError, Eviction, LazyPlatforms, LazyPlatformsBuilder};
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
pub use validate::all_of::{AllOf, all_of};
#[cfg(feature = "http")]
pub use validate::http::{HttpProbe, JwksUrlError, JwksValidator, http_probe, jwks};
pub use validate::noop::{Noop, NoopRefused, noop, noop_acknowledged};
pub use validate::{ValidationTarget, Validator, ValidatorFn, Verdict, validator_fn};
