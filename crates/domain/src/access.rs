//! Who may do what: the kinds of caller, their scopes, and which tenants they reach.
//!
//! `api/auth.rs` makes a [`Caller`] of a credential; handlers and `app` ask it. Invariant: a scope that somebody holds
//! reaches exactly the tenants of [`Caller::reach`]; nothing here knows where the credential came from.

use crate::error::{Error, Resource, Result};
use crate::ids::TenantId;
use crate::tenant::Tenant;

/// The scopes that this service gives a meaning.
pub mod scope {
    /// Read the tenant, its place in the list, its health.
    pub const TENANT_READ: &str = "tenant:read";
    /// Add and remove hosts.
    pub const HOSTS_WRITE: &str = "hosts:write";
    /// Read entitlements, and check them.
    pub const ENTITLEMENTS_READ: &str = "entitlements:read";
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
}

impl Caller {
    /// Whether the caller holds a scope of this service.
    #[must_use]
    pub fn holds(&self, wanted: &str) -> bool {
        match self.kind {
            CallerKind::PlatformAdmin => true,
            CallerKind::Service => {
                matches!(wanted, scope::REGISTRY_INTERNAL | scope::TENANT_READ | scope::ENTITLEMENTS_READ)
            }
            CallerKind::TenantAdmin => wanted != scope::REGISTRY_INTERNAL,
            CallerKind::Member => matches!(wanted, scope::TENANT_READ | scope::ENTITLEMENTS_READ),
            CallerKind::Nobody => false,
        }
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
        tenant.filter(|tenant| self.reaches(tenant.id)).ok_or(Error::NotFound(Resource::Tenant))
    }

    /// Refuses writes of the people and keys of a frozen tenant. Platform admins and services are not bound.
    ///
    /// # Errors
    /// `TenantFrozen`.
    pub fn may_write_to(&self, tenant: &Tenant) -> Result<()> {
        match self.kind {
            CallerKind::PlatformAdmin | CallerKind::Service => Ok(()),
            CallerKind::TenantAdmin | CallerKind::Member | CallerKind::Nobody if tenant.is_frozen() => {
                Err(Error::TenantFrozen)
            }
            CallerKind::TenantAdmin | CallerKind::Member | CallerKind::Nobody => Ok(()),
        }
    }
}
