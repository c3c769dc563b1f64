//! Doing something once, however often a client asks with the same key.
//!
//! Invariant: a repeated creation is never answered `slug_taken`, whatever happened between the two requests.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::faulty::Faults;
use crate::support::raw::raw;
use crate::support::server::{both_stores, eventually};
use crate::support::setup::{
    actions_of, each_store, faulty, off, on, path_of, replicas, tenant_admin, traces, with_issuer,
};
use crate::support::{Answer, Client, Options, Service, StoreKind};

fn keyed(client: &Client, key: &str) -> Client {
    client.with("idempotency-key", key)
}

fn beta() -> Value {
    json!({ "slug": "beta", "name": "Beta", "hosts": ["https://beta.example"] })
}

/// Asserts that an answer is the first one again.
#[track_caller]
fn replays(again: &Answer, first: &Answer) {
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    for name in ["etag", "location", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
}

both_stores! {
    async fn the_first_answer_comes_again_also_after_the_tenant_changed(service: Service) {
        let client = keyed(&service.admin, "k");
        let first = client.post("/v1/tenants", beta()).await.expect(201);
        replays(&client.post("/v1/tenants", beta()).await, &first);
        let before = traces(&service).await;
        service.admin.patch(&path_of(&first.body, ""), json!({ "name": "Changed" })).await.expect(200);
        service.admin.post_empty(&path_of(&first.body, "/cancel")).await.expect(200);
        replays(&client.post("/v1/tenants", beta()).await, &first);
        service.admin.delete(&path_of(&first.body, "")).await.expect(204);
        replays(&client.post("/v1/tenants", beta()).await, &first);
        assert_eq!(traces(&service).await.0, before.0 - 1);
    }

    async fn every_post_is_done_once(service: Service) {
        let made = service.admin.post("/v1/tenants", beta()).await.expect(201).body;
        for (step, body) in [("/extend-trial", json!({ "days": 3 })), ("/activate", json!({})), ("/cancel", json!({ "reason": "r" }))] {
            let client = keyed(&service.admin, step);
            let first = client.post(&path_of(&made, step), body.clone()).await.expect(200);
            let before = traces(&service).await;
            for _ in 0..2 {
                replays(&client.post(&path_of(&made, step), body.clone()).await, &first);
            }
            assert_eq!(traces(&service).await, before, "{step}");
        }
        let expected = ["tenant.cancelled", "tenant.activated", "tenant.trial_extended", "host.added", "tenant.created"];
        assert_eq!(actions_of(&service, &made).await, expected);
    }

    async fn a_key_is_for_one_request_only(service: Service) {
        let client = keyed(&service.admin, "k");
        let made = client.post("/v1/tenants", beta()).await.expect(201).body;
        let before = traces(&service).await;
        let other = json!({ "slug": "gamma", "name": "Gamma" });
        client.post("/v1/tenants", other.clone()).await.problem(422, "idempotency_key_reused");
        // The same members in another order are other bytes.
        let reordered = json!({ "name": "Beta", "slug": "beta", "hosts": ["https://beta.example"] });
        client.post("/v1/tenants", reordered).await.problem(422, "idempotency_key_reused");
        client.post_empty(&path_of(&made, "/activate")).await.problem(422, "idempotency_key_reused");
        client.with("x-tenant-id", "beta").post("/v1/tenants", beta()).await.problem(422, "idempotency_key_reused");
        // An empty query is another target, and not worth an error of ours.
        let query = client.post("/v1/tenants?", beta()).await;
        assert!(matches!(query.status, 201 | 422), "{}", query.text);
        assert_eq!(traces(&service).await, before);
        keyed(&service.admin, "other").post("/v1/tenants", other).await.expect(201);
    }

    async fn what_failed_keeps_nothing(service: Service) {
        let client = keyed(&service.admin, "k");
        client.post("/v1/tenants", json!({ "slug": "A", "name": "" })).await.problem(422, "validation_failed");
        client.post("/v1/tenants", json!({ "slug": "admin", "name": "A" })).await.problem(422, "validation_failed");
        let gone = "/v1/tenants/0192f0c1-2345-7abc-8def-0123456789ab/activate";
        client.post_empty(gone).await.problem(404, "not_found");
        service.admin.make_tenant("beta").await;
        client.post("/v1/tenants", beta()).await.problem(409, "slug_taken");
        client.with("if-match", "\"9\"").post_empty("/v1/tenants/beta/activate").await.problem(404, "not_found");
        let free = json!({ "slug": "gamma", "name": "Gamma" });
        let made = client.post("/v1/tenants", free.clone()).await.expect(201);
        replays(&client.post("/v1/tenants", free).await, &made);
        let taken = service.admin.get("/v1/tenants/by-slug/beta").await.body;
        let client = keyed(&service.admin, "l");
        client.with("if-match", "\"9\"").post_empty(&path_of(&taken, "/activate")).await.problem(412, "version_mismatch");
        client.post_empty(&path_of(&taken, "/activate")).await.expect(200);
        keyed(&service.admin, "m").post_empty(&path_of(&taken, "/activate")).await.problem(409, "invalid_transition");
        keyed(&service.admin, "m").post_empty(&path_of(&taken, "/cancel")).await.expect(200);
    }

    async fn a_key_has_its_length_and_stands_once(service: Service) {
        let body = |slug: &str| json!({ "slug": slug, "name": "Key" });
        let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
        keyed(&service.admin, &longest).post("/v1/tenants", body("one")).await.expect(201);
        keyed(&service.admin, "a b/c:d\"e\\%00'").post("/v1/tenants", body("two")).await.expect(201);
        let before = traces(&service).await;
        for (key, code) in [(too_long.as_str(), "too_long"), ("", "too_short"), ("   ", "too_short")] {
            keyed(&service.admin, key).post("/v1/tenants", body("bad")).await.invalid(&[("Idempotency-Key", code)]);
        }
        let twice = keyed(&keyed(&service.admin, "x"), "x").post("/v1/tenants", body("bad")).await;
        twice.invalid(&[("Idempotency-Key", "not_allowed")]);
        keyed(&service.admin, "schlüssel").post("/v1/tenants", body("bad")).await.invalid(&[("Idempotency-Key", "invalid_format")]);
        // A body that cannot be read is told first.
        let broken = keyed(&service.admin, "").send_bytes(reqwest::Method::POST, "/v1/tenants", "application/json", b"{".to_vec()).await;
        broken.problem(400, "malformed_json");
        assert_eq!(traces(&service).await, before);
    }

    async fn a_key_is_kept_for_a_day(service: Service) {
        let client = keyed(&service.admin, "k");
        let first = client.post("/v1/tenants", beta()).await.expect(201);
        service.clock.advance(Duration::from_secs(24 * 3_600 - 60));
        replays(&client.post("/v1/tenants", beta()).await, &first);
        service.clock.advance(Duration::from_secs(60));
        client.post("/v1/tenants", beta()).await.problem(409, "slug_taken");
        // The key is free for another request.
        client.post("/v1/tenants", json!({ "slug": "gamma", "name": "Gamma" })).await.expect(201);
    }

    async fn reads_and_other_methods_do_not_know_the_key(service: Service) {
        let client = keyed(&service.admin, "k");
        let made = client.post("/v1/tenants", beta()).await.expect(201).body;
        client.get("/v1/tenants").await.expect(200);
        let changed = client.patch(&path_of(&made, ""), json!({ "name": "New" })).await.expect(200);
        assert_eq!((changed.body["version"].as_i64(), changed.header("idempotent-replayed")), (Some(2), ""));
    }
}

each_store! {
    async fn who_was_more_when_the_answer_was_kept_gets_it_no_more(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let beta = service.admin.make_tenant("beta").await;
        service.admin.make_tenant("gamma").await;
        service.admin.put("/v1/catalog/mail", json!({ "name": "Mail" })).await.expect(201);
        let ada = |claims: crate::support::issuer::Claims| service.admin.bearer(&issuer.token(claims));
        let root = ada(issuer.claims("ada").role("PLATFORM_ADMIN"));
        let less = ada(issuer.claims("ada").role("IT_ADMIN").tenant("gamma"));
        let rotated = root.post("/v1/api-keys", json!({ "tenant_id": beta["id"], "name": "Old" })).await.expect(201).body;
        let rotate = format!("/v1/api-keys/{}/rotate", rotated["api_key"]["id"].as_str().unwrap());
        for (key, path, body, status, code) in [
            ("a", "/v1/api-keys", json!({ "tenant_id": null, "name": "Platform" }), 403, "forbidden"),
            ("b", "/v1/api-keys", json!({ "tenant_id": beta["id"], "name": "Key" }), 404, "tenant_not_found"),
            ("c", &rotate, json!({}), 404, "not_found"),
            ("d", "/v1/catalog/request", json!({ "tenant_id": beta["id"], "product": "mail" }), 404, "tenant_not_found"),
            ("e", "/v1/catalog/trial-request", json!({ "tenant_id": beta["id"], "product": "mail" }), 404, "tenant_not_found"),
        ] {
            let first = keyed(&root, key).post(path, body.clone()).await;
            assert!((200..300).contains(&first.status), "{path}: {}", first.text);
            keyed(&less, key).post(path, body.clone()).await.problem(status, code);
            assert_eq!(keyed(&root, key).post(path, body).await.header("idempotent-replayed"), "true", "{path}");
        }
    }

    async fn a_freeze_is_judged_before_a_replay(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let made = service.admin.make_tenant("beta").await;
        let admin = keyed(&tenant_admin(&service, &issuer, "beta"), "once");
        let body = json!({ "tenant_id": made["id"], "name": "Key" });
        let first = admin.post("/v1/api-keys", body.clone()).await.expect(201);
        service.admin.post_empty(&path_of(&made, "/cancel")).await.expect(200);
        admin.post("/v1/api-keys", body.clone()).await.problem(403, "tenant_frozen");
        service.admin.post_empty(&path_of(&made, "/activate")).await.expect(200);
        let again = admin.post("/v1/api-keys", body).await.expect(201);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!((&again.body["api_key"], &again.body["plaintext"]), (&first.body["api_key"], &Value::Null));
    }

    async fn sixteen_at_once_make_one_tenant(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let one = |place: usize| {
            let client = keyed(&services[place % 2].0.admin, "k");
            async move { client.post("/v1/tenants", beta()).await }
        };
        let answers = futures_util::future::join_all((0..16).map(one)).await;
        let first = answers.iter().find(|answer| answer.status == 201 && answer.header("idempotent-replayed").is_empty()).unwrap();
        let mut firsts = 0;
        for answer in &answers {
            match (answer.status, answer.header("idempotent-replayed")) {
                (201, "true") => replays(answer, first),
                (201, _) => firsts += 1,
                _ => assert_eq!((answer.status, &answer.body["code"]), (409, &json!("idempotency_in_progress")), "{}", answer.text),
            }
        }
        assert_eq!(firsts, 1);
        assert_eq!(traces(&services[0].0).await.0, 1);
    }

    async fn a_request_that_still_runs_is_told_so(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let client = keyed(&service.admin, "k");
        faults.before_insert.close();
        let running = tokio::spawn({ let client = client.clone(); async move { client.post("/v1/tenants", beta()).await } });
        eventually("the first request runs", async || faults.before_insert.waiting() == 1).await;
        // SQLite has one writer: there the second waits, as everybody does, until the first has ended.
        if kind == StoreKind::Postgres {
            let refused = client.post("/v1/tenants", beta()).await.problem(409, "idempotency_in_progress");
            assert_eq!(refused.header("retry-after"), "1");
            client.post("/v1/tenants", json!({ "slug": "other", "name": "O" })).await.problem(422, "idempotency_key_reused");
        }
        faults.before_insert.open();
        let first = running.await.unwrap().expect(201);
        replays(&client.post("/v1/tenants", beta()).await, &first);
    }

    async fn a_client_that_goes_away_leaves_a_usable_key(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        hang_up(&service, &faults).await;
        faults.before_insert.open();
        eventually("the tenant comes to be", async || service.admin.get("/v1/tenants/by-slug/beta").await.status == 200).await;
        let again = keyed(&service.admin, "k").post("/v1/tenants", beta()).await.expect(201);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(traces(&service).await.0, 1);
    }

    async fn a_failure_of_the_store_frees_the_key(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let client = keyed(&service.admin, "k");
        on(&faults.away);
        client.post("/v1/tenants", beta()).await.problem(503, "unavailable");
        off(&faults.away);
        let first = client.post("/v1/tenants", beta()).await.expect(201);
        replays(&client.post("/v1/tenants", beta()).await, &first);
    }

    async fn callers_do_not_share_keys(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let other = service.admin.bearer(&issuer.token(issuer.claims("root").role("PLATFORM_ADMIN")));
        let mine = keyed(&service.admin, "k").post("/v1/tenants", beta()).await.expect(201);
        let theirs = keyed(&other, "k").post("/v1/tenants", json!({ "slug": "gamma", "name": "Gamma" })).await.expect(201);
        assert_eq!(theirs.header("idempotent-replayed"), "");
        keyed(&other, "k").post("/v1/tenants", beta()).await.problem(422, "idempotency_key_reused");
        replays(&keyed(&service.admin, "k").post("/v1/tenants", beta()).await, &mine);
        // Another token of the same person is the same caller.
        let renewed = service.admin.bearer(&issuer.token(issuer.claims("root").role("PLATFORM_ADMIN").with("jti", json!("other"))));
        let again = keyed(&renewed, "k").post("/v1/tenants", json!({ "slug": "gamma", "name": "Gamma" })).await;
        replays(&again, &theirs);
        // Who may not do it is not shown what somebody else did.
        let tenant = keyed(&tenant_admin(&service, &issuer, "beta"), "k").post("/v1/tenants", beta()).await;
        tenant.problem(403, "forbidden");
    }
}

/// Sends a creation with the key `k`, and hangs up while it runs.
async fn hang_up(service: &Service, faults: &Arc<Faults>) {
    faults.before_insert.close();
    let body = beta().to_string();
    let sent =
        raw(service, "POST /v1/tenants", b"idempotency-key: k\r\ncontent-type: application/json\r\n", body.as_bytes());
    tokio::select! {
        answer = sent => panic!("answered: {answer:?}"),
        () = eventually("the request runs", async || faults.before_insert.waiting() == 1) => {}
    }
}
