//! The token's tenant, as its claims name it: `tenant_id`, `tenant_slug` and Keycloak's `organization` in all its shapes.
//!
//! [`super::claims::judge`] reads it; the authentication extractor looks the result up and answers 403 `tenant_mismatch`
//! where [`TenantClaim::named`] gives [`ClaimedTenant::Disagreement`], or where id and slug turn out to be two tenants.
//! Invariant: a token of several organizations names no tenant at all, whatever its other claims say.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::claims::texts;
use super::error::TokenError;

/// The group within an organization that makes its members tenant admins.
const IT_ADMIN_GROUP: &str = "/IT_ADMIN";

const ORGANIZATION_ILL_TYPED: &str = "`organization` is no string, array or object of organizations";

/// The tenant claims of a token: every different value that it gives, not looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantClaim {
    /// The different tenant ids, in canonical spelling where they are UUIDs.
    pub ids: Vec<String>,
    /// The different slugs; an organization's alias is its tenant's slug.
    pub slugs: Vec<String>,
    /// The token names several organizations; `ids` and `slugs` are empty then.
    pub several_organizations: bool,
}

/// What a [`TenantClaim`] comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedTenant<'a> {
    /// The token has no tenant: it names none, or several organizations.
    None,
    /// The token names one tenant by id, slug or both. That both mean the same tenant is for the lookup to find out.
    Named {
        /// The tenant's id.
        id: Option<&'a str>,
        /// The tenant's slug.
        slug: Option<&'a str>,
    },
    /// The claims contradict each other.
    Disagreement,
}

impl TenantClaim {
    /// What the claims come to.
    #[must_use]
    pub fn named(&self) -> ClaimedTenant<'_> {
        if self.several_organizations {
            return ClaimedTenant::None;
        }
        match (self.ids.as_slice(), self.slugs.as_slice()) {
            ([], []) => ClaimedTenant::None,
            ([] | [_], [] | [_]) => ClaimedTenant::Named {
                id: self.ids.first().map(String::as_str),
                slug: self.slugs.first().map(String::as_str),
            },
            _ => ClaimedTenant::Disagreement,
        }
    }
}

/// What the claims say about the tenant and the caller's standing in it.
pub(super) struct Tenancy {
    pub(super) claim: TenantClaim,
    pub(super) it_admin_by_group: Option<bool>,
}

pub(super) fn read(claims: &Map<String, Value>) -> Result<Tenancy, TokenError> {
    let mut ids = Vec::new();
    add_ids(&mut ids, claims.get("tenant_id"), "`tenant_id` is neither a string nor an array of strings")?;
    let mut slugs = Vec::new();
    for slug in texts(claims.get("tenant_slug"), "`tenant_slug` is neither a string nor an array of strings")? {
        add(&mut slugs, slug.to_owned());
    }

    let mut organizations = Organizations::default();
    if let Some(claim) = claims.get("organization") {
        organizations.read(claim)?;
    }
    if organizations.aliases.len() > 1 {
        // Groups without a tenant make nobody an admin, and where there are groups the realm role does not count either.
        let it_admin_by_group = organizations.groups.map(|_| false);
        let claim = TenantClaim { several_organizations: true, ..TenantClaim::default() };
        return Ok(Tenancy { claim, it_admin_by_group });
    }
    for id in organizations.ids {
        add(&mut ids, id);
    }
    for alias in organizations.aliases {
        add(&mut slugs, alias);
    }
    let it_admin_by_group = organizations.groups.map(|groups| groups.iter().any(|group| group == IT_ADMIN_GROUP));
    Ok(Tenancy { claim: TenantClaim { ids, slugs, several_organizations: false }, it_admin_by_group })
}

/// The `organization` claim as it is read, over all its shapes.
#[derive(Default)]
struct Organizations {
    aliases: Vec<String>,
    /// From the organizations' pushed attributes.
    ids: Vec<String>,
    /// `Some` as soon as one organization carries groups, an empty list too.
    groups: Option<Vec<String>>,
}

impl Organizations {
    /// A string, an object, or an array of strings and objects: two mappers on this claim make Keycloak mix them.
    fn read(&mut self, claim: &Value) -> Result<(), TokenError> {
        match claim {
            Value::Array(items) => items.iter().try_for_each(|item| self.read_one_shape(item)),
            Value::Null => Ok(()),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => self.read_one_shape(claim),
        }
    }

    fn read_one_shape(&mut self, shape: &Value) -> Result<(), TokenError> {
        match shape {
            Value::String(alias) => {
                add(&mut self.aliases, alias.clone());
                Ok(())
            }
            Value::Object(by_alias) => {
                by_alias.iter().try_for_each(|(alias, details)| self.read_details(alias, details))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                Err(TokenError::Malformed(ORGANIZATION_ILL_TYPED))
            }
        }
    }

    /// Attributes are arrays of strings. The organization's own `id` is Keycloak's and not ours; other attributes may have
    /// any shape and are left alone.
    fn read_details(&mut self, alias: &str, details: &Value) -> Result<(), TokenError> {
        add(&mut self.aliases, alias.to_owned());
        let details = match details {
            Value::Object(details) => details,
            Value::Null => return Ok(()),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(TokenError::Malformed(ORGANIZATION_ILL_TYPED));
            }
        };
        add_ids(&mut self.ids, details.get("tenant_id"), "an organization's `tenant_id` is no array of strings")?;
        // The key counts, not what is in it: `null` is an empty list, the reading that grants less.
        if let Some(groups) = details.get("groups") {
            let groups = texts(Some(groups), "an organization's `groups` is no array of strings")?;
            let all = self.groups.get_or_insert_default();
            all.extend(groups.into_iter().map(str::to_owned));
        }
        Ok(())
    }
}

/// One id in two spellings is one id.
fn add_ids(ids: &mut Vec<String>, value: Option<&Value>, ill_typed: &'static str) -> Result<(), TokenError> {
    for id in texts(value, ill_typed)? {
        add(ids, Uuid::try_parse(id).map_or_else(|_| id.to_owned(), |uuid| uuid.to_string()));
    }
    Ok(())
}

/// Keycloak writes an empty attribute as an empty string: it names nothing.
fn add(values: &mut Vec<String>, value: String) {
    if !value.is_empty() && !values.contains(&value) {
        values.push(value);
    }
}
