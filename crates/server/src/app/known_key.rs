//! An API key in memory: what verifying it and calling with it need, and no more, since there are a million of them.
//!
//! The read model keeps one per key that was asked for; `app/api_keys.rs` judges by it. Invariant: it is never changed
//! but for the minute in which it was last seen: a key that changes is forgotten and fetched again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use domain::access::scope;
use domain::api_key::KeyLife;
use domain::time::from_micros;
use domain::{ApiKey, ApiKeyId, Caller, CallerKind, Reach, TenantId, Timestamp};

/// No instant: an `Option` of one would take twice the room.
const NEVER: i64 = i64::MAX;

/// A key in memory.
#[derive(Debug)]
pub struct KnownKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is; none for a key of the platform.
    pub tenant_id: Option<TenantId>,
    /// Its name.
    pub name: Box<str>,
    /// Its scopes, with a space between: none contains one.
    scopes: Box<str>,
    expires_at: i64,
    revoked_at: i64,
    /// The minute since the epoch in which its use was last noted.
    last_seen_minute: AtomicI64,
    /// Who calls with it. Few keys are ever used to call this service.
    caller: OnceLock<Arc<Caller>>,
}

impl KnownKey {
    /// The key as it was stored.
    #[must_use]
    pub fn new(key: ApiKey) -> Self {
        let micros = |at: Option<Timestamp>| at.map_or(NEVER, Timestamp::as_microsecond);
        Self {
            id: key.id,
            tenant_id: key.tenant_id,
            name: key.name.into(),
            scopes: key.scopes.join(" ").into(),
            expires_at: micros(key.expires_at),
            revoked_at: micros(key.revoked_at),
            last_seen_minute: AtomicI64::new(key.last_used_at.map_or(i64::MIN, minute)),
            caller: OnceLock::new(),
        }
    }

    /// How long it is good.
    #[must_use]
    pub fn life(&self) -> KeyLife {
        let instant = |micros: i64| (micros != NEVER).then(|| from_micros(micros));
        KeyLife { expires_at: instant(self.expires_at), revoked_at: instant(self.revoked_at) }
    }

    /// Its scopes, in order.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether it carries a scope, letter by letter.
    #[must_use]
    pub fn carries(&self, wanted: &str) -> bool {
        self.scopes().any(|held| held == wanted)
    }

    /// Who calls with it.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        self.caller.get_or_init(|| {
            let actor = format!("key:{}", self.id);
            let (kind, reach) = match self.tenant_id {
                // What is granted to services reaches every tenant, whoever holds it.
                _ if self.carries(scope::REGISTRY_INTERNAL) => (CallerKind::Service, Reach::All),
                Some(own) => (CallerKind::Key, Reach::One(own)),
                None => (CallerKind::Key, Reach::All),
            };
            let scopes = self.scopes().map(str::to_owned).collect();
            Arc::new(Caller { idempotency_owner: actor.clone(), actor, kind, reach, scopes })
        })
    }

    /// Whether this is the first use in its minute, which is noted.
    pub(super) fn first_in_minute(&self, now: Timestamp) -> bool {
        let now = minute(now);
        // Looked at before it is written: keys that are used all the time are only read here.
        self.last_seen_minute.load(Ordering::Relaxed) != now
            && self.last_seen_minute.swap(now, Ordering::Relaxed) != now
    }
}

fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{KeyEnv, NewApiKey, Secret};

    fn known(tenant_id: Option<TenantId>, scopes: &[&str]) -> KnownKey {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let new = NewApiKey { tenant_id, name: "Key".to_owned(), scopes, expires_at: Some(from_micros(7)) };
        let id = ApiKeyId(uuid::Uuid::from_u128(5));
        KnownKey::new(new.make(id, KeyEnv::Dev, &Secret::from("trk_dev_x"), "me", from_micros(0)))
    }

    #[test]
    fn a_key_calls_for_its_tenant_unless_it_is_a_service() {
        let own = domain::ACME;
        for (tenant, scopes, kind, reach) in [
            (Some(own), &["tenant:read"][..], CallerKind::Key, Reach::One(own)),
            (Some(own), &[], CallerKind::Key, Reach::One(own)),
            (None, &["tenant:read"], CallerKind::Key, Reach::All),
            (None, &["a", "registry:internal"], CallerKind::Service, Reach::All),
            (Some(own), &["registry:internal"], CallerKind::Service, Reach::All),
        ] {
            let key = known(tenant, scopes);
            let caller = key.caller();
            assert_eq!((caller.kind, caller.reach), (kind, reach), "{scopes:?}");
            assert_eq!(caller.actor, format!("key:{}", key.id));
            assert_eq!(&*caller.scopes, scopes);
            assert!(Arc::ptr_eq(caller, key.caller()));
        }
    }

    #[test]
    fn scopes_are_compared_letter_by_letter() {
        let key = known(None, &["documents.read", "a"]);
        assert!(key.carries("a") && key.carries("documents.read"));
        for other in ["", " ", "documents", "documents.*", "documents.rea", "a documents.read", "A"] {
            assert!(!key.carries(other), "{other:?}");
        }
        assert!(!known(None, &[]).carries(""));
        assert_eq!(known(None, &[]).scopes().count(), 0);
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let key = known(None, &[]);
        let at = |seconds: i64| from_micros(seconds * 1_000_000);
        let noted: Vec<bool> = [60, 61, 119, 120, 120, 200].map(|second| key.first_in_minute(at(second))).into();
        assert_eq!(noted, [true, false, false, true, false, true]);
    }

    #[test]
    fn a_life_comes_back() {
        let life = known(None, &[]).life();
        assert_eq!((life.expires_at, life.revoked_at), (Some(from_micros(7)), None));
    }
}
