//! What Keycloak's mapper is told of a tenant, contract §7: found by every name it may send, from memory.
//!
//! Invariant: look-ups that do not lead to one tenant lead to none.

use serde_json::{Value, json};

use crate::directory::until_applied;
use crate::entitlements::{from_now, offer, put};
use crate::support::faulty::Faults;
use crate::support::server::{both_stores, eventually};
use crate::support::setup::{each_store, faulty, path_of, replicas_with};
use crate::support::{Answer, Client, Options, Service, StoreKind};

const CLAIMS: &str = "/v1/internal/keycloak/claims";
const NOBODY: &str = "00000000-0000-7000-8000-000000000009";

async fn ask(client: &Client, question: Value) -> Answer {
    client.post(CLAIMS, question).await
}

async fn finds(client: &Client, question: Value, tenant: &Value) {
    let claims = ask(client, question.clone()).await.expect(200).body;
    assert_eq!(claims["tenant_id"], tenant["id"], "{question}");
}

fn keys() -> Options {
    Options::default().set("CLAIMS_LOOKUP_KEYS", "customer,contract")
}

async fn with_metadata(service: &Service, slug: &str, metadata: Value) -> Value {
    let body = json!({ "slug": slug, "name": slug, "metadata": metadata });
    service.admin.post("/v1/tenants", body).await.expect(201).body
}

async fn until_warm(service: &Service, faults: &Faults, question: &Value) {
    until_applied(faults).await;
    eventually("an answer from memory", async || {
        let before = faults.reads();
        ask(&service.admin, question.clone()).await.expect(200);
        faults.reads() == before
    })
    .await;
}

both_stores! {
    async fn the_answer_has_always_the_same_shape(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        for key in ["crm", "mail", "later"] {
            offer(&service, key).await;
        }
        put(&service, &tenant, "mail", json!({})).await.expect(201);
        put(&service, &tenant, "crm", json!({ "expires_at": from_now(&service, 60) })).await.expect(201);
        put(&service, &tenant, "later", json!({ "starts_at": from_now(&service, 3_600) })).await.expect(201);
        let ask = async || ask(&service.admin, json!({ "tenant_slug": "beta" })).await.expect(200);
        let expected = |products: Value, plan: &str, status: &str| {
            json!({ "tenant_id": tenant["id"], "slug": "beta", "products": products, "plan": plan, "status": status })
        };
        assert_eq!(ask().await.body, expected(json!(["crm", "mail"]), "starter", "trial"));
        // The order is part of the shape.
        assert!(ask().await.text.starts_with(r#"{"tenant_id":""#), "{}", ask().await.text);
        service.clock.advance(std::time::Duration::from_secs(61));
        assert_eq!(ask().await.body, expected(json!(["mail"]), "starter", "trial"));
        service.admin.patch(&path_of(&tenant, ""), json!({ "plan": "enterprise" })).await.expect(200);
        service.admin.post_empty(&path_of(&tenant, "/activate")).await.expect(200);
        assert_eq!(ask().await.body, expected(json!(["mail"]), "enterprise", "active"));
        service.admin.post_empty(&path_of(&tenant, "/cancel")).await.expect(200);
        assert_eq!(ask().await.body, expected(json!([]), "enterprise", "frozen"));
        service.admin.delete(&path_of(&tenant, "")).await.expect(204);
        service.admin.post(CLAIMS, json!({ "tenant_slug": "beta" })).await.problem(404, "tenant_not_found");
    }

    async fn a_trial_past_its_end_reads_as_frozen(service: Service) {
        service.admin.make_tenant("beta").await;
        service.clock.advance_days(15);
        let claims = ask(&service.admin, json!({ "tenant_slug": "beta" })).await.expect(200).body;
        assert_eq!((&claims["status"], &claims["products"]), (&json!("frozen"), &json!([])));
    }

    async fn every_name_finds_the_tenant_in_each_of_keycloaks_shapes(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        let id = &tenant["id"];
        for question in [
            json!({ "tenant_id": id }), json!({ "tenant_slug": "beta" }), json!({ "tenant_id": [id] }),
            json!({ "tenant_slug": ["beta", "gamma"] }), json!({ "tenant_id": id, "tenant_slug": "beta" }),
            json!({ "user_attrs": { "tenant_id": id } }), json!({ "user_attrs": { "tenant_slug": ["beta"] } }),
            json!({ "user_attrs": { "tenant_slug": ["beta"], "tenant_id": [id, NOBODY], "email": ["a@b.example"], "n": 5, "o": { "a": [1] } } }),
            json!({ "tenant_id": id, "tenant_slug": null, "user_attrs": null }),
            json!({ "tenant_id": id, "tenant_slug": [], "user_attrs": { "tenant_id": null, "tenant_slug": [null] } }),
        ] {
            finds(&service.admin, question, &tenant).await;
        }
    }

    async fn names_that_disagree_or_lead_nowhere_find_nothing(service: Service) {
        let (beta, gamma) = (service.admin.make_tenant("beta").await, service.admin.make_tenant("gamma").await);
        for question in [
            json!({ "tenant_id": beta["id"], "tenant_slug": "gamma" }),
            json!({ "tenant_slug": "beta", "user_attrs": { "tenant_id": [gamma["id"]] } }),
            // Only some are found.
            json!({ "tenant_slug": "beta", "tenant_id": NOBODY }), json!({ "tenant_slug": "beta", "tenant_id": "no uuid" }),
            json!({ "tenant_slug": "nobody", "user_attrs": { "tenant_slug": "beta" } }), json!({ "tenant_slug": "beta", "tenant_id": "" }),
        ] {
            ask(&service.admin, question).await.problem(409, "lookups_disagree");
        }
        for question in [
            json!({}), json!({ "tenant_id": null }), json!({ "tenant_id": "no uuid" }), json!({ "tenant_id": NOBODY }), json!({ "tenant_slug": "" }),
            json!({ "tenant_slug": "BETA" }), json!({ "tenant_id": NOBODY, "tenant_slug": "nobody" }), json!({ "user_attrs": {} }),
            // No setting names these.
            json!({ "user_attrs": { "slug": "beta", "customer": "4711" } }),
        ] {
            ask(&service.admin, question).await.problem(404, "tenant_not_found");
        }
        ask(&service.admin, json!({ "tenant_id": 5 })).await.invalid(&[("tenant_id", "wrong_type")]);
        ask(&service.admin, json!({ "tenant_slug": ["a", 5] })).await.expect(422);
        ask(&service.admin, json!({ "user_attrs": [] })).await.invalid(&[("user_attrs", "wrong_type")]);
        ask(&service.admin, json!({ "user_attrs": { "tenant_id": 5 } })).await.invalid(&[("user_attrs.tenant_id", "wrong_type")]);
        ask(&service.admin, json!({ "user_attrs": { "tenant_slug": [{}] } })).await.invalid(&[("user_attrs.tenant_slug", "wrong_type")]);
        ask(&service.admin, json!({ "slug": "beta" })).await.invalid(&[("slug", "unknown_field")]);
    }
}

each_store! {
    async fn metadata_finds_a_tenant_by_the_keys_of_the_setting(kind: StoreKind) {
        let service = Service::start_with(kind, keys()).await;
        let beta = with_metadata(&service, "beta", json!({ "customer": "4711", "contract": "C-\u{fc}", "other": "x" })).await;
        let gamma = with_metadata(&service, "gamma", json!({ "customer": "4712", "other": "y" })).await;
        let by = |attributes: Value| json!({ "user_attrs": attributes });
        finds(&service.admin, by(json!({ "customer": ["4711"] })), &beta).await;
        finds(&service.admin, by(json!({ "customer": "4712" })), &gamma).await;
        finds(&service.admin, by(json!({ "customer": "4711", "contract": ["C-\u{fc}"], "tenant_id": beta["id"] })), &beta).await;
        for attributes in [json!({ "other": "x" }), json!({ "customer": "47" }), json!({ "customer": "C-\u{fc}" }), json!({ "customer": "x".repeat(501) }), json!({ "customer": "\u{1}" })] {
            ask(&service.admin, by(attributes)).await.problem(404, "tenant_not_found");
        }
        ask(&service.admin, by(json!({ "customer": "4711", "contract": "none" }))).await.problem(409, "lookups_disagree");
        ask(&service.admin, by(json!({ "customer": "4711", "tenant_slug": "gamma" }))).await.problem(409, "lookups_disagree");
        ask(&service.admin, by(json!({ "customer": 4711 }))).await.invalid(&[("user_attrs.customer", "wrong_type")]);
        // A value that two tenants have leads to neither, and to the one again that keeps it.
        service.admin.patch(&path_of(&gamma, ""), json!({ "metadata": { "customer": "4711" } })).await.expect(200);
        ask(&service.admin, by(json!({ "customer": "4711" }))).await.problem(409, "lookups_disagree");
        ask(&service.admin, by(json!({ "customer": "4712" }))).await.problem(404, "tenant_not_found");
        service.admin.patch(&path_of(&beta, ""), json!({ "metadata": { "customer": null } })).await.expect(200);
        finds(&service.admin, by(json!({ "customer": "4711" })), &gamma).await;
        service.admin.post_empty(&path_of(&gamma, "/cancel")).await.expect(200);
        service.admin.delete(&path_of(&gamma, "")).await.expect(204);
        ask(&service.admin, by(json!({ "customer": "4711" }))).await.problem(404, "tenant_not_found");
    }

    async fn warm_claims_cost_no_query(kind: StoreKind) {
        let (service, faults) = faulty(kind, keys()).await;
        let beta = with_metadata(&service, "beta", json!({ "customer": "4711" })).await;
        let question = json!({ "tenant_id": beta["id"], "tenant_slug": "beta", "user_attrs": { "customer": ["4711"] } });
        until_warm(&service, &faults, &question).await;
        let before = faults.reads();
        for _ in 0..20 {
            ask(&service.admin, question.clone()).await.expect(200);
        }
        assert_eq!(faults.reads(), before);
    }

    async fn every_change_reaches_the_claims_of_the_other_service(kind: StoreKind) {
        let services = replicas_with(kind, 2, keys).await;
        let [(one, _), (other, far)] = &services[..] else { unreachable!() };
        let beta = with_metadata(one, "beta", json!({ "customer": "4711" })).await;
        let by_customer = |value: &str| json!({ "user_attrs": { "customer": value } });
        ask(&other.admin, by_customer("4712")).await.problem(404, "tenant_not_found");
        until_warm(other, far, &by_customer("4711")).await;
        one.admin.patch(&path_of(&beta, ""), json!({ "metadata": { "customer": "4712" } })).await.expect(200);
        let status = async |value: &str| ask(&other.admin, by_customer(value)).await.status;
        eventually("the new value is found", async || status("4712").await == 200).await;
        eventually("the old one is not", async || status("4711").await == 404).await;
        offer(one, "mail").await;
        put(one, &beta, "mail", json!({})).await.expect(201);
        eventually("the product is shown", async || ask(&other.admin, by_customer("4712")).await.body["products"] == json!(["mail"])).await;
        one.admin.post_empty(&path_of(&beta, "/cancel")).await.expect(200);
        eventually("the freeze is shown", async || ask(&other.admin, by_customer("4712")).await.body["status"] == "frozen").await;
    }
}
