//! `jwks`: which documents prove that a host is the tenant's, and which keys can be looked for.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tenancy::{JwksValidator, ValidationTarget, Verdict};

use super::server::Server;
use super::{lasting, target, verdict};

/// Of RFC 8037 appendix A.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn key(kid: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": X})
}

fn other_key(kid: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
}

fn brand(keys: Value) -> Value {
    json!({"name": "Acme", "jwks": {"keys": keys}})
}

fn jwks() -> JwksValidator {
    tenancy::jwks().allow_private_addresses(true)
}

fn signed(urls: &[&str]) -> ValidationTarget {
    target(urls).with_signing_key(key("k1"))
}

/// What a validation says of a host with this document.
async fn of_document(document: Value) -> Verdict {
    let server = Server::of_json(document).await;
    verdict(&jwks(), &signed(&[&server.url()])).await
}

#[tokio::test]
async fn a_tenant_that_publishes_its_key_is_valid() {
    let server = Server::of_json(brand(json!([other_key("k0"), key("k1")]))).await;
    assert_eq!(verdict(&jwks(), &signed(&[&server.url()])).await, Verdict::Valid);
    assert_eq!(server.paths(), ["/.well-known/brand.json"]);
}

#[tokio::test]
async fn kid_and_material_both_have_to_be_the_tenants() {
    assert_eq!(of_document(brand(json!([key("k1")]))).await, Verdict::Valid);
    assert_eq!(of_document(brand(json!([other_key("k1"), key("k1")]))).await, Verdict::Valid);
    let reason = lasting(of_document(brand(json!([other_key("k1")]))).await);
    assert!(reason.starts_with("kid `k1` in http://127.0.0.1:") && reason.ends_with(" is another key"), "{reason}");
    let reason = lasting(of_document(brand(json!([key("k2")]))).await);
    assert!(reason.starts_with("kid `k1` is not in http://127.0.0.1:"), "{reason}");
    lasting(of_document(brand(json!([]))).await);
    lasting(of_document(brand(json!([key("k2"), other_key("k1")]))).await);
}

#[tokio::test]
async fn a_key_that_is_published_with_its_private_part_counts_for_nothing() {
    let mut exposed = key("k1");
    exposed["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    let reason = lasting(of_document(brand(json!([key("k1"), exposed]))).await);
    assert!(reason.contains("private member `d`") && !reason.contains("nWGx"), "{reason}");
}

#[tokio::test]
async fn a_document_without_a_key_set_is_a_lasting_failure() {
    for document in [
        json!({}),
        json!([]),
        json!(null),
        json!({"jwks": null}),
        json!({"jwks": [key("k1")]}),
        json!({"jwks": {"keys": {"k1": key("k1")}}}),
        // A key set alone is no brand document.
        json!({"keys": [key("k1")]}),
        json!({"jwks.keys": [key("k1")]}),
    ] {
        let reason = lasting(of_document(document.clone()).await);
        assert!(reason.ends_with("has no array `jwks.keys`"), "{document}: {reason}");
    }
}

#[tokio::test]
async fn what_is_no_json_is_a_lasting_failure() {
    let whole = brand(json!([key("k1")])).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["", "<html>", &whole[..whole.len() - 1], &format!("{whole}x"), "\u{feff}{}", &deep] {
        let server = Server::of_text(text).await;
        let reason = lasting(verdict(&jwks(), &signed(&[&server.url()])).await);
        assert!(reason.contains("/.well-known/brand.json is no JSON: "), "{reason}");
    }
}

#[tokio::test]
async fn every_host_of_a_tenant_has_to_publish_the_key() {
    let good = Server::of_json(brand(json!([key("k1")]))).await;
    let also_good = Server::of_json(brand(json!([key("k1")]))).await;
    let bad = Server::of_json(brand(json!([key("k2")]))).await;
    let away = Server::of_status(503).await;
    let check = async |urls: &[&Server]| {
        let urls: Vec<String> = urls.iter().map(|server| server.url()).collect();
        verdict(&jwks(), &signed(&urls.iter().map(String::as_str).collect::<Vec<_>>())).await
    };
    assert_eq!(check(&[&good, &also_good]).await, Verdict::Valid);
    assert_eq!(also_good.paths().len(), 1);
    assert!(lasting(check(&[&good, &bad]).await).contains(&bad.url()));
    assert!(matches!(check(&[&good, &away]).await, Verdict::Transient(_)));
    // A host that is away does not hide the one that has another key.
    assert!(lasting(check(&[&away, &bad]).await).contains(&bad.url()));
}

#[tokio::test]
async fn an_origin_is_asked_once_whatever_the_paths_of_the_tenant() {
    let server = Server::of_json(brand(json!([key("k1")]))).await;
    let urls = [format!("{}/eu", server.url()), server.url(), format!("{}/us/west", server.url())];
    let target = signed(&[&urls[0], &urls[1], &urls[2]]);
    assert_eq!(verdict(&jwks(), &target).await, Verdict::Valid);
    assert_eq!(server.paths(), ["/.well-known/brand.json"]);
}

#[tokio::test]
async fn a_key_set_elsewhere_is_asked_instead_of_the_hosts() {
    let host = Server::of_status(404).await;
    let keys = Server::of_json(json!({"keys": [key("k1")]})).await;
    let validator = jwks().at(format!("{}/all/jwks.json?v=1", keys.url())).unwrap();
    assert_eq!(verdict(&validator, &signed(&[&host.url(), "https://*.example.com"])).await, Verdict::Valid);
    assert_eq!((keys.paths(), host.paths()), (vec!["/all/jwks.json?v=1".to_owned()], vec![]));

    let brands = Server::of_json(brand(json!([key("k1")]))).await;
    let reason = lasting(verdict(&jwks().at(brands.url()).unwrap(), &signed(&[&host.url()])).await);
    assert!(reason.ends_with("has no array `keys`"), "{reason}");
}

#[test]
fn a_key_set_needs_an_absolute_url_without_userinfo() {
    for url in [
        "",
        "jwks.json",
        "/jwks.json",
        "keys.example.com",
        "file:///jwks.json",
        "https://",
        "https://u:p@h/",
        "https://u@h/",
    ] {
        assert!(jwks().at(url).is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_tenant_without_a_usable_signing_key_is_refused_before_anybody_is_asked() {
    let server = Server::of_json(brand(json!([key("k1")]))).await;
    let url = server.url();
    let reason = lasting(verdict(&jwks(), &target(&[&url])).await);
    assert_eq!(reason, "the tenant has no signing key to look for");

    let mut private = key("k1");
    private["d"] = json!("hunter2-hunter2");
    let reason = lasting(verdict(&jwks(), &target(&[&url]).with_signing_key(private)).await);
    assert!(reason.contains("private member `d`") && !reason.contains("hunter2"), "{reason}");

    for unusable in [json!(null), json!("k1"), json!({"kty": "OKP", "crv": "Ed25519", "x": X}), json!({"kid": "k1"})] {
        let reason = lasting(verdict(&jwks(), &target(&[&url]).with_signing_key(unusable)).await);
        assert!(reason.starts_with("the signing key is unusable: "), "{reason}");
    }
    assert_eq!(server.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wildcard_is_refused_or_passed_over_by_option() {
    let server = Server::of_json(brand(json!([key("k1")]))).await;
    let target = signed(&[&server.url(), "https://*.acme.example.com/eu"]);
    let reason = lasting(verdict(&jwks(), &target).await);
    assert!(reason.contains("https://*.acme.example.com/eu stands for many hosts"), "{reason}");
    assert_eq!(verdict(&jwks().skip_wildcards(true), &target).await, Verdict::Valid);
    // Nothing at all is never enough.
    for urls in [&["https://*.acme.example.com"][..], &[]] {
        let reason = lasting(verdict(&jwks().skip_wildcards(true), &signed(urls)).await);
        assert_eq!(reason, "the tenant has no URL that can be asked");
    }
}

#[tokio::test]
async fn nothing_is_kept_from_one_validation_to_the_next() {
    let documents = std::sync::Arc::new(std::sync::Mutex::new(vec![brand(json!([key("k1")]))]));
    let answers = documents.clone();
    let server = Server::start(move |_| {
        let document = answers.lock().unwrap().pop();
        async move { document.map_or(StatusCode::GONE.into_response(), |document| document.to_string().into_response()) }
    })
    .await;
    let validator = jwks();
    assert_eq!(verdict(&validator, &signed(&[&server.url()])).await, Verdict::Valid);
    lasting(verdict(&validator, &signed(&[&server.url()])).await);
    documents.lock().unwrap().push(brand(json!([key("k1")])));
    assert_eq!(verdict(&validator, &signed(&[&server.url()])).await, Verdict::Valid);
}
