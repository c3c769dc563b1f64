//! What memory keeps of a tenant and of a key: no more than answering needs, since there are many.
//!
//! The directory fills its shelves with these; handlers read them. Invariant: nothing here changes but two things that no
//! answer depends on: the rendered form of a tenant, made once, and the minute in which a key was last seen.

use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use domain::access::scope;
use domain::api_key::KeyLife;
use domain::{ApiKey, ApiKeyId, Caller, CallerKind, Reach, Result, Tenant, TenantId, Timestamp};

/// A tenant in memory, with room for the answer that is made of it: made once, given out as often as it is asked for.
#[derive(Debug)]
pub struct Known {
    tenant: Tenant,
    rendered: OnceLock<Bytes>,
}

impl Known {
    /// A tenant of which no answer has been made.
    #[must_use]
    pub fn new(tenant: Tenant) -> Self {
        Self { tenant, rendered: OnceLock::new() }
    }

    /// The answer, made now if it was not made before. `render` must always make the same of one tenant.
    ///
    /// # Errors
    /// Those of `render`.
    pub fn rendered<E>(&self, render: impl FnOnce(&Tenant) -> Result<Bytes, E>) -> Result<Bytes, E> {
        match self.rendered.get() {
            Some(known) => Ok(known.clone()),
            None => render(&self.tenant).map(|fresh| self.rendered.get_or_init(|| fresh).clone()),
        }
    }
}

impl Deref for Known {
    type Target = Tenant;
    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

/// A key in memory: what judging it needs, and neither who made it nor when, nor its hash, under which it is kept.
#[derive(Debug)]
pub struct KnownKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is; none for a key of the platform.
    pub tenant_id: Option<TenantId>,
    /// Its name.
    pub name: Box<str>,
    /// What it may be used for.
    pub scopes: Arc<[String]>,
    /// How long it is good.
    pub life: KeyLife,
    /// The caller that it makes; only keys that call this service itself have one made.
    caller: OnceLock<Arc<Caller>>,
    /// The minute since the Unix epoch in which its use was last noted.
    seen: AtomicI64,
}

impl From<ApiKey> for KnownKey {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            tenant_id: key.tenant_id,
            name: key.name.into(),
            scopes: key.scopes.into(),
            life: KeyLife { expires_at: key.expires_at, revoked_at: key.revoked_at },
            caller: OnceLock::new(),
            seen: AtomicI64::new(key.last_used_at.map_or(i64::MIN, minute)),
        }
    }
}

impl KnownKey {
    /// Whether it carries a scope.
    #[must_use]
    pub fn has_scope(&self, wanted: &str) -> bool {
        self.scopes.iter().any(|held| held == wanted)
    }

    /// Who calls with it: a service where it carries `registry:internal`, which reaches every tenant; else whoever its
    /// scopes make of it, in its tenant, or in all where it has none.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        self.caller.get_or_init(|| {
            let actor = format!("key:{}", self.id);
            let internal = self.has_scope(scope::REGISTRY_INTERNAL);
            let kind = if internal { CallerKind::Service } else { CallerKind::Key };
            let reach = self.tenant_id.filter(|_| !internal).map_or(Reach::All, Reach::One);
            let scopes = Arc::clone(&self.scopes);
            Arc::new(Caller { idempotency_owner: actor.clone(), actor, kind, reach, scopes })
        })
    }

    /// Whether this is its first use in this minute, as far as this process knows: the one that is worth noting.
    pub fn is_first_use(&self, now: Timestamp) -> bool {
        let minute = minute(now);
        // Most uses find the minute noted and write nothing.
        self.seen.load(Ordering::Relaxed) < minute && self.seen.fetch_max(minute, Ordering::Relaxed) < minute
    }
}

fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}
