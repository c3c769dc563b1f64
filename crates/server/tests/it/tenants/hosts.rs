//! Routes of a tenant: how they are spelled, kept, taken, and who may take which.
//!
//! Invariant: a route is (host, prefix); what is there already, however it is spelled, changes nothing at all.

use serde_json::{Value, json};

use crate::support::server::both_stores;
use crate::support::setup::{actions_of, each_store, escaped, events_of, path_of, tenant_admin, traces, with_issuer};
use crate::support::{Answer, Client};

async fn put(client: &Client, tenant: &Value, url: &str) -> Answer {
    client.put(&path_of(tenant, "/hosts"), json!({ "url": url })).await
}

async fn remove(client: &Client, tenant: &Value, url: &str) -> Answer {
    client.delete(&path_of(tenant, &format!("/hosts?url={}", escaped(url)))).await
}

both_stores! {
    async fn routes_are_shown_in_normal_form(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let mut shown = Vec::new();
        for (given, normal) in [
            ("https://b.example", "https://b.example"),
            ("HTTPS://A.Example.:443/", "https://a.example"),
            ("http://a.example:80/app/", "http://a.example/app"),
            ("http://a.example:443/App", "http://a.example:443/App"),
            ("https://a.example:8443/app/v2", "https://a.example:8443/app/v2"),
            ("https://Bücher.example", "https://xn--bcher-kva.example"),
            ("http://[0:0::1]:8080/x", "http://[::1]:8080/x"),
            ("https://127.1/", "https://127.0.0.1"),
            ("https://*.Example.org", "https://*.example.org"),
            ("https://user:secret@u.example/a%2Fb", "https://u.example/a%2Fb"),
        ] {
            shown.push(normal);
            let added = put(&service.admin, &made, given).await.expect(200);
            assert_eq!(added.body["hosts"], json!(shown), "{given}");
            assert_eq!(added.header("etag"), format!("\"{}\"", shown.len() + 1), "{given}");
        }
        let read = service.admin.get(&path_of(&made, "")).await.expect(200);
        assert_eq!(read.body["hosts"], json!(shown));
        assert!(!read.text.contains("secret"));
        let newest = events_of(&service, &made).await.remove(0);
        assert_eq!((newest.action.as_str(), newest.target.unwrap().kind.as_deref()), ("host.added", Some("host")));
    }

    async fn a_second_put_of_a_route_changes_nothing(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let first = put(&service.admin, &made, "https://a.example:8443/app").await.expect(200);
        let before = traces(&service).await;
        for other in ["https://a.example:8443/app", "http://A.EXAMPLE/app/", "https://a.example.:1/app", "https://x@a.example/app"] {
            let again = put(&service.admin, &made, other).await.expect(200);
            assert_eq!((again.text.as_str(), again.header("etag")), (first.text.as_str(), first.header("etag")), "{other}");
        }
        assert_eq!(traces(&service).await, before);
        assert_eq!(first.body["version"], 2);
    }

    async fn removal_is_idempotent_and_takes_any_spelling(service: Service) {
        let body = json!({ "slug": "beta", "name": "Beta", "hosts": ["https://a.example", "https://b.example/app", "https://c.example"] });
        let made = service.admin.post("/v1/tenants", body).await.expect(201).body;
        remove(&service.admin, &made, "http://B.example:99/app/").await.expect(204);
        let after = service.admin.get(&path_of(&made, "")).await.body;
        assert_eq!((&after["hosts"], &after["version"]), (&json!(["https://a.example", "https://c.example"]), &json!(2)));
        let before = traces(&service).await;
        for gone in ["http://b.example/app", "https://b.example", "https://a.example/deeper", "https://never.example"] {
            remove(&service.admin, &made, gone).await.expect(204);
        }
        assert_eq!((traces(&service).await, service.admin.get(&path_of(&made, "")).await.body), (before, after));
        assert_eq!(actions_of(&service, &made).await[0], "host.removed");
        // What was removed comes back at the end.
        let back = put(&service.admin, &made, "https://b.example/app").await.expect(200).body;
        assert_eq!(back["hosts"], json!(["https://a.example", "https://c.example", "https://b.example/app"]));
    }

    async fn bad_input_of_both_calls_is_named(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let before = traces(&service).await;
        let hosts = path_of(&made, "/hosts");
        service.admin.put(&hosts, json!({ "url": "nonsense" })).await.invalid(&[("url", "invalid_format")]);
        service.admin.put(&hosts, json!({ "url": "" })).await.invalid(&[("url", "too_short")]);
        service.admin.put(&hosts, json!({ "url": 1 })).await.invalid(&[("url", "wrong_type")]);
        service.admin.put(&hosts, json!({})).await.invalid(&[("url", "required")]);
        service.admin.put(&hosts, json!({ "url": "https://a.example", "host": "x" })).await.invalid(&[("host", "unknown_field")]);
        let url = |length: usize| format!("https://a.example/{}", "p".repeat(length - 18));
        service.admin.put(&hosts, json!({ "url": url(2_049) })).await.invalid(&[("url", "too_long")]);
        service.admin.delete(&hosts).await.invalid(&[("url", "required")]);
        service.admin.delete(&format!("{hosts}?url=nonsense")).await.invalid(&[("url", "invalid_format")]);
        service.admin.delete(&format!("{hosts}?url=https://a.example&x=1")).await.invalid(&[("x", "unknown_field")]);
        service.admin.delete(&format!("{hosts}?url=https://a.example&url=https://b.example")).await.invalid(&[("url", "not_allowed")]);
        service.admin.delete(&format!("{hosts}?url=a%00b")).await.invalid(&[("url", "not_allowed")]);
        assert_eq!(traces(&service).await, before);
        service.admin.put(&hosts, json!({ "url": url(2_048) })).await.expect(200);
    }

    async fn the_hundred_and_first_route_is_refused(service: Service) {
        let hosts: Vec<String> = (0..99).map(|place| format!("https://h{place}.example")).collect();
        let made = service.admin.post("/v1/tenants", json!({ "slug": "beta", "name": "Beta", "hosts": hosts })).await.expect(201).body;
        put(&service.admin, &made, "https://h99.example").await.expect(200);
        put(&service.admin, &made, "https://h100.example").await.invalid(&[("url", "too_long")]);
        put(&service.admin, &made, "https://h7.example").await.expect(200);
        remove(&service.admin, &made, "https://h7.example").await.expect(204);
        put(&service.admin, &made, "https://h100.example").await.expect(200);
    }

    async fn a_platform_admin_may_nest_but_not_take(service: Service) {
        let beta = service.admin.make_tenant("beta").await;
        let gamma = service.admin.make_tenant("gamma").await;
        put(&service.admin, &beta, "https://a.example/app").await.expect(200);
        put(&service.admin, &beta, "https://*.wild.example").await.expect(200);
        let before = traces(&service).await;
        for taken in ["https://a.example/app", "http://A.example:8080/app/", "https://*.WILD.example"] {
            put(&service.admin, &gamma, taken).await.problem(409, "host_taken");
        }
        assert_eq!(traces(&service).await, before);
        for nested in ["https://a.example", "https://a.example/app/v2", "https://a.example/ap", "https://x.wild.example", "https://*.wild.example/p"] {
            put(&service.admin, &gamma, nested).await.expect(200);
        }
        remove(&service.admin, &beta, "https://a.example/app").await.expect(204);
        put(&service.admin, &gamma, "https://a.example/app").await.expect(200);
    }

    async fn writes_of_hosts_honour_if_match(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let stale = service.admin.with("if-match", "\"9\"");
        put(&stale, &made, "https://a.example").await.problem(412, "version_mismatch");
        remove(&stale, &made, "https://a.example").await.problem(412, "version_mismatch");
        put(&service.admin.with("if-match", "\"1\""), &made, "https://a.example").await.expect(200);
        remove(&service.admin.with("if-match", "\"2\""), &made, "https://a.example").await.expect(204);
        assert_eq!(service.admin.get(&path_of(&made, "")).await.body["version"], 3);
    }
}

each_store! {
    async fn a_tenant_admin_takes_nothing_that_overlaps_another_tenants(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let beta = service.admin.make_tenant("beta").await;
        let gamma = service.admin.make_tenant("gamma").await;
        for url in ["https://a.example/app", "https://whole.example", "https://*.wild.example", "https://exact.under.example"] {
            put(&service.admin, &beta, url).await.expect(200);
        }
        let admin = tenant_admin(&service, &issuer, "gamma");
        let before = traces(&service).await;
        for taken in [
            "https://a.example/app", "https://a.example", "https://a.example/app/v2", "http://A.example:81/app/v2/",
            "https://whole.example/any", "https://x.wild.example", "https://x.wild.example/deep/path",
        ] {
            put(&admin, &gamma, taken).await.problem(409, "host_taken");
        }
        for wildcard in ["https://*.gamma.example", "https://*.wild.example", "https://*.under.example"] {
            put(&admin, &gamma, wildcard).await.problem(403, "forbidden");
            remove(&admin, &gamma, wildcard).await.problem(403, "forbidden");
        }
        assert_eq!(traces(&service).await, before);
        for free in ["https://a.example/other", "https://a.example/application", "https://wild.example", "https://x.y.wild.example", "https://own.example"] {
            put(&admin, &gamma, free).await.expect(200);
        }
        // Its own routes may nest.
        put(&admin, &gamma, "https://own.example/deeper").await.expect(200);
        remove(&admin, &gamma, "https://own.example").await.expect(204);
        assert_eq!(events_of(&service, &gamma).await[0].actor.as_ref().unwrap().id, "user:admin-of-gamma");
    }

    async fn a_tenant_admin_reaches_its_own_tenant_only_and_not_when_frozen(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let beta = service.admin.make_tenant("beta").await;
        let gamma = service.admin.make_tenant("gamma").await;
        let admin = tenant_admin(&service, &issuer, "gamma");
        put(&admin, &beta, "https://mine.example").await.problem(404, "not_found");
        remove(&admin, &beta, "https://mine.example").await.problem(404, "not_found");
        service.admin.post_empty(&path_of(&gamma, "/cancel")).await.expect(200);
        put(&admin, &gamma, "https://mine.example").await.problem(403, "tenant_frozen");
        remove(&admin.with("if-match", "\"9\""), &gamma, "https://mine.example").await.problem(403, "tenant_frozen");
        put(&admin, &gamma, "nonsense").await.problem(422, "validation_failed");
        admin.get(&path_of(&gamma, "")).await.expect(200);
        put(&service.admin, &gamma, "https://mine.example").await.expect(200);
    }
}
