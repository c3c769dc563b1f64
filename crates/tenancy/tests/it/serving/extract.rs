//! The extractor: with a layer, without one, and behind authentication that stands inside of the layer.

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tenancy::{NoTenant, Tenant, TenantLayer, TenantRegistry};

use super::{ask, register, registry, request, send, tokens};

struct Shop {
    name: &'static str,
}

async fn hello(tenant: Tenant<Shop>) -> String {
    format!("{} {}", tenant.tenant_id, tenant.platform.name)
}

async fn perhaps(tenant: Option<Tenant<Shop>>) -> String {
    tenant.map_or("nobody".to_owned(), |Tenant(resolved)| resolved.tenant_id.to_string())
}

fn app() -> Router {
    Router::new().route("/", get(hello)).route("/perhaps", get(perhaps))
}

async fn shops() -> TenantRegistry<Shop> {
    let registry = registry();
    register(&registry, "acme", Shop { name: "Acme" }).await;
    registry
}

#[tokio::test]
async fn a_handler_gets_its_tenant_and_platform() {
    let app = app().layer(TenantLayer::new(shops().await));
    assert_eq!(ask(&app, "acme.example.com").await.text, "acme Acme");
    assert_eq!(send(&app, request("/perhaps", &[("host", "acme.example.com")])).await.text, "acme");
}

#[tokio::test]
async fn without_a_layer_it_is_a_500_that_tells_the_caller_nothing() {
    let answer = ask(&app(), "acme.example.com").await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"));
    assert!(!answer.text.contains("Layer") && !answer.text.contains("Shop"));
    assert_eq!(send(&app(), request("/perhaps", &[])).await.text, "nobody");
}

#[tokio::test]
async fn a_layer_of_another_platform_counts_as_none() {
    let registry = registry();
    register(&registry, "acme", "another platform").await;
    let app = app().layer(TenantLayer::new(registry));
    assert_eq!(ask(&app, "acme.example.com").await.problem(), "internal_error");
    assert_eq!(send(&app, request("/perhaps", &[("host", "acme.example.com")])).await.text, "nobody");
}

#[tokio::test]
async fn a_principal_from_inside_of_the_layer_is_weighed_too() {
    let app = app().layer(tokens()).layer(TenantLayer::new(shops().await));
    for path in ["/", "/perhaps"] {
        let as_token = |token| request(path, &[("host", "acme.example.com"), ("authorization", token)]);
        assert_eq!(send(&app, as_token("Bearer acme")).await.status, StatusCode::OK);
        assert_eq!(send(&app, as_token("Bearer operator")).await.status, StatusCode::OK);
        let foreign = send(&app, as_token("Bearer globex")).await;
        assert_eq!((foreign.status, foreign.problem().as_str()), (StatusCode::FORBIDDEN, "tenant_mismatch"));
    }
    assert_eq!(NoTenant::Mismatch.to_string(), "the caller belongs to another tenant");
}
