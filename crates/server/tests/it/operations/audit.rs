//! What operations leave in the audit log.

use std::net::{IpAddr, Ipv4Addr};

use domain::Crud;
use serde_json::{Value, json};

use super::table::{Effect, Names, operations};
use super::world::{Subject, Who, World, on_both_stores};

/// The contract's rule (§6): `c` for created, added, granted, requested, started; `d` for deleted, removed, revoked; else
/// `u`.
fn crud_of(action: &str) -> Crud {
    match action.rsplit(['.', '_']).next().unwrap() {
        "created" | "added" | "granted" | "requested" | "started" => Crud::C,
        "deleted" | "removed" | "revoked" => Crud::D,
        _ => Crud::U,
    }
}

#[test]
fn the_table_has_the_crud_of_the_contract() {
    for leaves in operations().flat_map(|row| row.audit) {
        assert_eq!(leaves.crud, crud_of(leaves.action), "{}", leaves.action);
        // `tenant.deleted` is about a tenant, and so is what happens in Keycloak; a trial is an entitlement.
        let about = leaves.action.split('.').next().map(|about| match about {
            "trial" => "entitlement",
            "keycloak" => "tenant",
            other => other,
        });
        assert_eq!(about, Some(leaves.target), "{}", leaves.action);
    }
}

/// What the table says of a text: a pointer into the answer, or a template.
fn expected(text: &str, subject: &Subject, answer: &Value) -> Option<String> {
    if text.is_empty() {
        None
    } else if text.starts_with('/') {
        let found = answer.pointer(text).and_then(Value::as_str);
        Some(found.unwrap_or_else(|| panic!("nothing at {text} of {answer}")).to_owned())
    } else {
        Some(subject.fill(text))
    }
}

on_both_stores! {
    async fn every_change_leaves_exactly_its_events_and_every_read_none(world: World) {
        for row in operations() {
            for who in Who::ALL.into_iter().filter(|who| who.holds(row.may)) {
                let subject = world.subject_of(row).await;
                let caller = world.caller(who, &subject).await;
                let mark = world.mark().await;
                let asked = caller.client.with("x-request-id", &format!("asked-{}", row.id));
                let answer = world.call(&asked, row, &subject).await;
                assert_eq!(answer.status, row.success, "{} as {who:?}: {}", row.id, answer.text);
                let left = world.since(&mark).await;
                let found: Vec<_> = left.iter().map(|event| (event.action.as_str(), event.crud)).collect();
                let wanted: Vec<_> = row.audit.iter().map(|leaves| (leaves.action, leaves.crud)).collect();
                assert_eq!(found, wanted, "{} as {who:?}", row.id);

                // The tenant that was made is another one than the one that was called on.
                let made = row.id == "create_tenant";
                let id = if made { answer.body["id"].as_str().unwrap().to_owned() } else { subject.id.clone() };
                let shown = answer.body["name"].as_str().filter(|_| made || row.names == Names::Tenant);
                let name = shown.map_or_else(|| format!("Tenant {}", subject.slug), str::to_owned);
                let published = row.effect == Effect::Publishes;
                for (event, leaves) in left.iter().zip(row.audit) {
                    let action = &event.action;
                    let actor = event.actor.as_ref().map(|actor| actor.id.as_str());
                    assert_eq!(actor, Some(if published { "u-1" } else { &caller.actor }), "{action} as {who:?}");
                    let source = (!published).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
                    assert_eq!(event.source_ip, source, "{action}");
                    assert_eq!(event.metadata.get("request_id").map(String::as_str), Some(answer.header("x-request-id")));
                    assert_eq!(answer.header("x-request-id"), format!("asked-{}", row.id));
                    let target = event.target.as_ref().expect("a target");
                    assert_eq!(target.kind.as_deref(), Some(leaves.target), "{action}");
                    assert!(!target.id.is_empty() && target.name.is_some(), "{action}");
                    if let Some(id) = expected(leaves.id, &subject, &answer.body) {
                        assert_eq!(target.id, id, "{action}: the target's id");
                    }
                    let target_name = expected(leaves.name, &subject, &answer.body);
                    let target_name = target_name.or_else(|| (leaves.target == "tenant").then(|| name.clone()));
                    if let Some(name) = target_name {
                        assert_eq!(target.name, Some(name), "{action}: the target's name");
                    }
                    let group = event.group.map(|group| group.to_string());
                    assert_eq!(group, leaves.grouped.then(|| id.clone()), "{action}: the group");
                    assert_eq!(event.group_name.as_ref(), leaves.grouped.then_some(&name), "{action}: the group's name");
                    assert!(!event.is_anonymous && !event.is_failure, "{action}");
                }
            }
        }
        world.report("every_change_leaves_exactly_its_events", operations().count());
    }

    async fn a_change_without_a_request_id_is_found_by_the_one_that_was_made(world: World) {
        let rows = || operations().filter(|row| row.writes());
        for row in rows() {
            let subject = world.subject_of(row).await;
            let mark = world.mark().await;
            let answer = world.call(&world.service.admin, row, &subject).await;
            assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
            for event in world.since(&mark).await {
                let id = event.metadata.get("request_id").map(String::as_str);
                assert_eq!(id, Some(answer.header("x-request-id")), "{}", row.id);
            }
        }
        world.report("a_change_without_a_request_id", rows().count());
    }

    async fn what_happens_to_a_key_of_the_platform_belongs_to_no_tenant(world: World) {
        let admin = &world.service.admin;
        let mark = world.mark().await;
        let made = world.make_key(json!({ "tenant_id": null, "name": "of all", "scopes": ["tenant:read"] })).await;
        let rotated = admin.post_empty(&format!("/v1/api-keys/{}/rotate", made.id)).await.expect(201);
        let fresh = rotated.body["api_key"]["id"].as_str().unwrap().to_owned();
        admin.delete(&format!("/v1/api-keys/{fresh}")).await.expect(204);
        admin.delete(&format!("/v1/api-keys/{fresh}")).await.expect(204);
        let left = world.since(&mark).await;
        let found: Vec<_> = left.iter().map(|event| (event.action.as_str(), event.target.as_ref().unwrap().id.clone())).collect();
        let wanted = [("api_key.created", made.id.clone()), ("api_key.rotated", made.id), ("api_key.revoked", fresh)];
        assert_eq!(found, wanted);
        assert!(left.iter().all(|event| event.group.is_none() && event.group_name.is_none()), "{left:?}");
    }
}
