//! Repeating a request: `Idempotency-Key` on every POST, `If-Match` on every write to a tenant.

use serde_json::{Value, json};

use super::table::{Effect, Operation, Start, operations};
use super::world::{Who, World, on_both_stores};
use crate::support::Answer;

fn posts() -> impl Iterator<Item = &'static Operation> {
    operations().filter(|row| row.takes_a_key())
}

fn reading_posts() -> impl Iterator<Item = &'static Operation> {
    operations().filter(|row| row.verb == "POST" && !row.writes())
}

/// Asserts that an answer is the first one again, but for its secret.
#[track_caller]
fn assert_replays(again: &Answer, first: &Answer, row: &Operation) {
    assert_eq!(again.header("idempotent-replayed"), "true", "{}: {}", row.id, again.text);
    for name in ["etag", "location", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{}", row.id);
    }
    if row.reveals.is_empty() {
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{}", row.id);
        return;
    }
    let mut without: Value = first.body.clone();
    for pointer in row.reveals {
        let secret = without.pointer_mut(pointer).unwrap_or_else(|| panic!("{}: nothing at {pointer}", row.id));
        assert!(secret.as_str().is_some_and(|text| text.len() > 20), "{}: {pointer}", row.id);
        *secret = json!(null);
    }
    assert_eq!((again.status, &again.body), (first.status, &without), "{}", row.id);
}

fn writes_to_tenant() -> impl Iterator<Item = &'static Operation> {
    operations().filter(|row| row.writes_to_tenant())
}

on_both_stores! {
    async fn every_post_is_safe_to_repeat_with_a_key(world: World) {
        for row in posts() {
            let subject = world.subject_of(row).await;
            let mark = world.mark().await;
            let client = world.service.admin.with("idempotency-key", &format!("once-{}", row.id));
            let first = world.call(&client, row, &subject).await;
            assert_eq!(first.status, row.success, "{}: {}", row.id, first.text);
            assert_eq!(first.header("idempotent-replayed"), "", "{}", row.id);
            for _ in 0..2 {
                let again = world.call(&client, row, &subject).await;
                assert_replays(&again, &first, row);
            }
            let left = world.since(&mark).await.len();
            assert_eq!(left, row.audit.len(), "{}: one set of events", row.id);

            // Another request with the same key, and the same request of somebody else.
            let other = world.subject_of(row).await;
            let reused = world.call(&client, row, &other).await;
            assert_eq!(reused.status, 422, "{}: {}", row.id, reused.text);
            reused.problem(422, "idempotency_key_reused");
            let somebody = world.client(Who::PlatformAdmin, &other.slug).with("idempotency-key", &format!("once-{}", row.id));
            let answer = world.call(&somebody, row, &other).await;
            assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
            assert_eq!(answer.header("idempotent-replayed"), "", "{}: keys are each caller's own", row.id);
        }
        world.report("every_post_is_safe_to_repeat_with_a_key", posts().count());
    }

    async fn who_may_no_longer_call_gets_no_replay(world: World) {
        for row in posts() {
            let subject = world.subject_of(row).await;
            let key = |client: crate::support::Client| client.with("idempotency-key", "mine");
            // One person, with and without the role: issuer and subject are the same.
            let root = key(world.client(Who::PlatformAdmin, &subject.slug)).with("x-tenant-id", row.id);
            let first = world.call(&root, row, &subject).await;
            assert_eq!(first.status, row.success, "{}: {}", row.id, first.text);
            let token = world.issuer.token(world.issuer.claims("root"));
            let demoted = key(world.service.admin.bearer(&token)).with("x-tenant-id", row.id);
            let refused = world.call(&demoted, row, &subject).await;
            assert_eq!(refused.status, 403, "{}: {}", row.id, refused.text);
            let nobody = world.call(&key(world.service.admin.anonymous()), row, &subject).await;
            assert_eq!(nobody.status, 401, "{}: {}", row.id, nobody.text);
            // A key is used up for all calls of its caller: the next row needs the record gone.
            world.service.clock.advance_days(2);
        }
        world.report("who_may_no_longer_call_gets_no_replay", posts().count());
    }

    async fn a_freeze_is_judged_before_a_replay(world: World) {
        let mut tried = 0;
        for who in Who::TENANTS_OWN {
            for row in posts().filter(|row| who.may_call(row) && row.effect != Effect::ChangesEvenFrozen) {
                tried += 1;
                let subject = world.subject_of(row).await;
                let client = world.caller(who, &subject).await.client.with("idempotency-key", "before-the-freeze");
                let first = world.call(&client, row, &subject).await;
                assert_eq!(first.status, row.success, "{} as {who:?}: {}", row.id, first.text);
                assert_replays(&world.call(&client, row, &subject).await, &first, row);
                world.freeze(&subject).await;
                let frozen = world.call(&client, row, &subject).await;
                assert_eq!(frozen.status, 403, "{} as {who:?}: {}", row.id, frozen.text);
                frozen.problem(403, "tenant_frozen");
                world.service.clock.advance_days(2);
            }
        }
        world.report("a_freeze_is_judged_before_a_replay", tried);
    }

    async fn a_reading_post_knows_no_key(world: World) {
        for row in reading_posts() {
            let (one, other) = (world.subject_of(row).await, world.subject_of(row).await);
            for key in ["the-same".to_owned(), "k".repeat(256)] {
                let client = world.service.admin.with("idempotency-key", &key);
                for subject in [&one, &one, &other] {
                    let answer = world.call(&client, row, subject).await;
                    assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
                    assert_eq!(answer.header("idempotent-replayed"), "", "{}", row.id);
                }
            }
            // It reads anew each time: what was frozen meanwhile is told.
            let client = world.service.admin.with("idempotency-key", "before-the-freeze");
            world.call(&client, row, &one).await.expect(row.success);
            world.freeze(&one).await;
            let answer = world.call(&client, row, &one).await.expect(row.success);
            for (pointer, said) in row.frozen_says {
                let found = answer.body.pointer(pointer).map(ToString::to_string);
                assert_eq!(found.as_deref(), Some(*said), "{pointer} of {}", answer.text);
            }
        }
        world.report("a_reading_post_knows_no_key", reading_posts().count());
    }

    async fn a_refused_post_leaves_its_key_free(world: World) {
        for row in posts() {
            let subject = world.subject_of(row).await;
            let client = world.service.admin.with("idempotency-key", &format!("again-{}", row.id));
            let url = subject.url_with(row, "surprise=1");
            let body = ("application/json", subject.body(row).to_string().into_bytes());
            let refused = world.send(&client, &row.method(), &url, Some(body)).await;
            assert_eq!(refused.status, 422, "{}: {}", row.id, refused.text);
            let stale = world.call(&client.with("if-match", "\"999\""), row, &subject).await;
            let honours = row.writes_to_tenant();
            assert_eq!(stale.status, if honours { 412 } else { row.success }, "{}: {}", row.id, stale.text);
            let answer = world.call(&client, row, &subject).await;
            assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
            assert_eq!(answer.header("idempotent-replayed"), if honours { "" } else { "true" }, "{}", row.id);
        }
        world.report("a_refused_post_leaves_its_key_free", posts().count());
    }

    async fn every_write_to_a_tenant_honours_if_match(world: World) {
        for row in writes_to_tenant() {
            for (sent, fits) in [
                ("{version}", true),
                ("*", true),
                ("\"998\", {version}", true),
                ("\"999\"", false),
                ("W/{version}", false),
                ("\"\"", false),
            ] {
                let subject = world.subject_of(row).await;
                let admin = &world.service.admin;
                let read = admin.get(&format!("/v1/tenants/{}", subject.id)).await.expect(200);
                let version = read.header("etag");
                assert_eq!(version, format!("\"{}\"", read.body["version"]), "{}", row.id);
                let mark = world.mark().await;
                let client = admin.with("if-match", &sent.replace("{version}", version));
                let answer = world.call(&client, row, &subject).await;
                if fits {
                    assert_eq!(answer.status, row.success, "{} {sent}: {}", row.id, answer.text);
                } else {
                    assert_eq!(answer.status, 412, "{} {sent}: {}", row.id, answer.text);
                    let answer = answer.problem(412, "version_mismatch");
                    assert_eq!(answer.body["current_version"], read.body["version"], "{}", row.id);
                    world.nothing_since(&mark, row.id).await;
                    let now = admin.get(&format!("/v1/tenants/{}", subject.id)).await.expect(200);
                    assert_eq!(now.body, read.body, "{} changed something", row.id);
                }
            }
            let subject = world.subject_of(row).await;
            for malformed in ["1", "\"1", "1, *x", "\u{22}a\u{22} \u{22}b"] {
                let answer = world.call(&world.service.admin.with("if-match", malformed), row, &subject).await;
                assert_eq!(answer.status, 422, "{} {malformed}: {}", row.id, answer.text);
                answer.invalid(&[("If-Match", "invalid_format")]);
            }
        }
        world.report("every_write_to_a_tenant_honours_if_match", writes_to_tenant().count());
    }

    async fn a_tenants_own_admin_is_held_to_the_version_too(world: World) {
        let rows = || writes_to_tenant().filter(|row| Who::TenantAdmin.holds(row.may));
        for row in rows() {
            let subject = world.subject(Start::Active).await;
            let client = world.client(Who::TenantAdmin, &subject.slug).with("if-match", "\"999\"");
            let answer = world.call(&client, row, &subject).await;
            assert_eq!(answer.status, 412, "{}: {}", row.id, answer.text);
        }
        world.report("a_tenants_own_admin_is_held_to_the_version", rows().count());
    }
}
