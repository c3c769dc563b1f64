//! What is published comes back whole, in order, or not at all.

use serde_json::{Value, json};

use super::{actions, bare, count, items, with};
use crate::support::raw::raw;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, tenant_admin, with_issuer};
use crate::support::{Client, Service};

/// A service of the platform.
fn service_client(service: &Service, issuer: &crate::support::issuer::TestIssuer) -> Client {
    service.admin.bearer(&issuer.token(issuer.claims("billing").scope("registry:internal")))
}

both_stores! {
    async fn an_event_comes_back_with_every_field(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let full = json!({
            "action": "invoice.paid", "crud": "u", "group": { "id": acme["id"], "name": "ACME Corp" },
            "created": "2026-01-02T03:04:05.678901234+01:00",
            "actor": { "id": "u-1", "name": "Ada", "href": "https://a.example/u", "fields": { "role": "cfo" } },
            "target": { "id": "i-1", "name": "Invoice", "type": "invoice", "href": "https://a.example/i", "fields": { "n": "1" } },
            "source_ip": "::FFFF:1.2.3.4", "description": "Paid \u{1f980}", "is_anonymous": false, "is_failure": true,
            "fields": { "amount": "12" }, "component": "billing", "version": "1.2.3", "external_id": "e-1",
            "metadata": { "trace": "t-1", "request_id": "mine" },
        });
        let id = service.admin.post("/v1/audit", full.clone()).await.expect(201).body["id"].clone();
        let stored = items(&service.admin, "limit=1").await.remove(0);
        let mut expected = full;
        expected["id"] = id;
        expected["created"] = json!("2026-01-02T02:04:05.678901Z");
        expected["source_ip"] = json!("::ffff:1.2.3.4");
        expected["received"] = stored["received"].clone();
        assert_eq!(stored, expected);
    }

    async fn a_bare_event_is_filled_up_and_nulls_mean_absent(service: Service) {
        let absent = ["group", "created", "target", "source_ip", "description", "is_anonymous", "is_failure", "fields", "component", "version", "external_id", "metadata"];
        let mut nulls = bare("ping");
        nulls["actor"] = json!({ "id": "ada", "name": null, "href": null, "fields": null });
        for name in absent {
            nulls[name] = Value::Null;
        }
        for event in [bare("ping"), nulls] {
            let asked = service.admin.with("x-request-id", "asked-1");
            let id = asked.post("/v1/audit", event).await.expect(201).body["id"].clone();
            let stored = items(&service.admin, "limit=1").await.remove(0);
            assert_eq!(stored["created"], stored["received"]);
            let expected = json!({
                "id": id, "action": "ping", "crud": "c", "group": null,
                "actor": { "id": "ada", "name": null, "href": null, "fields": {} }, "target": null,
                "created": stored["created"], "received": stored["received"], "source_ip": null, "description": null,
                "is_anonymous": false, "is_failure": false, "fields": {}, "component": null, "version": null,
                "external_id": null, "metadata": { "request_id": "asked-1" },
            });
            assert_eq!(stored, expected);
        }
    }

    async fn an_array_is_answered_in_order_and_stored_in_order(service: Service) {
        let events: Vec<Value> = (0..1_000).map(|n| bare(&format!("e.{n}"))).collect();
        let answer = service.admin.post("/v1/audit", json!(events)).await.expect(201).body;
        let ids = answer["ids"].as_array().unwrap();
        assert_eq!((ids.len(), answer.as_object().unwrap().len()), (1_000, 1));
        let newest = items(&service.admin, "limit=3").await;
        for (place, event) in newest.iter().enumerate() {
            assert_eq!((&event["id"], event["action"].as_str()), (&ids[999 - place], Some(&*format!("e.{}", 999 - place))));
        }
        assert_eq!(service.admin.post("/v1/audit", json!([bare("alone")])).await.expect(201).body["ids"].as_array().unwrap().len(), 1);
        // Neither is audited, nor stored twice.
        assert_eq!(actions(&service.admin, "limit=2").await, ["alone", "e.999"]);
    }

    async fn an_array_has_its_bounds(service: Service) {
        service.admin.post("/v1/audit", json!([])).await.invalid(&[("", "too_short")]);
        let too_many: Vec<Value> = (0..1_001).map(|_| bare("x")).collect();
        service.admin.post("/v1/audit", json!(too_many)).await.invalid(&[("", "too_long")]);
        for (body, code) in [(json!("x"), "wrong_type"), (json!(1), "wrong_type"), (json!(null), "wrong_type"), (json!(true), "wrong_type")] {
            service.admin.post("/v1/audit", body).await.invalid(&[("", code)]);
        }
        service.admin.post("/v1/audit", json!([bare("x"), null, [bare("y")]])).await.invalid(&[("1", "wrong_type"), ("2", "wrong_type")]);
        service.admin.post_empty("/v1/audit").await.invalid(&[("action", "required"), ("crud", "required")]);
        service.admin.post("/v1/audit?dry_run=1", bare("x")).await.invalid(&[("dry_run", "unknown_field")]);
        assert_eq!(count(&service).await, 0);
    }

    async fn one_bad_event_keeps_the_whole_array_out(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let gone = "00000000-0000-7000-8000-000000000009";
        let array = |bad: Value| json!([bare("a"), bare("b"), with(&json!({ "group": { "id": acme["id"] } })), bad]);
        for (bad, errors) in [
            (json!({ "action": "x", "actor": { "id": "a" } }), vec![("3.crud", "required")]),
            (with(&json!({ "crud": "x" })), vec![("3.crud", "not_allowed")]),
            (with(&json!({ "actor": null })), vec![("3.actor", "required")]),
            (with(&json!({ "source_ip": "1.2.3" })), vec![("3.source_ip", "invalid_format")]),
            (with(&json!({ "teamId": "t" })), vec![("3.teamId", "unknown_field")]),
            (with(&json!({ "group": { "id": gone } })), vec![("3.group.id", "not_allowed")]),
            (with(&json!({ "group": { "id": "acme" } })), vec![("3.group.id", "not_allowed")]),
            (with(&json!({ "group": { "id": gone }, "action": "" })), vec![("3.action", "too_short"), ("3.group.id", "not_allowed")]),
        ] {
            service.admin.post("/v1/audit", array(bad)).await.invalid(&errors);
        }
        let two = json!([with(&json!({ "crud": 1 })), bare("ok"), with(&json!({ "source_ip": "::1garbage" }))]);
        service.admin.post("/v1/audit", two).await.invalid(&[("0.crud", "wrong_type"), ("2.source_ip", "invalid_format")]);
        assert_eq!(actions(&service.admin, "").await, ["tenant.created"]);
        // An answer is not larger than what it is about.
        let hundreds: Vec<Value> = (0..300).map(|_| json!({})).collect();
        let told = service.admin.post("/v1/audit", json!(hundreds)).await.problem(422, "validation_failed");
        assert_eq!(told.body["errors"].as_array().unwrap().len(), 100);
    }

    async fn a_single_events_group_is_looked_up(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        for id in ["00000000-0000-7000-8000-000000000009", "acme", "00000000000070008000000000000009"] {
            let event = with(&json!({ "group": { "id": id } }));
            service.admin.post("/v1/audit", event).await.problem(404, "tenant_not_found");
            // What is wrong with the rest is told first.
            let event = with(&json!({ "group": { "id": id }, "action": "" }));
            service.admin.post("/v1/audit", event).await.invalid(&[("action", "too_short")]);
        }
        service.admin.post("/v1/audit", with(&json!({ "group": {} }))).await.invalid(&[("group.id", "required")]);
        service.admin.post("/v1/audit", with(&json!({ "group": { "id": acme["id"] } }))).await.expect(201);
        assert_eq!(items(&service.admin, "limit=1").await[0]["group"], json!({ "id": acme["id"], "name": acme["name"] }));
        assert_eq!(count(&service).await, 2);
    }

    async fn a_body_may_be_larger_than_elsewhere_and_not_larger_than_that(service: Service) {
        let description = "d".repeat(5_000);
        let event = with(&json!({ "description": description }));
        let many: Vec<Value> = (0..1_000).map(|_| event.clone()).collect();
        let body = json!(many).to_string();
        assert!(body.len() > 5_000_000);
        service.admin.post("/v1/audit", json!(many)).await.expect(201);
        let padded = |size: usize| {
            let mut body = bare("padded").to_string().into_bytes();
            body.resize(size, b' ');
            body
        };
        let post = http::Method::POST;
        service.admin.send_bytes(post.clone(), "/v1/audit", "application/json", padded(8 << 20)).await.expect(201);
        let too_large = service.admin.send_bytes(post, "/v1/audit", "application/json", padded((8 << 20) + 1)).await;
        too_large.problem(413, "body_too_large");
    }

    async fn what_two_parsers_could_read_differently_is_refused(service: Service) {
        let json = b"content-type: application/json\r\n";
        for (body, status, code) in [
            (&br#"{"action":"a","action":"b","crud":"c","actor":{"id":"x"}}"#[..], 400, "malformed_json"),
            (br#"{"action":"a","crud":"c","actor":{"id":"x","id":"y"}}"#, 400, "malformed_json"),
            (br#"{"action":"a","crud":"c","actor":{"id":"x"},"fields":{"a":"1","a":"2"}}"#, 400, "malformed_json"),
            (br#"[{"action":"a","crud":"c","actor":{"id":"x"},"metadata":{"a":"1","a":"2"}}]"#, 400, "malformed_json"),
            (br#"[{"action":"a","crud":"c","actor":{"id":"x"}}"#, 400, "malformed_json"),
            (br#"{"action":"a","crud":"c","actor":{"id":"x"}} {}"#, 400, "malformed_json"),
            (b"{\"action\":\"\xff\",\"crud\":\"c\",\"actor\":{\"id\":\"x\"}}", 400, "malformed_json"),
            (br#"{"action":"a\u0000b","crud":"c","actor":{"id":"x"}}"#, 422, "validation_failed"),
            (br#"{"action":"a","crud":"c","actor":{"id":"x"},"fields":{"a":"\u0000"}}"#, 422, "validation_failed"),
        ] {
            let answer = raw(&service, "POST /v1/audit", json, body).await;
            assert_eq!(answer.status, status, "{} of {}", answer.body, String::from_utf8_lossy(body));
            assert!(answer.body.contains(code), "{}", answer.body);
        }
        let answer = raw(&service, "POST /v1/audit", b"content-type: text/plain\r\n", br#"{"action":"a"}"#).await;
        assert_eq!(answer.status, 415);
        assert_eq!(count(&service).await, 0);
    }

    async fn an_idempotency_key_publishes_once(service: Service) {
        let keyed = service.admin.with("idempotency-key", "k-1");
        let one = keyed.post("/v1/audit", bare("once")).await.expect(201);
        let again = keyed.post("/v1/audit", bare("once")).await.expect(201);
        assert_eq!((&again.body, again.header("idempotent-replayed")), (&one.body, "true"));
        keyed.post("/v1/audit", json!([bare("once")])).await.problem(422, "idempotency_key_reused");
        let keyed = service.admin.with("idempotency-key", "k-2");
        let many = keyed.post("/v1/audit", json!([bare("a"), bare("b")])).await.expect(201);
        assert_eq!(keyed.post("/v1/audit", json!([bare("a"), bare("b")])).await.expect(201).body, many.body);
        assert_eq!(actions(&service.admin, "").await, ["b", "a", "once"]);
    }
}

each_store! {
    async fn callers_publish_into_the_tenants_that_they_reach(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let beta = service.admin.make_tenant("beta").await;
        let gamma = service.admin.make_tenant("gamma").await;
        let of = |tenant: &Value| with(&json!({ "group": { "id": tenant["id"] } }));
        let admin = tenant_admin(&service, &issuer, "beta");
        // Without a group it is their own.
        admin.post("/v1/audit", bare("own")).await.expect(201);
        assert_eq!(items(&service.admin, "limit=1").await[0]["group"]["id"], beta["id"]);
        admin.post("/v1/audit", of(&beta)).await.expect(201);
        admin.post("/v1/audit", of(&gamma)).await.problem(404, "tenant_not_found");
        admin.post("/v1/audit", json!([of(&beta), of(&gamma)])).await.invalid(&[("1.group.id", "not_allowed")]);
        // A service has no tenant of its own, and reaches all.
        let billing = service_client(&service, &issuer);
        billing.post("/v1/audit", bare("of.nobody")).await.expect(201);
        assert_eq!(items(&service.admin, "limit=1").await[0]["group"], Value::Null);
        billing.post("/v1/audit", json!([of(&beta), of(&gamma), bare("third")])).await.expect(201);
        let groups: Vec<Value> = items(&service.admin, "limit=3").await.iter().map(|event| event["group"]["id"].clone()).collect();
        assert_eq!(groups, [Value::Null, gamma["id"].clone(), beta["id"].clone()]);
        // It publishes, and does not read.
        billing.get("/v1/audit").await.problem(403, "forbidden");
        let member = service.admin.bearer(&issuer.token(issuer.claims("mo").role("MEMBER").tenant("beta")));
        member.post("/v1/audit", bare("x")).await.problem(403, "forbidden");
        member.get("/v1/audit").await.problem(403, "forbidden");
        member.get("/v1/audit/export").await.problem(403, "forbidden");
        let lost = tenant_admin(&service, &issuer, "nobody");
        lost.post("/v1/audit", bare("x")).await.problem(404, "tenant_not_found");
        lost.post("/v1/audit", json!([bare("x")])).await.problem(404, "tenant_not_found");
        assert_eq!(lost.get("/v1/audit").await.expect(200).body["items"], json!([]));
    }
}
