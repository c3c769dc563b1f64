//! Cases about routes: who may have which beside those of others.
//!
//! Invariant of the cases: every refusal names the route that was asked for, since that is what the caller can change.

use std::sync::Arc;

use domain::{Nesting, Tenant, TenantId};

use super::conflict;
use crate::error::{Conflict, Result};
use crate::port::{Scope, Store};
use crate::testing::Backend;
use crate::testing::fixtures::{audit, create, create_nested, feed_after, frozen, route, stored, tenant, tenant_at};

async fn add(store: &Arc<dyn Store>, tenant: TenantId, url: &str, nesting: Nesting) -> Result<()> {
    let mut tx = store.begin(Scope::Platform).await?;
    tx.add_host(tenant, &route(url), nesting).await?;
    tx.commit(audit("host.added")).await
}

fn taken(url: &str) -> Conflict {
    let route = route(url);
    Conflict::HostTaken { host: route.host, prefix: route.prefix }
}

/// Two tenants, the first with `url`.
async fn two(store: &Arc<dyn Store>, url: &str) -> (Tenant, Tenant) {
    let (owner, other) = (tenant_at("owner", &[url]), tenant("other"));
    create(store, &owner).await.unwrap();
    create(store, &other).await.unwrap();
    (owner, other)
}

pub async fn a_route_of_another_tenant_is_taken(backend: &dyn Backend) {
    let store = backend.store();
    let (_, other) = two(&store, "https://a.example/x").await;
    for nesting in [Nesting::Allowed, Nesting::Refused] {
        let outcome = add(&store, other.id, "http://A.example:8080/x/", nesting).await;
        assert_eq!(conflict(outcome), taken("https://a.example/x"), "{nesting:?}");
    }
}

async fn check_overlap(backend: &dyn Backend, existing: &str, wanted: &str, is_overlap: bool) {
    // The slugs and hosts are of one database, so each check cleans up behind itself.
    let store = backend.store();
    let (owner, other) = (frozen("owner", &[existing]), frozen("other", &[]));
    create(&store, &owner).await.unwrap();
    create(&store, &other).await.unwrap();
    let refused = add(&store, other.id, wanted, Nesting::Refused).await;
    match is_overlap {
        true => assert_eq!(conflict(refused), taken(wanted), "{wanted} beside {existing}"),
        false => refused.unwrap_or_else(|error| panic!("{wanted} beside {existing}: {error}")),
    }
    if is_overlap {
        add(&store, other.id, wanted, Nesting::Allowed)
            .await
            .unwrap_or_else(|error| panic!("{wanted} in {existing}: {error}"));
    }
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    for tenant in [owner.id, other.id] {
        let tenant = tx.lock_tenant(tenant).await.unwrap().unwrap();
        tx.delete_tenant(&tenant, crate::testing::fixtures::now()).await.unwrap();
    }
    tx.commit(audit("cleaned")).await.unwrap();
}

pub async fn overlapping_prefixes_are_refused_or_allowed_as_asked(backend: &dyn Backend) {
    check_overlap(backend, "https://a.example", "https://a.example/x", true).await;
    check_overlap(backend, "https://a.example/x", "https://a.example", true).await;
    check_overlap(backend, "https://a.example/x", "https://a.example/x/y", true).await;
    check_overlap(backend, "https://a.example/x/y", "https://a.example/x", true).await;
    check_overlap(backend, "https://a.example/x", "https://a.example/xy", false).await;
    check_overlap(backend, "https://a.example/x", "https://a.example/X", false).await;
    check_overlap(backend, "https://a.example/x", "https://a.example/y", false).await;
    check_overlap(backend, "https://a.example", "https://b.example", false).await;
    check_overlap(backend, "https://a.example", "https://x.a.example", false).await;
    check_overlap(backend, "https://10.0.0.1", "https://10.0.0.2", false).await;
}

pub async fn hosts_under_another_tenants_wildcard_are_refused_or_allowed_as_asked(backend: &dyn Backend) {
    check_overlap(backend, "https://*.a.example", "https://x.a.example", true).await;
    check_overlap(backend, "https://*.a.example/p", "https://x.a.example/q", true).await;
    check_overlap(backend, "https://*.a.example", "https://a.example", false).await;
    check_overlap(backend, "https://*.a.example", "https://y.x.a.example", false).await;
}

pub async fn a_tenant_does_not_overlap_with_itself(backend: &dyn Backend) {
    let store = backend.store();
    let tenant =
        tenant_at("acme", &["https://a.example", "https://a.example/x", "https://*.b.example", "https://x.b.example"]);
    create_nested(&store, &tenant, Nesting::Refused).await.unwrap();
    add(&store, tenant.id, "https://a.example/x/y", Nesting::Refused).await.unwrap();
    assert_eq!(
        conflict(add(&store, tenant.id, "https://a.example/x", Nesting::Refused).await),
        taken("https://a.example/x")
    );
}

pub async fn a_tenant_that_meets_a_taken_host_is_not_stored(backend: &dyn Backend) {
    let store = backend.store();
    two(&store, "https://a.example").await;
    let third = tenant_at("third", &["https://free.example", "https://a.example", "https://more.example"]);
    assert_eq!(conflict(create(&store, &third).await), taken("https://a.example"));
    assert_eq!(stored(&store, &third).await.unwrap(), None);
    let mut view = store.read(Scope::Platform).await.unwrap();
    assert_eq!(view.routes_of_host("free.example").await.unwrap(), []);
    assert_eq!(view.get_tenant_by_slug("third").await.unwrap(), None);
}

pub async fn a_route_is_removed_once(backend: &dyn Backend) {
    let store = backend.store();
    let (owner, _) = two(&store, "https://a.example/x").await;
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert!(!tx.remove_host(owner.id, &route("https://a.example")).await.unwrap(), "another prefix");
    assert!(tx.remove_host(owner.id, &route("https://a.example/x")).await.unwrap());
    assert!(!tx.remove_host(owner.id, &route("https://a.example/x")).await.unwrap(), "it is gone");
    tx.commit(audit("host.removed")).await.unwrap();
    assert_eq!(stored(&store, &owner).await.unwrap().unwrap().hosts, []);
    let deletions = feed_after(&store, Default::default()).await.unwrap();
    assert_eq!(deletions.iter().filter(|c| c.change.op == domain::ChangeOp::Delete).count(), 1);
}

pub async fn removing_a_route_of_another_tenant_removes_nothing(backend: &dyn Backend) {
    let store = backend.store();
    let (owner, other) = two(&store, "https://a.example").await;
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert!(!tx.remove_host(other.id, &route("https://a.example")).await.unwrap());
    tx.commit(audit("host.removed")).await.unwrap();
    assert_eq!(stored(&store, &owner).await.unwrap(), Some(owner));
}

pub async fn added_hosts_stand_behind_the_earlier_ones(backend: &dyn Backend) {
    let store = backend.store();
    let tenant = tenant_at("acme", &["https://m.example", "https://z.example"]);
    create(&store, &tenant).await.unwrap();
    add(&store, tenant.id, "https://a.example", Nesting::Refused).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.remove_host(tenant.id, &route("https://m.example")).await.unwrap();
    tx.add_host(tenant.id, &route("https://m.example"), Nesting::Refused).await.unwrap();
    tx.commit(audit("host.moved")).await.unwrap();
    let hosts = stored(&store, &tenant).await.unwrap().unwrap().hosts;
    assert_eq!(hosts.iter().map(|r| r.host.as_str()).collect::<Vec<_>>(), ["z.example", "a.example", "m.example"]);
}
