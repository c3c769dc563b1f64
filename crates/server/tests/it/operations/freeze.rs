//! What a frozen tenant's callers may still do, and what everybody sees of it.

use std::time::Duration;

use super::table::{Effect, Operation, Start, operations};
use super::who::Caller;
use super::world::{Subject, Who, World, on_both_stores};

on_both_stores! {
    async fn a_frozen_tenants_callers_read_and_change_nothing(world: World) {
        let calls = prepare(&world, Start::Frozen).await;
        judge(&world, &calls).await;
        world.report("a_frozen_tenants_callers", operations().count());
    }

    async fn a_trial_past_its_end_counts_as_frozen_at_once(world: World) {
        let calls = prepare(&world, Start::Trial).await;
        // The trials have a day; nobody has looked at the tenants since.
        world.service.clock.advance(Duration::from_secs(24 * 3_600));
        judge(&world, &calls).await;
        world.report("a_trial_past_its_end", operations().count());
    }
}

struct Call {
    row: &'static Operation,
    who: Who,
    subject: Subject,
    caller: Caller,
}

/// Everything, as everybody: what changes something has a tenant of its own.
async fn prepare(world: &World, start: Start) -> Vec<Call> {
    let mut calls = Vec::new();
    for row in operations() {
        let shared = world.subject_with(start, row.has).await;
        for who in Who::ALL {
            let alone = row.writes() && who.holds(row.may);
            let subject = if alone { world.subject_with(start, row.has).await } else { shared.clone() };
            let caller = world.caller(who, &subject).await;
            calls.push(Call { row, who, subject, caller });
        }
    }
    calls
}

async fn judge(world: &World, calls: &[Call]) {
    let mut refused = 0;
    for Call { row, who, subject, caller } in calls {
        let mark = world.mark().await;
        let answer = world.call(&caller.client, row, subject).await;
        let text = format!("{} as {who:?}: {}", row.id, answer.text);
        let bound = Who::TENANTS_OWN.contains(who) && matches!(row.effect, Effect::Changes | Effect::Publishes);
        if !who.holds(row.may) {
            assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("forbidden")), "{text}");
        } else if bound {
            assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("tenant_frozen")), "{text}");
            // The freezing job may have written down what it found.
            let left = world.since(&mark).await;
            let own: Vec<_> = left.iter().map(|event| &event.action).collect();
            assert!(own.iter().all(|action| *action == "tenant.trial_expired"), "{text} left {own:?}");
            refused += 1;
        } else if answer.status == 409 {
            // Nobody is held back by the freeze, only by what the state does not admit.
            assert!(row.writes() && answer.body["code"] == "invalid_transition", "{text}");
            assert_eq!(answer.body["current_status"], "frozen", "{text}");
        } else {
            assert_eq!(answer.status, row.success, "{text}");
            for (pointer, said) in row.frozen_says {
                let found = answer.body.pointer(pointer).map(ToString::to_string);
                assert_eq!(found.as_deref(), Some(*said), "{pointer} of {text}");
            }
        }
    }
    assert!(refused > 0, "nobody was refused");
}
