//! The life of a tenant as a table: every status against every step.
//!
//! Invariant: a step that is refused names the current status and changes nothing.

use domain::Timestamp;
use domain::time::plus_days;
use serde_json::{Value, json};

use super::create::time;
use crate::support::server::both_stores;
use crate::support::setup::{actions_of, events_of, path_of};
use crate::support::{Answer, Service};

/// A tenant of a day's trial, brought to a status by a name of this file's own.
async fn tenant_that_is(service: &Service, state: &str, slug: &str) -> Value {
    let body = json!({ "slug": slug, "name": "Life", "trial_days": 1 });
    let made = service.admin.post("/v1/tenants", body).await.expect(201).body;
    let step = match state {
        "active" => "/activate",
        "cancelled" => "/cancel",
        _ => return made,
    };
    service.admin.post_empty(&path_of(&made, step)).await.expect(200).body
}

async fn take(service: &Service, tenant: &Value, step: &str) -> Answer {
    match step {
        "delete" => service.admin.delete(&path_of(tenant, "")).await,
        "extend-trial" => service.admin.post(&path_of(tenant, "/extend-trial"), json!({ "days": 10 })).await,
        other => service.admin.post_empty(&path_of(tenant, &format!("/{other}"))).await,
    }
}

/// What comes of a step: the status of the answer, and of the tenant.
const TABLE: [(&str, &str, u16, &str); 16] = [
    ("trial", "activate", 200, "active"),
    ("trial", "cancel", 200, "frozen cancelled"),
    ("trial", "extend-trial", 200, "trial"),
    ("trial", "delete", 409, "trial"),
    ("active", "activate", 409, "active"),
    ("active", "cancel", 200, "frozen cancelled"),
    ("active", "extend-trial", 409, "active"),
    ("active", "delete", 409, "active"),
    ("cancelled", "activate", 200, "active"),
    ("cancelled", "cancel", 409, "frozen cancelled"),
    ("cancelled", "extend-trial", 409, "frozen cancelled"),
    ("cancelled", "delete", 204, "gone"),
    ("expired", "activate", 200, "active"),
    ("expired", "cancel", 409, "frozen trial_expired"),
    ("expired", "extend-trial", 200, "trial"),
    ("expired", "delete", 204, "gone"),
];

fn standing(tenant: &Value) -> String {
    let words = [&tenant["status"], &tenant["status_reason"]];
    words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
}

async fn check_table(service: &Service, states: &[&str]) {
    let rows: Vec<_> = TABLE.iter().filter(|(state, ..)| states.contains(state)).collect();
    let mut tenants = Vec::new();
    for (state, step, ..) in &rows {
        tenants.push(tenant_that_is(service, state, &format!("{state}-{step}")).await);
    }
    if states.contains(&"expired") {
        service.clock.advance_days(1);
    }
    for ((state, step, status, becomes), tenant) in rows.into_iter().zip(tenants) {
        let row = format!("{step} of a tenant that is {state}");
        let path = path_of(&tenant, "");
        let before = service.admin.get(&path).await.expect(200).body;
        let answer = take(service, &tenant, step).await;
        assert_eq!(answer.status, *status, "{row}: {}", answer.text);
        let after = service.admin.get(&path).await;
        match status {
            204 => {
                after.problem(404, "not_found");
            }
            409 => {
                let refused = answer.problem(409, "invalid_transition");
                assert_eq!(refused.body["current_status"], before["status"], "{row}");
                assert!(refused.body["detail"].as_str().unwrap().contains(before["status"].as_str().unwrap()), "{row}");
                assert_eq!(after.expect(200).body, before, "{row}");
            }
            _ => {
                assert_eq!(standing(&answer.body), *becomes, "{row}");
                assert_eq!(after.expect(200).body, answer.body, "{row}");
                check_fields(&row, step, &before, &answer.body);
            }
        }
    }
}

fn check_fields(row: &str, step: &str, before: &Value, after: &Value) {
    assert_eq!(after["version"], json!(before["version"].as_i64().unwrap() + 1), "{row}");
    assert!(time(after, "updated_at") > time(before, "updated_at"), "{row}");
    match step {
        "cancel" => assert_eq!(after["frozen_at"], after["updated_at"], "{row}"),
        _ => assert_eq!((&after["frozen_at"], &after["status_reason"]), (&Value::Null, &Value::Null), "{row}"),
    }
    let from: Timestamp =
        if before["status"] == "frozen" { time(after, "updated_at") } else { time(before, "trial_ends_at") };
    match step {
        "extend-trial" => assert_eq!(time(after, "trial_ends_at"), plus_days(from, 10), "{row}"),
        _ => assert_eq!(after["trial_ends_at"], before["trial_ends_at"], "{row}"),
    }
    for same in ["id", "slug", "name", "plan", "metadata", "hosts", "created_at", "provisioning"] {
        assert_eq!(after[same], before[same], "{row}: {same}");
    }
}

both_stores! {
    async fn the_table_of_tenants_within_their_time(service: Service) {
        check_table(&service, &["trial", "active", "cancelled"]).await;
    }

    async fn the_table_of_tenants_whose_trial_ran_out(service: Service) {
        check_table(&service, &["expired"]).await;
    }

    async fn a_cancellations_reason_is_the_events_description(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let cancel = path_of(&made, "/cancel");
        service.admin.post(&cancel, json!({ "reason": "r".repeat(1_001) })).await.invalid(&[("reason", "too_long")]);
        service.admin.post(&cancel, json!({ "reason": 1 })).await.invalid(&[("reason", "wrong_type")]);
        service.admin.post(&cancel, json!({ "why": "x" })).await.invalid(&[("why", "unknown_field")]);
        let reason = "ü".repeat(1_000);
        service.admin.post(&cancel, json!({ "reason": reason })).await.expect(200);
        let events = events_of(&service, &made).await;
        assert_eq!(events[0].action, "tenant.cancelled");
        assert_eq!(events[0].description.as_deref(), Some(reason.as_str()));
        service.admin.post_empty(&path_of(&made, "/activate")).await.expect(200);
        service.admin.post(&cancel, json!({ "reason": null })).await.expect(200);
        assert_eq!(events_of(&service, &made).await[0].description, None);
        let expected = ["tenant.cancelled", "tenant.activated", "tenant.cancelled", "tenant.created"];
        assert_eq!(actions_of(&service, &made).await, expected);
    }

    async fn days_of_an_extension_have_their_range(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let extend = path_of(&made, "/extend-trial");
        for (days, code) in [
            (json!(0), "out_of_range"), (json!(366), "out_of_range"), (json!(-1), "out_of_range"), (json!("1"), "wrong_type"),
            (json!(null), "wrong_type"), (json!(1.5), "wrong_type"),
        ] {
            service.admin.post(&extend, json!({ "days": days })).await.invalid(&[("days", code)]);
        }
        service.admin.post_empty(&extend).await.invalid(&[("days", "required")]);
        service.admin.post(&extend, json!({ "days": 1 })).await.expect(200);
        let last = service.admin.post(&extend, json!({ "days": 365 })).await.expect(200).body;
        assert_eq!(time(&last, "trial_ends_at"), plus_days(time(&made, "created_at"), 14 + 366));
        assert_eq!(last["version"], 3);
    }

    async fn steps_honour_if_match_before_the_transition(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let stale = service.admin.with("if-match", "\"7\"");
        for step in ["activate", "cancel", "extend-trial", "delete"] {
            let path = path_of(&made, &format!("/{step}"));
            let answer = match step {
                "delete" => stale.delete(&path_of(&made, "")).await,
                "extend-trial" => stale.post(&path, json!({ "days": 1 })).await,
                _ => stale.post_empty(&path).await,
            };
            let refused = answer.problem(412, "version_mismatch");
            assert_eq!(refused.body["current_version"], 1, "{step}");
        }
        service.admin.with("if-match", "\"1\"").post_empty(&path_of(&made, "/activate")).await.expect(200);
        service.admin.with("if-match", "*").post_empty(&path_of(&made, "/cancel")).await.expect(200);
        service.admin.with("if-match", "\"3\"").delete(&path_of(&made, "")).await.expect(204);
    }
}
