//! What operations leave in the audit log, and what a frozen tenant's callers may still do.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use domain::Crud;

use super::table::{OPERATIONS, Start};
use super::world::{Who, World, on_both_stores};

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
    for leaves in OPERATIONS.iter().flat_map(|row| row.audit) {
        assert_eq!(leaves.crud, crud_of(leaves.action), "{}", leaves.action);
        // `tenant.deleted` is about a tenant.
        assert_eq!(leaves.action.split('.').next(), Some(leaves.target), "{}", leaves.action);
    }
}

/// The actor of a caller, everywhere the same string.
fn actor_of(who: Who) -> &'static str {
    match who {
        Who::DevToken => "dev-token",
        Who::PlatformAdmin => "user:root",
        Who::TenantAdmin => "user:ada",
        Who::TenantAdminByGroup => "user:alan",
        other => panic!("{other:?} changes nothing"),
    }
}

on_both_stores! {
    async fn every_change_leaves_exactly_its_events_and_every_read_none(world: World) {
        for row in OPERATIONS {
            for who in [Who::DevToken, Who::PlatformAdmin, Who::TenantAdmin, Who::TenantAdminByGroup] {
                if !who.holds(row.may) {
                    continue;
                }
                let subject = world.subject(row.start).await;
                let name = format!("Tenant {}", subject.slug);
                let before = world.event_ids().await;
                let client = world.client(who, &subject.slug);
                let asked = client.with("x-request-id", &format!("asked-{}", row.id));
                let answer = world.call(&asked, row, &subject).await;
                assert_eq!(answer.status, row.success, "{} as {who:?}: {}", row.id, answer.text);
                let mut left = world.events().await;
                left.retain(|event| !before.contains(&event.id));
                left.reverse();
                let found: Vec<_> = left.iter().map(|event| (event.action.as_str(), event.crud)).collect();
                let wanted: Vec<_> = row.audit.iter().map(|leaves| (leaves.action, leaves.crud)).collect();
                assert_eq!(found, wanted, "{} as {who:?}", row.id);

                // The tenant that was made is another one than the one that was called on.
                let made = row.id == "create_tenant";
                let id = if made { answer.body["id"].as_str().unwrap().to_owned() } else { subject.id.clone() };
                let name = match answer.body["name"].as_str() {
                    Some(now) => now.to_owned(),
                    None => name,
                };
                for (event, leaves) in left.iter().zip(row.audit) {
                    let action = &event.action;
                    let actor = event.actor.as_ref().map(|actor| actor.id.as_str());
                    assert_eq!(actor, Some(actor_of(who)), "{action}");
                    assert_eq!(event.source_ip, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), "{action}");
                    assert_eq!(event.metadata.get("request_id").map(String::as_str), Some(answer.header("x-request-id")));
                    assert_eq!(answer.header("x-request-id"), format!("asked-{}", row.id));
                    let target = event.target.as_ref().expect("a target");
                    assert_eq!(target.kind.as_deref(), Some(leaves.target), "{action}");
                    match leaves.target {
                        "tenant" => assert_eq!((&target.id, target.name.as_ref()), (&id, Some(&name)), "{action}"),
                        _ => assert!(!target.id.is_empty() && target.name.is_some(), "{action}"),
                    }
                    // The events of a tenant that is gone have no group.
                    let gone = row.id == "delete_tenant";
                    let group = event.group.map(|group| group.to_string());
                    assert_eq!(group, (!gone).then(|| id.clone()), "{action}");
                    assert_eq!(event.group_name.as_ref(), (!gone).then_some(&name), "{action}");
                    assert!(!event.is_anonymous && !event.is_failure, "{action}");
                }
            }
        }
        world.report("every_change_leaves_exactly_its_events", OPERATIONS.len());
    }

    async fn a_change_without_a_request_id_is_found_by_the_one_that_was_made(world: World) {
        let subject = world.subject(Start::Trial).await;
        for row in OPERATIONS.iter().filter(|row| row.writes() && row.start == Start::Trial) {
            let subject = if row.id == "extend_trial" { world.subject(row.start).await } else { subject.clone() };
            let answer = world.call(&world.service.admin, row, &subject).await;
            assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
            let newest = world.events().await.swap_remove(0);
            let id = newest.metadata.get("request_id").map(String::as_str);
            assert_eq!(id, Some(answer.header("x-request-id")), "{}", row.id);
        }
        world.report("a_change_without_a_request_id", 1);
    }

    async fn a_frozen_tenants_callers_read_and_change_nothing(world: World) {
        frozen(&world, "a_frozen_tenants_callers", false).await;
    }

    async fn a_trial_past_its_end_counts_as_frozen_at_once(world: World) {
        frozen(&world, "a_trial_past_its_end", true).await;
    }
}

/// Calls everything on a frozen tenant as everybody of its own, and then as those that are not bound by a freeze.
async fn frozen(world: &World, test: &str, by_the_clock: bool) {
    for row in OPERATIONS {
        for who in Who::ALL {
            let subject = world.subject(if by_the_clock { Start::Trial } else { Start::Frozen }).await;
            if by_the_clock {
                // The trial has a day; nobody has looked at the tenant since.
                world.service.clock.advance(Duration::from_secs(24 * 3_600));
            }
            let before = world.event_ids().await;
            let client = world.client(who, &subject.slug);
            let answer = world.call(&client, row, &subject).await;
            let text = format!("{} as {who:?}: {}", row.id, answer.text);
            let bound = Who::TENANTS_OWN.contains(&who);
            if !who.holds(row.may) {
                assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("forbidden")), "{text}");
            } else if bound && row.writes() {
                assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("tenant_frozen")), "{text}");
                assert_no_new(world, &before, &text).await;
            } else if answer.status == 409 {
                // Nobody is held back by the freeze, only by what the state does not admit.
                assert!(row.writes() && answer.body["code"] == "invalid_transition", "{text}");
                assert_eq!(answer.body["current_status"], "frozen", "{text}");
            } else {
                assert_eq!(answer.status, row.success, "{text}");
                if row.names == super::table::Names::Tenant && !row.writes() {
                    assert_eq!(answer.body["status"], "frozen", "{text}");
                }
            }
        }
    }
    world.report(test, OPERATIONS.len());
}

/// No event of this request; the freezing job may have written down what it found.
async fn assert_no_new(world: &World, before: &std::collections::BTreeSet<domain::EventId>, text: &str) {
    let left = world.events().await;
    let own: Vec<_> = left.iter().filter(|event| !before.contains(&event.id)).map(|event| &event.action).collect();
    assert!(own.iter().all(|action| *action == "tenant.trial_expired"), "{text} left {own:?}");
}
