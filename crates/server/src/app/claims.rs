//! What an identity provider puts into the tokens of a tenant's people: asked at every login, answered from memory.
//!
//! `api/keycloak` calls it. Invariant: several names lead to one tenant or to none: a token never speaks for a tenant
//! that only some of what is known of its bearer points to.

use std::sync::Arc;

use domain::{Entitlement, Error, Resource, Result, TenantId, Timestamp};

use super::directory::Known;
use super::{App, Ctx};

/// Something by which a tenant may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUp<'a> {
    /// Its id; a text that is no UUID finds nothing.
    Id(&'a str),
    /// Its slug.
    Slug(&'a str),
    /// A member of its metadata.
    Metadata {
        /// The key, one of `CLAIMS_LOOKUP_KEYS`.
        key: &'a str,
        /// The value.
        value: &'a str,
    },
}

/// What a token says of its bearer's tenant.
#[derive(Debug)]
pub struct Claims {
    /// The tenant.
    pub tenant: Arc<Known>,
    entitlements: Arc<Vec<Entitlement>>,
    /// When this was so.
    pub at: Timestamp,
}

impl Claims {
    /// The products that the tenant may use, sorted; none while it is frozen.
    pub fn products(&self) -> impl Iterator<Item = &str> {
        let is_frozen = self.tenant.is_frozen_at(self.at);
        let effective = move |entitlement: &&Entitlement| entitlement.is_effective(self.at, is_frozen);
        self.entitlements.iter().filter(effective).map(|entitlement| entitlement.product.as_str())
    }
}

impl App {
    /// The metadata keys by which a tenant may be found (`CLAIMS_LOOKUP_KEYS`).
    #[must_use]
    pub fn claims_lookup_keys(&self) -> &[String] {
        &self.claims_lookup_keys
    }

    /// The claims of the one tenant that every look-up leads to.
    ///
    /// # Errors
    /// `LookupsDisagree` where they lead to several tenants, or some of them to none; `NotFound` where none leads to any.
    pub async fn claims(&self, ctx: &Ctx, look_ups: &[LookUp<'_>]) -> Result<Claims> {
        let mut found: Option<Arc<Known>> = None;
        let mut missing = false;
        for look_up in look_ups {
            match (self.found_by(*look_up).await?, &found) {
                (None, _) => missing = true,
                (Some(tenant), None) => found = Some(tenant),
                (Some(tenant), Some(other)) if tenant.id == other.id => {}
                (Some(_), Some(_)) => return Err(Error::LookupsDisagree),
            }
        }
        match found.filter(|tenant| ctx.caller.reaches(tenant.id)) {
            None => Err(Error::NotFound(Resource::NamedTenant)),
            Some(_) if missing => Err(Error::LookupsDisagree),
            Some(tenant) => {
                let entitlements = self.directory.entitlements(tenant.id).await?;
                Ok(Claims { tenant, entitlements, at: ctx.now() })
            }
        }
    }

    async fn found_by(&self, look_up: LookUp<'_>) -> Result<Option<Arc<Known>>> {
        match look_up {
            LookUp::Id(text) => match text.parse::<TenantId>() {
                Ok(id) => self.directory.by_id(id).await,
                Err(_) => Ok(None),
            },
            LookUp::Slug(slug) => self.directory.by_slug(slug).await,
            LookUp::Metadata { key, value } => match self.directory.by_metadata(key, value).await?.as_slice() {
                [] => Ok(None),
                [id] => self.directory.by_id(*id).await,
                _ => Err(Error::LookupsDisagree),
            },
        }
    }
}
