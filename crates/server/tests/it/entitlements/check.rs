//! May this tenant do that: the reasons, the chain, and who may ask.
//!
//! Invariant: the answer is 200 whatever it says; only a bad question is an error.

use serde_json::{Value, json};

use super::{from_now, offer, put};
use crate::support::Client;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, path_of, tenant_admin, traces, with_issuer};

async fn decide(client: &Client, tenant: &Value, product: &str, more: Value) -> Value {
    let mut body = json!({ "tenant_id": tenant["id"], "product": product });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    client.post("/v1/entitlements/check", body).await.expect(200).body
}

/// The reason, and the rules that were asked.
#[track_caller]
fn says(decision: &Value, reason: &str, rules: &str) {
    let chain = decision["chain"].as_array().unwrap();
    let asked: Vec<&str> = chain.iter().map(|step| step["rule"].as_str().unwrap()).collect();
    assert_eq!((decision["reason"].as_str(), asked.join(" ")), (Some(reason), rules.to_owned()), "{decision}");
    assert_eq!(decision["allowed"], json!(reason == "allowed"));
    let last = chain.last().unwrap();
    assert_eq!(last["outcome"], if reason == "allowed" { "pass" } else { "fail" });
    assert!(chain[..chain.len() - 1].iter().all(|step| step["outcome"] == "pass"));
}

const TO_TENANT: &str = "entitlement revocation start expiry tenant";

both_stores! {
    async fn every_reason_has_its_chain(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        service.admin.post_empty(&path_of(&tenant, "/activate")).await.expect(200);
        for key in ["crm", "later", "short"] {
            offer(&service, key).await;
        }
        let ask = async |product: &str, more: Value| decide(&service.admin, &tenant, product, more).await;
        says(&ask("crm", json!({})).await, "not_entitled", "entitlement");
        says(&ask("No such product!", json!({})).await, "not_entitled", "entitlement");
        let made = put(&service, &tenant, "crm", json!({ "limits": { "seats": 5, "sso": true, "beta": false } })).await;
        put(&service, &tenant, "later", json!({ "starts_at": from_now(&service, 3_600) })).await.expect(201);
        put(&service, &tenant, "short", json!({ "expires_at": from_now(&service, 60) })).await.expect(201);
        says(&ask("crm", json!({})).await, "allowed", TO_TENANT);
        says(&ask("crm", json!({ "limit": null, "value": null })).await, "allowed", TO_TENANT);
        says(&ask("later", json!({})).await, "not_started", "entitlement revocation start");
        for (limit, value, reason, rules) in [
            ("seats", json!(5), "allowed", "limit value"), ("seats", json!(5.5), "limit_exceeded", "limit value"),
            ("seats", json!(-1), "allowed", "limit value"), ("sso", json!(null), "allowed", "limit value"),
            ("beta", json!(null), "limit_exceeded", "limit value"), ("rooms", json!(1), "unknown_limit", "limit"),
        ] {
            let decision = ask("crm", json!({ "limit": limit, "value": value })).await;
            says(&decision, reason, &format!("{TO_TENANT} {rules}"));
        }
        service.clock.advance(std::time::Duration::from_secs(61));
        says(&ask("short", json!({})).await, "expired", "entitlement revocation start expiry");
        service.admin.post_empty(&path_of(&tenant, "/cancel")).await.expect(200);
        says(&ask("crm", json!({})).await, "tenant_frozen", TO_TENANT);
        service.admin.delete(&format!("/v1/entitlements/{}", made.body["id"].as_str().unwrap())).await.expect(204);
        says(&ask("crm", json!({})).await, "revoked", "entitlement revocation");
    }

    async fn a_bad_question_is_named(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        put(&service, &tenant, "crm", json!({ "limits": { "seats": 5 } })).await.expect(201);
        let ask = async |more: Value| {
            let mut body = json!({ "tenant_id": tenant["id"], "product": "crm" });
            body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            service.admin.post("/v1/entitlements/check", body).await
        };
        ask(json!({ "value": 5 })).await.invalid(&[("limit", "required")]);
        ask(json!({ "limit": "seats" })).await.invalid(&[("value", "required")]);
        ask(json!({ "limit": "seats", "value": "5" })).await.invalid(&[("value", "wrong_type")]);
        ask(json!({ "limit": "seats", "value": true })).await.invalid(&[("value", "wrong_type")]);
        ask(json!({ "limit": 5 })).await.invalid(&[("limit", "wrong_type")]);
        ask(json!({ "tenant_id": "beta" })).await.invalid(&[("tenant_id", "invalid_format")]);
        ask(json!({ "scope": "x" })).await.invalid(&[("scope", "unknown_field")]);
        ask(json!({ "tenant_id": "00000000-0000-7000-8000-000000000009" })).await.problem(404, "tenant_not_found");
        service.admin.post("/v1/entitlements/check", json!({})).await
            .invalid(&[("tenant_id", "required"), ("product", "required")]);
    }

    async fn it_reads_only_and_ignores_an_idempotency_key(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let before = traces(&service).await;
        let client = service.admin.with("idempotency-key", &"k".repeat(300));
        says(&decide(&client, &tenant, "crm", json!({})).await, "not_entitled", "entitlement");
        assert_eq!(traces(&service).await, before);
        let client = service.admin.with("idempotency-key", "k");
        says(&decide(&client, &tenant, "crm", json!({})).await, "not_entitled", "entitlement");
        put(&service, &tenant, "crm", json!({})).await.expect(201);
        says(&decide(&client, &tenant, "crm", json!({})).await, "allowed", TO_TENANT);
    }
}

each_store! {
    async fn members_and_services_may_ask_and_a_frozen_tenant_too(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let (beta, gamma) = (service.admin.make_tenant("beta").await, service.admin.make_tenant("gamma").await);
        service.admin.post_empty(&path_of(&beta, "/cancel")).await.expect(200);
        let member = service.admin.bearer(&issuer.token(issuer.claims("mia").role("MEMBER").tenant("beta")));
        let robot = service.admin.bearer(&issuer.token(issuer.claims("robot").scope("registry:internal")));
        for client in [&member, &robot, &tenant_admin(&service, &issuer, "beta")] {
            says(&decide(client, &beta, "crm", json!({})).await, "not_entitled", "entitlement");
        }
        let foreign = json!({ "tenant_id": gamma["id"], "product": "crm" });
        member.post("/v1/entitlements/check", foreign).await.problem(404, "tenant_not_found");
    }
}
