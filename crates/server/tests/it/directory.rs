//! The read model, as its callers see it: fast when it may be, never wrong, and silent rather than old.
//!
//! Invariant: what is answered from memory is counted by the reads that the store did not get.

mod keys;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::support::faulty::{DRIVER_TEXT, Faults};
use crate::support::server::eventually;
use crate::support::setup::{each_store, faulty, off, on, path_of, replicas};
use crate::support::{Client, Options, Service};

const BY_SLUG: &str = "/v1/tenants/by-slug/beta";
const BY_HOST: &str = "/v1/tenants/by-host/beta.example.com";

/// Whether a GET asked the store.
async fn asks(client: &Client, faults: &Faults, path: &str) -> bool {
    let before = faults.reads();
    client.get(path).await;
    faults.reads() > before
}

/// Until an answer comes from memory, and what was written before was applied to it: a change that is applied late would
/// make it be forgotten once more.
async fn until_warm(service: &Service, faults: &Faults, path: &str) {
    until_applied(faults).await;
    eventually("an answer from memory", async || !asks(&service.admin, faults, path).await).await;
}

/// Until two more questions to the feed began: the first has what was committed before, and the second comes after it was
/// applied.
pub(crate) async fn until_applied(faults: &Faults) {
    let asked = faults.feed_calls();
    eventually("the changes were applied", async || faults.feed_calls() >= asked + 3).await;
}

/// Until memory is past its bound of a second. That the store was asked once would say less: a change that is applied
/// late makes it be asked as well.
async fn until_silent(client: &Client) {
    eventually("memory falls silent", async || age_shown(client).await > 1.0).await;
}

/// How old memory is, as `/metrics` shows it to whoever is on call.
async fn age_shown(client: &Client) -> f64 {
    let text = client.get("/metrics").await.expect(200).text;
    let line = text.lines().find(|line| line.starts_with("tenant_registry_read_model_age_seconds"));
    line.and_then(|line| line.rsplit(' ').next())
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("{text}"))
}

each_store! {
    async fn a_warm_tenant_costs_no_query(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = service.admin.make_tenant("beta").await;
        for path in [BY_SLUG.to_owned(), path_of(&made, "")] {
            until_warm(&service, &faults, &path).await;
            let before = faults.reads();
            for _ in 0..20 {
                assert_eq!(service.admin.get(&path).await.expect(200).body, made);
            }
            assert_eq!(faults.reads(), before, "{path}");
        }
    }

    async fn what_one_service_changes_the_other_shows(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, _), (other, faults)] = &services[..] else { unreachable!() };
        let made = one.admin.make_tenant("beta").await;
        let by_id = path_of(&made, "");
        until_warm(other, faults, BY_SLUG).await;
        until_warm(other, faults, &by_id).await;
        let changed = one.admin.patch(&by_id, json!({ "name": "Changed" })).await.expect(200).body;
        for path in [BY_SLUG, &by_id] {
            eventually("the other service shows the change", async || other.admin.get(path).await.body == changed).await;
        }
        one.admin.post_empty(&path_of(&made, "/cancel")).await.expect(200);
        eventually("the other service shows the freeze", async || other.admin.get(BY_SLUG).await.body["status"] == "frozen").await;
        one.admin.delete(&by_id).await.expect(204);
        for path in [BY_SLUG, &by_id] {
            eventually("the tenant is gone there too", async || other.admin.get(path).await.status == 404).await;
        }
    }

    async fn a_warm_host_costs_no_query(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = service.admin.make_tenant("beta").await;
        service.admin.put(&path_of(&made, "/hosts"), json!({ "url": "https://beta.example.com" })).await.expect(200);
        for (path, status) in [(BY_HOST, 200), ("/v1/tenants/by-host/nobody.example.com", 404)] {
            until_warm(&service, &faults, path).await;
            let before = faults.reads();
            for spelling in ["", "?path=/deep"] {
                service.admin.get(&format!("{path}{spelling}")).await.expect(status);
            }
            assert_eq!(faults.reads(), before, "{path}");
        }
    }

    async fn routes_follow_their_changes_on_both_services(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, near), (other, far)] = &services[..] else { unreachable!() };
        let made = one.admin.make_tenant("beta").await;
        let hosts = path_of(&made, "/hosts");
        let both = [(one, near), (other, far)];
        for (service, faults) in both {
            until_warm(service, faults, BY_HOST).await;
            service.admin.get(BY_HOST).await.problem(404, "not_found");
        }
        one.admin.put(&hosts, json!({ "url": "https://beta.example.com" })).await.expect(200);
        one.admin.get(BY_HOST).await.expect(200);
        eventually("the other service knows the host", async || other.admin.get(BY_HOST).await.status == 200).await;
        one.admin.delete(&format!("{hosts}?url=https://beta.example.com")).await.expect(204);
        one.admin.get(BY_HOST).await.problem(404, "not_found");
        eventually("the host is gone there too", async || other.admin.get(BY_HOST).await.status == 404).await;
        // A wildcard answers for hosts that were looked up, and not found, before it came.
        one.admin.put(&hosts, json!({ "url": "https://*.example.com" })).await.expect(200);
        one.admin.get(BY_HOST).await.expect(200);
        eventually("the wildcard is known there", async || other.admin.get(BY_HOST).await.status == 200).await;
        one.admin.post_empty(&path_of(&made, "/cancel")).await.expect(200);
        one.admin.delete(&path_of(&made, "")).await.expect(204);
        one.admin.get(BY_HOST).await.problem(404, "not_found");
        eventually("the tenant's hosts went with it", async || other.admin.get(BY_HOST).await.status == 404).await;
    }

    async fn absence_ends_when_the_tenant_comes_to_be(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, near), (other, far)] = &services[..] else { unreachable!() };
        for (service, faults) in [(one, near), (other, far)] {
            until_warm(service, faults, BY_SLUG).await;
            service.admin.get(BY_SLUG).await.problem(404, "not_found");
        }
        one.admin.make_tenant("beta").await;
        one.admin.get(BY_SLUG).await.expect(200);
        eventually("the other service knows the tenant", async || other.admin.get(BY_SLUG).await.status == 200).await;
    }

    async fn a_fill_that_began_before_a_change_of_this_service_is_not_kept(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = service.admin.make_tenant("beta").await;
        until_warm(&service, &faults, "/v1/tenants/by-slug/other").await;
        let old = slow_fill(&service, &faults, BY_SLUG).await;
        service.admin.patch(&path_of(&made, ""), json!({ "name": "New" })).await.expect(200);
        faults.after_look_up.open();
        old.await.unwrap();
        assert_eq!(service.admin.get(BY_SLUG).await.expect(200).body["name"], "New");
    }

    async fn a_fill_that_began_before_a_change_elsewhere_is_not_kept(kind: StoreKind) {
        let services = replicas(kind, 2).await;
        let [(one, _), (other, faults)] = &services[..] else { unreachable!() };
        let made = one.admin.make_tenant("beta").await;
        // Memory answers only once the feed is confirmed; before that nothing is kept, and the test would show nothing.
        until_warm(other, faults, "/v1/tenants/by-slug/other").await;
        let after_creation = faults.feed_calls();
        eventually("the creation was applied", async || faults.feed_calls() >= after_creation + 2).await;
        let old = slow_fill(other, faults, BY_SLUG).await;
        one.admin.patch(&path_of(&made, ""), json!({ "name": "New" })).await.expect(200);
        // Two more questions to the feed: the first has the change, and the second comes after it was applied.
        let committed = faults.feed_calls();
        eventually("the change was applied", async || faults.feed_calls() >= committed + 3).await;
        faults.after_look_up.open();
        old.await.unwrap();
        assert_eq!(other.admin.get(BY_SLUG).await.expect(200).body["name"], "New");
    }

    async fn a_late_fill_does_not_bring_a_deleted_tenant_back(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = service.admin.make_tenant("beta").await;
        let by_id = path_of(&made, "");
        service.admin.post_empty(&path_of(&made, "/cancel")).await.expect(200);
        until_warm(&service, &faults, "/v1/tenants/by-slug/other").await;
        let old = slow_fill(&service, &faults, &by_id).await;
        service.admin.delete(&by_id).await.expect(204);
        faults.after_look_up.open();
        old.await.unwrap();
        service.admin.get(&by_id).await.problem(404, "not_found");
    }

    async fn cut_off_from_the_feed_the_store_is_asked(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default().set("MAX_STALENESS_SECONDS", "1")).await;
        let made = service.admin.make_tenant("beta").await;
        until_warm(&service, &faults, BY_SLUG).await;
        on(&faults.feed_away);
        until_silent(&service.admin).await;
        for _ in 0..5 {
            assert!(asks(&service.admin, &faults, BY_SLUG).await);
        }
        assert_eq!(service.admin.get(BY_SLUG).await.expect(200).body, made);

        on(&faults.away);
        for path in [BY_SLUG.to_owned(), path_of(&made, "")] {
            let refused = service.admin.get(&path).await.problem(503, "unavailable");
            assert!(refused.header("retry-after").parse::<u32>().is_ok());
            assert!(!refused.text.contains(DRIVER_TEXT));
        }

        off(&faults.away);
        assert_eq!(service.admin.get(BY_SLUG).await.expect(200).body, made);
        off(&faults.feed_away);
        until_warm(&service, &faults, BY_SLUG).await;
        assert_eq!(service.admin.get(BY_SLUG).await.expect(200).body, made);
    }

    async fn a_store_that_is_away_is_survived_by_memory_for_its_bound_only(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default().set("MAX_STALENESS_SECONDS", "1")).await;
        let made = service.admin.make_tenant("beta").await;
        until_warm(&service, &faults, BY_SLUG).await;
        on(&faults.away);
        assert_eq!(service.admin.get(BY_SLUG).await.expect(200).body, made);
        eventually("memory is too old", async || service.admin.get(BY_SLUG).await.status == 503).await;
        off(&faults.away);
        eventually("the service recovers", async || service.admin.get(BY_SLUG).await.status == 200).await;
        until_warm(&service, &faults, BY_SLUG).await;
    }

    async fn a_store_that_hangs_is_refused_in_time(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        service.admin.make_tenant("beta").await;
        faults.after_look_up.close();
        let began = tokio::time::Instant::now();
        service.admin.get(BY_SLUG).await.problem(503, "unavailable");
        // Long before the request's own limit of 30 s, which would be a 504.
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        faults.after_look_up.open();
        service.admin.get(BY_SLUG).await.expect(200);
    }

    async fn another_database_server_means_that_memory_is_forgotten(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = service.admin.make_tenant("beta").await;
        until_warm(&service, &faults, BY_SLUG).await;
        faults.server.store(1, Ordering::SeqCst);
        eventually("the store is asked anew", async || asks(&service.admin, &faults, BY_SLUG).await).await;
        until_warm(&service, &faults, BY_SLUG).await;
        assert_eq!(service.admin.get(BY_SLUG).await.expect(200).body, made);
    }

    async fn a_gap_that_stays_open_ends_freshness(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default().set("MAX_STALENESS_SECONDS", "1")).await;
        let made = service.admin.make_tenant("beta").await;
        until_warm(&service, &faults, BY_SLUG).await;
        on(&faults.gap);
        until_silent(&service.admin).await;
        assert!(asks(&service.admin, &faults, BY_SLUG).await);
        assert!(age_shown(&service.admin).await > 1.0);
        off(&faults.gap);
        until_warm(&service, &faults, BY_SLUG).await;
        assert_eq!(service.admin.get(BY_SLUG).await.expect(200).body, made);
    }

    async fn names_that_nobody_can_have_ask_nothing(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let path = format!("/v1/tenants/by-slug/{}", "a".repeat(64));
        assert!(!asks(&service.admin, &faults, &path).await);
        service.admin.get(&path).await.problem(404, "not_found");
    }
}

/// Begins a look-up that has read, and now waits until the gate opens.
async fn slow_fill(service: &Service, faults: &Arc<Faults>, path: &str) -> tokio::task::JoinHandle<()> {
    faults.after_look_up.close();
    let (client, path) = (service.admin.clone(), path.to_owned());
    let old = tokio::spawn(async move {
        client.get(&path).await.expect(200);
    });
    eventually("the look-up has read", async || faults.after_look_up.waiting() == 1).await;
    old
}
