//! A trial that ran out reads as frozen at once, and nothing changes for a reader when the job writes it down.
//!
//! Most tests keep the freezing job idle, so that it is the clock alone that they see. Invariant: one event
//! `tenant.trial_expired` per tenant and end, whoever comes upon it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::server::eventually;
use crate::support::setup::{actions_of, each_store, events, events_of, faulty, off, on, path_of, replicas, traces};
use crate::support::{Options, Service};

async fn short_trial(service: &Service, slug: &str) -> Value {
    let host = format!("https://{slug}.example");
    let body = json!({ "slug": slug, "name": "Short", "trial_days": 1, "hosts": [host] });
    service.admin.post("/v1/tenants", body).await.expect(201).body
}

/// Every way to read the tenant `beta`, as text.
async fn readings(service: &Service, tenant: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    for path in
        [path_of(tenant, ""), "/v1/tenants/by-slug/beta".to_owned(), "/v1/tenants/by-host/beta.example".to_owned()]
    {
        let read = service.admin.get(&path).await.expect(200);
        texts.push(format!("{} {}", read.header("etag"), read.text));
    }
    for path in ["/v1/tenants", "/v1/tenants?status=frozen", "/v1/tenants?status=frozen&plan=starter&q=bet"] {
        texts.push(service.admin.get(path).await.expect(200).text);
    }
    texts
}

each_store! {
    async fn a_trial_past_its_end_reads_as_if_it_were_written_down(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        on(&faults.idle_jobs);
        let made = short_trial(&service, "beta").await;
        service.clock.advance(Duration::from_secs(24 * 3_600 - 60));
        let still = service.admin.get(&path_of(&made, "")).await.expect(200).body;
        assert_eq!(still, made);
        assert_eq!(service.admin.get("/v1/tenants?status=frozen").await.body["items"], json!([]));
        service.clock.advance(Duration::from_secs(60));

        let read = service.admin.get(&path_of(&made, "")).await.expect(200);
        assert_eq!(read.header("etag"), "\"2\"");
        let mut expected = made.clone();
        expected["status"] = json!("frozen");
        expected["status_reason"] = json!("trial_expired");
        expected["version"] = json!(2);
        expected["frozen_at"] = made["trial_ends_at"].clone();
        expected["updated_at"] = made["trial_ends_at"].clone();
        assert_eq!(read.body, expected);
        let by_clock = readings(&service, &made).await;
        for list in &by_clock[3..] {
            assert_eq!(serde_json::from_str::<Value>(list).unwrap()["items"], json!([expected]));
        }
        assert_eq!(service.admin.get("/v1/tenants?status=trial").await.body["items"], json!([]));
        assert_eq!(actions_of(&service, &made).await, ["host.added", "tenant.created"]);

        off(&faults.idle_jobs);
        let written = async || actions_of(&service, &made).await.first().is_some_and(|action| action == "tenant.trial_expired");
        eventually("the job writes it down", written).await;
        assert_eq!(readings(&service, &made).await, by_clock);
        let expired = events_of(&service, &made).await.remove(0);
        assert_eq!(expired.actor.unwrap().id, "system:trial_expiry");
        assert_eq!(expired.created.to_string(), made["trial_ends_at"].as_str().unwrap());
    }

    async fn a_service_that_starts_later_reads_the_same(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, first), (other, second)] = &services[..] else { unreachable!() };
        on(&first.idle_jobs);
        on(&second.idle_jobs);
        let made = short_trial(one, "beta").await;
        one.clock.advance_days(1);
        other.clock.advance_days(1);
        assert_eq!(readings(one, &made).await, readings(other, &made).await);
    }

    async fn a_write_first_writes_down_that_the_trial_ran_out(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        on(&faults.idle_jobs);
        let mut tenants = Vec::new();
        for slug in ["patched", "hosted", "unhosted", "activated", "extended", "deleted"] {
            tenants.push(short_trial(&service, slug).await);
        }
        service.clock.advance_days(1);
        // The version that is read is the one that `If-Match` names, though nobody has written it down.
        let admin = service.admin.with("if-match", "\"2\"");
        for (tenant, event) in tenants.iter().zip([
            "tenant.updated", "host.added", "host.removed", "tenant.activated", "tenant.trial_extended", "tenant.deleted",
        ]) {
            let path = path_of(tenant, "");
            match event {
                "tenant.updated" => admin.patch(&path, json!({ "name": "New" })).await.expect(200),
                "host.added" => admin.put(&path_of(tenant, "/hosts"), json!({ "url": "https://new.example" })).await.expect(200),
                "host.removed" => admin.delete(&path_of(tenant, "/hosts?url=https://unhosted.example")).await.expect(204),
                "tenant.activated" => admin.post_empty(&path_of(tenant, "/activate")).await.expect(200),
                "tenant.trial_extended" => admin.post(&path_of(tenant, "/extend-trial"), json!({ "days": 1 })).await.expect(200),
                _ => admin.delete(&path).await.expect(204),
            };
            let newest = events_of(&service, tenant).await;
            assert_eq!(newest[0].action, event);
            assert_eq!(newest[0].actor.as_ref().unwrap().id, "dev-token");
            if event != "tenant.deleted" {
                assert_eq!(newest[1].action, "tenant.trial_expired", "{event}");
                assert_eq!(newest[1].actor.as_ref().unwrap().id, "system:trial_expiry");
                assert_eq!(service.admin.get(&path).await.expect(200).body["version"], 3, "{event}");
            }
        }
        let expired = events(&service).await.iter().filter(|event| event.action == "tenant.trial_expired").count();
        assert_eq!(expired, tenants.len());
    }

    async fn a_refused_write_writes_nothing_down(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        on(&faults.idle_jobs);
        let made = short_trial(&service, "beta").await;
        service.clock.advance_days(1);
        let before = (traces(&service).await, readings(&service, &made).await);
        service.admin.post_empty(&path_of(&made, "/cancel")).await.problem(409, "invalid_transition");
        let refused = service.admin.with("if-match", "\"1\"").patch(&path_of(&made, ""), json!({ "name": "New" })).await;
        assert_eq!(refused.problem(412, "version_mismatch").body["current_version"], 2);
        assert_eq!((traces(&service).await, readings(&service, &made).await), before);
    }

    async fn however_many_replicas_a_trial_ends_once(kind: StoreKind) {
        let services = replicas(kind, 3).await;
        let mut tenants = Vec::new();
        for place in 0..12 {
            tenants.push(short_trial(&services[0].0, &format!("short-{place}")).await);
        }
        for (service, _) in &services {
            service.clock.advance_days(1);
        }
        // Writes race with the three jobs for half of them.
        let steps = tenants.iter().step_by(2).enumerate().map(|(place, tenant)| {
            let admin = services[place % 3].0.admin.clone();
            let path = path_of(tenant, "/activate");
            async move { admin.post_empty(&path).await.expect(200).body }
        });
        for active in futures_util::future::join_all(steps).await {
            assert_eq!((&active["version"], &active["status"]), (&json!(3), &json!("active")));
        }
        let one = &services[0].0;
        let expired = async || events(one).await.iter().filter(|event| event.action == "tenant.trial_expired").count();
        eventually("every trial's end is written down", async || expired().await == 12).await;
        let runs: Vec<usize> = services.iter().map(|(_, faults)| faults.job_runs()).collect();
        let again = async || services.iter().zip(&runs).all(|((_, faults), before)| faults.job_runs() >= before + 2);
        eventually("every job looks again", again).await;
        assert_eq!(expired().await, 12);
    }

    async fn an_extended_trial_ends_again(kind: StoreKind) {
        let (service, _) = faulty(kind, Options::default()).await;
        let made = short_trial(&service, "beta").await;
        for _ in 0..2 {
            service.clock.advance_days(1);
            let frozen = service.admin.get(&path_of(&made, "")).await.expect(200).body;
            assert_eq!(frozen["status_reason"], "trial_expired");
            let back = service.admin.post(&path_of(&made, "/extend-trial"), json!({ "days": 1 })).await.expect(200).body;
            assert_eq!((&back["status"], &back["frozen_at"]), (&json!("trial"), &Value::Null));
        }
        let actions = actions_of(&service, &made).await;
        assert_eq!(actions[..4], ["tenant.trial_extended", "tenant.trial_expired", "tenant.trial_extended", "tenant.trial_expired"]);
        assert_eq!(service.admin.get(&path_of(&made, "")).await.body["version"], 5);
    }
}
