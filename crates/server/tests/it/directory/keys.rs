//! The rules of the read model for keys and entitlements, as verify shows them (architecture invariant 5).
//!
//! Invariant: whatever is slow, late or away, no service that could have known of a revocation calls a key valid.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{until_applied, until_silent};
use crate::support::faulty::Faults;
use crate::support::server::eventually;
use crate::support::setup::{each_store, faulty, off, on, path_of, replicas};
use crate::support::{Answer, Client, Options, Service};

const VERIFY: &str = "/v1/internal/api-keys/verify";

/// A tenant with one product and one key: the tenant, the key and its text.
struct Made {
    tenant: Value,
    key: Value,
    text: String,
}

async fn make(service: &Service) -> Made {
    let tenant = service.admin.make_tenant("beta").await;
    service.admin.put("/v1/catalog/mail", json!({ "name": "Mail" })).await.expect(201);
    let body = json!({ "tenant_id": tenant["id"], "name": "Key", "scopes": ["mail:send"] });
    let made = service.admin.post("/v1/api-keys", body).await.expect(201).body;
    Made { text: made["plaintext"].as_str().unwrap().to_owned(), key: made["api_key"].clone(), tenant }
}

impl Made {
    fn key_path(&self, rest: &str) -> String {
        format!("/v1/api-keys/{}{rest}", self.key["id"].as_str().unwrap())
    }

    async fn verify(&self, client: &Client) -> Answer {
        client.post(VERIFY, json!({ "key": self.text })).await
    }

    async fn code(&self, client: &Client) -> String {
        self.verify(client).await.expect(200).body["code"].as_str().unwrap().to_owned()
    }

    async fn until(&self, client: &Client, code: &str) {
        eventually(code, async || self.code(client).await == code).await;
    }

    async fn until_warm(&self, service: &Service, faults: &Faults) {
        until_applied(faults).await;
        eventually("an answer from memory", async || {
            let before = faults.reads();
            self.verify(&service.admin).await;
            faults.reads() == before
        })
        .await;
    }

    async fn grant(&self, service: &Service) -> Value {
        let body = json!({ "tenant_id": self.tenant["id"], "product": "mail", "state": "active" });
        service.admin.put("/v1/entitlements", body).await.expect(201).body
    }

    /// Begins a verification that has read the key, and now waits until the gate opens.
    async fn slow(&self, service: &Service, faults: &Arc<Faults>) -> tokio::task::JoinHandle<()> {
        faults.after_look_up.close();
        let (client, body) = (service.admin.clone(), json!({ "key": self.text }));
        let old = tokio::spawn(async move {
            client.post(VERIFY, body).await.expect(200);
        });
        eventually("the look-up has read", async || faults.after_look_up.waiting() == 1).await;
        old
    }
}

each_store! {
    async fn a_warm_key_costs_no_query(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = make(&service).await;
        made.grant(&service).await;
        made.until_warm(&service, &faults).await;
        let before = faults.reads();
        for _ in 0..20 {
            let answer = made.verify(&service.admin).await.expect(200).body;
            assert_eq!((&answer["code"], &answer["products"]), (&json!("valid"), &json!(["mail"])));
        }
        assert_eq!(faults.reads(), before);
    }

    async fn a_key_that_cannot_be_one_asks_nothing(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = make(&service).await;
        let before = faults.reads();
        for wrong in ["", "x", &made.text[1..], &format!("{}x", made.text), &made.text.replace("dev", "live")] {
            let answer = service.admin.post(VERIFY, json!({ "key": wrong })).await.expect(200).body;
            assert_eq!(answer["code"], "malformed", "{wrong}");
        }
        assert_eq!(faults.reads(), before);
    }

    async fn every_change_reaches_verify_on_the_other_service(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, near), (other, far)] = &services[..] else { unreachable!() };
        let made = make(one).await;
        for (service, faults) in [(one, near), (other, far)] {
            made.until_warm(service, faults).await;
            assert_eq!(made.verify(&service.admin).await.body["products"], json!([]));
        }
        // That there is nothing ends when something comes to be.
        let entitlement = made.grant(one).await;
        let products = async |products: Value| {
            assert_eq!(made.verify(&one.admin).await.body["products"], products, "at once where it was written");
            eventually("the products", async || made.verify(&other.admin).await.body["products"] == products).await;
        };
        products(json!(["mail"])).await;
        one.admin.delete(&format!("/v1/entitlements/{}", entitlement["id"].as_str().unwrap())).await.expect(204);
        products(json!([])).await;

        for (call, code) in [("/cancel", "tenant_frozen"), ("/activate", "valid")] {
            one.admin.post_empty(&path_of(&made.tenant, call)).await.expect(200);
            assert_eq!(made.code(&one.admin).await, code);
            made.until(&other.admin, code).await;
        }
        // Without overlap the old key is over at once, also in a cache (the peer's fault, reference §3.5, 3).
        let new = one.admin.post_empty(&made.key_path("/rotate")).await.expect(201).body;
        assert_eq!(made.code(&one.admin).await, "revoked");
        made.until(&other.admin, "revoked").await;
        let new = Made { text: new["plaintext"].as_str().unwrap().to_owned(), key: new["api_key"].clone(), tenant: made.tenant };
        for service in [one, other] {
            assert_eq!(new.code(&service.admin).await, "valid");
        }
        one.admin.delete(&new.key_path("")).await.expect(204);
        assert_eq!(new.code(&one.admin).await, "revoked");
        new.until(&other.admin, "revoked").await;
    }

    async fn a_deleted_tenants_keys_are_found_nowhere(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, _), (other, far)] = &services[..] else { unreachable!() };
        let made = make(one).await;
        made.until_warm(other, far).await;
        one.admin.post_empty(&path_of(&made.tenant, "/cancel")).await.expect(200);
        one.admin.delete(&path_of(&made.tenant, "")).await.expect(204);
        assert_eq!(made.code(&one.admin).await, "not_found");
        made.until(&other.admin, "not_found").await;
    }

    async fn a_fill_that_began_before_a_revocation_does_not_revive_the_key(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = make(&service).await;
        eventually("memory may answer", async || {
            let before = faults.reads();
            service.admin.get("/v1/tenants/by-slug/other").await;
            faults.reads() == before
        })
        .await;
        let old = made.slow(&service, &faults).await;
        service.admin.delete(&made.key_path("")).await.expect(204);
        faults.after_look_up.open();
        old.await.unwrap();
        for _ in 0..3 {
            assert_eq!(made.code(&service.admin).await, "revoked");
        }
    }

    async fn a_fill_that_began_before_a_revocation_elsewhere_does_not_revive_the_key(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, _), (other, faults)] = &services[..] else { unreachable!() };
        let made = make(one).await;
        eventually("memory may answer", async || {
            let before = faults.reads();
            other.admin.get("/v1/tenants/by-slug/other").await;
            faults.reads() == before
        })
        .await;
        let after_creation = faults.feed_calls();
        eventually("the creation was applied", async || faults.feed_calls() >= after_creation + 2).await;
        let old = made.slow(other, faults).await;
        one.admin.delete(&made.key_path("")).await.expect(204);
        // Two more questions to the feed: the first has the change, and the second comes after it was applied.
        let committed = faults.feed_calls();
        eventually("the change was applied", async || faults.feed_calls() >= committed + 3).await;
        faults.after_look_up.open();
        old.await.unwrap();
        for _ in 0..3 {
            assert_eq!(made.code(&other.admin).await, "revoked");
        }
    }

    async fn cut_off_from_the_feed_the_store_is_asked_and_without_it_nobody_is_let_in(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default().set("MAX_STALENESS_SECONDS", "1")).await;
        let made = make(&service).await;
        made.until_warm(&service, &faults).await;
        on(&faults.feed_away);
        until_silent(&service.admin).await;
        assert_eq!(made.code(&service.admin).await, "valid", "the store is there");
        on(&faults.away);
        let refused = made.verify(&service.admin).await.problem(503, "unavailable");
        assert!(refused.header("retry-after").parse::<u32>().is_ok());
        off(&faults.away);
        service.admin.delete(&made.key_path("")).await.expect(204);
        assert_eq!(made.code(&service.admin).await, "revoked");
        off(&faults.feed_away);
        made.until_warm(&service, &faults).await;
        assert_eq!(made.code(&service.admin).await, "revoked");
    }

    async fn what_is_looked_up_before_a_place_in_another_servers_feed_is_found_is_not_kept(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, _), (other, faults)] = &services[..] else { unreachable!() };
        let made = make(one).await;
        made.until_warm(other, faults).await;
        faults.before_head.close();
        faults.server.store(1, std::sync::atomic::Ordering::SeqCst);
        eventually("a place is looked for", async || faults.before_head.waiting() == 1).await;
        assert_eq!(made.code(&other.admin).await, "valid");
        one.admin.delete(&made.key_path("")).await.expect(204);
        faults.before_head.open();
        // The revocation lies before the place: no change will ever tell of it.
        made.until_warm(other, faults).await;
        assert_eq!(made.code(&other.admin).await, "revoked");
    }

    async fn a_service_that_heard_nothing_of_a_revocation_stops_trusting_memory_in_time(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, _), (other, faults)] = &services[..] else { unreachable!() };
        let made = make(one).await;
        made.until_warm(other, faults).await;
        on(&faults.feed_away);
        one.admin.delete(&made.key_path("")).await.expect(204);
        // Within the bound it may still say valid; past it the store is asked, which knows.
        made.until(&other.admin, "revoked").await;
        off(&faults.feed_away);
        for _ in 0..3 {
            assert_eq!(made.code(&other.admin).await, "revoked");
        }
    }
}
