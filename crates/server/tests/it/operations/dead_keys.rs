//! API keys that are good no longer, or never were: 401 everywhere, however they are sent.

use std::time::Duration;

use domain::KeyEnv;
use serde_json::json;
use server::clock::SystemRng;

use super::table::{Start, operation, operations};
use super::who::SCOPES;
use super::world::{World, on_both_stores};

on_both_stores! {
    async fn a_dead_key_gets_in_nowhere(world: World) {
        let admin = &world.service.admin;
        let subject = world.subject(Start::Active).await;
        let key = async |tenant: Option<&str>, expires_at: Option<String>| {
            let body = json!({ "tenant_id": tenant, "name": "k", "scopes": SCOPES, "expires_at": expires_at });
            world.make_key(body).await
        };
        let own = Some(subject.id.as_str());
        let soon = || {
            let at = domain::Clock::now(&*world.service.clock).as_microsecond() + 3_600_000_000;
            Some(domain::time::from_micros(at).to_string())
        };
        let mut dead = Vec::new();
        for tenant in [own, None] {
            let revoked = key(tenant, None).await;
            let expired = key(tenant, soon()).await;
            let rotated = key(tenant, None).await;
            let overlapping = key(tenant, None).await;
            for (name, made) in [("revoked", revoked), ("expired", expired), ("rotated", rotated), ("past its overlap", overlapping)] {
                // Each is good first, so that it is known when it dies.
                let client = admin.bearer(&made.secret);
                client.get(&format!("/v1/tenants/{}", subject.id)).await.expect(200);
                match name {
                    "revoked" => drop(admin.delete(&format!("/v1/api-keys/{}", made.id)).await.expect(204)),
                    "rotated" => drop(admin.post_empty(&format!("/v1/api-keys/{}/rotate", made.id)).await.expect(201)),
                    "past its overlap" => {
                        let url = format!("/v1/api-keys/{}/rotate", made.id);
                        admin.post(&url, json!({ "overlap_seconds": 3_600 })).await.expect(201);
                        client.get(&format!("/v1/tenants/{}", subject.id)).await.expect(200);
                    }
                    _ => {}
                }
                dead.push((name, made.secret));
            }
        }
        let gone = world.subject(Start::Active).await;
        let of_the_gone = key(Some(&gone.id), None).await;
        admin.bearer(&of_the_gone.secret).get(&format!("/v1/tenants/{}", gone.id)).await.expect(200);
        world.freeze(&gone).await;
        admin.delete(&format!("/v1/tenants/{}", gone.id)).await.expect(204);
        dead.push(("of a deleted tenant", of_the_gone.secret));
        let live = key(own, None).await.secret;
        dead.push(("with a typo", live.replace(&live[20..21], if &live[20..21] == "a" { "b" } else { "a" })));
        let rng = SystemRng::default();
        for (name, env) in [("of another environment", KeyEnv::Live), ("that nobody made", KeyEnv::Dev)] {
            dead.push((name, domain::api_key::format::mint(env, &rng).expose().to_owned()));
        }
        dead.push(("cut short", live[..live.len() - 1].to_owned()));
        world.service.clock.advance(Duration::from_secs(3_601));

        let create = operation("create_api_key");
        for row in operations().filter(|row| !row.is_public()) {
            let subject = world.subject_of(row).await;
            let mark = world.mark().await;
            for (name, secret) in &dead {
                let anonymous = admin.anonymous();
                for client in [anonymous.bearer(secret), anonymous.with("x-api-key", secret)] {
                    let answer = world.call(&client, row, &subject).await;
                    assert_eq!(answer.status, 401, "{} with a key {name}: {}", row.id, answer.text);
                    let challenge = answer.problem(401, "unauthenticated").header("www-authenticate").to_owned();
                    assert!(challenge.contains(r#"error="invalid_token""#), "{}: {challenge}", row.id);
                }
            }
            world.nothing_since(&mark, row.id).await;
        }
        let mine = world.call(&admin.bearer(&live), create, &subject).await;
        assert_eq!(mine.status, create.success, "the live one is as good as before: {}", mine.text);
        world.report("a_dead_key_gets_in_nowhere", operations().count());
    }
}
