//! The operators' routes: what they answer, and that nobody else gets an answer.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tenancy::{
    AdminAuth, AuthError, BearerTokenAuth, PeerAddr, Principal, Register, RequestHead, TenantConfig, TenantRegistry,
    admin_router, async_trait,
};

use super::{Answer, every_state, request, send, tokens};

const ROUTES: [(Method, &str); 7] = [
    (Method::GET, "/tenants"),
    (Method::GET, "/tenants/healthy"),
    (Method::POST, "/tenants/healthy/recheck"),
    (Method::DELETE, "/tenants/healthy"),
    (Method::PUT, "/tenants/healthy"),
    (Method::GET, "/nothing"),
    (Method::GET, "/"),
];

fn call(method: &Method, path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = request(path, &[]);
    *request.method_mut() = method.clone();
    if let Some(token) = token {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

async fn operate(admin: &Router, method: Method, path: &str) -> Answer {
    send(admin, call(&method, path, Some("operator"))).await
}

fn json(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_str(&answer.text).unwrap()
}

#[tokio::test]
async fn nobody_gets_an_answer_without_a_credential_on_any_route() {
    let registry = every_state(|| ()).await;
    let admin = admin_router(registry.clone(), tokens());
    for (method, path) in &ROUTES {
        for (token, status, code) in [
            (None, 401, "unauthenticated"),
            (Some("invalid"), 401, "unauthenticated"),
            (Some("expired"), 401, "unauthenticated"),
            (Some("forbidden"), 403, "forbidden"),
            (Some("unavailable"), 503, "auth_unavailable"),
            // A tenant's own token is no operator's, whatever whoever verified it says.
            (Some("healthy"), 403, "forbidden"),
        ] {
            let answer = send(&admin, call(method, path, token)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.problem().as_str()),
                (status, code),
                "{method} {path} {token:?}"
            );
            assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
        }
    }
    assert_eq!(registry.len(), 5);
}

#[tokio::test]
async fn nobody_gets_through_where_nobody_is_asked() {
    let admin = admin_router(every_state(|| ()).await, BearerTokenAuth::none());
    for (method, path) in &ROUTES {
        assert_eq!(send(&admin, call(method, path, Some("operator"))).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(send(&admin, call(method, path, None)).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn the_list_has_every_tenant_by_id_with_its_state() {
    let admin = admin_router(every_state(|| ()).await, tokens());
    let list = json(&operate(&admin, Method::GET, "/tenants").await);
    let states: Vec<_> = list["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| (tenant["tenant_id"].as_str().unwrap(), tenant["health"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [
            ("disabled", "disabled"),
            ("healthy", "healthy"),
            ("pending", "pending"),
            ("suspended", "healthy"),
            ("unverified", "unverified"),
        ]
    );
    assert_eq!(list["tenants"][3]["suspended"], "not paid");
    assert_eq!(list["tenants"][0]["reason"], "key lost");
}

#[tokio::test]
async fn a_status_is_written_in_snake_case_with_times_of_rfc_3339() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    let registry: TenantRegistry<()> = TenantRegistry::builder().clock(move || now).build();
    let config = TenantConfig::new("https://acme.example.com", ()).alias("https://acme.example/a").label("Acme");
    registry.register("acme", config, Register::default()).await.unwrap();
    let admin = admin_router(registry, tokens());
    assert_eq!(
        json(&operate(&admin, Method::GET, "/tenants/acme").await),
        json!({
            "tenant_id": "acme",
            "urls": ["https://acme.example.com", "https://acme.example/a"],
            "health": "healthy",
            "reason": null,
            "suspended": null,
            "last_checked_at": "2030-03-17T17:46:40Z",
            "last_valid_at": "2030-03-17T17:46:40Z",
            "next_check_at": null,
            "consecutive_failures": 0,
            "config_version": 1,
            "label": "Acme",
        })
    );
}

#[tokio::test]
async fn a_recheck_validates_and_gives_the_new_status() {
    let admin = admin_router(every_state(|| ()).await, tokens());
    let status = json(&operate(&admin, Method::POST, "/tenants/unverified/recheck").await);
    assert_eq!((&status["health"], &status["consecutive_failures"]), (&json!("unverified"), &json!(2)));
}

#[tokio::test]
async fn unregistering_is_idempotent() {
    let registry = every_state(|| ()).await;
    let admin = admin_router(registry.clone(), tokens());
    for _ in 0..2 {
        let answer = operate(&admin, Method::DELETE, "/tenants/healthy").await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(registry.health("healthy"), None);
    }
    assert_eq!(registry.len(), 4);
}

#[tokio::test]
async fn who_or_what_is_not_there_is_a_problem() {
    let admin = admin_router(every_state(|| ()).await, tokens());
    for (method, path, status, code) in [
        (Method::GET, "/tenants/nobody", 404, "tenant_not_found"),
        (Method::POST, "/tenants/nobody/recheck", 404, "tenant_not_found"),
        (Method::GET, "/tenants/%FF", 404, "tenant_not_found"),
        (Method::GET, "/nothing", 404, "not_found"),
    ] {
        let answer = operate(&admin, method, path).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (status, code), "{path}");
    }
    assert_eq!(operate(&admin, Method::PUT, "/tenants/healthy").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn ids_are_percent_decoded_and_the_router_may_be_nested() {
    let registry: TenantRegistry<()> = TenantRegistry::builder().build();
    let config = TenantConfig::new("https://acme.example.com", ());
    registry.register("acme/eu ü", config, Register::default()).await.unwrap();
    let admin = Router::new().nest("/admin", admin_router(registry, tokens()));
    let answer = operate(&admin, Method::GET, "/admin/tenants/acme%2Feu%20%C3%BC").await;
    assert_eq!(json(&answer)["tenant_id"], "acme/eu ü");
    assert_eq!(send(&admin, request("/admin/tenants", &[])).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&admin, request("/admin/nothing", &[])).await.status, StatusCode::UNAUTHORIZED);
}

/// Whoever is on this machine.
struct Local;

#[async_trait]
impl AdminAuth for Local {
    async fn judge(&self, request: &RequestHead<'_>) -> Result<Principal, AuthError> {
        match request.peer {
            Some(peer) if peer.is_loopback() => Ok(Principal::api_key("local")),
            _ => Err(AuthError::Forbidden),
        }
    }
}

#[tokio::test]
async fn a_judge_of_ones_own_sees_the_head_and_the_peer() {
    let admin = admin_router(every_state(|| ()).await, Local);
    for (peer, status) in [("127.0.0.1:1", StatusCode::OK), ("192.0.2.7:1", StatusCode::FORBIDDEN)] {
        let mut request = request("/tenants", &[]);
        request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
        assert_eq!(send(&admin, request).await.status, status);
    }
}
