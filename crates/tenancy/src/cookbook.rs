//! Recipes for what multi-tenant servers do every day. Every block runs as a test of this crate.
//!
//! # Subdomains
//!
//! One tenant per label, registered one by one; or one wildcard for all that have no host of their own. A wildcard
//! matches one label, and an exact host wins over it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tenancy::{Register, TenantConfig, TenantRegistry};
//!
//! let registry = TenantRegistry::builder().build();
//! registry.register("acme", TenantConfig::new("https://acme.example.com", "Acme"), Register::default()).await?;
//! registry.register("rest", TenantConfig::new("https://*.example.com", "everybody else"), Register::default()).await?;
//!
//! assert_eq!(*registry.resolve_by_host("acme.example.com")?.platform, "Acme");
//! assert_eq!(*registry.resolve_by_host("beta.example.com")?.platform, "everybody else");
//! assert!(registry.resolve_by_host("a.beta.example.com").is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Paths
//!
//! The longest prefix wins, on segment boundaries. Paths are matched as they stand: nothing is decoded or folded, so a
//! proxy in front that does so has to do it before.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tenancy::{Register, TenantConfig, TenantRegistry};
//!
//! let registry = TenantRegistry::builder().build();
//! registry.register("front", TenantConfig::new("https://example.com", "front"), Register::default()).await?;
//! registry.register("api", TenantConfig::new("https://example.com/api", "api"), Register::default()).await?;
//!
//! assert_eq!(*registry.resolve_by_request("example.com", "/api/orders")?.platform, "api");
//! assert_eq!(*registry.resolve_by_request("example.com", "/apis")?.platform, "front");
//! # Ok(())
//! # }
//! ```
//!
//! # Custom domains
//!
//! Aliases are further URLs of one tenant. Adding one is a replacement: the new configuration is validated first, and the
//! switch is one step. A domain that another tenant holds is refused, with its holder's name for your log.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use tenancy::{Register, RegistryError, TenantConfig, TenantRegistry};
//!
//! let registry = TenantRegistry::builder().build();
//! registry.register("acme", TenantConfig::new("https://acme.example.com", "Acme"), Register::default()).await?;
//! registry.register("beta", TenantConfig::new("https://beta.example", "Beta"), Register::default()).await?;
//!
//! let platform = Arc::clone(&registry.get("acme")?.platform);
//! let with_domain = TenantConfig::shared("https://acme.example.com", platform).alias("https://shop.acme.example");
//! registry.replace("acme", with_domain).await?;
//! assert_eq!(registry.resolve_by_host("shop.acme.example")?.tenant_id, "acme");
//!
//! let stolen = TenantConfig::new("https://acme.example.com", "Acme").alias("https://beta.example");
//! let error = registry.replace("acme", stolen).await.unwrap_err();
//! assert!(matches!(error, RegistryError::RouteTaken { holder, .. } if holder == "beta"));
//! # Ok(())
//! # }
//! ```
//!
//! # Tenants from a database
//!
//! Where tenants are too many to register, look them up: [`HostRouter`](crate::HostRouter) finds them and remembers, for
//! a bounded time and a bounded number, who was found and who was not.
//!
//! # Key rotation
//!
//! A tenant that publishes a new key keeps serving with the old configuration until the new one is valid. A replacement
//! that came too early is refused and changes nothing, so it can simply be tried again.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use serde_json::json;
//! use tenancy::{Register, RegistryError, TenantConfig, TenantRegistry, ValidationTarget, Verdict, validator_fn};
//!
//! // In production this is `jwks()` of the feature `http`; here only k1 is published.
//! let published = validator_fn(|tenant: ValidationTarget| async move {
//!     match tenant.signing_key.as_ref().map(|key| key["kid"] == "k1") {
//!         Some(true) => Verdict::Valid,
//!         _ => Verdict::Permanent("the key is not published".into()),
//!     }
//! });
//! let registry = TenantRegistry::builder().validator(published).build();
//! let with_key = |kid: &str| TenantConfig::new("https://acme.example.com", "Acme").signing_key(json!({"kid": kid}));
//! registry.register("acme", with_key("k1"), Register::default()).await?;
//!
//! let early = registry.replace("acme", with_key("k2")).await.unwrap_err();
//! assert!(matches!(early, RegistryError::ReplacementRefused { .. }));
//! assert_eq!(registry.get("acme")?.config_version, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Draining
//!
//! Whoever holds a [`Resolved`](crate::Resolved) keeps its platform, also after the tenant was unregistered or replaced.
//! To know when the last request is through, keep a weak pointer.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use tenancy::{Register, TenantConfig, TenantRegistry};
//!
//! let registry = TenantRegistry::builder().build();
//! registry.register("acme", TenantConfig::new("https://acme.example.com", "Acme"), Register::default()).await?;
//!
//! let in_flight = registry.resolve_by_host("acme.example.com")?;
//! let drained = Arc::downgrade(&in_flight.platform);
//! registry.unregister("acme");
//! assert_eq!(*in_flight.platform, "Acme");
//! drop(in_flight);
//! assert!(drained.upgrade().is_none());
//! # Ok(())
//! # }
//! ```
//!
//! # Freezing a tenant
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tenancy::{Health, Refusal, Register, TenantConfig, TenantRegistry};
//!
//! let registry = TenantRegistry::builder().build();
//! registry.register("acme", TenantConfig::new("https://acme.example.com", "Acme"), Register::default()).await?;
//! registry.suspend("acme", "invoice overdue");
//! assert!(matches!(registry.resolve_by_host("acme.example.com"), Err(Refusal::Suspended { .. })));
//! // What the server found out is another matter, and stays true.
//! assert_eq!(registry.health("acme"), Some(Health::Healthy));
//! registry.resume("acme");
//! # Ok(())
//! # }
//! ```
//!
//! # Tests
//!
//! A registry of your tests needs no network: [`validator_fn`](crate::validator_fn) says what the test wants to hear,
//! [`TenantRegistryBuilder::clock`](crate::TenantRegistryBuilder::clock) fixes the times, and tokio's paused clock moves
//! the background recheck and all time limits.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::{Arc, Mutex};
//! use tenancy::{Health, Register, TenantConfig, TenantRegistry, ValidationTarget, Verdict, validator_fn};
//!
//! let says = Arc::new(Mutex::new(Verdict::Valid));
//! let verdict = Arc::clone(&says);
//! let validator = validator_fn(move |_: ValidationTarget| {
//!     let verdict = verdict.lock().unwrap().clone();
//!     async move { verdict }
//! });
//! let registry = TenantRegistry::builder().validator(validator).build();
//! registry.register("acme", TenantConfig::new("https://acme.example.com", ()), Register::default()).await?;
//!
//! *says.lock().unwrap() = Verdict::Transient("timed out".into());
//! assert_eq!(registry.recheck("acme").await?.health, Health::Unverified);
//! *says.lock().unwrap() = Verdict::Permanent("404".into());
//! assert_eq!(registry.recheck("acme").await?.health, Health::Disabled);
//! # Ok(())
//! # }
//! ```
