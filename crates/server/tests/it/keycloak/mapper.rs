//! The protocol mapper of `deploy/keycloak/mapper` in the real server: what is in the token, and what a bad registry costs.
//!
//! Most cases ask a stand-in, since the service does not misbehave on demand; the last ones ask the service itself.
//! Invariant of what is tested: no login waits longer than the mapper's limit, and never comes out with half of the claims.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::browser::{Browser, Login, Person, Tokens, claims};
use super::http::Reply;
use super::real::{RealKeycloak, left_out};
use super::realm::{CONSOLE, DIRECT, DIRECT_PORTAL, MAPPER, PASSWORD, Realm, RealmOptions};
use super::stand_in::{Answer, StandIn, bundle};

const ERIKA: &str = "erika@acme.test";
const KEY: &str = "key-of-the-mapper";
const BUNDLE: [&str; 5] = ["tenant_id", "slug", "products", "plan", "status"];
/// The mapper's own limit.
const LIMIT: Duration = Duration::from_millis(1500);
/// What a login may take beside the wait for the registry: a tenth of a second on a quiet machine.
const LOGIN_MAX: Duration = Duration::from_millis(2500);

/// A realm whose mapper asks a stand-in, and a user of `acme`.
struct Setup {
    realm: Realm,
    registry: StandIn,
    erika: String,
    acme: String,
}

impl Setup {
    async fn start() -> Self {
        let registry = StandIn::start().await;
        let realm = RealKeycloak::shared().await.realm(RealmOptions::default().mapper(&registry.url, KEY)).await;
        let erika = realm.make_user(ERIKA, &[]).await;
        let acme = realm.make_organization("acme", json!({})).await;
        realm.add_member(&acme, &erika).await;
        let setup = Self { realm, registry, erika, acme };
        // The server's first question loads what it asks with, which may take longer than the limit.
        setup.grant().await.expect(200);
        setup.registry.answer(Answer::bundle("active"));
        setup
    }

    async fn grant(&self) -> Reply {
        self.realm.password_grant(DIRECT, ERIKA, "openid").await
    }

    async fn set(&self, settings: Value) {
        self.realm.set_mapper(DIRECT, settings).await.expect(204);
    }
}

/// Those of a token's claims that the mapper writes.
fn written(token: &str) -> Value {
    let all = claims(token);
    let found = BUNDLE.iter().filter_map(|name| Some(((*name).to_owned(), all.get(*name)?.clone())));
    Value::Object(found.collect())
}

fn nothing() -> Value {
    json!({})
}

#[tokio::test]
async fn the_bundle_is_in_the_token_for_one_question() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    let tokens = Tokens::of(&setup.grant().await);
    assert_eq!(written(&tokens.access), bundle("active"));
    // Only access tokens carry it unasked.
    assert_eq!(written(&tokens.id), nothing());
    let questions = setup.registry.questions();
    assert_eq!(questions.len(), 1, "{questions:?}");
    assert_eq!(questions[0].body, json!({ "tenant_slug": "acme" }));
    assert!(questions[0].head.starts_with("post /v1/internal/keycloak/claims http/1.1"), "{}", questions[0].head);
    assert!(questions[0].head.contains(&format!("authorization: bearer {KEY}")), "{}", questions[0].head);

    // A refresh asks again: a freeze is in the next token.
    setup.registry.answer(Answer::bundle("frozen"));
    let refreshed = Tokens::of(&setup.realm.refresh(DIRECT, &tokens.refresh).await);
    assert_eq!(written(&refreshed.access), bundle("frozen"));
    assert_eq!(setup.registry.questions().len(), 1);

    // In the ID token too where that is wanted, still for one question; and with the attributes that may pass.
    let attributes = json!({ "attributes": { "customer_no": ["4711"], "private": ["x"] }, "email": ERIKA });
    setup.realm.admin("PUT", &format!("/users/{}", setup.erika), Some(attributes)).await.expect(204);
    setup.set(json!({ "id.token.claim": "true", "registry.user.attributes": "customer_no##absent" })).await;
    setup.registry.answer(Answer::bundle("trial"));
    let tokens = Tokens::of(&setup.grant().await);
    assert_eq!((written(&tokens.access), written(&tokens.id)), (bundle("trial"), bundle("trial")));
    let questions = setup.registry.questions();
    assert_eq!(questions.len(), 1, "{questions:?}");
    assert_eq!(questions[0].body, json!({ "tenant_slug": "acme", "user_attrs": { "customer_no": ["4711"] } }));
}

/// What a registry can do wrong, and the status and error of a login that is refused for it.
fn faults() -> Vec<(&'static str, Answer, (u16, &'static str))> {
    let away = (503, "temporarily_unavailable");
    let whole = |status, body: &str| Answer::Whole(status, body.to_owned());
    let odd = |name: &str, value: Value| {
        let mut bundle = bundle("active");
        bundle[name] = value;
        Answer::Whole(200, bundle.to_string())
    };
    vec![
        ("404", whole(404, r#"{"code":"not_found"}"#), (403, "access_denied")),
        ("409", whole(409, r#"{"code":"lookups_disagree"}"#), (403, "access_denied")),
        ("500", whole(500, r#"{"code":"internal"}"#), away),
        ("401", whole(401, ""), away),
        ("a redirect", whole(307, ""), away),
        ("204", whole(204, ""), away),
        ("no JSON", whole(200, "<h1>Welcome</h1>"), away),
        ("no object", whole(200, "[]"), away),
        ("something behind it", whole(200, &format!("{} x", bundle("active"))), away),
        ("a claim of another type", odd("plan", json!(7)), away),
        ("a claim that is null", odd("tenant_id", Value::Null), away),
        ("products that are none", odd("products", json!("scan")), away),
        ("a product that is none", odd("products", json!(["scan", 7])), away),
        ("too long", odd("slug", json!("x".repeat(70_000))), away),
        ("no HTTP", Answer::Garbage, away),
        ("cut", Answer::Cut, away),
        ("slow", Answer::After(LIMIT * 3), away),
        ("hanging", Answer::Never, away),
        ("half a body", Answer::Half, away),
        ("a head without end", Answer::Drip, away),
    ]
}

#[tokio::test]
async fn a_login_goes_on_without_the_claims_of_a_bad_registry_within_the_limit() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    let refresh = Tokens::of(&setup.grant().await).refresh;
    for (what, answer, _) in faults() {
        setup.registry.answer(answer);
        let begin = Instant::now();
        let granted = Tokens::of(&setup.grant().await);
        let took = begin.elapsed();
        eprintln!("{what}: a login took {} ms", took.as_millis());
        assert_eq!(written(&granted.access), nothing(), "{what}");
        assert!(took < LIMIT + LOGIN_MAX, "{what}: {took:?}");
        assert_eq!(setup.registry.questions().len(), 1, "{what}");
    }
    setup.registry.answer(Answer::Never);
    assert_eq!(written(&Tokens::of(&setup.realm.refresh(DIRECT, &refresh).await).access), nothing());
    // It comes back as soon as the registry does.
    setup.registry.answer(Answer::After(Duration::from_millis(300)));
    assert_eq!(written(&Tokens::of(&setup.grant().await).access), bundle("active"));
    // Away: nobody listens there.
    let away = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    setup.set(json!({ "registry.url": format!("http://{away}") })).await;
    let begin = Instant::now();
    assert_eq!(written(&Tokens::of(&setup.grant().await).access), nothing());
    assert!(begin.elapsed() < LOGIN_MAX, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_login_is_refused_where_the_operator_wants_no_token_without_the_claims() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    setup.set(json!({ "registry.on.error": "deny" })).await;
    let refresh = Tokens::of(&setup.grant().await).refresh;
    for (what, answer, (status, error)) in faults() {
        setup.registry.answer(answer);
        let begin = Instant::now();
        let refused = setup.grant().await;
        let took = begin.elapsed();
        assert_eq!((refused.status, &refused.body["error"]), (status, &json!(error)), "{what}: {}", refused.text);
        assert!(!refused.text.contains(KEY), "{what}: {}", refused.text);
        assert!(took < LIMIT + LOGIN_MAX, "{what}: {took:?}");
    }
    setup.registry.answer(Answer::Whole(500, String::new()));
    assert_eq!(setup.realm.refresh(DIRECT, &refresh).await.status, 503);
    // Who belongs to no organization is nobody's user, and not refused.
    setup.realm.make_user("root@platform.test", &["PLATFORM_ADMIN"]).await;
    let root = setup.realm.password_grant(DIRECT, "root@platform.test", "openid").await;
    assert_eq!(written(&Tokens::of(&root).access), nothing());
    setup.registry.answer(Answer::bundle("active"));
    assert_eq!(written(&Tokens::of(&setup.grant().await).access), bundle("active"));
}

#[tokio::test]
async fn the_limit_is_the_operators_up_to_a_second_and_a_half() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    for (name, value) in [
        ("registry.timeout.ms", "1501"),
        ("registry.timeout.ms", "0"),
        ("registry.timeout.ms", "soon"),
        ("registry.on.error", "maybe"),
        ("registry.url", "ftp://registry"),
        ("registry.url", "https://user:password@registry"),
        ("registry.bearer", "two words"),
    ] {
        let refused = setup.realm.set_mapper(DIRECT, json!({ (name): value })).await;
        assert_eq!(refused.status, 400, "{name}={value}: {}", refused.text);
        assert!(!refused.text.contains("two words"), "{}", refused.text);
    }
    setup.registry.answer(Answer::Never);
    setup.set(json!({ "registry.timeout.ms": "200" })).await;
    // Both of one machine and moment, so that only the difference of the limits is left.
    let begin = Instant::now();
    Tokens::of(&setup.grant().await);
    let short = begin.elapsed();
    setup.set(json!({ "registry.timeout.ms": "1500" })).await;
    let begin = Instant::now();
    Tokens::of(&setup.grant().await);
    let long = begin.elapsed();
    assert!(short < long && long >= LIMIT && short >= Duration::from_millis(200), "{short:?} {long:?}");
    assert!(long < LIMIT + LOGIN_MAX, "{long:?}");

    // A realm's import checks no settings: what is not valid there is no answer either, and never a longer wait.
    let url = setup.registry.url.clone();
    let options = RealmOptions::default().mapper(&url, KEY).edit(|realm| {
        for client in realm["clients"].as_array_mut().unwrap() {
            let mappers = client.get_mut("protocolMappers").and_then(Value::as_array_mut);
            for mapper in mappers.into_iter().flatten().filter(|mapper| mapper["protocolMapper"] == MAPPER) {
                mapper["config"]["registry.timeout.ms"] = json!("60000");
            }
        }
    });
    let realm = RealKeycloak::shared().await.realm(options).await;
    let user = realm.make_user(ERIKA, &[]).await;
    let acme = realm.make_organization("acme", json!({})).await;
    realm.add_member(&acme, &user).await;
    setup.registry.answer(Answer::Never);
    let begin = Instant::now();
    let granted = realm.password_grant(DIRECT, ERIKA, "openid").await;
    assert!(begin.elapsed() < LIMIT + LOGIN_MAX, "{:?}", begin.elapsed());
    assert_eq!(written(&Tokens::of(&granted).access), nothing());
}

#[tokio::test]
async fn with_several_organizations_the_one_that_was_chosen_is_asked_for() {
    if left_out() {
        return;
    }
    let setup = Setup::start().await;
    let beta = setup.realm.make_organization("beta", json!({})).await;
    setup.realm.add_member(&beta, &setup.erika).await;
    let asked = || setup.registry.questions().into_iter().map(|question| question.body).collect::<Vec<_>>();

    for scope in ["openid", "openid organization", "openid organization:*"] {
        setup.registry.answer(Answer::bundle("active"));
        let granted = Tokens::of(&setup.realm.password_grant(DIRECT, ERIKA, scope).await);
        assert_eq!(written(&granted.access), nothing(), "{scope}");
        assert!(asked().is_empty(), "{scope}: {:?}", asked());
    }
    for alias in ["acme", "beta"] {
        setup.registry.answer(Answer::bundle("active"));
        let scope = format!("openid organization:{alias}");
        let granted = Tokens::of(&setup.realm.password_grant(DIRECT, ERIKA, &scope).await);
        assert_eq!(written(&granted.access), bundle("active"));
        assert_eq!(asked(), [json!({ "tenant_slug": alias })]);
    }
    // A browser is asked which.
    setup.registry.answer(Answer::bundle("active"));
    let mut browser = Browser::at(&setup.realm);
    let person = Person::new(ERIKA, PASSWORD);
    let Login::Stopped(page) = browser.log_in(&setup.realm, &person).await else { panic!("no question was asked") };
    assert!(page.html.contains("beta"), "{}", page.html);
    let tokens = Browser::at(&setup.realm).log_in(&setup.realm, &person.choosing("beta")).await.tokens();
    assert_eq!(written(&tokens.access), bundle("active"));
    assert_eq!(asked(), [json!({ "tenant_slug": "beta" })]);
    let refreshed = Tokens::of(&setup.realm.refresh(CONSOLE, &tokens.refresh).await);
    assert_eq!(written(&refreshed.access), bundle("active"));
    assert_eq!(asked().len(), 2);

    // Out of `beta` and in `acme` alone: there is nothing to choose any more. Nobody asks for a disabled one.
    setup.realm.admin("DELETE", &format!("/organizations/{beta}/members/{}", setup.erika), None).await.expect(204);
    setup.registry.answer(Answer::bundle("active"));
    assert_eq!(written(&Tokens::of(&setup.grant().await).access), bundle("active"));
    assert_eq!(asked(), [json!({ "tenant_slug": "acme" })]);
    let path = format!("/organizations/{}", setup.acme);
    let mut acme = setup.realm.admin("GET", &path, None).await.expect(200).body;
    acme["enabled"] = json!(false);
    setup.realm.admin("PUT", &path, Some(acme)).await.expect(204);
    setup.registry.answer(Answer::bundle("active"));
    assert_eq!(written(&Tokens::of(&setup.grant().await).access), nothing());
    assert!(asked().is_empty());
}

#[tokio::test]
async fn the_realm_works_without_a_registry_and_without_the_plug_in() {
    if left_out() {
        return;
    }
    // As imported without variables: the mapper has no address.
    let keycloak = RealKeycloak::shared().await;
    let without_registry = keycloak.realm(RealmOptions::default()).await;
    // Where the jar is missing, the name of its mapper means nothing to the server.
    let options = RealmOptions::default().edit(|realm| {
        let text = realm.to_string().replace(MAPPER, "of-a-jar-that-is-not-there");
        *realm = serde_json::from_str(&text).unwrap();
    });
    let without_plug_in = keycloak.realm(options).await;
    for realm in [without_registry, without_plug_in] {
        let user = realm.make_user(ERIKA, &[]).await;
        let acme = realm.make_organization("acme", json!({})).await;
        realm.add_member(&acme, &user).await;
        let token = Tokens::of(&realm.password_grant(DIRECT_PORTAL, ERIKA, "openid").await);
        assert_eq!(token.claims()["tenant_slug"], "acme");
        assert_eq!(token.claims()["aud"], "tenant-registry");
        assert_eq!(written(&token.access), nothing());
    }
}
