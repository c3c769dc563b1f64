//! `http_probe`: what is asked, and what counts. The limits of fetching are in `fetching.rs`, for all validators.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use tenancy::{HttpProbe, Verdict};

use super::server::Server;
use super::{lasting, target, verdict};

fn http_probe(path: &str) -> HttpProbe {
    tenancy::http_probe(path).allow_private_addresses(true)
}

#[tokio::test]
async fn a_probe_asks_below_the_path_of_the_tenant() {
    let server = Server::of_status(204).await;
    for (path, url, asked) in [
        ("/healthz", "", "/healthz"),
        ("healthz", "", "/healthz"),
        ("/healthz", "/acme", "/acme/healthz"),
        ("/a/b?deep=1", "/acme", "/acme/a/b?deep=1"),
        ("", "/acme", "/acme"),
        ("/", "/acme", "/acme"),
        ("/", "", "/"),
        ("?deep=1", "/acme", "/acme?deep=1"),
    ] {
        let url = format!("{}{url}", server.url());
        assert_eq!(verdict(&http_probe(path), &target(&[&url])).await, Verdict::Valid);
        assert_eq!(server.paths().last().unwrap(), asked, "{path:?} of {url}");
    }
}

#[tokio::test]
async fn every_2xx_is_valid_whatever_the_body() {
    for status in [200, 201, 204, 299] {
        let server = Server::of_status(status).await;
        assert_eq!(verdict(&http_probe("/"), &target(&[&server.url()])).await, Verdict::Valid, "{status}");
    }
    let server = Server::of_text("x".repeat(3 << 20)).await;
    assert_eq!(verdict(&http_probe("/"), &target(&[&server.url()])).await, Verdict::Valid);
}

#[tokio::test]
async fn every_url_is_probed_also_two_of_one_host() {
    let server = Server::start(|path| async move {
        if path == "/eu/up" { StatusCode::OK.into_response() } else { StatusCode::NOT_FOUND.into_response() }
    })
    .await;
    let (eu, us) = (format!("{}/eu", server.url()), format!("{}/us", server.url()));
    assert_eq!(verdict(&http_probe("/up"), &target(&[&eu])).await, Verdict::Valid);
    let reason = lasting(verdict(&http_probe("/up"), &target(&[&eu, &us])).await);
    assert_eq!(reason, format!("{us}/up answered 404 Not Found"));
}

#[tokio::test]
async fn a_wildcard_is_refused_or_passed_over_by_option() {
    let server = Server::of_status(200).await;
    let target = target(&["https://*.acme.example.com", &server.url()]);
    assert!(lasting(verdict(&http_probe("/"), &target).await).contains("stands for many hosts"));
    assert_eq!(verdict(&http_probe("/").skip_wildcards(true), &target).await, Verdict::Valid);
}
