//! Cases about the change feed.
//!
//! What only a backend with several writers can do wrong is tested beside it (`tests/it/postgres_feed.rs`). Invariant of
//! the cases: a follower that reads by number sees every committed change exactly once, in order.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::{Change, ChangeKind, ChangeOp, ChangeSeq, Nesting, TenantId};
use serde_json::Value;

use crate::port::{Scope, Store, Unaudited};
use crate::testing::Backend;
use crate::testing::fixtures::{
    audit, claim, create, delete, feed_after, frozen, later, now, route, tenant, tenant_at, update,
};

const START: ChangeSeq = ChangeSeq(0);

fn sketch(changes: &[Change]) -> Vec<(ChangeKind, ChangeOp, &str)> {
    changes.iter().map(|change| (change.change.kind, change.change.op, change.change.id.as_str())).collect()
}

#[track_caller]
fn value(change: &Change) -> Value {
    serde_json::from_str(change.change.value.as_deref().expect("a value")).expect("JSON")
}

#[track_caller]
fn assert_in_order(changes: &[Change]) {
    assert!(changes.windows(2).all(|pair| pair[0].seq < pair[1].seq), "{changes:?}");
    assert!(changes.first().is_none_or(|change| change.seq > START));
}

pub async fn the_feed_has_every_change_in_order(backend: &dyn Backend) {
    use {
        ChangeKind::{Host, Tenant},
        ChangeOp::{Delete, Upsert},
    };
    let (store, mut acme) = (backend.store(), tenant_at("acme", &["https://b.example/x", "https://a.example"]));
    create(&store, &acme).await.unwrap();
    let id = acme.id.to_string();
    let after = feed_after(&store, START).await.unwrap().last().unwrap().seq;
    acme.activate(later(1)).unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.update_tenant(&acme).await.unwrap();
    tx.remove_host(acme.id, &acme.hosts[0]).await.unwrap();
    tx.add_host(acme.id, &route("https://c.example"), Nesting::Refused).await.unwrap();
    tx.commit(audit("changed")).await.unwrap();
    let all = feed_after(&store, START).await.unwrap();
    assert_in_order(&all);
    let first = [(Tenant, Upsert, id.as_str()), (Host, Upsert, "b.example/x"), (Host, Upsert, "a.example/")];
    let second = [(Tenant, Upsert, id.as_str()), (Host, Delete, "b.example/x"), (Host, Upsert, "c.example/")];
    assert_eq!(sketch(&all), [first, second].concat());
    assert_eq!(sketch(&feed_after(&store, after).await.unwrap()), second);
    assert!(all.iter().all(|change| change.change.tenant_id == Some(acme.id)));
    let end = all.last().unwrap().seq;
    let page = store.changes(end, 10).await.unwrap();
    assert!(page.complete && page.changes.is_empty());
    assert_eq!(feed_after(&backend.reopen().await, START).await.unwrap(), all);
}

pub async fn a_tenants_value_has_no_hosts(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant_at("acme", &["https://a.example"]));
    create(&store, &acme).await.unwrap();
    let mut changed = acme.clone();
    changed.cancel(later(5)).unwrap();
    changed.metadata.insert("ключ".to_owned(), "🦀".to_owned());
    update(&store, &changed).await.unwrap();
    let all = feed_after(&store, START).await.unwrap();
    for (change, tenant) in [(&all[0], &acme), (&all[2], &changed)] {
        let mut expected = serde_json::to_value(tenant).unwrap();
        for left_out in ["hosts", "admin_email", "admin_name", "provisioning"] {
            expected.as_object_mut().unwrap().remove(left_out);
        }
        assert_eq!(value(change), expected);
    }
}

pub async fn a_hosts_id_is_host_and_prefix(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant_at("acme", &["http://Bücher.example:8080/x/"]));
    create(&store, &acme).await.unwrap();
    let change = &feed_after(&store, START).await.unwrap()[1];
    assert_eq!(change.change.id, "xn--bcher-kva.example/x");
    let route = &acme.hosts[0];
    let expected = serde_json::json!({
        "tenant_id": acme.id, "host": "xn--bcher-kva.example", "prefix": "/x", "url": route.url,
    });
    assert_eq!(value(change), expected);
}

pub async fn a_deletion_emits_the_children_one_by_one_then_the_tenant(backend: &dyn Backend) {
    use {
        ChangeKind::{Host, Tenant},
        ChangeOp::Delete,
    };
    let store = backend.store();
    let acme = frozen("acme", &["https://b.example", "https://a.example/x", "https://a.example/y"]);
    create(&store, &acme).await.unwrap();
    let after = feed_after(&store, START).await.unwrap().last().unwrap().seq;
    delete(&store, &acme).await.unwrap();
    let changes = feed_after(&store, after).await.unwrap();
    let id = acme.id.to_string();
    let expected = [
        (Host, Delete, "b.example/"),
        (Host, Delete, "a.example/x"),
        (Host, Delete, "a.example/y"),
        (Tenant, Delete, &id),
    ];
    assert_eq!(sketch(&changes), expected);
    assert_eq!(value(&changes[3]), serde_json::json!({ "slug": "acme" }));
    assert!(changes.iter().all(|change| change.change.tenant_id == Some(acme.id)));
}

pub async fn a_page_of_the_feed_is_cut_at_its_limit(backend: &dyn Backend) {
    let store = backend.store();
    for number in 0..5 {
        create(&store, &tenant(&format!("t-{number}"))).await.unwrap();
    }
    let all = feed_after(&store, START).await.unwrap();
    let (mut seen, mut after, mut sizes) = (Vec::new(), START, Vec::new());
    loop {
        let page = store.changes(after, 2).await.unwrap();
        sizes.push((page.changes.len(), page.complete));
        let Some(last) = page.changes.last() else { break };
        after = last.seq;
        seen.extend(page.changes);
    }
    assert_eq!(seen, all);
    assert_eq!(sizes, [(2, false), (2, false), (1, true), (0, true)]);
}

pub async fn a_commit_wakes_who_follows(backend: &dyn Backend) {
    let store = backend.store();
    let mut wakes = [store.wake(), store.wake()];
    wakes.iter_mut().for_each(|wake| _ = wake.borrow_and_update());
    create(&store, &tenant("acme")).await.unwrap();
    for wake in &mut wakes {
        tokio::time::timeout(Duration::from_secs(20), wake.changed()).await.expect("a wake in time").unwrap();
    }
}

pub async fn what_is_rolled_back_is_not_in_the_feed(backend: &dyn Backend) {
    let store = backend.store();
    let mut expected = Vec::new();
    for number in 0..6 {
        let tenant = tenant(&format!("t-{number}"));
        if number % 2 == 0 {
            create(&store, &tenant).await.unwrap();
            expected.push(Some(tenant.id));
        } else {
            let mut tx = store.begin(Scope::Platform).await.unwrap();
            tx.insert_tenant(&tenant, Nesting::Allowed).await.unwrap();
        }
    }
    let seen = feed_after(&store, START).await.unwrap();
    assert_eq!(seen.iter().map(|change| change.change.tenant_id).collect::<Vec<_>>(), expected);
}

pub async fn what_changes_no_tenant_is_not_in_the_feed(backend: &dyn Backend) {
    let store = backend.store();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.reserve(&claim("key"), now()).await.unwrap();
    tx.commit_unaudited(Unaudited::Idempotency).await.unwrap();
    store.begin(Scope::Platform).await.unwrap().commit(audit("ping")).await.unwrap();
    assert_eq!(feed_after(&store, START).await.unwrap(), []);
}

pub async fn the_head_is_the_last_change(backend: &dyn Backend) {
    let store = backend.store();
    assert_eq!(store.head().await.unwrap(), START);
    for slug in ["acme", "globex"] {
        create(&store, &tenant(slug)).await.unwrap();
        let last = feed_after(&store, START).await.unwrap().last().unwrap().seq;
        assert_eq!(store.head().await.unwrap(), last);
    }
    let head = store.head().await.unwrap();
    assert_eq!(feed_after(&store, head).await.unwrap(), []);
}

pub async fn many_writers_leave_a_feed_with_every_change_once(backend: &dyn Backend) {
    const WRITERS: usize = 16;
    const EACH: usize = 5;
    let store = backend.store();
    let follower = tokio::spawn(follow(backend.reopen().await, WRITERS * EACH * 2));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            let mut made: Vec<TenantId> = Vec::new();
            for number in 0..EACH {
                let slug = format!("t-{writer}-{number}");
                let tenant = tenant_at(&slug, &[&format!("https://{slug}.example")]);
                create(&store, &tenant).await.unwrap();
                made.push(tenant.id);
            }
            made
        }));
    }
    let mut made = HashSet::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    let seen = follower.await.unwrap();
    assert_in_order(&seen);
    assert_eq!(seen, feed_after(&store, START).await.unwrap());
    for kind in [ChangeKind::Tenant, ChangeKind::Host] {
        let of_kind: Vec<_> =
            seen.iter().filter(|c| c.change.kind == kind).filter_map(|c| c.change.tenant_id).collect();
        assert_eq!(of_kind.len(), WRITERS * EACH);
        assert_eq!(of_kind.into_iter().collect::<HashSet<_>>(), made);
    }
}

/// Follows the feed as a replica does, by wake and poll, until it has seen as many changes.
async fn follow(store: Arc<dyn Store>, wanted: usize) -> Vec<Change> {
    let (mut seen, mut wake, mut after) = (Vec::new(), store.wake(), START);
    while seen.len() < wanted {
        let page = store.changes(after, 7).await.unwrap();
        if let Some(last) = page.changes.last() {
            after = last.seq;
            seen.extend(page.changes);
        } else {
            _ = tokio::time::timeout(Duration::from_millis(20), wake.changed()).await;
        }
    }
    seen
}
