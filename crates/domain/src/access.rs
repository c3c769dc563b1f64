//! Who may do what: the kinds of caller, their scopes, and which tenants they reach.
//!
//! `api/auth.rs` makes a [`Caller`] of a credential; handlers and `app` ask it. Invariant: a scope that somebody holds
//! reaches exactly the tenants of [`Caller::reach`]; nothing here knows where the credential came from.

use std::sync::Arc;

use crate::error::{Error, Resource, Result};
use crate::ids::TenantId;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// The scopes that this service gives a meaning.
pub mod scope {
    /// Read the tenant, its place in the list, its health.
    pub const TENANT_READ: &str = "tenant:read";
    /// Add and remove hosts.
    pub const HOSTS_WRITE: &str = "hosts:write";
    /// Read entitlements, and check them.
    pub const ENTITLEMENTS_READ: &str = "entitlements:read";
    /// Ask for products, and for their trials.
    pub const CATALOG_REQUEST: &str = "catalog:request";
    /// List API keys.
    pub const API_KEYS_READ: &str = "api_keys:read";
    /// Make, rotate and revoke API keys.
    pub const API_KEYS_WRITE: &str = "api_keys:write";
    /// Read and export the audit log.
    pub const AUDIT_READ: &str = "audit:read";
    /// Publish audit events.
    pub const AUDIT_WRITE: &str = "audit:write";
    /// Everything of `/v1/internal`, for services of the platform.
    pub const REGISTRY_INTERNAL: &str = "registry:internal";
}

/// What kind of caller this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// May do everything.
    PlatformAdmin,
    /// A service of the platform.
    Service,
    /// Administers one tenant.
    TenantAdmin,
    /// Belongs to one tenant.
    Member,
    /// An API key without `registry:internal`: what its scopes name, in its own tenant, or in all where it has none.
    Key,
    /// Somebody known without any part in this.
    Nobody,
}

/// Which tenants a caller reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every tenant.
    All,
    /// One tenant.
    One(TenantId),
    /// A tenant is named that does not exist: every tenant is foreign.
    None,
}

/// Somebody whose credential was found good.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is, everywhere the same string: `user:<sub>`, `key:<id>`, `system:<job>`, `dev-token`.
    pub actor: String,
    /// Whose idempotency keys they are: issuer and subject, or the key.
    pub idempotency_owner: String,
    /// What kind of caller.
    pub kind: CallerKind,
    /// Which tenants.
    pub reach: Reach,
    /// The scopes of an API key; empty for everybody else, whose kind says what they hold.
    pub scopes: Arc<[String]>,
}

impl Caller {
    /// Whether the caller holds a scope, of this service or of the platform's own.
    #[must_use]
    pub fn holds(&self, wanted: &str) -> bool {
        let by_kind = match self.kind {
            CallerKind::PlatformAdmin => true,
            CallerKind::Service => matches!(
                wanted,
                scope::REGISTRY_INTERNAL | scope::TENANT_READ | scope::ENTITLEMENTS_READ | scope::AUDIT_WRITE
            ),
            CallerKind::TenantAdmin => wanted != scope::REGISTRY_INTERNAL,
            CallerKind::Member => matches!(wanted, scope::TENANT_READ | scope::ENTITLEMENTS_READ),
            CallerKind::Key | CallerKind::Nobody => false,
        };
        by_kind || self.scopes.iter().any(|held| held == wanted)
    }

    /// Whether the caller may give a scope to a key: nobody grants what they do not hold, and `registry:internal` only a
    /// platform admin.
    #[must_use]
    pub fn may_grant(&self, wanted: &str) -> bool {
        self.is_platform_admin() || (wanted != scope::REGISTRY_INTERNAL && self.holds(wanted))
    }

    /// Whether the caller is a platform admin.
    #[must_use]
    pub fn is_platform_admin(&self) -> bool {
        self.kind == CallerKind::PlatformAdmin
    }

    /// Whether the caller reaches this tenant.
    #[must_use]
    pub fn reaches(&self, tenant: TenantId) -> bool {
        match self.reach {
            Reach::All => true,
            Reach::One(own) => own == tenant,
            Reach::None => false,
        }
    }

    /// A tenant that the caller asked for by a name in the path: foreign and absent look the same.
    ///
    /// # Errors
    /// `NotFound` for a tenant that is absent or out of reach.
    pub fn visible(&self, tenant: Option<Tenant>) -> Result<Tenant> {
        self.visible_as(tenant, Resource::Tenant)
    }

    /// As [`Caller::visible`], where the tenant was named otherwise: as the owner of a thing, in a body, in a filter.
    ///
    /// # Errors
    /// `NotFound` of `named` for a tenant that is absent or out of reach.
    pub fn visible_as(&self, tenant: Option<Tenant>, named: Resource) -> Result<Tenant> {
        tenant.filter(|tenant| self.reaches(tenant.id)).ok_or(Error::NotFound(named))
    }

    /// Refuses writes of the people and keys of a tenant that is frozen at `now`. Platform admins, services and keys that belong to no
    /// tenant are not bound.
    ///
    /// # Errors
    /// `TenantFrozen`.
    pub fn may_write_to(&self, tenant: &Tenant, now: Timestamp) -> Result<()> {
        let bound = match self.kind {
            CallerKind::PlatformAdmin | CallerKind::Service => false,
            CallerKind::Key => self.reach != Reach::All,
            CallerKind::TenantAdmin | CallerKind::Member | CallerKind::Nobody => true,
        };
        if bound && tenant.is_frozen_at(now) { Err(Error::TenantFrozen) } else { Ok(()) }
    }
}
