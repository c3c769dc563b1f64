//! Which host a request was made for, and whose word on it counts.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderValue, Request, StatusCode};
use tenancy::{IpNet, PeerAddr, TenantLayer, TenantRegistry, TenantService};

use super::{Answer, app, register, registry, request, send};

type Service = TenantService<axum::Router>;

async fn tenants() -> TenantRegistry<axum::Router> {
    let registry = registry();
    for name in ["acme", "globex"] {
        register(&registry, name, app(name)).await;
    }
    registry
}

/// Who answers: a tenant's name, or the status and the code of a refusal.
fn told(answer: &Answer) -> String {
    match answer.status {
        StatusCode::OK => answer.text.split(' ').next().unwrap().to_owned(),
        StatusCode::NOT_FOUND => {
            answer.is_nobody();
            "404".to_owned()
        }
        status => format!("{} {}", status.as_u16(), answer.problem()),
    }
}

async fn check(service: &Service, target: &str, headers: &[(&str, &str)], expected: &str) {
    let answer = send(service, request(target, headers)).await;
    assert_eq!(told(&answer), expected, "{target} {headers:?}");
}

const ACME: &str = "acme.example.com";
const GLOBEX: &str = "globex.example.com";

#[tokio::test]
async fn the_host_is_the_targets_or_the_headers_and_they_have_to_agree() {
    let service = tenants().await.into_service();
    check(&service, "/", &[("host", ACME)], "acme").await;
    check(&service, "http://acme.example.com/", &[], "acme").await;
    check(&service, "http://acme.example.com:8443/", &[("host", "ACME.example.com.")], "acme").await;
    check(&service, "http://acme.example.com/", &[("host", GLOBEX)], "400 host_mismatch").await;
    check(&service, "http://nobody.example.com/", &[("host", ACME)], "400 host_mismatch").await;
}

#[tokio::test]
async fn a_request_without_one_host_is_for_nobody() {
    let service = tenants().await.into_service();
    check(&service, "/", &[], "404").await;
    check(&service, "/", &[("host", "")], "404").await;
    check(&service, "/", &[("host", "acme.example.com, globex.example.com")], "404").await;
    check(&service, "/", &[("host", ACME), ("host", ACME)], "404").await;
    check(&service, "/", &[("host", ACME), ("host", GLOBEX)], "404").await;
    check(&service, "/", &[("host", "acme.example.com:99999")], "404").await;
    check(&service, "/", &[("host", "acme.example.com/x")], "404").await;
    check(&service, "http://acme.example.com/", &[("host", "a b")], "404").await;

    let mut broken = request("/", &[]);
    broken.headers_mut().insert("host", HeaderValue::from_bytes(b"acme\xff.example.com").unwrap());
    send(&service, broken).await.is_nobody();
}

fn from(peer: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
    request
}

async fn behind_proxies() -> Service {
    let trusted: [IpNet; 2] = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    TenantLayer::new(tenants().await).trusted_proxies(trusted).into_service()
}

async fn check_from(peer: &str, headers: &[(&str, &str)], expected: &str) {
    let answer = send(&behind_proxies().await, from(peer, request("/", headers))).await;
    assert_eq!(told(&answer), expected, "{peer} {headers:?}");
}

const PROXY: &str = "10.1.2.3:4711";
const STRANGER: &str = "192.0.2.7:4711";

#[tokio::test]
async fn a_stranger_forwards_nothing() {
    for header in ["x-forwarded-host", "forwarded"] {
        let value = if header == "forwarded" { "host=globex.example.com" } else { GLOBEX };
        check_from(STRANGER, &[("host", ACME), (header, value)], "acme").await;
        check_from(STRANGER, &[(header, value)], "404").await;
        check_from(PROXY, &[("host", ACME), (header, value)], "globex").await;
    }
}

#[tokio::test]
async fn a_trusted_proxys_last_word_counts_in_either_header() {
    check_from(PROXY, &[("host", ACME)], "acme").await;
    check_from(PROXY, &[("host", ACME), ("x-forwarded-host", "acme.example.com, globex.example.com")], "globex").await;
    check_from(PROXY, &[("x-forwarded-host", ACME), ("x-forwarded-host", GLOBEX)], "globex").await;
    check_from(PROXY, &[("forwarded", "host=acme.example.com, for=1.1.1.1;host=globex.example.com")], "globex").await;
    check_from(PROXY, &[("host", ACME), ("forwarded", "for=1.1.1.1;proto=https")], "acme").await;
    check_from("[2001:db8::1]:80", &[("host", ACME), ("x-forwarded-host", GLOBEX)], "globex").await;
    check_from("[::ffff:10.0.0.1]:80", &[("host", ACME), ("x-forwarded-host", GLOBEX)], "globex").await;
}

#[tokio::test]
async fn what_a_trusted_proxy_forwards_is_not_made_better_by_another_header() {
    check_from(PROXY, &[("host", ACME), ("x-forwarded-host", "a b")], "404").await;
    check_from(PROXY, &[("host", ACME), ("x-forwarded-host", "")], "404").await;
    check_from(PROXY, &[("host", ACME), ("forwarded", r#"host="acme.example.com"#)], "404").await;
    let both = [("forwarded", "host=acme.example.com"), ("x-forwarded-host", GLOBEX)];
    check_from(PROXY, &both, "400 host_mismatch").await;
}

#[tokio::test]
async fn without_a_peer_nobody_is_a_trusted_proxy_and_without_trust_no_peer_is() {
    let headers = [("host", ACME), ("x-forwarded-host", GLOBEX)];
    check(&behind_proxies().await, "/", &headers, "acme").await;
    let answer = send(&tenants().await.into_service(), from(PROXY, request("/", &headers))).await;
    assert_eq!(told(&answer), "acme");
}

#[tokio::test]
async fn axums_connect_info_is_a_peer_and_ours_counts_before_it() {
    let service = behind_proxies().await;
    let connected = |peer: &str| {
        let mut request = request("/", &[("host", ACME), ("x-forwarded-host", GLOBEX)]);
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        request
    };
    assert_eq!(told(&send(&service, connected(PROXY)).await), "globex");
    assert_eq!(told(&send(&service, connected(STRANGER)).await), "acme");
    assert_eq!(told(&send(&service, from(STRANGER, connected(PROXY))).await), "acme");
}
