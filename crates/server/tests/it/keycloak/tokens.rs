//! Tokens of a real realm at our service: roles, the tenant in every shape that Keycloak gives it, audience, keys.
//!
//! What a verifier thinks of every odd token is in `tokens` at the root of these tests; here Keycloak issues them, so that
//! nothing is tested that it would never send. Invariant: the realm is the operators' file but for what a case names.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::browser::{Tokens, claims};
use super::real::{RealKeycloak, left_out};
use super::realm::{DIRECT, DIRECT_PORTAL, Realm, RealmOptions, access_token};
use crate::support::setup::id_of;
use crate::support::{Answer, Client, Options, Service, StoreKind};

const ERIKA: &str = "erika@acme.test";
const ROOT: &str = "root@platform.test";
/// A verifier asks for keys that it does not know every ten seconds at most.
const KEYS_DEADLINE: Duration = Duration::from_secs(40);

/// A realm, a service that takes its tokens, and the tenants `acme` and `beta`.
struct Setup {
    realm: Realm,
    service: Service,
    acme: Value,
}

impl Setup {
    async fn start() -> Self {
        let realm = RealKeycloak::shared().await.realm(RealmOptions::default()).await;
        let service = service(&realm).await;
        let acme = service.admin.make_tenant("acme").await;
        service.admin.make_tenant("beta").await;
        Self { realm, service, acme }
    }

    /// Erika, a member of the organization `acme`, which has these attributes. Their ids.
    async fn erika(&self, roles: &[&str], attributes: Value) -> (String, String) {
        let user = self.realm.make_user(ERIKA, roles).await;
        let organization = self.realm.make_organization("acme", attributes).await;
        self.realm.add_member(&organization, &user).await;
        (user, organization)
    }

    async fn token(&self, client: &str, email: &str, scope: &str) -> String {
        access_token(&self.realm.password_grant(client, email, scope).await)
    }

    fn with(&self, token: &str) -> Client {
        self.service.admin.bearer(token)
    }

    /// What the holder of a token sees of `acme`.
    async fn acme_by(&self, token: &str) -> Answer {
        self.with(token).get("/v1/tenants/by-slug/acme").await
    }

    /// Changes the mapper of the built-in scope `organization`.
    async fn shape(&self, config: Value) {
        let scopes = self.realm.admin("GET", "/client-scopes", None).await.expect(200).body;
        let mut scopes = scopes.as_array().unwrap().iter();
        let scope = scopes.find(|scope| scope["name"] == "organization").unwrap();
        let mut mapper = scope["protocolMappers"][0].clone();
        for (name, value) in config.as_object().unwrap() {
            mapper["config"][name] = value.clone();
        }
        let (scope, id) = (scope["id"].as_str().unwrap(), mapper["id"].as_str().unwrap().to_owned());
        let path = format!("/client-scopes/{scope}/protocol-mappers/models/{id}");
        self.realm.admin("PUT", &path, Some(mapper)).await.expect(204);
    }

    async fn make_key(&self, kind: &str, priority: u32, config: Value) -> String {
        let realm = self.realm.admin("GET", "", None).await.expect(200).body;
        let mut component = json!({
            "name": format!("{kind}-{priority}"), "providerId": kind, "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": realm["id"], "config": { "priority": [priority.to_string()] },
        });
        for (name, value) in config.as_object().unwrap() {
            component["config"][name] = value.clone();
        }
        self.realm.admin("POST", "/components", Some(component)).await.made_id()
    }

    async fn set_key(&self, id: &str, name: &str, value: &str) {
        let path = format!("/components/{id}");
        let mut component = self.realm.admin("GET", &path, None).await.expect(200).body;
        component["config"][name] = json!([value]);
        self.realm.admin("PUT", &path, Some(component)).await.expect(204);
    }

    /// The ids of the published keys of a use.
    async fn published(&self, usage: &str) -> Vec<String> {
        let set = super::http::Http::new().get(&self.realm.oidc("certs")).await.expect(200).body;
        let keys = set["keys"].as_array().unwrap().iter().filter(|key| key["use"] == usage);
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

async fn service(realm: &Realm) -> Service {
    Service::start_with(StoreKind::Sqlite, Options::default().set("KEYCLOAK_ISSUER", &realm.issuer)).await
}

fn kid(token: &str) -> String {
    use base64::Engine as _;
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&head).unwrap()["kid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_of_the_realm_are_roles_of_the_service() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    setup.realm.make_user(ROOT, &["PLATFORM_ADMIN"]).await;
    let root = setup.token(DIRECT, ROOT, "openid").await;
    assert_eq!(setup.with(&root).get("/v1/tenants").await.expect(200).body["items"].as_array().unwrap().len(), 2);

    let (erika, organization) = setup.erika(&["MEMBER"], json!({})).await;
    let member = setup.token(DIRECT, ERIKA, "openid").await;
    setup.acme_by(&member).await.expect(200);
    setup.with(&member).get("/v1/tenants/by-slug/beta").await.problem(404, "not_found");
    setup.with(&member).get("/v1/api-keys").await.problem(403, "forbidden");

    // The group of the organization makes an administrator, as provisioning does it.
    let group = json!({ "name": "IT_ADMIN" });
    let group =
        setup.realm.admin("POST", &format!("/organizations/{organization}/groups"), Some(group)).await.made_id();
    let path = format!("/organizations/{organization}/groups/{group}/members/{erika}");
    setup.realm.admin("PUT", &path, None).await.expect(204);
    let admin = setup.token(DIRECT, ERIKA, "openid").await;
    assert_eq!(claims(&admin)["organization"], json!({ "acme": { "groups": ["/IT_ADMIN"] } }));
    setup.with(&admin).get("/v1/api-keys").await.expect(200);
    setup.with(&admin).get("/v1/tenants/by-slug/beta").await.problem(404, "not_found");

    // The realm role makes one only where the token carries no groups: the portal's does not, the console's does.
    let max = setup.realm.make_user("max@acme.test", &["IT_ADMIN"]).await;
    setup.realm.add_member(&organization, &max).await;
    let portal = setup.token(DIRECT_PORTAL, "max@acme.test", "openid").await;
    setup.with(&portal).get("/v1/api-keys").await.expect(200);
    let console = setup.token(DIRECT, "max@acme.test", "openid").await;
    assert_eq!(claims(&console)["organization"], json!({ "acme": { "groups": [] } }));
    setup.with(&console).get("/v1/api-keys").await.problem(403, "forbidden");
    // No role and no group: nobody.
    let nobody = setup.realm.make_user("nobody@acme.test", &[]).await;
    setup.realm.add_member(&organization, &nobody).await;
    let nobody = setup.token(DIRECT, "nobody@acme.test", "openid").await;
    setup.acme_by(&nobody).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tenant_is_read_from_every_shape_that_keycloak_gives_it() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    let id = id_of(&setup.acme);
    let attributes = json!({ "tenant_id": [id], "plan": ["starter"], "status": ["active"], "products": ["a", "b"] });
    let (erika, organization) = setup.erika(&["MEMBER"], attributes).await;
    let portal = |scope: &'static str| setup.token(DIRECT_PORTAL, ERIKA, scope);

    let array = portal("openid").await;
    assert_eq!(claims(&array)["organization"], json!(["acme"]));
    assert_eq!(claims(&array)["tenant_slug"], "acme");
    setup.acme_by(&array).await.expect(200);

    setup.shape(json!({ "addOrganizationId": "true", "addOrganizationAttributes": "true" })).await;
    let object = portal("openid").await;
    assert_eq!(claims(&object)["organization"]["acme"]["tenant_id"], json!([id]));
    assert_ne!(claims(&object)["organization"]["acme"]["id"], json!(id), "Keycloak's id is not ours");
    setup.acme_by(&object).await.expect(200);

    setup
        .shape(json!({ "addOrganizationId": "false", "addOrganizationAttributes": "false", "multivalued": "false" }))
        .await;
    let text = portal("openid").await;
    assert_eq!(claims(&text)["organization"], "acme");
    setup.acme_by(&text).await.expect(200);
    setup.shape(json!({ "multivalued": "true" })).await;

    // Two mappers on one claim merge.
    let second = json!({
        "name": "second", "protocol": "openid-connect", "protocolMapper": "oidc-organization-membership-mapper",
        "config": { "claim.name": "organization", "multivalued": "true", "addOrganizationAttributes": "true",
                    "addOrganizationId": "true", "access.token.claim": "true" },
    });
    let path = format!("/clients/{}/protocol-mappers/models", setup.realm.client(DIRECT_PORTAL).await);
    let second = setup.realm.admin("POST", &path, Some(second)).await.made_id();
    let merged = portal("openid").await;
    assert!(claims(&merged)["organization"].is_array(), "{}", claims(&merged));
    assert_eq!(claims(&merged)["organization"].as_array().unwrap().len(), 2, "{}", claims(&merged));
    setup.acme_by(&merged).await.expect(200);
    setup.realm.admin("DELETE", &format!("{path}/{second}"), None).await.expect(204);

    // An organization that names another tenant than its alias does.
    setup.shape(json!({ "addOrganizationId": "true", "addOrganizationAttributes": "true" })).await;
    let path = format!("/organizations/{organization}");
    let mut changed = setup.realm.admin("GET", &path, None).await.expect(200).body;
    changed["attributes"]["tenant_id"] = json!([id_of(&setup.service.admin.make_tenant("gamma").await)]);
    setup.realm.admin("PUT", &path, Some(changed)).await.expect(204);
    setup.acme_by(&portal("openid").await).await.problem(403, "tenant_mismatch");
    setup.shape(json!({ "addOrganizationId": "false", "addOrganizationAttributes": "false" })).await;

    // Several, and none chosen: the claim is absent, or has both; the flat claim alone would name the wrong one.
    let beta = setup.realm.make_organization("beta", json!({})).await;
    setup.realm.add_member(&beta, &erika).await;
    for scope in ["openid", "openid organization", "openid organization:*"] {
        let several = portal(scope).await;
        setup.acme_by(&several).await.problem(403, "forbidden");
    }
    let chosen = portal("openid organization:beta").await;
    assert_eq!(claims(&chosen)["organization"], json!(["beta"]));
    setup.with(&chosen).get("/v1/tenants/by-slug/beta").await.expect(200);
    setup.acme_by(&chosen).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_access_tokens_for_us_get_in() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    setup.realm.make_user(ROOT, &["PLATFORM_ADMIN"]).await;
    let tokens = Tokens::of(&setup.realm.password_grant(DIRECT, ROOT, "openid").await);
    setup.with(&tokens.access).get("/v1/tenants").await.expect(200);
    for (what, other) in [("ID token", &tokens.id), ("refresh token", &tokens.refresh)] {
        let answer = setup.with(other).get("/v1/tenants").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
    }
    // A token of the service account has no audience of ours.
    let service = setup.realm.service_token().await;
    setup.with(&service).get("/v1/tenants").await.problem(401, "unauthenticated");
    // Nor has the console's without its audience mapper.
    let path = format!("/clients/{}/protocol-mappers/models", setup.realm.client(DIRECT).await);
    let mappers = setup.realm.admin("GET", &path, None).await.expect(200).body;
    let mut mappers = mappers.as_array().unwrap().iter();
    let audience = mappers.find(|mapper| mapper["protocolMapper"] == "oidc-audience-mapper").unwrap();
    let path = format!("{path}/{}", audience["id"].as_str().unwrap());
    setup.realm.admin("DELETE", &path, None).await.expect(204);
    let without = setup.token(DIRECT, ROOT, "openid").await;
    assert_eq!(claims(&without)["aud"], Value::Null);
    setup.with(&without).get("/v1/tenants").await.problem(401, "unauthenticated");
    // A token of another realm of the same server.
    let elsewhere = RealKeycloak::shared().await.realm(RealmOptions::default()).await;
    elsewhere.make_user(ROOT, &["PLATFORM_ADMIN"]).await;
    let foreign = access_token(&elsewhere.password_grant(DIRECT, ROOT, "openid").await);
    setup.with(&foreign).get("/v1/tenants").await.problem(401, "unauthenticated");
    // The same token by another name of the host would name another issuer.
    let issuer = setup.realm.issuer.replace("localhost", "127.0.0.1");
    let other = Options::default().set("KEYCLOAK_ISSUER", issuer);
    let other = Service::start_with(StoreKind::Sqlite, other).await;
    assert_eq!(other.admin.bearer(&tokens.access).get("/v1/tenants").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_in_the_live_realm() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    setup.realm.make_user(ROOT, &["PLATFORM_ADMIN"]).await;
    let status = async |token: &str| setup.with(token).get("/v1/tenants").await.status;
    let first = setup.make_key("rsa-generated", 200, json!({ "algorithm": ["RS256"] })).await;
    let old = setup.token(DIRECT, ROOT, "openid").await;
    assert_eq!(status(&old).await, 200);
    // The set has keys that sign nothing.
    let encrypting = setup.published("enc").await;
    assert!(!encrypting.is_empty() && !encrypting.contains(&kid(&old)), "{encrypting:?}");

    // A new key signs at once, and a service that never saw it asks for it; the old one is still good.
    setup.make_key("rsa-generated", 300, json!({ "algorithm": ["RS256"] })).await;
    let new = setup.token(DIRECT, ROOT, "openid").await;
    assert_ne!(kid(&old), kid(&new));
    eventually_is(&setup, &new, 200).await;
    assert_eq!(status(&old).await, 200);
    // Passive: it signs no more, and what it signed is good.
    setup.set_key(&first, "active", "false").await;
    assert!(setup.published("sig").await.contains(&kid(&old)));
    assert_eq!(service(&setup.realm).await.admin.bearer(&old).get("/v1/tenants").await.status, 200);
    // Disabled: what it signed is void, at a service that starts now and at the one that took it before.
    setup.set_key(&first, "enabled", "false").await;
    assert!(!setup.published("sig").await.contains(&kid(&old)));
    assert_eq!(service(&setup.realm).await.admin.bearer(&old).get("/v1/tenants").await.status, 401);
    setup.make_key("rsa-generated", 400, json!({ "algorithm": ["RS256"] })).await;
    let newest = setup.token(DIRECT, ROOT, "openid").await;
    eventually_is(&setup, &newest, 200).await;
    assert_eq!(status(&old).await, 401, "the key set changed, and the old key is not in it");
    assert_eq!(status(&new).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_the_other_algorithms_get_in() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    setup.realm.make_user(ROOT, &["PLATFORM_ADMIN"]).await;
    setup.make_key("ecdsa-generated", 100, json!({ "ecdsaEllipticCurveKey": ["P-256"] })).await;
    setup.make_key("eddsa-generated", 100, json!({ "eddsaEllipticCurveKey": ["Ed25519"] })).await;
    let path = format!("/clients/{}", setup.realm.client(DIRECT).await);
    for alg in ["RS256", "ES256", "EdDSA"] {
        let mut client = setup.realm.admin("GET", &path, None).await.expect(200).body;
        client["attributes"]["access.token.signed.response.alg"] = json!(alg);
        setup.realm.admin("PUT", &path, Some(client)).await.expect(204);
        let token = setup.token(DIRECT, ROOT, "openid").await;
        setup.with(&token).get("/v1/tenants").await.expect(200);
        assert!(setup.published("sig").await.contains(&kid(&token)), "{alg}");
    }
}

/// Waits until a token gets this status.
async fn eventually_is(setup: &Setup, token: &str, status: u16) {
    let begin = Instant::now();
    loop {
        let found = setup.with(token).get("/v1/tenants").await.status;
        if found == status {
            return;
        }
        assert!(begin.elapsed() < KEYS_DEADLINE, "{found}, not {status}, after {:?}", begin.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
