//! Cases about products, entitlements, trials and requests.
//!
//! Invariant of the cases: one row per tenant and product, one open request of each pair, and a product that a tenant
//! has, or had, stays.

use std::sync::Arc;

use domain::entitlement::Source;
use domain::{
    CatalogRequest, ChangeKind, ChangeOp, Entitlement, EntitlementId, EntitlementState, Limits, Product, ProductKey,
    RequestStatus, Tenant, Timestamp,
};
use serde_json::Value;

use super::conflict;
use crate::error::{Conflict, StoreError};
use crate::port::{EntitlementFilter, EntitlementRow, Page, ReadTx, Removal, RequestFilter, Scope, Store};
use crate::testing::Backend;
use crate::testing::fixtures::{
    audit, catalog_request, create, delete, entitlement, feed_after, first, frozen, give, later, next_uuid, now, offer,
    product, tenant,
};

async fn view(store: &Arc<dyn Store>) -> Box<dyn ReadTx> {
    store.read(Scope::Platform).await.unwrap()
}

/// Tenants with names, and products, all stored.
async fn world(store: &Arc<dyn Store>, slugs: &[&str], products: &[&str]) -> Vec<Tenant> {
    let tenants: Vec<Tenant> = slugs.iter().map(|slug| frozen(slug, &[])).collect();
    for tenant in &tenants {
        create(store, tenant).await.unwrap();
    }
    offer(store, products).await.unwrap();
    tenants
}

fn whole(tenant: &Tenant) -> Entitlement {
    let limits = r#"{"b":1.5,"a":18446744073709551615,"ключ":true,"":-7}"#;
    Entitlement {
        state: EntitlementState::Trial,
        source: Source::Request,
        starts_at: Some(later(-5)),
        expires_at: Some(later(5)),
        limits: serde_json::from_str::<Limits>(limits).unwrap(),
        updated_at: later(1),
        ..entitlement(tenant, "crm")
    }
}

pub async fn an_entitlement_comes_back_with_every_field(backend: &dyn Backend) {
    let store = backend.store();
    let acme = world(&store, &["acme"], &["crm", "bare"]).await.remove(0);
    let (full, bare) = (whole(&acme), entitlement(&acme, "bare"));
    give(&store, &full).await.unwrap();
    give(&store, &bare).await.unwrap();
    let mut view = view(&store).await;
    assert_eq!(view.get_entitlement(full.id).await.unwrap().as_ref(), Some(&full));
    assert_eq!(view.get_entitlement_to(acme.id, "bare").await.unwrap().as_ref(), Some(&bare));
    assert_eq!(view.entitlements_of(acme.id).await.unwrap(), [bare, full], "in the order of their products");
    assert_eq!(view.get_entitlement(EntitlementId(next_uuid())).await.unwrap(), None);
    assert_eq!(view.get_entitlement_to(acme.id, "CRM").await.unwrap(), None);
}

pub async fn an_entitlement_is_written_over_and_stays_one_row(backend: &dyn Backend) {
    let store = backend.store();
    let acme = world(&store, &["acme"], &["crm"]).await.remove(0);
    let mut held = whole(&acme);
    give(&store, &held).await.unwrap();
    assert!(held.revoke(later(9)));
    held.expires_at = None;
    held.limits = Limits::new();
    give(&store, &held).await.unwrap();
    assert_eq!(view(&store).await.entitlements_of(acme.id).await.unwrap(), [held.clone()]);
    let other = Entitlement { id: EntitlementId(next_uuid()), ..held.clone() };
    assert_eq!(conflict(give(&store, &other).await), Conflict::Stale);
    assert_eq!(view(&store).await.entitlements_of(acme.id).await.unwrap(), [held]);
}

pub async fn an_entitlement_needs_its_product_and_its_tenant(backend: &dyn Backend) {
    let store = backend.store();
    let acme = world(&store, &["acme"], &["crm"]).await.remove(0);
    for bad in [entitlement(&acme, "unknown"), entitlement(&tenant("nobody"), "crm")] {
        let outcome = give(&store, &bad).await;
        assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
        assert_eq!(view(&store).await.get_entitlement(bad.id).await.unwrap(), None);
    }
}

pub async fn entitlements_are_listed_newest_first_with_their_tenants_standing(backend: &dyn Backend) {
    let store = backend.store();
    let gone = world(&store, &["gone"], &["a", "b", "c"]).await.remove(0);
    let trial = tenant("trial");
    create(&store, &trial).await.unwrap();
    let all = [
        entitlement(&gone, "a"),
        entitlement(&trial, "a"),
        entitlement(&gone, "b"),
        entitlement(&trial, "c"),
        entitlement(&trial, "b"),
    ];
    for one in &all {
        give(&store, one).await.unwrap();
    }
    let list = async |filter: &EntitlementFilter, page: Page<EntitlementId>| {
        view(&store).await.list_entitlements(filter, page).await.unwrap()
    };
    let rows = |ends: bool, wanted: &[usize]| -> Vec<EntitlementRow> {
        let row = |place: &usize| {
            let entitlement = all[*place].clone();
            EntitlementRow { tenant_frozen: ends || entitlement.tenant_id == gone.id, entitlement }
        };
        wanted.iter().map(row).collect()
    };
    let during = EntitlementFilter { tenant: None, now: now() };
    assert_eq!(list(&during, first(9)).await, rows(false, &[4, 3, 2, 1, 0]));
    assert_eq!(list(&during, first(2)).await, rows(false, &[4, 3]));
    let behind = Page { after: Some(all[3].id), limit: 2 };
    assert_eq!(list(&during, behind).await, rows(false, &[2, 1]));
    let of_trial = EntitlementFilter { tenant: Some(trial.id), now: trial.trial_ends_at.unwrap() };
    assert_eq!(list(&of_trial, first(9)).await, rows(true, &[4, 3, 1]), "its trial is over at that very moment");
    assert_eq!(list(&EntitlementFilter { tenant: Some(tenant("none").id), now: now() }, first(9)).await, []);
}

pub async fn a_product_comes_back_is_written_over_and_goes(backend: &dyn Backend) {
    let store = backend.store();
    let full = Product {
        description: Some("Zeile 1\nשורה 2".to_owned()),
        trial_days: 365,
        requestable: false,
        created_at: later(3),
        ..product("a.b-c_9")
    };
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.lock_product("a.b-c_9").await.unwrap(), None);
    assert!(tx.insert_product(&full).await.unwrap());
    assert!(!tx.insert_product(&product("a.b-c_9")).await.unwrap(), "the first stays");
    assert_eq!(tx.lock_product("a.b-c_9").await.unwrap().as_ref(), Some(&full));
    tx.commit(audit("product.created")).await.unwrap();
    let changed = Product { description: None, trial_days: 1, requestable: true, ..full };
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.update_product(&changed).await.unwrap();
    tx.commit(audit("product.updated")).await.unwrap();
    assert_eq!(view(&store).await.get_product("a.b-c_9").await.unwrap(), Some(changed));
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.delete_product("a.b-c_9").await.unwrap(), Removal::Removed);
    assert_eq!(tx.delete_product("a.b-c_9").await.unwrap(), Removal::Absent);
    tx.commit(audit("product.deleted")).await.unwrap();
    assert_eq!(view(&store).await.get_product("a.b-c_9").await.unwrap(), None);
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(conflict(tx.update_product(&product("never")).await), Conflict::Stale);
}

pub async fn products_are_listed_newest_first_and_only_those_asked_for(backend: &dyn Backend) {
    let store = backend.store();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    for (key, second, requestable) in
        [("m", 0, true), ("z", 5, true), ("a", 5, false), ("k", 5, true), ("b", 9, false), ("y", -3, true)]
    {
        let product = Product { created_at: later(second), requestable, ..product(key) };
        assert!(tx.insert_product(&product).await.unwrap());
    }
    tx.commit(audit("product.created")).await.unwrap();
    let keys = async |all: bool, page: Page<(Timestamp, ProductKey)>| {
        let found = view(&store).await.list_products(all, page).await.unwrap();
        found.into_iter().map(|product| product.key.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(true, first(9)).await, ["b", "z", "k", "a", "m", "y"]);
    assert_eq!(keys(false, first(9)).await, ["z", "k", "m", "y"]);
    assert_eq!(keys(true, first(2)).await, ["b", "z"]);
    let behind = |key: &str| Page { after: Some((later(5), ProductKey::stored(key.to_owned()))), limit: 2 };
    assert_eq!(keys(true, behind("z")).await, ["k", "a"]);
    assert_eq!(keys(false, behind("k")).await, ["m", "y"]);
}

pub async fn a_product_that_a_tenant_had_stays(backend: &dyn Backend) {
    let store = backend.store();
    let acme = world(&store, &["acme"], &["crm"]).await.remove(0);
    let mut held = entitlement(&acme, "crm");
    held.revoke(later(1));
    give(&store, &held).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.delete_product("crm").await.unwrap(), Removal::InUse);
    drop(tx);
    delete(&store, &acme).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.delete_product("crm").await.unwrap(), Removal::Removed);
    tx.commit(audit("product.deleted")).await.unwrap();
}

/// Whoever grants holds the product; whoever removes it waits and then finds it in use.
pub async fn a_product_is_not_removed_while_it_is_being_granted(backend: &dyn Backend) {
    let store = backend.store();
    let acme = world(&store, &["acme"], &["crm"]).await.remove(0);
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert!(tx.hold_product("crm").await.unwrap().is_some());
    let other = backend.reopen().await;
    let waiting = tokio::spawn(async move {
        let mut tx = other.begin(Scope::Platform).await?;
        tx.delete_product("crm").await
    });
    backend.until_somebody_waits().await;
    tx.put_entitlement(&entitlement(&acme, "crm")).await.unwrap();
    tx.commit(audit("entitlement.granted")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), Removal::InUse);
}

/// And the other way round: whoever would grant waits for the removal, and then finds nothing to grant.
pub async fn a_product_is_not_granted_while_it_is_being_removed(backend: &dyn Backend) {
    let store = backend.store();
    world(&store, &[], &["crm"]).await;
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.delete_product("crm").await.unwrap(), Removal::Removed);
    let other = backend.reopen().await;
    let waiting = tokio::spawn(async move {
        let mut tx = other.begin(Scope::Platform).await?;
        tx.hold_product("crm").await
    });
    backend.until_somebody_waits().await;
    tx.commit(audit("product.deleted")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), None);
}

pub async fn a_trial_is_used_once_for_each_tenant_and_product(backend: &dyn Backend) {
    let store = backend.store();
    let tenants = world(&store, &["acme", "other"], &["crm", "cms"]).await;
    let use_trial = async |tenant: &Tenant, product: &str| {
        let mut tx = store.begin(Scope::Platform).await.unwrap();
        let first = tx.use_trial(tenant.id, product, now()).await.unwrap();
        tx.commit(audit("trial.started")).await.unwrap();
        first
    };
    for _ in 0..2 {
        for (tenant, product) in [(0, "crm"), (0, "cms"), (1, "crm")] {
            use_trial(&tenants[tenant], product).await;
        }
    }
    assert!(!use_trial(&tenants[0], "crm").await && !use_trial(&tenants[1], "crm").await);
    assert!(use_trial(&tenants[1], "cms").await, "the other tenant had not tried this one");
    // It outlives the product, and goes with its tenant.
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.delete_product("crm").await.unwrap(), Removal::Removed);
    tx.commit(audit("product.deleted")).await.unwrap();
    assert!(!use_trial(&tenants[0], "crm").await);
    delete(&store, &tenants[0]).await.unwrap();
    create(&store, &tenants[0]).await.unwrap();
    assert!(use_trial(&tenants[0], "crm").await);
    assert!(!use_trial(&tenants[1], "crm").await);
}

pub async fn a_request_comes_back_and_is_decided_once(backend: &dyn Backend) {
    let store = backend.store();
    let acme = world(&store, &["acme"], &[]).await.remove(0);
    let mut request = CatalogRequest { message: Some("Bitte!\n🦀".to_owned()), ..catalog_request(&acme, "gone") };
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert!(tx.insert_catalog_request(&request).await.unwrap());
    tx.commit(audit("catalog.requested")).await.unwrap();
    assert_eq!(view(&store).await.get_catalog_request(request.id).await.unwrap().as_ref(), Some(&request));
    request.decide(true, "user:root", later(4)).unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.lock_catalog_request(request.id).await.unwrap().unwrap().status, RequestStatus::Open);
    tx.decide_catalog_request(&request).await.unwrap();
    tx.commit(audit("catalog.approved")).await.unwrap();
    assert_eq!(view(&store).await.get_catalog_request(request.id).await.unwrap().as_ref(), Some(&request));
    let again = CatalogRequest { status: RequestStatus::Rejected, ..request.clone() };
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(conflict(tx.decide_catalog_request(&again).await), Conflict::Stale);
    assert_eq!(view(&store).await.get_catalog_request(request.id).await.unwrap(), Some(request));
}

pub async fn one_request_of_a_tenant_for_a_product_is_open(backend: &dyn Backend) {
    let store = backend.store();
    let tenants = world(&store, &["acme", "other"], &[]).await;
    let mut open = catalog_request(&tenants[0], "crm");
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert!(tx.insert_catalog_request(&open).await.unwrap());
    assert!(!tx.insert_catalog_request(&catalog_request(&tenants[0], "crm")).await.unwrap());
    assert!(tx.insert_catalog_request(&catalog_request(&tenants[0], "cms")).await.unwrap());
    assert!(tx.insert_catalog_request(&catalog_request(&tenants[1], "crm")).await.unwrap());
    open.decide(false, "user:root", later(1)).unwrap();
    tx.decide_catalog_request(&open).await.unwrap();
    assert!(tx.insert_catalog_request(&catalog_request(&tenants[0], "crm")).await.unwrap(), "once it was decided");
    tx.commit(audit("catalog.requested")).await.unwrap();
}

pub async fn requests_are_listed_newest_first_and_filtered(backend: &dyn Backend) {
    let store = backend.store();
    let tenants = world(&store, &["acme", "other"], &[]).await;
    let mut all = Vec::new();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    for (tenant, product, decision) in
        [(0, "a", None), (1, "a", Some(true)), (0, "b", Some(false)), (0, "c", Some(true)), (1, "d", None)]
    {
        let mut request = catalog_request(&tenants[tenant], product);
        assert!(tx.insert_catalog_request(&request).await.unwrap());
        if let Some(approved) = decision {
            request.decide(approved, "user:root", later(1)).unwrap();
            tx.decide_catalog_request(&request).await.unwrap();
        }
        all.push(request);
    }
    tx.commit(audit("catalog.requested")).await.unwrap();
    let check = async |tenant: Option<usize>, status: Option<RequestStatus>, wanted: &[usize]| {
        let filter = RequestFilter { tenant: tenant.map(|place| tenants[place].id), status };
        let found = view(&store).await.list_catalog_requests(&filter, first(9)).await.unwrap();
        assert_eq!(found, wanted.iter().map(|place| all[*place].clone()).collect::<Vec<_>>(), "{filter:?}");
    };
    check(None, None, &[4, 3, 2, 1, 0]).await;
    check(Some(0), None, &[3, 2, 0]).await;
    check(None, Some(RequestStatus::Open), &[4, 0]).await;
    check(None, Some(RequestStatus::Approved), &[3, 1]).await;
    check(Some(0), Some(RequestStatus::Rejected), &[2]).await;
    check(Some(1), Some(RequestStatus::Rejected), &[]).await;
    let behind = Page { after: Some(all[3].id), limit: 2 };
    let found = view(&store).await.list_catalog_requests(&RequestFilter::default(), behind).await.unwrap();
    assert_eq!(found, [all[2].clone(), all[1].clone()]);
}

pub async fn every_write_of_an_entitlement_is_in_the_feed(backend: &dyn Backend) {
    let store = backend.store();
    let acme = world(&store, &["acme"], &["crm", "cms"]).await.remove(0);
    let after = feed_after(&store, Default::default()).await.unwrap().last().unwrap().seq;
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_product(&product("quiet")).await.unwrap();
    tx.insert_catalog_request(&catalog_request(&acme, "quiet")).await.unwrap();
    tx.use_trial(acme.id, "quiet", now()).await.unwrap();
    tx.commit(audit("product.created")).await.unwrap();
    let (mut crm, cms) = (whole(&acme), entitlement(&acme, "cms"));
    give(&store, &crm).await.unwrap();
    give(&store, &cms).await.unwrap();
    crm.revoke(later(7));
    give(&store, &crm).await.unwrap();
    delete(&store, &acme).await.unwrap();
    let changes: Vec<_> = feed_after(&store, after).await.unwrap().into_iter().map(|change| change.change).collect();
    let sketch: Vec<_> = changes.iter().map(|change| (change.kind, change.op, change.id.clone())).collect();
    let (kind, upsert, gone) = (ChangeKind::Entitlement, ChangeOp::Upsert, ChangeOp::Delete);
    let expected = [
        (kind, upsert, crm.id.to_string()),
        (kind, upsert, cms.id.to_string()),
        (kind, upsert, crm.id.to_string()),
        (kind, gone, cms.id.to_string()),
        (kind, gone, crm.id.to_string()),
        (ChangeKind::Tenant, gone, acme.id.to_string()),
    ];
    assert_eq!(sketch, expected);
    assert!(changes.iter().all(|change| change.tenant_id == Some(acme.id)));
    let value: Value = serde_json::from_str(changes[2].value.as_deref().unwrap()).unwrap();
    let mut wanted = serde_json::to_value(&crm).unwrap();
    for left_out in ["created_at", "updated_at"] {
        wanted.as_object_mut().unwrap().remove(left_out);
    }
    assert_eq!(value, wanted);
}

pub async fn what_a_tenant_has_goes_with_it(backend: &dyn Backend) {
    let store = backend.store();
    let tenants = world(&store, &["acme", "other"], &["crm"]).await;
    for tenant in &tenants {
        let mut tx = store.begin(Scope::Platform).await.unwrap();
        tx.put_entitlement(&entitlement(tenant, "crm")).await.unwrap();
        tx.use_trial(tenant.id, "crm", now()).await.unwrap();
        tx.insert_catalog_request(&catalog_request(tenant, "crm")).await.unwrap();
        tx.commit(audit("given")).await.unwrap();
    }
    delete(&store, &tenants[0]).await.unwrap();
    create(&store, &tenants[0]).await.unwrap();
    assert_eq!(view(&store).await.entitlements_of(tenants[0].id).await.unwrap(), []);
    let requests = view(&store).await.list_catalog_requests(&RequestFilter::default(), first(9)).await.unwrap();
    assert_eq!(requests.iter().map(|request| request.tenant_id).collect::<Vec<_>>(), [tenants[1].id]);
    assert_eq!(view(&store).await.entitlements_of(tenants[1].id).await.unwrap().len(), 1);
}

pub async fn a_tenant_sees_only_what_is_its_own_and_the_catalog(backend: &dyn Backend) {
    let store = backend.store();
    let tenants = world(&store, &["mine", "other"], &["crm"]).await;
    let mut given = Vec::new();
    for tenant in &tenants {
        let (held, request) = (entitlement(tenant, "crm"), catalog_request(tenant, "crm"));
        let mut tx = store.begin(Scope::Platform).await.unwrap();
        tx.put_entitlement(&held).await.unwrap();
        tx.insert_catalog_request(&request).await.unwrap();
        tx.commit(audit("given")).await.unwrap();
        given.push((held, request));
    }
    let (mine, other) = (&given[0], &given[1]);
    let mut view = store.read(Scope::Tenant(tenants[0].id)).await.unwrap();
    assert_eq!(view.get_entitlement(mine.0.id).await.unwrap().as_ref(), Some(&mine.0));
    assert_eq!(view.get_catalog_request(mine.1.id).await.unwrap().as_ref(), Some(&mine.1));
    assert_eq!(view.list_entitlements(&EntitlementFilter::default(), first(9)).await.unwrap().len(), 1);
    assert_eq!(view.list_catalog_requests(&RequestFilter::default(), first(9)).await.unwrap().len(), 1);
    assert_eq!(view.entitlements_of(tenants[0].id).await.unwrap().len(), 1);
    assert!(view.get_product("crm").await.unwrap().is_some());
    assert_eq!(view.list_products(true, first(9)).await.unwrap().len(), 1);
    assert_eq!(view.get_entitlement(other.0.id).await.unwrap(), None);
    assert_eq!(view.get_entitlement_to(tenants[1].id, "crm").await.unwrap(), None);
    assert_eq!(view.get_catalog_request(other.1.id).await.unwrap(), None);
    assert_eq!(view.entitlements_of(tenants[1].id).await.unwrap(), []);
    let filter = EntitlementFilter { tenant: Some(tenants[1].id), now: now() };
    assert_eq!(view.list_entitlements(&filter, first(9)).await.unwrap(), []);
    let filter = RequestFilter { tenant: Some(tenants[1].id), status: None };
    assert_eq!(view.list_catalog_requests(&filter, first(9)).await.unwrap(), []);
}
