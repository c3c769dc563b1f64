//! The look-up of a tenant by host and path: what a gateway asks.
//!
//! Invariant: whatever the host is spelled like, it is found in normal form; what is no host is absent, and no error.

use serde_json::{Value, json};

use crate::support::Service;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, escaped, path_of, tenant_admin, with_issuer};

async fn tenant(service: &Service, slug: &str, hosts: &[&str]) -> Value {
    service.admin.post("/v1/tenants", json!({ "slug": slug, "name": slug, "hosts": hosts })).await.expect(201).body
}

/// The slug that a host and a path reach.
async fn found(service: &Service, host: &str, path: &str) -> String {
    let query = if path.is_empty() { String::new() } else { format!("?path={}", escaped(path)) };
    let answer = service.admin.get(&format!("/v1/tenants/by-host/{}{query}", escaped(host))).await;
    match answer.status {
        200 => answer.body["slug"].as_str().unwrap().to_owned(),
        _ => {
            answer.problem(404, "not_found");
            "nobody".to_owned()
        }
    }
}

both_stores! {
    async fn the_longest_prefix_on_segment_boundaries_wins(service: Service) {
        tenant(&service, "whole", &["https://a.example"]).await;
        tenant(&service, "calls", &["https://a.example/api"]).await;
        tenant(&service, "calls-v2", &["https://a.example/api/v2"]).await;
        tenant(&service, "deep", &["https://b.example/only/here"]).await;
        for (host, path, slug) in [
            ("a.example", "", "whole"), ("a.example", "/", "whole"), ("a.example", "/other", "whole"),
            ("a.example", "/api", "calls"), ("a.example", "/api/", "calls"), ("a.example", "/api/v1", "calls"),
            ("a.example", "/api/v2", "calls-v2"), ("a.example", "/api/v2/x/y", "calls-v2"), ("a.example", "/api/v20", "calls"),
            ("a.example", "/apis", "whole"), ("a.example", "/API", "whole"), ("a.example", "/%61pi", "whole"),
            ("a.example", "/api?x=/v2", "calls"), ("a.example", "/api/v2?x", "calls-v2"), ("a.example", "//api", "whole"),
            ("b.example", "", "nobody"), ("b.example", "/only", "nobody"), ("b.example", "/only/here", "deep"),
            ("b.example", "/only/hereabouts", "nobody"), ("c.example", "/", "nobody"), ("example", "/", "nobody"),
        ] {
            assert_eq!(found(&service, host, path).await, slug, "{host}{path}");
        }
    }

    async fn an_exact_host_shadows_the_wildcard_also_where_no_prefix_covers(service: Service) {
        tenant(&service, "wild", &["https://*.w.example", "https://*.w.example/app"]).await;
        tenant(&service, "exact", &["https://x.w.example/app"]).await;
        for (host, path, slug) in [
            ("y.w.example", "/", "wild"), ("y.w.example", "/app/1", "wild"), ("x.w.example", "/app/1", "exact"),
            ("x.w.example", "/", "nobody"), ("x.w.example", "/application", "nobody"), ("w.example", "/", "nobody"),
            ("a.b.w.example", "/", "nobody"), ("Y.W.EXAMPLE.", "/", "wild"),
        ] {
            assert_eq!(found(&service, host, path).await, slug, "{host}{path}");
        }
    }

    async fn every_spelling_of_a_host_finds_it(service: Service) {
        tenant(&service, "name", &["https://a.example:8443"]).await;
        tenant(&service, "idna", &["https://bücher.example"]).await;
        tenant(&service, "six", &["http://[2001:db8::1]"]).await;
        tenant(&service, "four", &["http://192.0.2.7"]).await;
        for (host, slug) in [
            ("a.example", "name"), ("A.Example", "name"), ("a.example:8443", "name"), ("a.example:1", "name"), ("a.example.", "name"),
            ("ａ.example", "name"), ("bücher.example", "idna"), ("BÜCHER.example:443", "idna"), ("xn--bcher-kva.example", "idna"),
            ("bu\u{308}cher.example", "idna"), ("[2001:db8::1]", "six"), ("[2001:0DB8:0::1]:80", "six"), ("2001:db8::1", "six"),
            ("192.0.2.7", "four"), ("192.0.2.7:80", "four"), ("0xc0.0.2.7", "four"),
        ] {
            assert_eq!(found(&service, host, "/").await, slug, "{host}");
        }
    }

    async fn what_is_no_host_is_absent(service: Service) {
        tenant(&service, "wild", &["https://*.w.example"]).await;
        let long = "a".repeat(300);
        for host in [
            "*.w.example", "a..w.example", ".w.example", "a b.w.example", "a/b.w.example", "a.w.example:x", "1.2.3.256", "[::1", " ",
            "a\u{0}.w.example", "-", "a_b", "https://a.w.example", "%", "a.w.example#", &long,
        ] {
            let path = format!("/v1/tenants/by-host/{}", escaped(host));
            service.admin.get(&path).await.problem(404, "not_found");
        }
        service.admin.get("/v1/tenants/by-host/%ff").await.problem(404, "not_found");
    }

    async fn a_path_begins_with_a_slash_and_has_its_length(service: Service) {
        tenant(&service, "beta", &["https://a.example"]).await;
        let at = |path: &str| format!("/v1/tenants/by-host/a.example?path={path}");
        for path in ["", "api", "%20/", "https://a.example/", "%3F"] {
            service.admin.get(&at(path)).await.invalid(&[("path", "invalid_format")]);
        }
        service.admin.get(&at(&format!("/{}", "p".repeat(8_191)))).await.expect(200);
        service.admin.get(&at(&format!("/{}", "p".repeat(8_192)))).await.invalid(&[("path", "too_long")]);
        service.admin.get(&at("/%00")).await.invalid(&[("path", "not_allowed")]);
        service.admin.get(&at("/&path=/")).await.invalid(&[("path", "not_allowed")]);
        service.admin.get(&at("/&q=1")).await.invalid(&[("q", "unknown_field")]);
        // Bad input is told before absence.
        service.admin.get("/v1/tenants/by-host/absent.example?path=x").await.problem(422, "validation_failed");
    }
}

each_store! {
    async fn a_foreign_host_looks_absent(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        tenant(&service, "beta", &["https://beta.example"]).await;
        let gamma = tenant(&service, "gamma", &["https://gamma.example"]).await;
        let admin = tenant_admin(&service, &issuer, "gamma");
        assert_eq!(admin.get("/v1/tenants/by-host/gamma.example").await.expect(200).body, gamma);
        let foreign = admin.get("/v1/tenants/by-host/beta.example").await.problem(404, "not_found");
        let absent = admin.get("/v1/tenants/by-host/none.example").await.problem(404, "not_found");
        assert_eq!(foreign.body["detail"], absent.body["detail"]);
        admin.get("/v1/tenants/by-slug/beta").await.problem(404, "not_found");
        assert_eq!(admin.get("/v1/tenants").await.expect(200).body["items"], json!([gamma]));
        assert_eq!(admin.get(&path_of(&gamma, "")).await.expect(200).body, gamma);
    }
}
