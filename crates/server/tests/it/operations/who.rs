//! Every kind of caller, and what the contract lets each of them do.
//!
//! Invariant: [`Who::holds`] is the contract's table "Who may call", written down here by hand and not taken from the code.

use serde_json::{Value, json};

use super::subject::Subject;
use super::table::Operation;
use super::world::World;
use crate::support::Client;
use crate::support::client::DEV_TOKEN;
use crate::support::issuer::Claims;

/// Every kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    DevToken,
    PlatformAdmin,
    /// A service account with `registry:internal`.
    Service,
    /// `IT_ADMIN` as realm role.
    TenantAdmin,
    /// `IT_ADMIN` as group of the organization.
    TenantAdminByGroup,
    Member,
    /// A tenant, and no role.
    Roleless,
    /// Roles that need a tenant, and none is named.
    TenantAdminOfNone,
    MemberOfNone,
    /// Scopes that only an API key has a use for.
    KeyScopes,
    /// A tenant's API key with every scope of this service but `registry:internal`.
    Key,
    /// A tenant's API key that reads the tenant, and no more.
    ReaderKey,
    /// A tenant's API key whose one scope is the platform's own.
    StrangerKey,
    /// An API key of no tenant, with the scopes of [`Who::Key`].
    PlatformKey,
    /// An API key of no tenant with `registry:internal` alone.
    ServiceKey,
    /// A tenant's API key with `registry:internal` alone.
    TenantsServiceKey,
}

/// The scopes of this service, but for `registry:internal` (contract §2).
pub(crate) const SCOPES: [&str; 10] = [
    "tenant:read",
    "hosts:write",
    "entitlements:read",
    "catalog:request",
    "api_keys:read",
    "api_keys:write",
    "audit:read",
    "audit:write",
    "agents:use",
    "agents:admin",
];

/// Somebody who calls: a client, and who audit says that it is.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) actor: String,
}

impl Who {
    pub(crate) const ALL: [Self; 16] = [
        Self::DevToken,
        Self::PlatformAdmin,
        Self::Service,
        Self::TenantAdmin,
        Self::TenantAdminByGroup,
        Self::Member,
        Self::Roleless,
        Self::TenantAdminOfNone,
        Self::MemberOfNone,
        Self::KeyScopes,
        Self::Key,
        Self::ReaderKey,
        Self::StrangerKey,
        Self::PlatformKey,
        Self::ServiceKey,
        Self::TenantsServiceKey,
    ];
    /// Those that belong to one tenant and have a part in it: what is another's is not there for them, and a freeze binds them.
    pub(crate) const TENANTS_OWN: [Self; 6] =
        [Self::TenantAdmin, Self::TenantAdminByGroup, Self::Member, Self::Key, Self::ReaderKey, Self::StrangerKey];
    /// Those that reach every tenant.
    pub(crate) const REACHING_ALL: [Self; 6] = [
        Self::DevToken,
        Self::PlatformAdmin,
        Self::Service,
        Self::PlatformKey,
        Self::ServiceKey,
        Self::TenantsServiceKey,
    ];

    /// Whether the caller may call the operation.
    pub(crate) fn may_call(self, row: &Operation) -> bool {
        self.holds(row.may)
    }

    /// The contract's table. `may` is what the document says in `x-may-call`; of several scopes one is enough.
    pub(crate) fn holds(self, may: &str) -> bool {
        let everything = matches!(self, Self::DevToken | Self::PlatformAdmin);
        let tenant_admin = matches!(self, Self::TenantAdmin | Self::TenantAdminByGroup);
        let service = matches!(self, Self::Service | Self::ServiceKey | Self::TenantsServiceKey);
        let full_key = matches!(self, Self::Key | Self::PlatformKey);
        may.split(" | ").any(|one| match one {
            "public" => true,
            "platform_admin" => everything,
            "tenant:read" => {
                everything || tenant_admin || service || full_key || matches!(self, Self::Member | Self::ReaderKey)
            }
            "entitlements:read" => everything || tenant_admin || service || full_key || self == Self::Member,
            "hosts:write" | "catalog:request" | "api_keys:read" | "api_keys:write" | "audit:read" => {
                everything || tenant_admin || full_key
            }
            "audit:write" => everything || tenant_admin || full_key || service,
            "registry:internal" => everything || service,
            other => panic!("say here who holds {other}"),
        })
    }

    /// The scopes of an API key.
    fn scopes(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Key | Self::PlatformKey => Some(&SCOPES),
            Self::ReaderKey => Some(&["tenant:read"]),
            Self::StrangerKey => Some(&["shop:checkout"]),
            Self::ServiceKey | Self::TenantsServiceKey => Some(&["registry:internal"]),
            _ => None,
        }
    }
}

impl World {
    /// A client of a person or a service account, whose tenant (where it has one) is the one with the slug.
    pub(crate) fn client(&self, who: Who, slug: &str) -> Client {
        let claims = |subject: &str| self.issuer.claims(subject);
        let claims: Claims = match who {
            Who::DevToken => return self.service.admin.bearer(DEV_TOKEN),
            Who::PlatformAdmin => claims("root").role("PLATFORM_ADMIN"),
            Who::Service => claims("billing").scope("profile registry:internal"),
            Who::TenantAdmin => claims("ada").role("IT_ADMIN").tenant(slug),
            Who::TenantAdminByGroup => {
                let mut organization = json!({});
                organization[slug] = json!({ "groups": ["/IT_ADMIN"] });
                claims("alan").with("organization", organization)
            }
            Who::Member => claims("max").role("MEMBER").tenant(slug),
            Who::Roleless => claims("nora").role("offline_access").tenant(slug),
            Who::TenantAdminOfNone => claims("ada").role("IT_ADMIN"),
            Who::MemberOfNone => claims("max").role("MEMBER"),
            Who::KeyScopes => claims("kim").scope(&SCOPES.join(" ")).tenant(slug),
            key => panic!("{key:?} is made by the registry: ask for a caller"),
        };
        self.service.admin.bearer(&self.issuer.token(claims))
    }

    /// A caller of this kind, whose tenant (where it has one) is the subject. Making a key leaves an event: ask for callers
    /// before looking at what is there.
    pub(crate) async fn caller(&self, who: Who, subject: &Subject) -> Caller {
        let actor = match who {
            Who::DevToken => "dev-token",
            Who::PlatformAdmin => "user:root",
            Who::Service => "user:billing",
            Who::TenantAdmin | Who::TenantAdminOfNone => "user:ada",
            Who::TenantAdminByGroup => "user:alan",
            Who::Member | Who::MemberOfNone => "user:max",
            Who::Roleless => "user:nora",
            Who::KeyScopes => "user:kim",
            Who::Key | Who::ReaderKey | Who::StrangerKey | Who::TenantsServiceKey => {
                return self.key_caller(who, json!(subject.id)).await;
            }
            Who::PlatformKey => {
                return self.platform_key.get_or_init(|| self.key_caller(who, Value::Null)).await.clone();
            }
            Who::ServiceKey => return self.service_key.get_or_init(|| self.key_caller(who, Value::Null)).await.clone(),
        };
        Caller { client: self.client(who, &subject.slug), actor: actor.to_owned() }
    }

    async fn key_caller(&self, who: Who, tenant: Value) -> Caller {
        let scopes = who.scopes().unwrap();
        let made = self.make_key(json!({ "tenant_id": tenant, "name": format!("{who:?}"), "scopes": scopes })).await;
        let anonymous = self.service.admin.anonymous();
        // Both ways of sending a key are the same to every operation.
        let client = match who {
            Who::Key | Who::ServiceKey => anonymous.with("x-api-key", &made.secret),
            _ => anonymous.bearer(&made.secret),
        };
        Caller { client, actor: format!("key:{}", made.id) }
    }
}
