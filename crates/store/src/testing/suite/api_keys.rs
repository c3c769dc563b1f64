//! Cases about API keys.
//!
//! Invariant of the cases: whatever is done to a key is in the feed, but when it was used; and a key goes with its tenant.

use std::sync::Arc;

use domain::{ApiKey, ApiKeyId, AuditBatch, ChangeKind, ChangeOp, ChangeSeq, KeyHash, Tenant, TenantId, Timestamp};
use serde_json::{Value, json};

use super::conflict;
use crate::error::{Conflict, Result, StoreError};
use crate::port::{Page, Scope, Store, Tx, Unaudited};
use crate::testing::Backend;
use crate::testing::fixtures::{
    api_key, audit, create, delete, event, feed_after, first, frozen, insert_key, later, next_uuid, now, tenant,
};

async fn found(store: &Arc<dyn Store>, id: ApiKeyId) -> Option<ApiKey> {
    store.read(Scope::Platform).await.unwrap().get_api_key(id).await.unwrap()
}

async fn listed(store: &Arc<dyn Store>, scope: Scope, tenant: Option<TenantId>, page: Page<ApiKeyId>) -> Vec<ApiKeyId> {
    let keys = store.read(scope).await.unwrap().list_api_keys(tenant, page).await.unwrap();
    keys.iter().map(|key| key.id).collect()
}

async fn two(store: &Arc<dyn Store>) -> (Tenant, Tenant) {
    let (acme, other) = (frozen("acme", &[]), tenant("other"));
    create(store, &acme).await.unwrap();
    create(store, &other).await.unwrap();
    (acme, other)
}

/// Commits what was done, with an event.
async fn done(tx: Box<dyn Tx>) {
    tx.commit(audit("api_key.something")).await.unwrap();
}

async fn note(store: &Arc<dyn Store>, used: &[(ApiKeyId, Timestamp)]) -> Result<u64> {
    let mut tx = store.begin(Scope::Platform).await?;
    let moved = tx.note_api_key_use(used).await?;
    tx.commit_unaudited(Unaudited::LastUse).await?;
    Ok(moved)
}

pub async fn a_key_comes_back_with_every_field(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, _) = two(&store).await;
    let successor = api_key(Some(acme.id), &[]);
    let full = ApiKey {
        name: "Ключ '🦀'".to_owned(),
        expires_at: Some(later(9)),
        created_by: "user:ada".to_owned(),
        last_used_at: Some(later(3)),
        revoked_at: Some(later(4)),
        rotated_to: Some(successor.id),
        ..api_key(Some(acme.id), &["tenant:read", "a.b_c-1"])
    };
    let bare = api_key(None, &[]);
    for key in [&successor, &full, &bare] {
        insert_key(&store, key).await.unwrap();
    }
    for store in [store, backend.reopen().await] {
        for key in [&successor, &full, &bare] {
            assert_eq!(found(&store, key.id).await.as_ref(), Some(key));
            let mut view = store.read(Scope::Platform).await.unwrap();
            assert_eq!(view.get_api_key_by_hash(&key.hash).await.unwrap().as_ref(), Some(key));
        }
        assert_eq!(found(&store, ApiKeyId(next_uuid())).await, None);
        let mut view = store.read(Scope::Platform).await.unwrap();
        assert_eq!(view.get_api_key_by_hash(&KeyHash([0; 32])).await.unwrap(), None);
    }
}

pub async fn a_hash_is_taken_once(backend: &dyn Backend) {
    let store = backend.store();
    let key = api_key(None, &[]);
    insert_key(&store, &key).await.unwrap();
    let twin = ApiKey { hash: key.hash, ..api_key(None, &[]) };
    let outcome = insert_key(&store, &twin).await;
    assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
    assert_eq!(found(&store, twin.id).await, None);
}

pub async fn a_key_belongs_to_a_tenant_that_is_there_and_so_does_its_successor(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, other) = two(&store).await;
    let foreign = api_key(Some(other.id), &[]);
    insert_key(&store, &foreign).await.unwrap();
    for orphan in [
        api_key(Some(TenantId(next_uuid())), &[]),
        ApiKey { rotated_to: Some(foreign.id), ..api_key(Some(acme.id), &[]) },
        ApiKey { rotated_to: Some(ApiKeyId(next_uuid())), ..api_key(None, &[]) },
    ] {
        let outcome = insert_key(&store, &orphan).await;
        assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
    }
}

pub async fn an_update_writes_a_keys_ends_and_nothing_else(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, _) = two(&store).await;
    let (key, successor) = (api_key(Some(acme.id), &["a"]), api_key(Some(acme.id), &["a"]));
    insert_key(&store, &key).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.lock_api_key(key.id).await.unwrap().as_ref(), Some(&key));
    assert_eq!(tx.lock_api_key(ApiKeyId(next_uuid())).await.unwrap(), None);
    tx.insert_api_key(&successor).await.unwrap();
    let ended = ApiKey {
        expires_at: Some(later(5)),
        revoked_at: Some(later(6)),
        rotated_to: Some(successor.id),
        ..key.clone()
    };
    let claimed = ApiKey { name: "another".to_owned(), scopes: vec!["b".to_owned()], ..ended.clone() };
    tx.update_api_key(&claimed).await.unwrap();
    done(tx).await;
    assert_eq!(found(&store, key.id).await, Some(ended));
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(conflict(tx.update_api_key(&api_key(None, &[])).await), Conflict::Stale);
}

pub async fn keys_are_listed_newest_first_and_in_pages(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, other) = two(&store).await;
    let mut all = Vec::new();
    for owner in [Some(acme.id), Some(other.id), None, Some(acme.id), None, Some(acme.id)] {
        let mut key = api_key(owner, &[]);
        // Revoked ones are listed too.
        key.revoked_at = owner.is_none().then(|| later(1));
        insert_key(&store, &key).await.unwrap();
        all.insert(0, key);
    }
    let ids = |tenant: Option<TenantId>| -> Vec<ApiKeyId> {
        all.iter().filter(|key| tenant.is_none() || key.tenant_id == tenant).map(|key| key.id).collect()
    };
    assert_eq!(listed(&store, Scope::Platform, None, first(9)).await, ids(None));
    assert_eq!(listed(&store, Scope::Platform, Some(acme.id), first(9)).await, ids(Some(acme.id)));
    let two = listed(&store, Scope::Platform, Some(acme.id), first(2)).await;
    assert_eq!(two, ids(Some(acme.id))[..2]);
    let late = api_key(Some(acme.id), &[]);
    insert_key(&store, &late).await.unwrap();
    let rest = Page { after: two.last().copied(), limit: usize::MAX };
    assert_eq!(listed(&store, Scope::Platform, Some(acme.id), rest).await, ids(Some(acme.id))[2..]);
    assert_eq!(listed(&store, Scope::Platform, Some(TenantId(next_uuid())), first(9)).await, []);
}

pub async fn a_tenant_sees_its_own_keys_and_writes_none(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, other) = two(&store).await;
    let (mine, foreign, platform) = (api_key(Some(acme.id), &[]), api_key(Some(other.id), &[]), api_key(None, &[]));
    for key in [&mine, &foreign, &platform] {
        insert_key(&store, key).await.unwrap();
    }
    let scope = Scope::Tenant(acme.id);
    assert_eq!(listed(&store, scope, None, first(9)).await, [mine.id]);
    assert_eq!(listed(&store, scope, Some(other.id), first(9)).await, []);
    for (key, seen) in [(&mine, true), (&foreign, false), (&platform, false)] {
        let mut view = store.read(scope).await.unwrap();
        assert_eq!(view.get_api_key(key.id).await.unwrap().is_some(), seen);
        assert_eq!(view.get_api_key_by_hash(&key.hash).await.unwrap().is_some(), seen);
    }
    macro_rules! refused {
        ($($method:ident($argument:expr))+) => {$(
            let mut tx = store.begin(scope).await.unwrap();
            let outcome = tx.$method($argument).await;
            assert!(matches!(outcome, Err(StoreError::Refused(_))), "{}: {outcome:?}", stringify!($method));
        )+};
    }
    let another = api_key(Some(acme.id), &[]);
    refused! {
        lock_api_key(mine.id)
        insert_api_key(&another)
        update_api_key(&mine)
        note_api_key_use(&[(mine.id, later(1))])
    }
}

pub async fn a_use_is_noted_and_never_moves_backwards(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, _) = two(&store).await;
    let keys: Vec<ApiKey> = (0..3).map(|_| api_key(Some(acme.id), &[])).collect();
    for key in &keys {
        insert_key(&store, key).await.unwrap();
    }
    let after = feed_after(&store, ChangeSeq(0)).await.unwrap().last().unwrap().seq;
    assert_eq!(note(&store, &[]).await.unwrap(), 0);
    let absent = ApiKeyId(next_uuid());
    let used = [(keys[1].id, later(20)), (absent, later(20)), (keys[0].id, later(10))];
    assert_eq!(note(&store, &used).await.unwrap(), 2);
    let used = [(keys[0].id, later(30)), (keys[1].id, later(19)), (keys[2].id, later(1))];
    assert_eq!(note(&store, &used).await.unwrap(), 2);
    assert_eq!(note(&store, &used).await.unwrap(), 0, "the same again");
    for (key, at) in keys.iter().zip([30, 20, 1]) {
        let expected = ApiKey { last_used_at: Some(later(at)), ..key.clone() };
        assert_eq!(found(&store, key.id).await, Some(expected));
    }
    assert_eq!(feed_after(&store, after).await.unwrap(), [], "it is no change");
}

pub async fn uses_of_a_thousand_keys_are_noted_at_once(backend: &dyn Backend) {
    let store = backend.store();
    let keys: Vec<ApiKey> = (0..1_000).map(|_| api_key(None, &[])).collect();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    for key in &keys {
        tx.insert_api_key(key).await.unwrap();
    }
    done(tx).await;
    let used: Vec<_> = keys.iter().map(|key| (key.id, now())).collect();
    // Two replicas note the same keys, one of them in the other order. Neither waits for the other: a key that one holds
    // is passed over by the other, so between them every key is noted, by the later of those who did.
    let turned: Vec<_> = used.iter().rev().map(|(id, _)| (*id, later(1))).collect();
    let (one, other) = tokio::join!(note(&store, &used), note(&store, &turned));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!((1_000..=2_000).contains(&(one + other)), "{one} and {other} of 1,000 were noted");
    let noted = last_uses(&store, &keys).await;
    assert!(noted.iter().all(|at| [Some(now()), Some(later(1))].contains(at)), "a key was noted by neither");
    assert_eq!(noted.iter().filter(|at| **at == Some(later(1))).count() as u64, other, "what was noted stays");
    // What was passed over is noted the next time, and nothing else is.
    assert_eq!(note(&store, &turned).await.unwrap(), 1_000 - other);
    assert_eq!(last_uses(&store, &keys).await, vec![Some(later(1)); 1_000]);
}

async fn last_uses(store: &Arc<dyn Store>, keys: &[ApiKey]) -> Vec<Option<Timestamp>> {
    let mut uses = Vec::new();
    for key in keys {
        uses.push(found(store, key.id).await.unwrap().last_used_at);
    }
    uses
}

pub async fn the_feed_tells_of_keys_by_their_hash(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, _) = two(&store).await;
    let key = ApiKey { expires_at: Some(later(60)), ..api_key(Some(acme.id), &["a", "b"]) };
    let after = feed_after(&store, ChangeSeq(0)).await.unwrap().last().unwrap().seq;
    insert_key(&store, &key).await.unwrap();
    let revoked = ApiKey { revoked_at: Some(later(2)), ..key.clone() };
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.update_api_key(&revoked).await.unwrap();
    done(tx).await;
    let platform = api_key(None, &[]);
    insert_key(&store, &platform).await.unwrap();
    let changes = feed_after(&store, after).await.unwrap();
    let value =
        |place: usize| -> Value { serde_json::from_str(changes[place].change.value.as_deref().unwrap()).unwrap() };
    let mut expected = json!({
        "id": key.id, "tenant_id": acme.id, "name": key.name, "hash": key.hash.to_hex(), "prefix": "trk_dev_",
        "last_four": key.last_four, "scopes": ["a", "b"], "expires_at": key.expires_at, "created_at": key.created_at,
        "created_by": key.created_by, "revoked_at": null,
    });
    assert_eq!(value(0), expected);
    expected["revoked_at"] = json!(later(2));
    assert_eq!(value(1), expected);
    assert_eq!((&value(2)["tenant_id"], &value(2)["hash"]), (&Value::Null, &json!(platform.hash.to_hex())));
    for (change, key) in changes.iter().zip([&key, &key, &platform]) {
        let change = &change.change;
        assert_eq!((change.kind, change.op), (ChangeKind::ApiKey, ChangeOp::Upsert));
        assert_eq!((change.tenant_id, change.id.clone()), (key.tenant_id, key.id.to_string()));
    }
}

pub async fn keys_go_with_their_tenant_one_by_one(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, other) = two(&store).await;
    let (old, new, foreign) = (api_key(Some(acme.id), &[]), api_key(Some(acme.id), &[]), api_key(Some(other.id), &[]));
    for key in [&old, &new, &foreign] {
        insert_key(&store, key).await.unwrap();
    }
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.update_api_key(&ApiKey { rotated_to: Some(new.id), ..old.clone() }).await.unwrap();
    tx.commit(AuditBatch::of(event("api_key.rotated").about(&acme))).await.unwrap();
    let after = feed_after(&store, ChangeSeq(0)).await.unwrap().last().unwrap().seq;
    delete(&store, &acme).await.unwrap();
    assert_eq!(listed(&store, Scope::Platform, None, first(9)).await, [foreign.id]);
    let changes = feed_after(&store, after).await.unwrap();
    let told: Vec<_> = changes.iter().map(|change| (change.change.kind, change.change.id.clone())).collect();
    let expected = [
        (ChangeKind::ApiKey, old.id.to_string()),
        (ChangeKind::ApiKey, new.id.to_string()),
        (ChangeKind::Tenant, acme.id.to_string()),
    ];
    assert_eq!(told, expected);
    assert!(changes.iter().all(|change| change.change.op == ChangeOp::Delete));
    for (change, key) in changes.iter().zip([&old, &new]) {
        assert_eq!(change.change.value, Some(json!({ "hash": key.hash.to_hex() }).to_string()));
    }
}

pub async fn a_locked_key_waits_for_its_holder(backend: &dyn Backend) {
    let store = backend.store();
    let key = api_key(None, &[]);
    insert_key(&store, &key).await.unwrap();
    let mut holder = store.begin(Scope::Platform).await.unwrap();
    let held = holder.lock_api_key(key.id).await.unwrap().unwrap();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut tx = store.begin(Scope::Platform).await.unwrap();
            tx.lock_api_key(key.id).await.unwrap().unwrap()
        }
    });
    let revoked = ApiKey { revoked_at: Some(later(1)), ..held };
    holder.update_api_key(&revoked).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    done(holder).await;
    assert_eq!(waiting.await.unwrap(), revoked);
}
