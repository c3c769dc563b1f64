//! Who may call what: no credential, every kind of caller, and callers of another tenant.

use super::table::{Names, OPERATIONS, Operation, Start};
use super::world::{Subject, Who, World, on_both_stores};
use crate::support::Answer;

/// An answer without what belongs to one request alone.
fn anonymised(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let own = ["x-request-id", "date", "content-length"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
    headers.sort();
    let member = |name: &str| answer.body[name].as_str().unwrap_or("(none)").to_owned();
    let text = answer.text.replace(&member("instance"), "INSTANCE").replace(&member("request_id"), "REQUEST");
    (answer.status, headers, text)
}

/// The operations of a path that names a tenant, and that `who` may call at all.
fn of_a_tenant(who: Who) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(move |row| row.names == Names::Tenant && who.holds(row.may))
}

on_both_stores! {
    async fn nobody_gets_in_without_a_credential(world: World) {
        for row in OPERATIONS {
            let subject = world.subject(row.start).await;
            let before = world.event_ids().await;
            let answer = world.call(&world.service.admin.anonymous(), row, &subject).await;
            if row.is_public() {
                assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
                continue;
            }
            assert_eq!(answer.status, 401, "{}: {}", row.id, answer.text);
            let answer = answer.problem(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="tenant-registry""#, "{}", row.id);
            let wrong = world.call(&world.service.admin.bearer("no-such-token"), row, &subject).await;
            assert_eq!(wrong.status, 401, "{}: {}", row.id, wrong.text);
            let challenge = wrong.problem(401, "unauthenticated").header("www-authenticate").to_owned();
            assert!(challenge.starts_with("Bearer ") && challenge.contains(r#"error="invalid_token""#), "{challenge}");
            assert_eq!(world.event_ids().await, before, "{} left an event", row.id);
        }
        world.report("nobody_gets_in_without_a_credential", OPERATIONS.len());
    }

    async fn every_kind_of_caller_may_what_the_contract_says_and_no_more(world: World) {
        for row in OPERATIONS {
            for who in Who::ALL {
                let subject = world.subject(row.start).await;
                let before = world.event_ids().await;
                let answer = world.call(&world.client(who, &subject.slug), row, &subject).await;
                let wanted = if who.holds(row.may) { row.success } else { 403 };
                // The tenants here are active or in trial, but for the one that is to be deleted.
                assert_eq!(answer.status, wanted, "{} as {who:?}: {}", row.id, answer.text);
                if wanted == 403 {
                    answer.problem(403, "forbidden");
                }
                let left = world.event_ids().await.len() - before.len();
                let wanted = if wanted == 403 { 0 } else { row.audit.len() };
                assert_eq!(left, wanted, "events of {} as {who:?}", row.id);
            }
        }
        world.report("every_kind_of_caller", OPERATIONS.len());
    }

    async fn a_foreign_tenant_looks_like_an_absent_one(world: World) {
        let mut tried = 0;
        for who in Who::TENANTS_OWN {
            for row in of_a_tenant(who) {
                tried += 1;
                for start in [Start::Trial, Start::Active, Start::Frozen] {
                    let subject = world.subject(start).await;
                    let home = world.subject(Start::Active).await;
                    let before = world.event_ids().await;
                    let client = world.client(who, &home.slug);
                    let foreign = world.call(&client, row, &subject).await;
                    assert_eq!(foreign.status, 404, "{} as {who:?} of another tenant: {}", row.id, foreign.text);
                    assert_eq!(foreign.body["code"], "not_found", "{}", row.id);
                    let absent = world.call(&client, row, &subject.absent()).await;
                    assert_eq!(anonymised(&foreign), anonymised(&absent), "{} as {who:?}", row.id);
                    assert_eq!(world.event_ids().await, before, "{} left an event", row.id);
                }
            }
        }
        world.report("a_foreign_tenant_looks_like_an_absent_one", tried);
    }

    async fn an_absent_tenant_is_the_same_for_everybody_and_in_every_spelling(world: World) {
        let mut tried = 0;
        for who in [Who::PlatformAdmin, Who::Service, Who::TenantAdmin, Who::Member] {
            for row in of_a_tenant(who) {
                tried += 1;
                let subject = world.subject(Start::Active).await;
                let client = world.client(who, &subject.slug);
                let absent = anonymised(&world.call(&client, row, &subject.absent()).await);
                assert_eq!(absent.0, 404, "{} as {who:?}: {}", row.id, absent.2);
                for odd in ["not-a-uuid", "0", "%FF", "%00", "a%2Fb", "..%2F", "00000000-0000-7000-8000-00000000000g"] {
                    let odd = Subject { id: odd.to_owned(), slug: odd.to_owned(), host: odd.to_owned(), ..subject.clone() };
                    // The odd name stands in the path alone: in the query of a host it would be a violation.
                    let query = subject.fill(row.query);
                    let url = format!("{}?{query}", odd.fill(row.path));
                    let body = row.body.map(|body| ("application/json", subject.fill(body).into_bytes()));
                    let answer = world.send(&client, &row.method(), &url, body).await;
                    assert_eq!(anonymised(&answer), absent, "{} {url} as {who:?}", row.id);
                }
            }
        }
        world.report("an_absent_tenant_is_the_same_for_everybody", tried);
    }

    async fn a_list_shows_a_tenants_caller_its_own_tenant_alone(world: World) {
        let home = world.subject(Start::Active).await;
        world.subject(Start::Active).await;
        for who in Who::TENANTS_OWN {
            let client = world.client(who, &home.slug);
            let answer = client.get("/v1/tenants").await.expect(200);
            let ids: Vec<_> = answer.body["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
            assert_eq!(ids, [home.id.as_str()], "{who:?}");
        }
        for who in [Who::PlatformAdmin, Who::DevToken, Who::Service] {
            let answer = world.client(who, &home.slug).get("/v1/tenants").await.expect(200);
            assert_eq!(answer.body["items"].as_array().unwrap().len(), 4, "{who:?}");
        }
    }
}
