//! Credentials over HTTP: the issuer's tokens, the dev token, and how they are sent.
//!
//! What a verifier thinks of every odd token is in `tokens`; here the same comes through the whole service, with its
//! answers. Who may call what is the operation table's. Invariant: whatever is wrong with a credential, the answer tells
//! how to come back (`WWW-Authenticate`) and nothing else.

use reqwest::Method;
use serde_json::{Value, json};

use crate::operations::table::Start;
use crate::operations::world::{Subject, Who, World, on_both_stores};
use crate::support::client::DEV_TOKEN;
use crate::support::issuer::{Behaviour, Claims, TestKey, sign_with, unsigned};
use crate::support::{Answer, Client, Options, Service, StoreKind};

const PATH: &str = "/v1/tenants";

/// A service on one store: what these tests are about does not depend on which.
async fn world() -> World {
    World::start(StoreKind::Sqlite).await
}

impl World {
    fn admin_claims(&self) -> Claims {
        self.issuer.claims("root").role("PLATFORM_ADMIN")
    }

    /// A client with a token of these claims.
    fn as_claims(&self, claims: Claims) -> Client {
        self.service.admin.bearer(&self.issuer.token(claims))
    }

    /// What the token gets.
    async fn status(&self, token: &str) -> u16 {
        self.service.admin.bearer(token).get(PATH).await.status
    }

    async fn refused(&self, what: &str, token: &str) {
        let answer = self.service.admin.bearer(token).get(PATH).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        challenged(&answer, what);
        assert!(!answer.text.contains(token), "{what}: the token is repeated");
    }

    async fn claims_refused(&self, what: &str, claims: Claims) {
        self.refused(what, &self.issuer.token(claims)).await;
    }

    /// What a member with these tenant claims gets of a tenant.
    async fn member(&self, subject: &Subject, claims: &[(&str, Value)]) -> Answer {
        let claims = claims
            .iter()
            .fold(self.issuer.claims("max").role("MEMBER"), |all, (name, value)| all.with(name, value.clone()));
        self.as_claims(claims).get(&format!("{PATH}/{}", subject.id)).await
    }
}

#[track_caller]
fn challenged(answer: &Answer, what: &str) {
    assert_eq!(answer.body["code"], "unauthenticated", "{what}: {}", answer.text);
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Bearer "), "{what}: {challenge}");
    assert!(challenge.contains(r#"error="invalid_token""#), "{what}: {challenge}");
}

#[tokio::test]
async fn a_good_token_of_each_algorithm_gets_in() {
    let world = world().await;
    assert_eq!(world.status(&world.issuer.token(world.admin_claims())).await, 200);
    for (alg, kid) in [("ES256", "ec"), ("EdDSA", "ed")] {
        // The second and third key are found without a restart: an unknown `kid` refetches, though not all the time, so
        // each has a service of its own.
        let world = World::start(StoreKind::Sqlite).await;
        assert_eq!(world.status(&world.issuer.token(world.admin_claims())).await, 200);
        world.issuer.rotate(alg, kid);
        assert_eq!(world.status(&world.issuer.token(world.admin_claims())).await, 200, "{alg}");
    }
}

#[tokio::test]
async fn rotation_keeps_those_in_who_hold_a_token_of_the_old_key() {
    let world = world().await;
    let old = world.issuer.token(world.admin_claims());
    assert_eq!(world.status(&old).await, 200);
    let fetches = world.issuer.jwks_fetches();
    world.issuer.rotate("RS256", "rsa-2");
    let new = world.issuer.token(world.admin_claims());
    assert_eq!(world.status(&new).await, 200);
    assert_eq!(world.issuer.jwks_fetches(), fetches + 1);
    assert_eq!(world.status(&old).await, 200);
    assert_eq!(world.issuer.jwks_fetches(), fetches + 1, "both keys are known now");
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    let world = world().await;
    let claims = || world.admin_claims();
    let now = world.issuer.claims("x");
    let Value::Object(now) = Value::from(now) else { panic!("claims are an object") };
    let now = now["iat"].as_i64().unwrap();
    for (what, claims) in [
        ("another audience", claims().with("aud", json!("account"))),
        ("no audience", claims().without("aud")),
        ("another issuer", claims().with("iss", json!("https://elsewhere.example/realms/test"))),
        ("no issuer", claims().without("iss")),
        ("an ID token", claims().with("typ", json!("ID"))),
        ("a refresh token", claims().with("typ", json!("Refresh"))),
        ("no type", claims().without("typ")),
        ("an end without value", claims().without("exp")),
        ("not before tomorrow", claims().with("nbf", json!(now + 86_400))),
        ("no subject", claims().without("sub")),
        ("roles that are none", claims().with("realm_access", json!({ "roles": ["PLATFORM_ADMIN", 7] }))),
    ] {
        world.claims_refused(what, claims).await;
    }
    world.claims_refused("expired", claims().expires(now - 120)).await;
    let expired = world.as_claims(claims().expires(now - 120)).get(PATH).await.problem(401, "unauthenticated");
    assert!(expired.body["detail"].as_str().unwrap().contains("expired"), "{}", expired.text);
    // The service does still let good ones in.
    assert_eq!(world.status(&world.issuer.token(claims())).await, 200);
}

#[tokio::test]
async fn a_token_that_the_issuer_did_not_sign_is_refused() {
    let world = world().await;
    let claims: Value = world.admin_claims().into();
    let key = world.issuer.signing_key();
    let good = world.issuer.token(claims.clone());
    assert_eq!(world.status(&good).await, 200);

    for alg in ["none", "None", "NONE", ""] {
        let unsigned = unsigned(&json!({ "alg": alg, "typ": "JWT", "kid": key.kid }), &claims);
        world.refused("unsigned", &format!("{unsigned}.")).await;
        world
            .refused("unsigned, with another signature", &format!("{unsigned}.{}", good.rsplit('.').next().unwrap()))
            .await;
    }
    // Algorithm confusion: the public key as secret of an HMAC.
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": key.kid });
    let message = unsigned(&header, &claims);
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key.public_bytes());
    let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
    let tag = crate::support::issuer::base64url(tag.as_ref());
    world.refused("HS256 with the public key", &format!("{message}.{tag}")).await;

    let stranger = TestKey::generate("ES256", "stranger");
    world.refused("an unknown kid", &sign_with(&stranger.header(), &claims, &stranger)).await;
    let mut header = stranger.header();
    header["kid"] = json!(key.kid);
    world.refused("another key under a known kid", &sign_with(&header, &claims, &stranger)).await;
    header["alg"] = json!("RS256");
    world.refused("another key, its algorithm hidden", &sign_with(&header, &claims, &stranger)).await;

    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    let mut more: Value = claims.clone();
    more["sub"] = json!("somebody else");
    parts[1] = unsigned(&json!({}), &more).split('.').nth(1).unwrap().to_owned();
    world.refused("changed claims", &parts.join(".")).await;
    for text in ["x", "x.y", "x.y.z", "..", "x.y.z.w", &good[..good.len() - 4]] {
        world.refused("no token", text).await;
    }
    assert_eq!(world.status(&good).await, 200);
}

#[tokio::test]
async fn an_issuer_that_was_never_there_makes_the_service_unavailable_and_not_open() {
    let world = world().await;
    world.issuer.behave(Behaviour::Status(503));
    let token = world.issuer.token(world.admin_claims());
    let answer = world.service.admin.bearer(&token).get(PATH).await;
    let answer = answer.problem(503, "unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert!(!answer.text.contains(world.issuer.url()), "the issuer's address is for the log: {}", answer.text);
    // What needs no issuer goes on: the dev token, the probes, and the refusal of nobody.
    world.service.admin.get(PATH).await.expect(200);
    world.service.admin.anonymous().get("/readyz").await.expect(200);
    world.service.admin.anonymous().get(PATH).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn an_issuer_that_goes_away_later_is_not_missed_at_once() {
    let world = world().await;
    let token = world.issuer.token(world.admin_claims());
    assert_eq!(world.status(&token).await, 200);
    world.issuer.behave(Behaviour::Status(500));
    assert_eq!(world.status(&token).await, 200);
    let another = world.issuer.token(world.issuer.claims("other").role("PLATFORM_ADMIN"));
    assert_eq!(world.status(&another).await, 200, "the keys are known");
}

on_both_stores! {
    async fn the_tenant_is_read_from_every_shape_of_the_claims(world: World) {
        let own = world.subject(Start::Active).await;
        let foreign = world.subject(Start::Active).await;
        let (id, slug) = (json!(own.id), json!(own.slug));
        let mut object = json!({});
        object[&own.slug] = json!({ "id": "some-id-of-keycloak" });
        let mut attributes = json!({});
        attributes[&own.slug] = json!({ "id": "k", "tenant_id": [own.id], "plan": ["starter"], "groups": [] });
        let shapes: Vec<Vec<(&str, Value)>> = vec![
            vec![("tenant_id", id.clone())],
            vec![("tenant_id", json!([own.id]))],
            vec![("tenant_id", json!(own.id.to_uppercase()))],
            vec![("tenant_slug", slug.clone())],
            vec![("organization", slug.clone())],
            vec![("organization", json!([own.slug]))],
            vec![("organization", json!([own.slug, own.slug]))],
            vec![("organization", object.clone())],
            vec![("organization", attributes.clone())],
            vec![("organization", json!([own.slug, attributes.clone()]))],
            vec![("tenant_id", id.clone()), ("tenant_slug", slug.clone()), ("organization", attributes)],
            vec![("tenant_id", json!("")), ("organization", slug.clone())],
            vec![("tenant_id", Value::Null), ("tenant_slug", slug.clone())],
        ];
        for claims in &shapes {
            let answer = world.member(&own, claims).await;
            assert_eq!(answer.status, 200, "{claims:?}: {}", answer.text);
            let answer = world.member(&foreign, claims).await;
            assert_eq!(answer.status, 404, "{claims:?}: {}", answer.text);
        }
        eprintln!("the_tenant_is_read_from_every_shape: {} shapes", shapes.len());
    }

    async fn claims_that_disagree_are_refused(world: World) {
        let own = world.subject(Start::Active).await;
        let other = world.subject(Start::Active).await;
        let nobodys = own.absent();
        let mut attributes = json!({});
        attributes[&own.slug] = json!({ "tenant_id": [other.id] });
        let disagreeing: Vec<Vec<(&str, Value)>> = vec![
            vec![("tenant_id", json!(own.id)), ("tenant_slug", json!(other.slug))],
            vec![("tenant_id", json!(other.id)), ("tenant_slug", json!(own.slug))],
            vec![("tenant_id", json!([own.id, other.id]))],
            vec![("tenant_slug", json!(own.slug)), ("organization", json!(other.slug))],
            vec![("tenant_id", json!(own.id)), ("organization", json!([other.slug]))],
            vec![("organization", attributes)],
            // One that exists, and one that does not.
            vec![("tenant_id", json!(own.id)), ("tenant_slug", json!(nobodys.slug))],
            vec![("tenant_id", json!(nobodys.id)), ("tenant_slug", json!(own.slug))],
            vec![("tenant_id", json!("no-uuid")), ("tenant_slug", json!(own.slug))],
        ];
        for claims in &disagreeing {
            for asked in [&own, &other] {
                let answer = world.member(asked, claims).await;
                let found = (answer.status, answer.body["code"].as_str());
                assert_eq!(found, (403, Some("tenant_mismatch")), "{claims:?}: {}", answer.text);
            }
        }
        // The order of checks: a mismatch is a 403 like one by role, before everything about the request.
        let claims = world.issuer.claims("ada").role("IT_ADMIN").with("tenant_id", json!(own.id)).tenant(&other.slug);
        let client = world.as_claims(claims);
        client.send_bytes(Method::PUT, &format!("{PATH}/{}/hosts", own.id), "text/plain", b"{".to_vec()).await
            .problem(403, "tenant_mismatch");
    }

    async fn several_organizations_are_no_tenant(world: World) {
        let own = world.subject(Start::Active).await;
        let other = world.subject(Start::Active).await;
        let mut object = json!({});
        object[&own.slug] = json!({ "groups": ["/IT_ADMIN"] });
        object[&other.slug] = json!({ "groups": ["/IT_ADMIN"] });
        for organization in [json!([own.slug, other.slug]), object] {
            for extra in [json!(null), json!(own.id)] {
                let claims = [("organization", organization.clone()), ("tenant_id", extra)];
                for asked in [&own, &other] {
                    world.member(asked, &claims).await.problem(403, "forbidden");
                }
            }
        }
        // A role that needs no tenant needs none here either.
        let admin = world.admin_claims().with("organization", json!([own.slug, other.slug]));
        world.as_claims(admin).get(&format!("{PATH}/{}", own.id)).await.expect(200);
    }

    async fn groups_in_the_organization_decide_who_is_its_admin(world: World) {
        let own = world.subject(Start::Active).await;
        let url = format!("{PATH}/{}/hosts", own.id);
        let put = async |claims: Claims, prefix: &str| {
            let url_of_host = format!("https://groups.example.com/{prefix}");
            world.as_claims(claims).put(&url, json!({ "url": url_of_host })).await.status
        };
        let with_groups = |claims: Claims, groups: Value| {
            let mut organization = json!({});
            organization[&own.slug] = json!({ "groups": groups });
            claims.with("organization", organization)
        };
        let ada = || world.issuer.claims("ada");
        let realm = || ada().role("IT_ADMIN");
        // Without groups the realm role counts, with groups nothing else does.
        assert_eq!(put(realm().tenant(&own.slug), "a").await, 200);
        assert_eq!(put(with_groups(ada(), json!(["/IT_ADMIN"])), "b").await, 200);
        assert_eq!(put(with_groups(realm(), json!(["/IT_ADMIN", "/staff"])), "c").await, 200);
        for groups in [json!([]), json!(["/staff"]), json!(["IT_ADMIN"]), json!(["/it_admin"]), json!(["/staff/IT_ADMIN"])] {
            assert_eq!(put(with_groups(realm(), groups.clone()), "d").await, 403, "{groups}");
            assert_eq!(put(with_groups(realm().role("MEMBER"), groups.clone()), "d").await, 403, "{groups}");
            let member = world.as_claims(with_groups(realm().role("MEMBER"), groups));
            member.get(&format!("{PATH}/{}", own.id)).await.expect(200);
        }
    }

    async fn a_token_of_an_unknown_tenant_finds_nothing(world: World) {
        let subject = world.subject(Start::Active).await;
        let nobodys = subject.absent();
        for claims in [
            vec![("tenant_id", json!(nobodys.id))],
            vec![("tenant_slug", json!(nobodys.slug))],
            vec![("organization", json!([nobodys.slug]))],
            vec![("tenant_id", json!("not-a-uuid"))],
            vec![("tenant_id", json!(nobodys.id)), ("tenant_slug", json!(nobodys.slug))],
        ] {
            for asked in [&subject, &nobodys] {
                let answer = world.member(asked, &claims).await;
                let found = (answer.status, answer.body["code"].as_str());
                assert_eq!(found, (404, Some("not_found")), "{claims:?}: {}", answer.text);
            }
            let member = claims.iter().fold(world.issuer.claims("max").role("MEMBER"), |all, (name, value)| {
                all.with(name, value.clone())
            });
            let list = world.as_claims(member).get(PATH).await.expect(200);
            assert_eq!(list.body["items"], json!([]), "{claims:?}");
        }
    }

    async fn a_tenant_that_was_deleted_is_unknown_to_its_people_at_once(world: World) {
        let own = world.subject(Start::Frozen).await;
        let member = world.client(Who::Member, &own.slug);
        member.get(&format!("{PATH}/{}", own.id)).await.expect(200);
        world.service.admin.delete(&format!("{PATH}/{}", own.id)).await.expect(204);
        member.get(&format!("{PATH}/{}", own.id)).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn the_dev_token_is_taken_in_both_headers() {
    let world = world().await;
    let nobody = world.service.admin.anonymous();
    for (name, value) in [
        ("authorization", format!("Bearer {DEV_TOKEN}")),
        ("authorization", format!("bearer {DEV_TOKEN}")),
        ("authorization", format!("BEARER {DEV_TOKEN}")),
        ("x-api-key", DEV_TOKEN.to_owned()),
    ] {
        nobody.with(name, &value).get(PATH).await.expect(200);
    }
    let almost =
        [&DEV_TOKEN[..DEV_TOKEN.len() - 1], &format!("{DEV_TOKEN}x"), &DEV_TOKEN.to_uppercase()].map(str::to_owned);
    for wrong in &almost {
        challenged(&nobody.bearer(wrong).get(PATH).await.expect(401), wrong);
        challenged(&nobody.with("x-api-key", wrong).get(PATH).await.expect(401), wrong);
    }
}

#[tokio::test]
async fn a_scheme_is_read_in_any_case_and_no_other_scheme_is_taken() {
    let world = world().await;
    let token = world.issuer.token(world.admin_claims());
    let nobody = world.service.admin.anonymous();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        nobody.with("authorization", &format!("{scheme} {token}")).get(PATH).await.expect(200);
    }
    for value in [
        format!("Basic {token}"),
        "Basic cm9vdDpzZWNyZXQ=".to_owned(),
        format!("DPoP {token}"),
        format!("Token {token}"),
        format!("Bearer{token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}, Bearer {token}"),
        token.clone(),
        DEV_TOKEN.to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        String::new(),
    ] {
        let answer = nobody.with("authorization", &value).get(PATH).await;
        assert_eq!(answer.status, 401, "{value}: {}", answer.text);
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{value}");
    }
}

#[tokio::test]
async fn one_request_has_one_credential() {
    let world = world().await;
    let token = world.issuer.token(world.admin_claims());
    let nobody = world.service.admin.anonymous();
    let bearer = |token: &str| format!("Bearer {token}");
    // Twice the same is one.
    nobody.with("authorization", &bearer(DEV_TOKEN)).with("x-api-key", DEV_TOKEN).get(PATH).await.expect(200);
    nobody.with("authorization", &bearer(&token)).with("x-api-key", &token).get(PATH).await.expect(200);
    for (one, other) in
        [(token.as_str(), DEV_TOKEN), (DEV_TOKEN, token.as_str()), (DEV_TOKEN, "other"), ("other", DEV_TOKEN)]
    {
        let both = nobody.with("authorization", &bearer(one)).with("x-api-key", other);
        challenged(&both.get(PATH).await.expect(401), "two different credentials");
    }
    for twice in [
        nobody.with("authorization", &bearer(&token)).with("authorization", &bearer(&token)),
        nobody.with("authorization", &bearer(DEV_TOKEN)).with("authorization", "Basic eDp5"),
        nobody.with("x-api-key", DEV_TOKEN).with("x-api-key", DEV_TOKEN),
    ] {
        challenged(&twice.get(PATH).await.expect(401), "a header that stands twice");
    }
    // An issuer's token is no API key.
    challenged(&nobody.with("x-api-key", &token).get(PATH).await.expect(401), "a token as key");
}

#[tokio::test]
async fn a_credential_in_the_url_or_a_cookie_is_none() {
    let world = world().await;
    let nobody = world.service.admin.anonymous();
    for name in ["access_token", "token", "api_key", "apikey", "key", "authorization"] {
        let answer = nobody.get(&format!("{PATH}?{name}={DEV_TOKEN}")).await;
        answer.problem(401, "unauthenticated");
    }
    for name in ["cookie", "proxy-authorization", "x-auth-token", "x-access-token"] {
        nobody.with(name, &format!("Bearer {DEV_TOKEN}")).get(PATH).await.problem(401, "unauthenticated");
    }
    let in_the_body = json!({ "slug": "alpha", "name": "Alpha", "access_token": DEV_TOKEN });
    nobody.post(PATH, in_the_body).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn without_a_dev_token_nothing_passes_for_one() {
    let options = Options { without_dev_token: true, ..Options::default() };
    let world = World::start_with(StoreKind::Sqlite, options).await;
    let nobody = world.service.admin.anonymous();
    for text in [DEV_TOKEN, "dev-token", "null", "undefined", "None"] {
        world.refused(text, text).await;
        challenged(&nobody.with("x-api-key", text).get(PATH).await.expect(401), text);
    }
    nobody.with("x-api-key", "").get(PATH).await.problem(401, "unauthenticated");
    assert_eq!(world.status(&world.issuer.token(world.admin_claims())).await, 200, "the issuer's tokens are taken");
}

#[tokio::test]
async fn without_an_issuer_no_token_is_taken() {
    let service = Service::start(StoreKind::Sqlite).await;
    let other = world().await;
    let token = other.issuer.token(other.admin_claims());
    challenged(&service.admin.bearer(&token).get(PATH).await.expect(401), "nobody's token");
    service.admin.get(PATH).await.expect(200);
}
