//! Requests on their way to a tenant, in process and over real connections, and everything that may happen to them.
//!
//! The helpers build small registries whose validator says what a tenant's metadata tell it to.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

mod admin;
mod auth;
mod extract;
mod hosts;
mod layer;
mod lazy;
mod mismatch;
mod report;
mod resolver;
mod serve;
mod service;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::Value;
use tenancy::{
    AuthError, BearerTokenAuth, Principal, Register, TenantConfig, TenantRegistry, ValidationTarget, Verdict,
    validator_fn,
};
use tower::{Service, ServiceExt};

/// A registry whose tenants say in their metadata, under `verdict`, how they fare; `later` counts from the second
/// validation on.
fn registry<P: Send + Sync + 'static>() -> TenantRegistry<P> {
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let validator = validator_fn(move |target: ValidationTarget| {
        let again = !seen.lock().unwrap().insert(target.tenant_id.clone());
        let said = |key: &str| target.metadata.get(key).cloned();
        let verdict = said("later").filter(|_| again).or_else(|| said("verdict"));
        let verdict = match verdict.as_deref() {
            None | Some("valid") => Verdict::Valid,
            Some("permanent") => Verdict::Permanent("key lost".into()),
            Some(_) => Verdict::Transient("no route".into()),
        };
        async move { verdict }
    });
    TenantRegistry::builder().validator(validator).build()
}

/// A tenant's app: says its name, the path that it was called with, and waits where it is told to.
fn app(name: &'static str) -> Router {
    Router::new().fallback(get(move |request: Request<Body>| async move { format!("{name} {}", request.uri().path()) }))
}

async fn register<P: Send + Sync + 'static>(registry: &TenantRegistry<P>, id: &str, platform: P) {
    let config = TenantConfig::new(format!("https://{id}.example.com"), platform);
    registry.register(id, config, Register::default()).await.unwrap();
}

/// One tenant in every state, each on `{state}.example.com`.
async fn every_state<P: Send + Sync + 'static>(platform: impl Fn() -> P) -> TenantRegistry<P> {
    let registry = registry();
    for (id, verdict, later) in [
        ("healthy", "valid", "valid"),
        ("pending", "transient", "transient"),
        ("unverified", "valid", "transient"),
        ("disabled", "permanent", "permanent"),
        ("suspended", "valid", "valid"),
    ] {
        let config = TenantConfig::new(format!("https://{id}.example.com"), platform())
            .metadata("verdict", verdict)
            .metadata("later", later);
        registry.register(id, config, Register::default()).await.unwrap();
    }
    registry.recheck("unverified").await.unwrap();
    assert!(registry.suspend("suspended", "not paid"));
    for id in ["healthy", "pending", "unverified", "disabled"] {
        assert_eq!(registry.health(id).unwrap().to_string(), id);
    }
    registry
}

/// Tokens are the words of a principal: `acme` is bound to that tenant, `operator` to none; other words are errors.
fn tokens() -> BearerTokenAuth {
    BearerTokenAuth::new(|token: String| async move {
        match token.as_str() {
            "invalid" => Err(AuthError::Invalid),
            "expired" => Err(AuthError::Expired),
            "forbidden" => Err(AuthError::Forbidden),
            "unavailable" => Err(AuthError::Unavailable),
            "operator" => Ok(Principal::token("operator")),
            tenant => Ok(Principal::token("user-7").with_tenant(tenant)),
        }
    })
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Self { status: head.status, headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The problem's code, after everything that a problem has to have was looked at.
    #[track_caller]
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body: Value = serde_json::from_str(&self.text).unwrap();
        let code = body["code"].as_str().unwrap();
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["type"], format!("urn:tenant-registry:problem:{code}"));
        assert!(body["title"].is_string() && body["detail"].is_string());
        assert_eq!(self.header("retry-after").is_some(), self.status == StatusCode::SERVICE_UNAVAILABLE, "{self:?}");
        code.to_owned()
    }

    #[track_caller]
    fn is_nobody(&self) {
        assert_eq!((self.status, self.text.as_str()), (StatusCode::NOT_FOUND, ""), "{self:?}");
    }
}

async fn send<S>(service: &S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone,
    S::Error: std::fmt::Debug,
{
    Answer::of(service.clone().oneshot(request).await.unwrap()).await
}

/// `GET` with these headers; the target is a path or a whole URL.
fn request(target: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = headers.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

async fn ask<S>(service: &S, host: &str) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone,
    S::Error: std::fmt::Debug,
{
    send(service, request("/", &[("host", host)])).await
}
