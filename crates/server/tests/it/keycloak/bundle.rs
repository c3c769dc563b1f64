//! The protocol mapper in the real server, asking our real service: the bundle of an invited user, and its life.
//!
//! What a service that misbehaves does to a login is in `mapper.rs`. Invariant: nothing stands in for anything here.

use serde_json::{Value, json};

use super::browser::{Browser, Person, Tokens, claims};
use super::real::{RealKeycloak, left_out};
use super::realm::{CONSOLE, DIRECT, PASSWORD, Realm, RealmOptions};
use crate::entitlements::{offer, put};
use crate::support::setup::{id_of, path_of};
use crate::support::{Options, Service, StoreKind};

const ERIKA: &str = "erika@acme.test";

/// A realm, the service that takes its tokens and that its mapper asks, and Erika in `acme`.
struct Setup {
    realm: Realm,
    service: Service,
    acme: Value,
    erika: String,
}

impl Setup {
    async fn start() -> Self {
        let realm = RealKeycloak::shared().await.realm(RealmOptions::default()).await;
        let options = Options::default().set("KEYCLOAK_ISSUER", &realm.issuer).set("CLAIMS_LOOKUP_KEYS", "customer");
        let service = Service::start_with(StoreKind::Sqlite, options).await;
        let body =
            json!({ "slug": "acme", "name": "Acme", "plan": "professional", "metadata": { "customer": "4711" } });
        let acme = service.admin.post("/v1/tenants", body).await.expect(201).body;
        for product in ["scan", "report"] {
            offer(&service, product).await;
            put(&service, &acme, product, json!({})).await.expect(201);
        }
        let key = json!({ "tenant_id": null, "name": "keycloak", "scopes": ["registry:internal"] });
        let key =
            service.admin.post("/v1/api-keys", key).await.expect(201).body["plaintext"].as_str().unwrap().to_owned();
        for client in [DIRECT, CONSOLE] {
            let settings = json!({
                "registry.url": service.url, "registry.bearer": key, "registry.user.attributes": "customer",
            });
            realm.set_mapper(client, settings).await.expect(204);
        }
        let erika = realm.make_user(ERIKA, &["MEMBER"]).await;
        let organization = realm.make_organization("acme", json!({})).await;
        realm.add_member(&organization, &erika).await;
        let setup = Self { realm, service, acme, erika };
        // The server's first question loads what it asks with, which may take longer than the limit.
        setup.grant().await;
        setup
    }

    async fn grant(&self) -> Tokens {
        Tokens::of(&self.realm.password_grant(DIRECT, ERIKA, "openid").await)
    }

    fn bundle(&self, products: &[&str], status: &str) -> [Value; 5] {
        [self.acme["id"].clone(), json!("acme"), json!(products), json!("professional"), json!(status)]
    }

    async fn erika_is_customer(&self, number: &str) {
        let attributes = json!({ "attributes": { "customer": [number] }, "email": ERIKA });
        self.realm.admin("PUT", &format!("/users/{}", self.erika), Some(attributes)).await.expect(204);
    }
}

fn written(token: &str) -> [Value; 5] {
    let all = claims(token);
    ["tenant_id", "slug", "products", "plan", "status"].map(|name| all[name].clone())
}

const NOTHING: [Value; 5] = [const { Value::Null }; 5];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bundle_of_the_service_is_in_the_token_and_follows_the_tenant() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    let admin = &setup.service.admin;
    // As a person logs in: by a browser at the console.
    let tokens = Browser::at(&setup.realm).log_in(&setup.realm, &Person::new(ERIKA, PASSWORD)).await.tokens();
    assert_eq!(written(&tokens.access), setup.bundle(&["report", "scan"], "trial"));
    let erika = admin.bearer(&tokens.access);
    erika.get(&path_of(&setup.acme, "")).await.expect(200);

    admin.post_empty(&path_of(&setup.acme, "/cancel")).await.expect(200);
    let frozen = Tokens::of(&setup.realm.refresh(CONSOLE, &tokens.refresh).await);
    assert_eq!(written(&frozen.access), setup.bundle(&[], "frozen"));
    // The token of before still says otherwise, and buys nothing.
    admin.bearer(&frozen.access).get(&path_of(&setup.acme, "")).await.expect(200);
    admin.post_empty(&path_of(&setup.acme, "/activate")).await.expect(200);
    let active = Tokens::of(&setup.realm.refresh(CONSOLE, &frozen.refresh).await);
    assert_eq!(written(&active.access), setup.bundle(&["report", "scan"], "active"));
    // A tenant that is gone is 404.
    admin.post_empty(&path_of(&setup.acme, "/cancel")).await.expect(200);
    admin.delete(&path_of(&setup.acme, "")).await.expect(204);
    let gone = Tokens::of(&setup.realm.refresh(CONSOLE, &active.refresh).await);
    assert_eq!(written(&gone.access), NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_another_tenants_customer_gets_no_bundle() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    let other = json!({ "slug": "beta", "name": "Beta", "metadata": { "customer": "4712" } });
    let other = setup.service.admin.post("/v1/tenants", other).await.expect(201).body;
    assert_ne!(id_of(&other), id_of(&setup.acme));
    setup.erika_is_customer("4711").await;
    assert_eq!(written(&setup.grant().await.access), setup.bundle(&["report", "scan"], "trial"));
    // Another tenant's number, or nobody's: the look-ups disagree (409).
    for number in ["4712", "4713"] {
        setup.erika_is_customer(number).await;
        assert_eq!(written(&setup.grant().await.access), NOTHING, "{number}");
    }
    setup.realm.set_mapper(DIRECT, json!({ "registry.on.error": "deny" })).await.expect(204);
    let refused = setup.realm.password_grant(DIRECT, ERIKA, "openid").await;
    assert_eq!((refused.status, &refused.body["error"]), (403, &json!("access_denied")), "{}", refused.text);
    setup.realm.set_mapper(DIRECT, json!({ "registry.on.error": "omit" })).await.expect(204);

    // A key that is not ours, and a service that has ended, cost the claims and not the login.
    setup.erika_is_customer("4711").await;
    setup.realm.set_mapper(DIRECT, json!({ "registry.bearer": "another-key" })).await.expect(204);
    assert_eq!(written(&setup.grant().await.access), NOTHING);
    let (realm, service) = (setup.realm, setup.service);
    service.stop().await;
    assert_eq!(written(&Tokens::of(&realm.password_grant(DIRECT, ERIKA, "openid").await).access), NOTHING);
}
