//! Cases about the audit log.
//!
//! Invariant of the cases: an event is compared whole, and nothing can change one, not even SQL with the service's power.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use domain::time::from_micros;
use domain::{ActionPattern, AuditBatch, AuditEvent, Crud, EventId, Party};

use crate::error::{Result, StoreError};
use crate::port::{AuditFilter, Page, Scope, Store};
use crate::testing::Backend;
use crate::testing::fixtures::{create, event, first, later, now, tenant};

async fn write(store: &Arc<dyn Store>, events: Vec<AuditEvent>) -> Result<()> {
    store.begin(Scope::Platform).await?.commit(AuditBatch::from_events(events).unwrap()).await
}

fn exact(action: &str) -> ActionPattern {
    ActionPattern::Exact(action.to_owned())
}

async fn all(store: &Arc<dyn Store>) -> Vec<AuditEvent> {
    store.read(Scope::Platform).await.unwrap().list_audit_events(&AuditFilter::default(), first(10_000)).await.unwrap()
}

pub async fn an_event_comes_back_with_every_field(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let texts =
        BTreeMap::from([("ключ \0".to_owned(), "значение 🦀 \0 \u{1}".to_owned()), ("a".to_owned(), String::new())]);
    let (before, after) = ("2001:db8::1".parse().unwrap(), "192.0.2.7".parse().unwrap());
    let party = Party {
        id: "id".to_owned(),
        name: Some("Näme".to_owned()),
        kind: Some("person".to_owned()),
        href: Some("https://a.example/p".to_owned()),
        fields: texts.clone(),
    };
    let full = AuditEvent {
        crud: Crud::D,
        actor: Some(party.clone()),
        target: Some(Party { kind: None, ..party }),
        created: from_micros(-1),
        received: from_micros(1_790_000_000_999_999),
        source_ip: Some(before),
        description: Some("did \"it\"".to_owned()),
        is_failure: true,
        fields: texts.clone(),
        component: Some("web".to_owned()),
        version: Some("1.2.3".to_owned()),
        external_id: Some("ext-1".to_owned()),
        metadata: texts,
        ..event("a.b").about(&acme)
    };
    let second = AuditEvent { id: event("x").id, source_ip: Some(after), crud: Crud::R, ..full.clone() };
    write(&store, vec![full.clone(), second.clone()]).await.unwrap();
    let filter = AuditFilter { action: Some(exact("a.b")), ..AuditFilter::default() };
    let found = store.read(Scope::Platform).await.unwrap().list_audit_events(&filter, first(9)).await.unwrap();
    assert_eq!(found, [second, full]);
}

pub async fn an_anonymous_event_comes_back(backend: &dyn Backend) {
    let store = backend.store();
    let anonymous = AuditEvent { actor: None, is_anonymous: true, crud: Crud::C, ..event("visited") };
    write(&store, vec![anonymous.clone()]).await.unwrap();
    assert_eq!(all(&store).await, [anonymous]);
}

pub async fn an_event_without_an_actor_has_to_be_anonymous(backend: &dyn Backend) {
    let store = backend.store();
    let outcome = write(&store, vec![AuditEvent { actor: None, ..event("visited") }]).await;
    assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
    assert_eq!(all(&store).await, []);
}

pub async fn events_are_paged_over_equal_times(backend: &dyn Backend) {
    let store = backend.store();
    let mut events: Vec<AuditEvent> = (0..10).map(|n| AuditEvent { received: later(n / 4), ..event("tick") }).collect();
    // The order of writing is of no account.
    events.rotate_left(3);
    write(&store, events.clone()).await.unwrap();
    events.sort_by_key(|event| std::cmp::Reverse((event.received, event.id)));
    let expected: Vec<EventId> = events.iter().map(|event| event.id).collect();
    for limit in [1, 3, 4, 10] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let mut view = store.read(Scope::Platform).await.unwrap();
            let page = view.list_audit_events(&AuditFilter::default(), Page { after, limit }).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.received, last.id));
            seen.extend(page.iter().map(|event| event.id));
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
}

pub async fn filters_narrow_the_log(backend: &dyn Backend) {
    let (store, acme, other) = (backend.store(), tenant("acme"), tenant("other"));
    create(&store, &acme).await.unwrap();
    create(&store, &other).await.unwrap();
    write(&store, vec![event("ping"), event("ping").about(&acme), event("pong").about(&acme)]).await.unwrap();
    let check = async |tenant, action: Option<&str>, expected: &[&str]| {
        let filter = AuditFilter { tenant, action: action.map(exact), ..AuditFilter::default() };
        let found = store.read(Scope::Platform).await.unwrap().list_audit_events(&filter, first(9)).await.unwrap();
        assert_eq!(found.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    check(None, None, &["pong", "ping", "ping", "tenant.created", "tenant.created"]).await;
    check(None, Some("ping"), &["ping", "ping"]).await;
    check(Some(acme.id), None, &["pong", "ping", "tenant.created"]).await;
    check(Some(acme.id), Some("ping"), &["ping"]).await;
    check(Some(other.id), Some("ping"), &[]).await;
    check(None, Some("p%"), &[]).await;
    check(None, Some("PING"), &[]).await;
}

pub async fn each_filter_narrows_the_log(backend: &dyn Backend) {
    let store = backend.store();
    let at = |action: &str, seconds| AuditEvent { received: later(seconds), ..event(action) };
    let by = |actor: &str, event| AuditEvent { actor: Some(Party::actor(actor)), ..event };
    write(
        &store,
        vec![
            AuditEvent { crud: Crud::C, ..at("key.created", 1) },
            AuditEvent { crud: Crud::D, target: Some(Party::target("key", "k-1", "First")), ..at("key.revoked", 2) },
            by("Ada", AuditEvent { description: Some("100% STRAẞE_x".to_owned()), ..at("Key.created", 3) }),
            by("ada", AuditEvent { fields: BTreeMap::from([("a".to_owned(), "Ünder\\".to_owned())]), ..at("keys", 4) }),
            AuditEvent {
                source_ip: Some("2001:db8::1".parse().unwrap()),
                component: Some("Web".to_owned()),
                ..at("k", 5)
            },
        ],
    )
    .await
    .unwrap();
    let check = async |filter: AuditFilter, expected: &[&str]| {
        let found = store.read(Scope::Platform).await.unwrap().list_audit_events(&filter, first(9)).await.unwrap();
        assert_eq!(found.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let none = AuditFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let prefix = |start: &str| Some(ActionPattern::Prefix(start.to_owned()));
    check(AuditFilter { action: prefix("key."), ..none() }, &["key.revoked", "key.created"]).await;
    check(AuditFilter { action: prefix("key"), ..none() }, &["keys", "key.revoked", "key.created"]).await;
    check(AuditFilter { action: prefix("Key.created"), ..none() }, &["Key.created"]).await;
    check(AuditFilter { action: prefix("k%"), ..none() }, &[]).await;
    check(AuditFilter { action: prefix(""), crud: Some(Crud::C), ..none() }, &["key.created"]).await;
    check(AuditFilter { crud: Some(Crud::D), ..none() }, &["key.revoked"]).await;
    check(AuditFilter { crud: Some(Crud::R), ..none() }, &[]).await;
    check(AuditFilter { actor_id: text("Ada"), ..none() }, &["Key.created"]).await;
    check(AuditFilter { actor_id: text("ad_"), ..none() }, &[]).await;
    check(AuditFilter { target_id: text("k-1"), ..none() }, &["key.revoked"]).await;
    check(AuditFilter { from: Some(later(4)), ..none() }, &["k", "keys"]).await;
    check(AuditFilter { to: Some(later(2)), ..none() }, &["key.created"]).await;
    check(AuditFilter { from: Some(later(2)), to: Some(later(4)), ..none() }, &["Key.created", "key.revoked"]).await;
    check(AuditFilter { from: Some(later(4)), to: Some(later(4)), ..none() }, &[]).await;
    check(AuditFilter { from: Some(later(4)), to: Some(later(2)), ..none() }, &[]).await;
    for (wanted, expected) in [
        ("strasse_", "Key.created"),
        ("100% ", "Key.created"),
        ("ADA\n100", "Key.created"),
        ("k-1", "key.revoked"),
        ("FIRST", "key.revoked"),
        ("üNDER\\", "keys"),
        ("DB8::1", "k"),
        ("web", "k"),
    ] {
        check(AuditFilter { text: text(wanted), ..none() }, &[expected]).await;
    }
    check(AuditFilter { text: text("KEY.CREATED"), ..none() }, &["Key.created", "key.created"]).await;
    for wanted in ["%%", "s_r", "ünder\\\\", "nothing"] {
        check(AuditFilter { text: text(wanted), ..none() }, &[]).await;
    }
}

pub async fn events_cannot_be_changed_or_deleted_through_sql(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    write(&store, vec![event("ping")]).await.unwrap();
    let before = all(&store).await;
    for sql in [
        "UPDATE audit_events SET action = 'other'",
        "UPDATE audit_events SET tenant_id = NULL",
        "UPDATE audit_events SET former_tenant_id = NULL",
        "UPDATE audit_events SET description = 'x' WHERE tenant_id IS NULL",
        "UPDATE audit_events SET id = id",
        "DELETE FROM audit_events",
        "INSERT INTO audit_events SELECT * FROM audit_events",
    ] {
        let outcome = backend.execute(sql).await;
        assert!(outcome.is_err(), "{sql}: {outcome:?}");
    }
    assert_eq!(all(&store).await, before);
}

/// The parameters of a statement are limited: 32,766 on SQLite, 65,535 on PostgreSQL.
pub async fn a_batch_of_thousands_of_events_is_written(backend: &dyn Backend) {
    let store = backend.store();
    let events: Vec<AuditEvent> = (0..4_000).map(|_| event("tick")).collect();
    write(&store, events.clone()).await.unwrap();
    let ids: HashSet<EventId> = all(&store).await.iter().map(|event| event.id).collect();
    assert_eq!(ids, events.iter().map(|event| event.id).collect());
    assert_eq!(all(&store).await.iter().map(|event| event.received).max(), Some(now()));
}
