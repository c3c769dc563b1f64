//! Verification: 200 with a code for every key, 401 and 403 only for those who may not ask.
//!
//! Invariant: of several reasons the first in the contract's order is told, and nothing is told of a key that is not there.

use std::sync::Arc;
use std::time::Duration;

use domain::KeyEnv;
use reqwest::Method;
use serde_json::{Value, json};

use super::{after, code, make, minted, path, rotate, stranger, verify};
use crate::support::server::both_stores;
use crate::support::setup::{each_store, id_of, path_of, tenant_admin, traces, with_issuer};
use crate::support::{Options, Service};

const PATH: &str = "/v1/internal/api-keys/verify";

async fn verify_for(service: &Service, key: &str, scope: &str) -> Value {
    service.admin.post(PATH, json!({ "key": key, "scope": scope })).await.expect(200).body
}

fn unknown(code: &str) -> Value {
    json!({ "valid": false, "code": code, "tenant": null, "key": null, "products": [] })
}

both_stores! {
    async fn a_good_key_is_shown_with_its_tenant(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let end = after(&service, 600);
        let (key, text) = make(&service.admin, &acme, json!({ "scopes": ["b", "a:x"], "expires_at": end })).await;
        let tenant = json!({ "id": acme["id"], "slug": "acme", "status": "trial", "plan": "starter" });
        let shown = json!({ "id": key["id"], "name": "Key", "scopes": ["b", "a:x"], "expires_at": key["expires_at"] });
        let expected = json!({ "valid": true, "code": "valid", "tenant": tenant, "key": shown, "products": [] });
        assert_eq!(verify(&service, &text).await, expected);
        assert_eq!(verify_for(&service, &text, "a:x").await, expected);
        assert_eq!(service.admin.post(PATH, json!({ "key": text, "scope": null })).await.body, expected);
        // Letter by letter: no scope stands for others.
        for scope in ["a", "a:", "a:x.y", "b:x", "registry:internal"] {
            let answer = verify_for(&service, &text, scope).await;
            assert_eq!((&answer["valid"], &answer["code"]), (&json!(false), &json!("insufficient_scope")), "{scope}");
            assert_eq!((&answer["tenant"], &answer["key"]), (&tenant, &shown));
        }
    }

    async fn a_key_of_the_platform_has_no_tenant(service: Service) {
        let (key, text) = make(&service.admin, &json!({ "id": null }), json!({})).await;
        let shown = json!({ "id": key["id"], "name": "Key", "scopes": [], "expires_at": null });
        let expected = json!({ "valid": true, "code": "valid", "tenant": null, "key": shown, "products": [] });
        assert_eq!(verify(&service, &text).await, expected);
    }

    async fn any_text_is_answered(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (_, text) = make(&service.admin, &acme, json!({})).await;
        let typo = format!("{}{}", &text[..20], &text[21..]);
        let spaced = format!("{text} ");
        let lower = text.to_lowercase();
        let long = "x".repeat(1_000_000);
        for bad in ["", "\0", "a\0b", "🦀", "trk_", "trk_dev_", "Bearer x", &typo, &spaced, &lower, &long, &text.replace("dev", "prod")] {
            assert_eq!(verify(&service, bad).await, unknown("malformed"), "{bad:.40}");
        }
        for env in [KeyEnv::Dev, KeyEnv::Stage, KeyEnv::Live] {
            assert_eq!(verify(&service, &stranger(env)).await, unknown("not_found"));
        }
        // With the scope too, whatever it is.
        assert_eq!(verify_for(&service, "", "a").await, unknown("malformed"));
    }

    async fn the_first_reason_that_applies_is_told(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (key, text) = make(&service.admin, &acme, json!({ "expires_at": after(&service, 600) })).await;
        let told = async || verify_for(&service, &text, "other").await["code"].as_str().unwrap().to_owned();
        assert_eq!(told().await, "insufficient_scope");
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        assert_eq!(told().await, "tenant_frozen");
        assert_eq!(verify(&service, &text).await["tenant"]["status"], "frozen");
        service.clock.advance(Duration::from_secs(601));
        assert_eq!(told().await, "expired");
        service.admin.delete(&path(&key)).await.expect(204);
        assert_eq!(told().await, "revoked");
        assert_eq!(verify(&service, &text).await["key"]["id"], key["id"]);
        service.admin.delete(&path_of(&acme, "")).await.expect(204);
        assert_eq!(verify(&service, &text).await, unknown("not_found"));
    }

    async fn a_trial_that_ran_out_freezes_the_key_by_the_clock(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (_, text) = make(&service.admin, &acme, json!({})).await;
        service.clock.advance_days(14);
        let answer = verify(&service, &text).await;
        assert_eq!((&answer["code"], &answer["tenant"]["status"]), (&json!("tenant_frozen"), &json!("frozen")));
        service.admin.post(&path_of(&acme, "/extend-trial"), json!({ "days": 1 })).await.expect(200);
        assert_eq!(code(&service, &text).await, "valid");
    }

    async fn what_is_wrong_with_the_question_is_named(service: Service) {
        let too_long = "s".repeat(65);
        for (body, field, code) in [
            (json!({}), "key", "required"),
            (json!({ "key": null }), "key", "wrong_type"),
            (json!({ "key": 5 }), "key", "wrong_type"),
            (json!({ "key": "x", "scope": 5 }), "scope", "wrong_type"),
            (json!({ "key": "x", "scope": "" }), "scope", "too_short"),
            (json!({ "key": "x", "scope": too_long }), "scope", "too_long"),
            (json!({ "key": "x", "scope": "a*" }), "scope", "invalid_format"),
            (json!({ "key": "x", "scope": "a\0" }), "scope", "invalid_format"),
            (json!({ "key": "x", "scopes": ["a"] }), "scopes", "unknown_field"),
            (json!(["x", null]), "", "wrong_type"),
            (json!("x"), "", "wrong_type"),
        ] {
            service.admin.post(PATH, body).await.invalid(&[(field, code)]);
        }
        service.admin.post_empty(PATH).await.invalid(&[("key", "required")]);
        service.admin.post(&format!("{PATH}?x=1"), json!({ "key": "x" })).await.invalid(&[("x", "unknown_field")]);
        let raw = async |media: &str, body: &[u8]| service.admin.send_bytes(Method::POST, PATH, media, body.to_vec()).await;
        for malformed in [&b"{"[..], b"{\"key\":\"a\",\"key\":\"b\"}", b"{\"key\":\"\xff\"}", b"{\"key\":\"\\ud800\"}", b"{\"key\":\"a\"} x"] {
            raw("application/json", malformed).await.problem(400, "malformed_json");
        }
        raw("text/plain", b"{\"key\":\"a\"}").await.problem(415, "unsupported_media_type");
        raw("application/json; charset=latin1", b"{\"key\":\"a\"}").await.problem(415, "unsupported_media_type");
        raw("application/json; charset=UTF-8", b" {\"key\":\"a\"} ").await.expect(200);
        raw("application/json", &[b' '; (1 << 20) + 1]).await.problem(413, "body_too_large");
        service.admin.get(PATH).await.problem(405, "method_not_allowed");
    }

    async fn it_reads_and_nothing_else(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (_, text) = make(&service.admin, &acme, json!({})).await;
        let before = traces(&service).await;
        // The header is ignored, whatever it says.
        let keyed = service.admin.with("idempotency-key", "once");
        assert_eq!(keyed.post(PATH, json!({ "key": text })).await.expect(200).body["code"], "valid");
        let other = keyed.post(PATH, json!({ "key": "" })).await.expect(200);
        assert_eq!((&other.body["code"], other.header("idempotent-replayed")), (&json!("malformed"), ""));
        service.admin.with("idempotency-key", &"k".repeat(300)).post(PATH, json!({ "key": "" })).await.expect(200);
        assert_eq!(traces(&service).await, before);
    }
}

each_store! {
    async fn a_key_is_good_in_its_own_environment_only(kind: StoreKind) {
        let dev = Service::start(kind).await;
        let options = Options { store: Some(Arc::clone(&dev.store)), ..Options::default() };
        let stage = Service::start_with(kind, options.set("APP_ENV", "stage")).await;
        let (_, text) = make(&dev.admin, &json!({ "id": null }), json!({ "scopes": ["tenant:read"] })).await;
        let (key, strayed) = make(&stage.admin, &json!({ "id": null }), json!({ "scopes": ["tenant:read"] })).await;
        assert_eq!((&key["prefix"], &strayed[..10]), (&json!("trk_stage_"), "trk_stage_"));
        assert_eq!((code(&dev, &text).await, code(&stage, &strayed).await), ("valid".into(), "valid".into()));
        for (service, other) in [(&dev, &strayed), (&stage, &text)] {
            assert_eq!(verify(service, other).await, unknown("not_found"));
            service.admin.bearer(other).get("/v1/tenants").await.problem(401, "unauthenticated");
        }
        // Rotation keeps the whole prefix, also where it is not this installation's.
        let (new, _) = minted(rotate(&dev.admin, &key, 0).await);
        assert_eq!(new["prefix"], "trk_stage_");
    }

    async fn services_and_platform_admins_may_ask(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let acme = service.admin.make_tenant("acme").await;
        let (key, text) = make(&service.admin, &acme, json!({})).await;
        let (_, internal) = make(&service.admin, &acme, json!({ "scopes": ["registry:internal"] })).await;
        let account = issuer.token(issuer.claims("portal").scope("openid registry:internal"));
        for credential in [account, internal.clone()] {
            let answer = service.admin.bearer(&credential).post(PATH, json!({ "key": text })).await.expect(200).body;
            assert_eq!((&answer["code"], &answer["key"]["id"]), (&json!("valid"), &key["id"]));
        }
        // The service's own freeze stops nobody: `tenant_frozen` is what products are to be told.
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        let answer = service.admin.bearer(&internal).post(PATH, json!({ "key": text })).await.expect(200).body;
        assert_eq!(answer["code"], "tenant_frozen");

        let member = issuer.token(issuer.claims("bob").role("MEMBER").tenant("acme"));
        for client in [tenant_admin(&service, &issuer, "acme"), service.admin.bearer(&member), service.admin.bearer(&text)] {
            client.post(PATH, json!({ "key": text })).await.problem(403, "forbidden");
            // 403 comes before what is wrong with the body.
            client.post(PATH, json!({ "kee": id_of(&key) })).await.problem(403, "forbidden");
        }
        service.admin.anonymous().post(PATH, json!({ "key": text })).await.problem(401, "unauthenticated");
    }
}
