//! The contract of the runtime, in code: its code block as it stands there, and every type, field and variant whose name
//! it fixes. It compiles or the contract is broken; what the names mean is tested in `tests/it/`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{Stream, StreamExt};
use tenancy::{
    ApiKeyResolver, AuthError, BearerTokenAuth, Chain, ClaimResolver, ConstantResolver, CurrentTenant, HeaderResolver,
    Health, HealthEvent, HostResolver, HostRouter, LazyPlatforms, Noop, PathResolver, Principal, PrincipalKind, Proof,
    Reason, Refusal, Register, RegistryError, RequestHead, Resolution, Resolved, ServeOptions, Tenant, TenantConfig,
    TenantId, TenantLayer, TenantRegistry, TenantResolver, TenantStatus, ValidationTarget, Validator, Verdict,
    admin_router, all_of, http_probe, jwks, noop_acknowledged, serve, validator_fn,
};

#[derive(Debug, PartialEq)]
struct App(&'static str);

fn assert_shared<T: Clone + Send + Sync>(_: &T) {}

#[tokio::test]
async fn the_contracts_code_block_runs_as_it_stands() -> Result<(), RegistryError> {
    let validator = validator_fn(|target: ValidationTarget| async move {
        assert!(!target.urls.is_empty());
        Verdict::Valid
    });
    let (app, app2) = (App("one"), App("two"));
    let factory = || async { Ok::<_, std::io::Error>(App("lazy")) };
    let reason = "not paid";

    let registry: TenantRegistry<App> = TenantRegistry::builder()
        .validator(validator)
        .auto_validate(true)
        .recheck_every(Duration::from_secs(60))
        .build();
    assert_shared(&registry);
    let mut events = registry.subscribe();

    registry
        .register("acme", TenantConfig::new("https://acme.example.com", app), Register::AwaitFirstValidation)
        .await?;
    registry.register("beta", TenantConfig::lazy("https://beta.example.com", factory), Register::InBackground).await?;
    registry.replace("acme", TenantConfig::new("https://acme.example.com", app2)).await?;
    let status: TenantStatus = registry.recheck("acme").await?;
    assert_eq!(status.health, Health::Healthy);
    assert!(registry.suspend("acme", reason));
    assert!(registry.resume("acme"));
    assert_eq!(registry.health("acme"), Some(Health::Healthy));
    assert_eq!(registry.status("acme").map(|status| status.config_version), Some(2));
    assert_eq!(registry.list().len(), 2);

    let resolved: Resolved<App> = registry.resolve_by_host("acme.example.com").unwrap();
    assert_eq!(*resolved.platform, App("two"));
    assert_eq!(registry.resolve_by_request("example.com", "/api/orders").unwrap_err(), Refusal::UnknownHost);
    assert!(registry.get("acme").is_ok());
    let lazy = registry.resolve_lazy("beta.example.com").await.unwrap();
    assert_eq!(*lazy.platform, App("lazy"));
    assert!(registry.unregister("acme"));

    let event: HealthEvent = events.next().await.unwrap();
    assert_eq!((&*event.tenant_id, event.from, event.to), ("acme", None, Some(Health::Pending)));
    Ok(())
}

/// Every public field, by its name and with its type.
#[tokio::test]
async fn the_fixed_fields_are_there() {
    let registry = TenantRegistry::builder().build();
    let config = TenantConfig::new("https://acme.example.com/api", 7)
        .alias("https://acme.example/")
        .label("Acme")
        .metadata("region", "eu")
        .signing_key(serde_json::json!({"kid": "k1"}));
    let status = registry.register("acme", config, Register::default()).await.unwrap();

    let TenantStatus {
        tenant_id,
        urls,
        health,
        reason,
        suspended,
        last_checked_at,
        last_valid_at,
        next_check_at,
        consecutive_failures,
        config_version,
        label,
        ..
    } = status;
    let _: (TenantId, Vec<String>, Health, Option<Reason>, Option<Reason>) =
        (tenant_id, urls, health, reason, suspended);
    let _: [Option<SystemTime>; 3] = [last_checked_at, last_valid_at, next_check_at];
    let _: (u32, u64, Option<String>) = (consecutive_failures, config_version, label);

    let Resolved { tenant_id, health, platform, config_version, .. } = registry.get("acme").unwrap();
    let _: (TenantId, Health, Arc<i32>, u64) = (tenant_id, health, platform, config_version);
}

fn event_fields(event: HealthEvent) -> (TenantId, Option<Health>, Option<Health>, Option<Reason>, SystemTime, u64) {
    let HealthEvent { tenant_id, from, to, reason, at, missed, .. } = event;
    (tenant_id, from, to, reason, at, missed)
}

fn target_fields(target: ValidationTarget) -> TenantId {
    let ValidationTarget { tenant_id, urls, signing_key, metadata, .. } = target;
    let _: (Arc<[String]>, Option<serde_json::Value>) = (urls, signing_key);
    let _: Arc<BTreeMap<String, String>> = metadata;
    tenant_id
}

/// Enums that may grow are matched with a `_`, as embedders do.
fn variants(health: Health, refusal: &Refusal, error: &RegistryError, verdict: Verdict) -> Vec<String> {
    let health = match health {
        Health::Pending | Health::Healthy | Health::Unverified | Health::Disabled => health.to_string(),
        _ => String::new(),
    };
    let refusal = match refusal {
        Refusal::UnknownHost | Refusal::UnknownTenant => refusal.to_string(),
        Refusal::Pending { retry_after } => format!("{retry_after:?}"),
        Refusal::Disabled { reason } | Refusal::Suspended { reason } => reason.to_string(),
        _ => String::new(),
    };
    let error = match error {
        RegistryError::AlreadyRegistered { tenant_id } | RegistryError::UnknownTenant { tenant_id } => {
            tenant_id.to_string()
        }
        RegistryError::RouteTaken { host, path, holder } => format!("{host}{path}{holder}"),
        RegistryError::InvalidUrl { url, reason } => format!("{url}{reason}"),
        RegistryError::ReplacementRefused { tenant_id, reason } => format!("{tenant_id}{reason}"),
        _ => String::new(),
    };
    let verdict = match verdict {
        Verdict::Valid => String::new(),
        Verdict::Transient(reason) | Verdict::Permanent(reason) => reason.to_string(),
    };
    vec![health, refusal, error, verdict]
}

#[tokio::test]
async fn the_fixed_variants_are_there_and_print() {
    let error = RegistryError::UnknownTenant { tenant_id: "acme".into() };
    let shown = variants(Health::Unverified, &Refusal::UnknownHost, &error, Verdict::Transient(Reason::from("later")));
    assert_eq!(shown, ["unverified", "no tenant is reached by this host and path", "acme", "later"]);
    assert_eq!(Reason::from(String::from("not paid")).to_string(), "not paid");

    let registry: TenantRegistry<()> = TenantRegistry::builder().validation_timeout(Duration::from_secs(1)).build();
    let mut events = registry.subscribe();
    fn is_a_stream(_: &impl Stream<Item = HealthEvent>) {}
    is_a_stream(&events);
    registry.register("acme", TenantConfig::new("https://acme.example.com", ()), Register::default()).await.unwrap();
    let (tenant_id, from, to, reason, _, missed) = event_fields(events.next().await.unwrap());
    assert_eq!((&*tenant_id, from, to, reason, missed), ("acme", None, Some(Health::Healthy), None, 0));

    let target = ValidationTarget::new("acme", ["https://acme.example.com"]);
    assert_eq!(target_fields(target), "acme");
}

/// Any validator, by value, behind an `Arc` or in a box.
#[test]
fn a_validator_is_taken_however_it_is_held() {
    let validator: Arc<dyn Validator> = Arc::new(validator_fn(|_: ValidationTarget| async { Verdict::Valid }));
    let boxed: Box<dyn Validator> = Box::new(Arc::clone(&validator));
    let _: TenantRegistry<()> = TenantRegistry::builder().validator(validator).build();
    let _: TenantRegistry<()> = TenantRegistry::builder().validator(boxed).build();
}

/// What contract §3 to §6 names, beside the registry.
#[tokio::test]
async fn validators_resolvers_and_servers_go_by_their_names() {
    let anyone = || validator_fn(|_: ValidationTarget| async { Verdict::Valid });
    let both: Arc<dyn Validator> = Arc::new(all_of([anyone(), anyone()]).and(jwks()).and(http_probe("/health")));
    drop(both);
    assert!(noop_acknowledged(Noop::ACKNOWLEDGEMENT).is_ok());

    let router: HostRouter<TenantId> =
        HostRouter::new(|host: Arc<str>| async move { Ok::<_, String>(Some(TenantId::from(&*host))) });
    assert_eq!(router.resolve("acme.example.com").await.unwrap().unwrap(), "acme.example.com");
    router.invalidate("acme.example.com");
    let platforms: LazyPlatforms<App> = LazyPlatforms::new(|_: TenantId| async { Ok::<_, String>(App("one")) });
    assert_eq!(*platforms.get_or_build("acme").await.unwrap(), App("one"));

    let chain = Chain::new()
        .then(ClaimResolver)
        .then(ApiKeyResolver)
        .then(HeaderResolver::default())
        .then(HostResolver::subdomain_of("example.com").unwrap())
        .then(PathResolver::below("/t"))
        .default_tenant("default-tenant");
    let principal = Principal { kind: PrincipalKind::Token, tenant: None, subject: "me".into(), scopes: vec![] };
    let request = http::Request::get("/").header("x-tenant-id", " acme ").body(()).unwrap();
    let head = RequestHead {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        principal: Some(&principal),
        peer: None,
    };
    assert_eq!(chain.resolve(&head), Resolution::Tenant { id: "acme".into(), proof: Proof::Hint });
    assert!(matches!(ConstantResolver::new("one").resolve(&head), Resolution::Tenant { .. }));
    assert!(matches!(
        Resolution::mismatch(),
        Resolution::Reject { status: http::StatusCode::FORBIDDEN, code: "tenant_mismatch" }
    ));

    let auth = || {
        BearerTokenAuth::new(|token: String| async move {
            {
                assert!(!token.is_empty());
                Ok::<Principal, AuthError>(Principal::token("user-7"))
            }
        })
    };
    let registry: TenantRegistry<axum::Router> = TenantRegistry::builder().build();
    drop((TenantLayer::new(registry.clone()), admin_router(registry.clone(), auth()), registry.clone().into_service()));
    let options = ServeOptions { addr: ([127, 0, 0, 1], 0).into(), auth: auth(), ..ServeOptions::default() };
    drop(serve(registry, options));
    fn handler(Tenant(tenant): Tenant<App>) -> TenantId {
        tenant.tenant_id
    }
    fn current(tenant: &CurrentTenant<App>) -> &str {
        &tenant.tenant_id
    }
    let _: fn(&CurrentTenant<App>) -> &str = current;
    let _: fn(Tenant<App>) -> TenantId = handler;
}
