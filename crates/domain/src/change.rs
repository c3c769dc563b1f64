//! The change feed: what every replica and every follower learns, in order, and skips nothing of.
//!
//! The store writes a change with the row that changed; the read model and followers apply it. Invariant: values carry
//! what the clock decides (`trial_ends_at`) and leave the deciding to the reader, since no event tells of it.

use serde::Serialize;
use serde_json::json;

use crate::api_key::{ApiKey, KeyHash};
use crate::entitlement::Entitlement;
use crate::host::HostRoute;
use crate::ids::{ApiKeyId, TenantId};
use crate::tenant::Tenant;
use crate::words::words;

/// A place in the feed. 0 stands before the first change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct ChangeSeq(pub i64);

words! {
    /// What kind of thing changed.
    ChangeKind {
        /// A tenant.
        Tenant = "tenant",
        /// A host route.
        Host = "host",
        /// An entitlement.
        Entitlement = "entitlement",
        /// An API key.
        ApiKey = "api_key",
    }
}
words! {
    /// How it changed.
    ChangeOp {
        /// It is new, or other than before.
        Upsert = "upsert",
        /// It is gone.
        Delete = "delete",
    }
}

/// A change that has no place in the feed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChange {
    /// What kind of thing.
    pub kind: ChangeKind,
    /// How it changed.
    pub op: ChangeOp,
    /// Whose it is.
    pub tenant_id: Option<TenantId>,
    /// What it is known by.
    pub id: String,
    /// The thing as JSON, for upserts.
    pub value: Option<String>,
}

/// A change in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place.
    pub seq: ChangeSeq,
    /// What changed, and how.
    pub change: NewChange,
}

impl NewChange {
    /// A tenant is new or other than before.
    #[must_use]
    pub fn tenant_upsert(tenant: &Tenant) -> Self {
        let value = json!({
            "id": tenant.id,
            "slug": tenant.slug,
            "name": tenant.name,
            "plan": tenant.plan,
            "status": tenant.status,
            "status_reason": tenant.status_reason,
            "trial_ends_at": tenant.trial_ends_at,
            "metadata": tenant.metadata,
            "version": tenant.version,
            "created_at": tenant.created_at,
            "updated_at": tenant.updated_at,
            "frozen_at": tenant.frozen_at,
        });
        Self {
            kind: ChangeKind::Tenant,
            op: ChangeOp::Upsert,
            tenant_id: Some(tenant.id),
            id: tenant.id.to_string(),
            value: Some(value.to_string()),
        }
    }

    /// A tenant is gone. Its slug comes along, because readers look it up by that too.
    #[must_use]
    pub fn tenant_delete(id: TenantId, slug: &str) -> Self {
        Self {
            kind: ChangeKind::Tenant,
            op: ChangeOp::Delete,
            tenant_id: Some(id),
            id: id.to_string(),
            value: Some(json!({ "slug": slug }).to_string()),
        }
    }

    /// A route is new.
    #[must_use]
    pub fn host_upsert(tenant: TenantId, route: &HostRoute) -> Self {
        let value = json!({ "tenant_id": tenant, "host": route.host, "prefix": route.prefix, "url": route.url });
        Self {
            kind: ChangeKind::Host,
            op: ChangeOp::Upsert,
            tenant_id: Some(tenant),
            id: host_change_id(&route.host, &route.prefix),
            value: Some(value.to_string()),
        }
    }

    /// A route is gone.
    #[must_use]
    pub fn host_delete(tenant: TenantId, host: &str, prefix: &str) -> Self {
        Self {
            kind: ChangeKind::Host,
            op: ChangeOp::Delete,
            tenant_id: Some(tenant),
            id: host_change_id(host, prefix),
            value: None,
        }
    }

    /// What a tenant has of a product is new or other than before.
    #[must_use]
    pub fn entitlement_upsert(entitlement: &Entitlement) -> Self {
        let value = json!({
            "id": entitlement.id,
            "tenant_id": entitlement.tenant_id,
            "product": entitlement.product,
            "state": entitlement.state,
            "source": entitlement.source,
            "starts_at": entitlement.starts_at,
            "expires_at": entitlement.expires_at,
            "limits": entitlement.limits,
        });
        Self {
            kind: ChangeKind::Entitlement,
            op: ChangeOp::Upsert,
            tenant_id: Some(entitlement.tenant_id),
            id: entitlement.id.to_string(),
            value: Some(value.to_string()),
        }
    }

    /// What a tenant had of a product is gone: its tenant is. One that was revoked stays.
    #[must_use]
    pub fn entitlement_delete(entitlement: &Entitlement) -> Self {
        Self {
            kind: ChangeKind::Entitlement,
            op: ChangeOp::Delete,
            tenant_id: Some(entitlement.tenant_id),
            id: entitlement.id.to_string(),
            value: None,
        }
    }

    /// A key is new or other than before. When it was last used is no change of it.
    #[must_use]
    pub fn api_key_upsert(key: &ApiKey) -> Self {
        let value = json!({
            "id": key.id,
            "tenant_id": key.tenant_id,
            "name": key.name,
            "hash": key.hash.to_hex(),
            "prefix": key.prefix,
            "last_four": key.last_four,
            "scopes": key.scopes,
            "expires_at": key.expires_at,
            "created_at": key.created_at,
            "created_by": key.created_by,
            "revoked_at": key.revoked_at,
        });
        Self {
            kind: ChangeKind::ApiKey,
            op: ChangeOp::Upsert,
            tenant_id: key.tenant_id,
            id: key.id.to_string(),
            value: Some(value.to_string()),
        }
    }

    /// A key is gone. Its hash comes along, because readers look it up by that.
    #[must_use]
    pub fn api_key_delete(id: ApiKeyId, tenant: Option<TenantId>, hash: &KeyHash) -> Self {
        Self {
            kind: ChangeKind::ApiKey,
            op: ChangeOp::Delete,
            tenant_id: tenant,
            id: id.to_string(),
            value: Some(json!({ "hash": hash.to_hex() }).to_string()),
        }
    }
}

/// A route's id in the feed: host and prefix in normal form, which no URL could confuse, since a host has no slash.
#[must_use]
pub fn host_change_id(host: &str, prefix: &str) -> String {
    format!("{host}{prefix}")
}
