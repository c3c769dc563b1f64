//! Cases about one tenant: what is written comes back, and what must not be written is refused.
//!
//! Invariant of the cases: a tenant is compared whole, so that a field that is forgotten in a query fails here.

use std::collections::BTreeMap;

use domain::time::from_micros;
use domain::{AuditBatch, Nesting, Plan, Tenant};

use super::conflict;
use crate::error::{Conflict, StoreError};
use crate::port::Scope;
use crate::testing::Backend;
use crate::testing::fixtures::{
    audit, create, delete, event, feed_after, frozen, later, now, stored, tenant, tenant_at, update,
};

fn rich(slug: &str) -> Tenant {
    let mut tenant = tenant_at(
        slug,
        &["https://acme.example.com", "http://bücher.example:8080/%C3%BCber%20uns", "https://*.acme.example.com/a"],
    );
    tenant.name = "Åcme \"Ünïcode\" 株式会社 🦀 'quotes' \\ % _".to_owned();
    tenant.plan = Plan::Enterprise;
    tenant.metadata = BTreeMap::from([
        ("ключ".to_owned(), "значение\n\t\"\\\u{1}".to_owned()),
        ("b".to_owned(), String::new()),
        ("🦀".to_owned(), "\u{10ffff}\u{feff}e\u{301}".to_owned()),
    ]);
    tenant.admin_email = Some("admin@example.com".to_owned());
    tenant.provisioning = domain::Provisioning::BEGUN;
    tenant.admin_name = Some("Zoë".to_owned());
    tenant.cancel(later(7)).unwrap();
    tenant
}

pub async fn a_tenant_comes_back_with_every_field(backend: &dyn Backend) {
    let (store, tenant) = (backend.store(), rich("acme"));
    create(&store, &tenant).await.unwrap();
    assert_eq!(stored(&store, &tenant).await.unwrap(), Some(tenant.clone()));
    let again = backend.reopen().await;
    assert_eq!(stored(&again, &tenant).await.unwrap(), Some(tenant));
}

pub async fn a_bare_tenant_comes_back(backend: &dyn Backend) {
    let (store, mut tenant) = (backend.store(), tenant("acme"));
    tenant.activate(later(3)).unwrap();
    tenant.trial_ends_at = None;
    create(&store, &tenant).await.unwrap();
    assert_eq!(stored(&store, &tenant).await.unwrap(), Some(tenant));
}

pub async fn instants_keep_their_microseconds(backend: &dyn Backend) {
    let store = backend.store();
    // Around 2000, where PostgreSQL counts from; before 1970; the ends of what RFC 3339 can write.
    let instants =
        [1, -1, 999_999, 946_684_799_999_999, 946_684_800_000_001, -62_135_596_799_999_999, 253_402_207_200_000_000];
    for (place, micros) in instants.into_iter().enumerate() {
        let mut tenant = tenant(&format!("at-{place}"));
        let at = from_micros(micros);
        assert_eq!(at.as_microsecond(), micros, "the test's own instant is out of range");
        (tenant.trial_ends_at, tenant.created_at, tenant.updated_at) = (Some(at), at, at);
        create(&store, &tenant).await.unwrap();
        assert_eq!(stored(&store, &tenant).await.unwrap(), Some(tenant));
    }
}

pub async fn hosts_keep_their_order(backend: &dyn Backend) {
    let store = backend.store();
    let tenant =
        tenant_at("acme", &["https://z.example", "https://a.example/b", "https://m.example", "https://a.example/a"]);
    create(&store, &tenant).await.unwrap();
    let found = stored(&store, &tenant).await.unwrap().unwrap();
    let urls: Vec<_> = found.hosts.iter().map(|route| route.url.as_str()).collect();
    assert_eq!(urls, ["https://z.example", "https://a.example/b", "https://m.example", "https://a.example/a"]);
}

pub async fn a_tenant_is_found_by_its_slug_and_only_by_all_of_it(backend: &dyn Backend) {
    let (store, tenant) = (backend.store(), rich("acme"));
    create(&store, &tenant).await.unwrap();
    let mut view = store.read(Scope::Platform).await.unwrap();
    assert_eq!(view.get_tenant_by_slug("acme").await.unwrap(), Some(tenant));
    for other in ["ACME", "acm", "acme ", "acmee", "", "%", "acme%"] {
        assert_eq!(view.get_tenant_by_slug(other).await.unwrap(), None, "{other:?}");
    }
}

pub async fn an_update_is_read_back_and_leaves_the_hosts(backend: &dyn Backend) {
    let (store, before) = (backend.store(), rich("acme"));
    create(&store, &before).await.unwrap();
    let after = Tenant {
        hosts: before.hosts.clone(),
        id: before.id,
        admin_email: before.admin_email.clone(),
        admin_name: before.admin_name.clone(),
        provisioning: before.provisioning.clone(),
        ..tenant("acme")
    };
    let mut after = Tenant { created_at: before.created_at, version: before.version, ..after };
    after.activate(later(9)).unwrap();
    update(&store, &after).await.unwrap();
    assert_eq!(stored(&store, &before).await.unwrap(), Some(after));
}

pub async fn a_stale_update_is_refused(backend: &dyn Backend) {
    let (store, mut tenant) = (backend.store(), tenant("acme"));
    create(&store, &tenant).await.unwrap();
    assert_eq!(conflict(update(&store, &tenant).await), Conflict::Stale, "the same version");
    tenant.version = 5;
    update(&store, &tenant).await.unwrap();
    tenant.name = "late".to_owned();
    for version in [4, 5] {
        tenant.version = version;
        assert_eq!(conflict(update(&store, &tenant).await), Conflict::Stale, "version {version}");
    }
    assert_eq!(stored(&store, &tenant).await.unwrap().unwrap().name, "The acme");
    assert_eq!(feed_after(&store, Default::default()).await.unwrap().len(), 2);
}

pub async fn an_update_of_a_tenant_that_is_not_there_is_refused(backend: &dyn Backend) {
    assert_eq!(conflict(update(&backend.store(), &tenant("acme")).await), Conflict::Stale);
}

pub async fn a_slug_conflict_is_typed(backend: &dyn Backend) {
    let store = backend.store();
    create(&store, &tenant("acme")).await.unwrap();
    assert_eq!(conflict(create(&store, &tenant("acme")).await), Conflict::SlugTaken);
}

pub async fn an_id_that_exists_is_refused(backend: &dyn Backend) {
    let (store, first) = (backend.store(), tenant("acme"));
    create(&store, &first).await.unwrap();
    let second = Tenant { id: first.id, ..tenant("other") };
    let outcome = create(&store, &second).await;
    assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
}

pub async fn a_slug_is_free_again_after_deletion(backend: &dyn Backend) {
    let (store, first, second) = (backend.store(), frozen("acme", &[]), tenant("acme"));
    create(&store, &first).await.unwrap();
    delete(&store, &first).await.unwrap();
    create(&store, &second).await.unwrap();
    let found = store.read(Scope::Platform).await.unwrap().get_tenant_by_slug("acme").await.unwrap();
    assert_eq!(found.map(|tenant| tenant.id), Some(second.id));
    assert_eq!(stored(&store, &first).await.unwrap(), None);
}

pub async fn a_host_is_free_again_after_deletion(backend: &dyn Backend) {
    let (store, first) = (backend.store(), frozen("acme", &["https://a.example"]));
    create(&store, &first).await.unwrap();
    delete(&store, &first).await.unwrap();
    create(&store, &tenant_at("other", &["https://a.example"])).await.unwrap();
}

pub async fn ended_trials_come_earliest_first_and_as_many_as_asked_for(backend: &dyn Backend) {
    let store = backend.store();
    let mut ends: Vec<(&str, i64)> =
        vec![("third", -10), ("first", -30), ("second", -20), ("on-time", 0), ("running", 1)];
    for (slug, end) in ends.drain(..) {
        let mut tenant = tenant_at(slug, &[&format!("https://{slug}.example")]);
        tenant.trial_ends_at = Some(later(end));
        create(&store, &tenant).await.unwrap();
    }
    let mut active = tenant("active");
    active.trial_ends_at = Some(later(-40));
    active.activate(later(-50)).unwrap();
    create(&store, &active).await.unwrap();

    let mut tx = store.begin(Scope::Platform).await.unwrap();
    for (limit, expected) in [(2, &["first", "second"][..]), (9, &["first", "second", "third", "on-time"]), (0, &[])] {
        let tenants = tx.lock_ended_trials(now(), limit).await.unwrap();
        assert_eq!(tenants.iter().map(|t| t.slug.as_str()).collect::<Vec<_>>(), expected, "limit {limit}");
        assert!(tenants.iter().all(|tenant| tenant.hosts.len() == 1), "they come whole");
    }
    for mut tenant in tx.lock_ended_trials(now(), 1).await.unwrap() {
        assert!(tenant.expire_trial(now()));
        tx.update_tenant(&tenant).await.unwrap();
    }
    tx.commit(AuditBatch::of(event("tenant.frozen"))).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    let left = tx.lock_ended_trials(now(), 9).await.unwrap();
    assert_eq!(left.iter().map(|t| t.slug.as_str()).collect::<Vec<_>>(), ["second", "third", "on-time"]);
}

/// PostgreSQL has no NUL in text. Whatever a backend makes of it, it is whole.
pub async fn text_with_nul_is_kept_or_refused_whole(backend: &dyn Backend) {
    let store = backend.store();
    let mut named = tenant_at("named", &["https://a.example"]);
    named.name = "a\0b".to_owned();
    let mut noted = tenant("noted");
    noted.metadata = BTreeMap::from([("k\0".to_owned(), "v\0".to_owned())]);
    for tenant in [named, noted] {
        let outcome = create(&store, &tenant).await;
        let changes = feed_after(&store, Default::default()).await.unwrap();
        let in_feed = changes.iter().filter(|c| c.change.tenant_id == Some(tenant.id)).count();
        match outcome {
            Ok(()) => {
                assert_eq!(stored(&store, &tenant).await.unwrap(), Some(tenant.clone()));
                assert_eq!(in_feed, 1 + tenant.hosts.len());
            }
            Err(StoreError::Refused(_)) => {
                assert_eq!(stored(&store, &tenant).await.unwrap(), None);
                assert_eq!(in_feed, 0);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let found = store.read(Scope::Platform).await.unwrap().get_tenant_by_slug("a\0b").await;
    assert!(matches!(found, Ok(None) | Err(StoreError::Refused(_))), "{found:?}");
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&tenant("third"), Nesting::Allowed).await.unwrap();
    let outcome = tx.commit(audit("nul\0")).await;
    let third = store.read(Scope::Platform).await.unwrap().get_tenant_by_slug("third").await.unwrap();
    assert_eq!(outcome.is_ok(), third.is_some(), "{outcome:?}");
}

pub async fn tenants_are_found_by_a_member_of_their_metadata(backend: &dyn Backend) {
    let store = backend.store();
    let with = |slug: &str, members: &[(&str, &str)]| {
        let metadata = members.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Tenant { metadata, ..tenant(slug) }
    };
    let mut acme = with("acme", &[("customer", "4711"), ("contract", "C'\"\u{fc}%"), ("empty", "")]);
    let other = with("other", &[("customer", "4711"), ("contract", "c'\"\u{fc}%")]);
    create(&store, &acme).await.unwrap();
    create(&store, &other).await.unwrap();
    let found = async |scope: Scope, key: &str, value: &str, limit: usize| {
        store.read(scope).await.unwrap().tenants_with_metadata(key, value, limit).await.unwrap()
    };
    let all = async |key: &str, value: &str| found(Scope::Platform, key, value, 10).await;
    assert_eq!(all("customer", "4711").await, [acme.id, other.id]);
    assert_eq!(found(Scope::Platform, "customer", "4711", 1).await, [acme.id]);
    assert_eq!(found(Scope::Tenant(other.id), "customer", "4711", 10).await, [other.id]);
    assert_eq!(all("contract", "C'\"\u{fc}%").await, [acme.id]);
    assert_eq!(all("empty", "").await, [acme.id]);
    for (key, value) in
        [("customer", "471"), ("Customer", "4711"), ("contract", "%"), ("none", ""), ("4711", "customer")]
    {
        assert_eq!(all(key, value).await, [], "{key} {value}");
    }
    acme.metadata = with("acme", &[("customer", "4712"), ("new", "1")]).metadata;
    acme.version += 1;
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.update_tenant(&acme).await.unwrap();
    tx.commit(audit("tenant.updated")).await.unwrap();
    assert_eq!((all("customer", "4711").await, all("customer", "4712").await), (vec![other.id], vec![acme.id]));
    assert_eq!((all("contract", "C'\"\u{fc}%").await, all("new", "1").await), (vec![], vec![acme.id]));
    delete(&store, &other).await.unwrap();
    assert_eq!(all("customer", "4711").await, []);
}
