//! Who may call what: no credential, every kind of caller, and callers of another tenant.

use super::subject::Subject;
use super::table::{Names, Operation, Start, operations};
use super::world::{Who, World, on_both_stores};
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

/// The operations that name something of a tenant, and that `who` may call at all.
fn of_a_tenant(who: Who) -> impl Iterator<Item = &'static Operation> {
    operations().filter(move |row| row.names_a_tenants_own() && who.holds(row.may))
}

/// Operations whose path names something.
fn by_path(row: &&'static Operation) -> bool {
    matches!(row.names, Names::Tenant | Names::Thing | Names::Product)
}

/// One subject for those that change nothing, and a fresh one for everybody else.
async fn subject_for(world: &World, row: &Operation, who: Who, shared: &Subject) -> Subject {
    if row.writes() && who.holds(row.may) { world.subject_of(row).await } else { shared.clone() }
}

on_both_stores! {
    async fn nobody_gets_in_without_a_credential(world: World) {
        for row in operations() {
            let subject = world.subject_of(row).await;
            let mark = world.mark().await;
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
            world.nothing_since(&mark, row.id).await;
        }
        world.report("nobody_gets_in_without_a_credential", operations().count());
    }

    async fn every_kind_of_caller_may_what_the_contract_says_and_no_more(world: World) {
        for row in operations() {
            let shared = world.subject_of(row).await;
            for who in Who::ALL {
                let subject = subject_for(&world, row, who, &shared).await;
                let client = world.caller(who, &subject).await.client;
                let mark = world.mark().await;
                let answer = world.call(&client, row, &subject).await;
                let wanted = if who.holds(row.may) { row.success } else { 403 };
                // The tenants here are active or in trial, but for the one that is to be deleted.
                assert_eq!(answer.status, wanted, "{} as {who:?}: {}", row.id, answer.text);
                if wanted == 403 {
                    answer.problem(403, "forbidden");
                }
                let left = world.since(&mark).await.len();
                let wanted = if wanted == 403 { 0 } else { row.audit.len() };
                assert_eq!(left, wanted, "events of {} as {who:?}", row.id);
            }
        }
        world.report("every_kind_of_caller", operations().count());
    }

    async fn what_is_another_tenants_looks_absent(world: World) {
        let mut tried = 0;
        for who in Who::TENANTS_OWN {
            let home = world.subject(Start::Active).await;
            let client = world.caller(who, &home).await.client;
            for row in of_a_tenant(who) {
                tried += 1;
                for start in [Start::Trial, Start::Active, Start::Frozen] {
                    let subject = world.subject_with(start, row.has).await;
                    let mark = world.mark().await;
                    let foreign = world.call(&client, row, &subject).await;
                    assert_eq!(foreign.status, 404, "{} as {who:?} of another tenant: {}", row.id, foreign.text);
                    assert_eq!(foreign.body["code"].as_str(), row.absent_code(), "{}", row.id);
                    let absent = world.call(&client, row, &subject.absent_for(row)).await;
                    assert_eq!(anonymised(&foreign), anonymised(&absent), "{} as {who:?}", row.id);
                    world.nothing_since(&mark, row.id).await;
                }
            }
        }
        world.report("what_is_another_tenants_looks_absent", tried);
    }

    async fn what_is_absent_is_the_same_for_everybody_and_in_every_spelling(world: World) {
        let mut tried = 0;
        for who in [Who::PlatformAdmin, Who::Service, Who::TenantAdmin, Who::Member, Who::Key, Who::PlatformKey] {
            for row in operations().filter(by_path).filter(|row| who.may_call(row)) {
                tried += 1;
                let subject = world.subject_of(row).await;
                let client = world.caller(who, &subject).await.client;
                let absent = anonymised(&world.call(&client, row, &subject.absent_for(row)).await);
                assert_eq!(absent.0, 404, "{} as {who:?}: {}", row.id, absent.2);
                for odd in ["not-a-uuid", "0", "%FF", "%00", "a%2Fb", "..%2F", "00000000-0000-7000-8000-00000000000g"] {
                    // The odd name stands in the path alone: in the query of a host it would be a violation.
                    let path = subject.odd(row, odd).path(row);
                    let url = format!("{path}?{}", subject.fill(row.query));
                    let body = row.body.map(|body| ("application/json", subject.fill(body).into_bytes()));
                    let answer = world.send(&client, &row.method(), &url, body).await;
                    assert_eq!(anonymised(&answer), absent, "{} {url} as {who:?}", row.id);
                }
            }
        }
        world.report("what_is_absent_is_the_same_for_everybody", tried);
    }

    async fn a_tenant_in_a_body_or_a_filter_is_named_by_a_uuid_that_is_one(world: World) {
        let mut tried = 0;
        for who in [Who::PlatformAdmin, Who::Service, Who::TenantAdmin, Who::Member, Who::Key, Who::PlatformKey] {
            let not_by_path = |row: &&'static Operation| row.names_something() && !by_path(row);
            for row in operations().filter(not_by_path).filter(|row| who.may_call(row)) {
                tried += 1;
                let subject = world.subject_of(row).await;
                let client = world.caller(who, &subject).await.client;
                let mark = world.mark().await;
                let absent = world.call(&client, row, &subject.absent_for(row)).await;
                assert_eq!(absent.status, 404, "{} as {who:?}: {}", row.id, absent.text);
                let absent = anonymised(&absent.problem(404, "tenant_not_found"));
                let field = match row.names {
                    Names::InBody(field) => field,
                    _ => "tenant_id",
                };
                for odd in ["not-a-uuid", "0", "", "00000000-0000-7000-8000-00000000000g"] {
                    let answer = world.call(&client, row, &subject.odd(row, odd)).await;
                    if field == "group.id" && !odd.is_empty() {
                        // A group is any text to whoever publishes (features.md §2.1): this one is no tenant.
                        assert_eq!(anonymised(&answer), absent, "{} {odd:?} as {who:?}", row.id);
                        continue;
                    }
                    assert_eq!(answer.status, 422, "{} {odd:?} as {who:?}: {}", row.id, answer.text);
                    let code = if field == "group.id" { "too_short" } else { "invalid_format" };
                    answer.invalid(&[(field, code)]);
                }
                world.nothing_since(&mark, row.id).await;
            }
        }
        world.report("a_tenant_in_a_body_or_a_filter", tried);
    }
}
