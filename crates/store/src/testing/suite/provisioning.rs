//! Cases about the identity work of tenants.
//!
//! Invariant of the cases: no change of a tenant is missed, of two workers one has the work, and a late one writes nothing.

use std::sync::Arc;

use domain::provisioning::{Step, Switched, Wanted};
use domain::{ChangeKind, IdentityWork, Provisioning, ProvisioningStatus, Tenant, Timestamp};

use crate::error::{Result, StoreError};
use crate::port::{Saved, Scope, Store, Unaudited};
use crate::testing::Backend;
use crate::testing::fixtures::{
    audit, create, delete, entitlement, feed_after, frozen, give, later, now, offer, stored, tenant, update,
};

/// A tenant whose administrator is to be invited.
fn inviting(slug: &str) -> Tenant {
    Tenant {
        admin_email: Some(format!("ada@{slug}.example")),
        admin_name: Some("Ada Müller".to_owned()),
        provisioning: Provisioning::BEGUN,
        ..tenant(slug)
    }
}

async fn work(store: &Arc<dyn Store>, tenant: &Tenant) -> Option<IdentityWork> {
    store.read(Scope::Platform).await.unwrap().get_identity_work(tenant.id).await.unwrap()
}

async fn claim(store: &Arc<dyn Store>, tenant: &Tenant, at: Timestamp, until: Timestamp) -> Option<IdentityWork> {
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    let claimed = tx.claim_identity_work(tenant.id, at, at.max(later(5)), until).await.unwrap();
    tx.commit_unaudited(Unaudited::Provisioning).await.unwrap();
    claimed
}

async fn save(store: &Arc<dyn Store>, work: &IdentityWork, told: Option<&Tenant>) -> Result<Saved> {
    let mut tx = store.begin(Scope::Platform).await?;
    let saved = tx.save_identity_work(work, told).await?;
    tx.commit_unaudited(Unaudited::Provisioning).await?;
    Ok(saved)
}

/// Work in which every column says something.
fn full(mut work: IdentityWork) -> IdentityWork {
    work.done = work.wanted;
    work.shown = Provisioning {
        status: ProvisioningStatus::Failed,
        step: Some(Step::Email),
        organization_id: Some("0b3f".to_owned()),
        error: Some("mail_failed".to_owned()),
    };
    work.organization_meant = true;
    work.pushed = Some(r#"{"name":"Zoë 🦀"}"#.to_owned());
    work.organization_switched = Some(Switched::Left);
    work.account_id = Some("4711".to_owned());
    work.account_ours = true;
    work.account_meant_at = Some(later(3));
    work.is_member = true;
    work.is_admin = true;
    work.mail_claimed = true;
    work.mail_settled_at = Some(later(4));
    work.account_switched = Some(Switched::Meant);
    work.provisioned_at = Some(later(5));
    work.told = Some((Step::Email, "mail_failed".to_owned()));
    work.attempts = 3;
    work.due_at = Some(later(60));
    work.lease_until = None;
    work
}

pub async fn the_work_of_a_tenant_begins_with_it_where_somebody_is_to_be_invited(backend: &dyn Backend) {
    let (store, acme, bare) = (backend.store(), inviting("acme"), tenant("bare"));
    create(&store, &acme).await.unwrap();
    create(&store, &bare).await.unwrap();
    assert_eq!(work(&store, &acme).await, IdentityWork::of(&acme));
    assert_eq!(work(&store, &bare).await, None);
    assert_eq!(stored(&store, &acme).await.unwrap().unwrap().provisioning, Provisioning::BEGUN);
    assert_eq!(stored(&store, &bare).await.unwrap().unwrap().provisioning, Provisioning::SKIPPED);
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&inviting("never"), domain::Nesting::Allowed).await.unwrap();
    drop(tx);
    assert_eq!(store.due_identity_work(later(4), 9).await.unwrap(), [], "whoever made it does it");
    assert_eq!(store.due_identity_work(later(5), 9).await.unwrap(), [acme.id], "and everybody after a while");
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert!(tx.claim_identity_work(acme.id, now(), later(4), later(9)).await.unwrap().is_none());
    assert!(tx.claim_identity_work(acme.id, now(), later(5), later(9)).await.unwrap().is_some());
}

pub async fn work_comes_back_with_every_field_and_shows_with_its_tenant(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), inviting("acme"));
    create(&store, &acme).await.unwrap();
    let claimed = claim(&store, &acme, now(), later(9)).await.unwrap();
    assert_eq!((claimed.fence, claimed.lease_until), (1, Some(later(9))));
    let written = full(claimed);
    let before = feed_after(&store, store.head().await.unwrap()).await.unwrap().len();
    let head = store.head().await.unwrap();
    let shown = Tenant { provisioning: written.shown.clone(), ..acme.clone() };
    assert_eq!(save(&store, &written, Some(&shown)).await.unwrap(), Saved::Written);
    assert_eq!(work(&store, &acme).await, Some(written.clone()));
    let told = feed_after(&store, head).await.unwrap();
    assert_eq!((before, told.len(), told[0].change.kind), (0, 1, ChangeKind::Tenant), "followers are told");
    let again = stored(&store, &acme).await.unwrap().unwrap();
    assert_eq!(again, shown, "the version is as it was");
    // A tenant's own view shows it too, and the work itself to nobody but the platform.
    let mut own = store.read(Scope::Tenant(acme.id)).await.unwrap();
    assert_eq!(own.get_tenant(acme.id).await.unwrap(), Some(shown));
    let refused = own.get_identity_work(acme.id).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
}

pub async fn work_is_one_workers_until_the_lease_is_over(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), inviting("acme"));
    create(&store, &acme).await.unwrap();
    let first = claim(&store, &acme, now(), later(10)).await.unwrap();
    assert_eq!(claim(&store, &acme, later(9), later(99)).await, None);
    assert!(store.due_identity_work(later(9), 9).await.unwrap().is_empty());
    assert_eq!(store.due_identity_work(later(10), 9).await.unwrap(), [acme.id]);
    let second = claim(&store, &acme, later(10), later(20)).await.unwrap();
    assert_eq!((first.fence, second.fence), (1, 2));
    // The first comes back late: neither what it did nor that it ends is written.
    assert_eq!(save(&store, &full(first.clone()), None).await.unwrap(), Saved::Lost);
    assert_eq!(work(&store, &acme).await, Some(second.clone()));
    assert_eq!(save(&store, &full(second), None).await.unwrap(), Saved::Written);
    assert_eq!(claim(&store, &acme, later(59), later(99)).await, None, "it is not due");
    assert_eq!(claim(&store, &acme, later(60), later(99)).await.unwrap().fence, 3);
}

pub async fn of_many_that_claim_work_one_gets_it(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), inviting("acme"));
    create(&store, &acme).await.unwrap();
    let claims = (0..8).map(|_| {
        let (store, acme) = (Arc::clone(&store), acme.clone());
        tokio::spawn(async move { claim(&store, &acme, now(), later(10)).await })
    });
    let mut won = 0;
    for claimed in claims.collect::<Vec<_>>() {
        won += usize::from(claimed.await.unwrap().is_some());
    }
    assert_eq!(won, 1);
}

pub async fn every_change_of_a_tenant_or_of_what_it_has_asks_for_its_work(backend: &dyn Backend) {
    let (store, mut acme) = (backend.store(), inviting("acme"));
    create(&store, &acme).await.unwrap();
    offer(&store, &["crm"]).await.unwrap();
    let settle = async |acme: &Tenant| {
        let mut claimed = claim(&store, acme, later(1_000), later(2_000)).await.expect("it is due");
        claimed.finish(claimed.wanted, &Wanted::gone(), now());
        assert_eq!(save(&store, &claimed, None).await.unwrap(), Saved::Written);
        assert_eq!(claim(&store, acme, later(1_000), later(2_000)).await, None, "nothing is left to do");
    };
    settle(&acme).await;
    acme.name = "Other".to_owned();
    acme.version += 1;
    update(&store, &acme).await.unwrap();
    settle(&acme).await;
    let mut held = entitlement(&acme, "crm");
    give(&store, &held).await.unwrap();
    settle(&acme).await;
    held.revoke(later(5));
    give(&store, &held).await.unwrap();
    settle(&acme).await;
    acme.cancel(later(6)).unwrap();
    update(&store, &acme).await.unwrap();
    settle(&acme).await;
    assert!(!work(&store, &acme).await.unwrap().gone);
    // What is rolled back asks for nothing.
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.put_entitlement(&entitlement(&acme, "crm")).await.unwrap_err();
    drop(tx);
    assert_eq!(claim(&store, &acme, later(1_000), later(2_000)).await, None);
    delete(&store, &acme).await.unwrap();
    assert!(work(&store, &acme).await.unwrap().gone);
    settle(&acme).await;
}

pub async fn what_is_asked_for_while_somebody_works_is_due_at_once(backend: &dyn Backend) {
    let (store, mut acme) = (backend.store(), inviting("acme"));
    create(&store, &acme).await.unwrap();
    let claimed = claim(&store, &acme, now(), later(10)).await.unwrap();
    acme.name = "Other".to_owned();
    acme.version += 1;
    update(&store, &acme).await.unwrap();
    let mut done = full(claimed);
    done.due_at = None;
    assert_eq!(save(&store, &done, None).await.unwrap(), Saved::More);
    let again = claim(&store, &acme, now(), later(10)).await.unwrap();
    assert_eq!((again.wanted, again.done), (2, 1));
    assert_eq!(again.account_id.as_deref(), Some("4711"), "and what was done is kept");
}

pub async fn the_work_outlives_its_tenant_and_goes_when_it_is_done(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), frozen("acme", &[]));
    let acme = Tenant { admin_email: Some("a@acme.example".to_owned()), ..acme };
    create(&store, &acme).await.unwrap();
    let early = claim(&store, &acme, now(), later(10)).await.unwrap();
    assert!(!remove(&store, &early).await, "its tenant is there");
    delete(&store, &acme).await.unwrap();
    let mut view = store.read(Scope::Platform).await.unwrap();
    assert_eq!(view.former_holders_of_slug("acme").await.unwrap(), [acme.id]);
    assert!(view.former_holders_of_slug("other").await.unwrap().is_empty());
    drop(view);
    // The slug is free: the next tenant of it has work of its own.
    let next = inviting("acme");
    create(&store, &next).await.unwrap();
    let late = claim(&store, &acme, later(10), later(20)).await.unwrap();
    assert!(late.gone && late.slug == "acme" && late.email == "a@acme.example");
    assert!(!remove(&store, &early).await, "somebody else is at it");
    assert!(remove(&store, &late).await);
    assert_eq!((work(&store, &acme).await, work(&store, &next).await.is_some()), (None, true));
}

async fn remove(store: &Arc<dyn Store>, work: &IdentityWork) -> bool {
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    let removed = tx.remove_identity_work(work).await.unwrap();
    tx.commit_unaudited(Unaudited::Provisioning).await.unwrap();
    removed
}

pub async fn a_mail_is_asked_for_and_work_begun_where_there_was_none(backend: &dyn Backend) {
    let (store, acme, bare) = (backend.store(), inviting("acme"), tenant("bare"));
    create(&store, &acme).await.unwrap();
    create(&store, &bare).await.unwrap();
    let ask = async |tenant: &Tenant, at| {
        let mut tx = store.begin(Scope::Platform).await.unwrap();
        let asked = tx.ask_for_provisioning(tenant, at, at).await.unwrap();
        tx.commit_unaudited(Unaudited::Provisioning).await.unwrap();
        asked
    };
    save(&store, &full(claim(&store, &acme, now(), later(10)).await.unwrap()), None).await.unwrap();
    assert!(ask(&acme, later(7)).await && ask(&acme, later(6)).await);
    let asked = work(&store, &acme).await.unwrap();
    assert_eq!((asked.asked_at, asked.attempts, asked.wanted), (Some(later(7)), 0, 3), "the later one counts");
    assert!(claim(&store, &acme, later(6), later(10)).await.is_some(), "whatever the wait was");
    assert!(!ask(&bare, now()).await);
    // A tenant of an earlier release, of which nobody has thought yet.
    backend.execute("DELETE FROM provisioning").await.unwrap();
    let shown = async || stored(&store, &acme).await.unwrap().unwrap().provisioning;
    assert_eq!(shown().await, Provisioning::SKIPPED);
    assert!(ask(&acme, now()).await);
    assert_eq!(shown().await, Provisioning::BEGUN);
}

pub async fn who_shares_an_account_is_found_and_held(backend: &dyn Backend) {
    let store = backend.store();
    let (one, two, other) = (inviting("one"), inviting("two"), inviting("other"));
    for tenant in [&one, &two, &other] {
        create(&store, tenant).await.unwrap();
        let mut claimed = claim(&store, tenant, now(), later(10)).await.unwrap();
        claimed.account_id = Some(if tenant.id == other.id { "b" } else { "a" }.to_owned());
        save(&store, &claimed, None).await.unwrap();
    }
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    let held = tx.lock_identity_work_of_account("a").await.unwrap();
    assert_eq!(held.iter().map(|work| work.tenant_id).collect::<Vec<_>>(), [one.id, two.id]);
    assert!(tx.lock_identity_work_of_account("c").await.unwrap().is_empty());
    tx.commit(audit("nothing")).await.unwrap();
}

pub async fn an_account_that_is_not_ours_cannot_be_noted_as_switched_off(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), inviting("acme"));
    create(&store, &acme).await.unwrap();
    let theirs = IdentityWork { account_ours: false, ..full(claim(&store, &acme, now(), later(10)).await.unwrap()) };
    let refused = save(&store, &theirs, None).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
}
