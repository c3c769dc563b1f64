//! What a layer lets through, and what it answers of itself, in every state that a tenant can be in.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tenancy::{CurrentTenant, Register, TenantBody, TenantConfig, TenantLayer, TenantRegistry};
use tower::{Layer, ServiceExt, service_fn};

use super::{ask, every_state, register, registry, request, send};

/// A router that says for whom it was called.
fn who() -> Router {
    Router::new().fallback(get(|request: Request<Body>| async move {
        let tenant = request.extensions().get::<CurrentTenant<&'static str>>().unwrap();
        format!("{} {} {} v{}", tenant.tenant_id, tenant.health, *tenant.platform, tenant.config_version)
    }))
}

#[tokio::test]
async fn served_states_reach_the_inner_service_with_their_tenant() {
    let service = TenantLayer::new(every_state(|| "shop").await).layer(who());
    for (host, text) in [
        ("healthy.example.com", "healthy healthy shop v1"),
        ("unverified.example.com", "unverified unverified shop v1"),
        ("HEALTHY.Example.com.:8443", "healthy healthy shop v1"),
    ] {
        let answer = ask(&service, host).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, text));
    }
}

#[tokio::test]
async fn refused_states_are_503_with_a_delay_and_a_problem() {
    let service = TenantLayer::new(every_state(|| "shop").await).layer(who());
    for state in ["pending", "disabled", "suspended"] {
        let answer = ask(&service, &format!("{state}.example.com")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.problem(), format!("tenant_{state}"));
        let delay: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&delay), "{delay}");
    }
}

#[tokio::test]
async fn reasons_are_shown_only_where_that_was_asked_for() {
    let registry = every_state(|| "shop").await;
    let (quiet, open) =
        (TenantLayer::new(registry.clone()).layer(who()), TenantLayer::new(registry).show_reasons(true).layer(who()));
    for (host, reason) in [("disabled.example.com", "key lost"), ("suspended.example.com", "not paid")] {
        assert!(!ask(&quiet, host).await.text.contains(reason));
        let shown = ask(&open, host).await;
        assert!(shown.text.contains(reason), "{}", shown.text);
        shown.problem();
    }
}

#[tokio::test]
async fn an_unknown_host_is_an_empty_404() {
    let registry = registry();
    let config = TenantConfig::new("https://example.com/api", "api");
    registry.register("api", config, Register::default()).await.unwrap();
    let service = TenantLayer::new(registry).layer(who());
    for (host, path) in [("nobody.example.com", "/"), ("example.com", "/"), ("example.com", "/apis"), ("a b", "/api")] {
        send(&service, request(path, &[("host", host)])).await.is_nobody();
    }
    assert_eq!(send(&service, request("/api/orders?x=1", &[("host", "example.com")])).await.text, "api healthy api v1");
}

#[tokio::test]
async fn paths_are_matched_as_they_stand() {
    let registry = registry();
    for (id, url) in [("root", "https://example.com"), ("api", "https://example.com/api")] {
        registry.register(id, TenantConfig::new(url, "p"), Register::default()).await.unwrap();
    }
    let service = TenantLayer::new(registry).layer(who());
    for (path, id) in [("/api", "api"), ("/api/", "api"), ("/api/../x", "api"), ("/%61pi", "root"), ("/API", "root")] {
        let answer = send(&service, request(path, &[("host", "example.com")])).await;
        assert!(answer.text.starts_with(id), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_layer_goes_around_a_router_and_around_any_service_with_a_body() {
    let registry = registry();
    register(&registry, "acme", "shop").await;

    let router = who().layer(TenantLayer::new(registry.clone()));
    assert_eq!(ask(&router, "acme.example.com").await.text, "acme healthy shop v1");

    let full =
        service_fn(async |_: Request<u8>| Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from("full")))));
    let request = |host| Request::get("/").header("host", host).body(7).unwrap();
    let full = TenantLayer::new(registry.clone()).layer(full);
    let response = full.clone().oneshot(request("acme.example.com")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "full");
    assert_eq!(full.oneshot(request("nobody.example.com")).await.unwrap().status(), StatusCode::NOT_FOUND);

    // A body that cannot be made of bytes.
    let wrapped =
        service_fn(async |_: Request<u8>| Ok::<_, std::io::Error>(Response::new(TenantBody::new("text".to_owned()))));
    let wrapped = TenantLayer::new(registry.clone()).layer(wrapped);
    let response = wrapped.clone().oneshot(request("acme.example.com")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "text");
    registry.suspend("acme", "not paid");
    let body = wrapped.oneshot(request("acme.example.com")).await.unwrap().into_body();
    assert!(body.collect().await.unwrap().to_bytes().starts_with(b"{"));
}

#[tokio::test]
async fn a_change_of_the_registry_is_seen_by_the_next_request() {
    let registry: TenantRegistry<&str> = registry();
    let service = TenantLayer::new(registry.clone()).layer(who());
    ask(&service, "acme.example.com").await.is_nobody();
    register(&registry, "acme", "one").await;
    assert_eq!(ask(&service, "acme.example.com").await.text, "acme healthy one v1");
    registry.replace("acme", TenantConfig::new("https://acme.example.com", "two")).await.unwrap();
    assert_eq!(ask(&service, "acme.example.com").await.text, "acme healthy two v2");
    registry.suspend("acme", "not paid");
    assert_eq!(ask(&service, "acme.example.com").await.problem(), "tenant_suspended");
    registry.resume("acme");
    assert_eq!(ask(&service, "acme.example.com").await.status, StatusCode::OK);
    registry.unregister("acme");
    ask(&service, "acme.example.com").await.is_nobody();
}
