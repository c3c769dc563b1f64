//! The organizations and accounts of [`super::MockProvider`], and Keycloak's rules about them as far as the port shows them.
//!
//! Invariant: aliases, names and addresses (without case) are unique, as they are in a realm.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use domain::TenantId;

use super::plan::fault;
use crate::identity::provider::{
    Account, AccountId, Ensured, FaultKind, OrganizationId, OrganizationSpec, Person, Result, belongs_to_another,
    check_spec,
};

/// An organization as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MockOrganization {
    /// Unique.
    pub alias: String,
    /// Unique as well.
    pub name: String,
    /// Ours and others'.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Whether it may be logged in with.
    pub enabled: bool,
    /// Its members.
    pub members: BTreeSet<String>,
    /// Those in the group `IT_ADMIN`.
    pub admins: BTreeSet<String>,
    /// Its id; empty before it is put there.
    pub id: String,
}

/// An account as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MockAccount {
    /// Unique, without case.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Whether it may log in.
    pub enabled: bool,
    /// Whether a password was set.
    pub has_password: bool,
    /// For whom we made it; none for one of somebody else.
    pub made_for: Option<TenantId>,
    /// How many invitations were mailed to it.
    pub mails: u32,
    /// How often its sessions were ended.
    pub log_outs: u32,
    /// Its id; empty before it is put there.
    pub id: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct State {
    organizations: BTreeMap<String, MockOrganization>,
    accounts: BTreeMap<String, MockAccount>,
    /// How many things of a name there have been.
    made: BTreeMap<String, u32>,
}

impl State {
    /// An id that depends on what it stands for and on how many of it there were before.
    fn new_id(&mut self, what: &str) -> String {
        let count = self.made.entry(what.to_owned()).or_default();
        *count += 1;
        let digest = digest(&SHA256, format!("{what}#{count}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_ref()[..16]);
        // RFC 9562 §5.8: a version for what is nobody else's business.
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    pub(super) fn organizations(&self) -> Vec<MockOrganization> {
        let mut all: Vec<_> = self.organizations.values().cloned().collect();
        all.sort_by(|a, b| a.alias.cmp(&b.alias));
        all
    }

    pub(super) fn accounts(&self) -> Vec<MockAccount> {
        let mut all: Vec<_> = self.accounts.values().cloned().collect();
        all.sort_by(|a, b| a.email.cmp(&b.email));
        all
    }

    pub(super) fn put_organization(&mut self, mut organization: MockOrganization) -> OrganizationId {
        self.organizations.retain(|_, other| other.alias != organization.alias);
        organization.id = self.new_id(&format!("organization {}", organization.alias));
        let id = organization.id.clone();
        self.organizations.insert(id.clone(), organization);
        OrganizationId(id)
    }

    pub(super) fn put_account(&mut self, mut account: MockAccount) -> AccountId {
        account.email = account.email.to_lowercase();
        account.id = match self.accounts.values().find(|other| other.email == account.email) {
            Some(other) => other.id.clone(),
            None => self.new_id(&format!("account {}", account.email)),
        };
        let id = account.id.clone();
        self.accounts.insert(id.clone(), account);
        AccountId(id)
    }

    fn organization(&mut self, id: &OrganizationId) -> Result<&mut MockOrganization> {
        self.organizations.get_mut(&id.0).ok_or_else(|| fault(FaultKind::Gone, "the organization is not there"))
    }

    fn account_mut(&mut self, id: &AccountId) -> Result<&mut MockAccount> {
        self.accounts.get_mut(&id.0).ok_or_else(|| fault(FaultKind::Gone, "the account is not there"))
    }

    fn check_name(&self, name: &str, own: &str) -> Result<()> {
        if self.organizations.values().any(|other| other.name == name && other.id != own) {
            return Err(fault(FaultKind::NameConflict, "another organization has the name"));
        }
        Ok(())
    }

    pub(super) fn ensure_organization(&mut self, wanted: &OrganizationSpec) -> Result<OrganizationId> {
        check_spec(wanted)?;
        if let Some(found) = self.organizations.values().find(|other| other.alias == wanted.alias) {
            if belongs_to_another(&found.attributes, wanted.tenant) {
                return Err(fault(FaultKind::NameConflict, "the organization of that alias is another tenant's"));
            }
            return Ok(OrganizationId(found.id.clone()));
        }
        self.check_name(&wanted.name, "")?;
        Ok(self.put_organization(MockOrganization {
            alias: wanted.alias.clone(),
            name: wanted.name.clone(),
            attributes: filled(&wanted.attributes),
            enabled: wanted.enabled.unwrap_or(true),
            ..MockOrganization::default()
        }))
    }

    pub(super) fn update_organization(&mut self, id: &OrganizationId, wanted: &OrganizationSpec) -> Result<bool> {
        check_spec(wanted)?;
        let found = self.organization(id)?.clone();
        if belongs_to_another(&found.attributes, wanted.tenant) {
            return Err(fault(FaultKind::NameConflict, "the organization is another tenant's"));
        }
        self.check_name(&wanted.name, &id.0)?;
        let kept = self.organization(id)?;
        kept.name.clone_from(&wanted.name);
        kept.enabled = wanted.enabled.unwrap_or(kept.enabled);
        kept.attributes.retain(|key, _| !wanted.attributes.contains_key(key));
        kept.attributes.extend(filled(&wanted.attributes));
        Ok(found.enabled)
    }

    pub(super) fn delete_organization(&mut self, id: &OrganizationId, tenant: TenantId) {
        if self.organizations.get(&id.0).is_some_and(|found| !belongs_to_another(&found.attributes, tenant)) {
            self.organizations.remove(&id.0);
        }
    }

    pub(super) fn ensure_account(&mut self, person: &Person) -> Result<Ensured> {
        let email = person.email.to_lowercase();
        if let Some(found) = self.accounts.values().find(|other| other.email == email) {
            return Ok(Ensured { id: AccountId(found.id.clone()), ours: found.made_for.is_some() });
        }
        if !email.split_once('@').is_some_and(|(local, host)| !local.is_empty() && local.is_ascii() && !host.is_empty())
        {
            return Err(fault(FaultKind::Rejected, "the address is none"));
        }
        let id = self.put_account(MockAccount {
            email,
            first_name: person.first_name.clone(),
            last_name: person.last_name.clone(),
            enabled: true,
            made_for: Some(person.tenant),
            ..MockAccount::default()
        });
        Ok(Ensured { id, ours: true })
    }

    pub(super) fn account(&self, id: &AccountId) -> Option<Account> {
        let found = self.accounts.get(&id.0)?;
        let mine = self.organizations.values().filter(|organization| organization.members.contains(&id.0));
        let mut organizations: Vec<_> = mine.map(|organization| OrganizationId(organization.id.clone())).collect();
        organizations.sort();
        Some(Account {
            id: id.clone(),
            enabled: found.enabled,
            has_password: found.has_password,
            ours: found.made_for.is_some(),
            organizations,
        })
    }

    pub(super) fn ensure_member(&mut self, organization: &OrganizationId, account: &AccountId) -> Result<()> {
        self.account_mut(account)?;
        self.organization(organization)?.members.insert(account.0.clone());
        Ok(())
    }

    pub(super) fn ensure_admin(&mut self, organization: &OrganizationId, account: &AccountId) -> Result<()> {
        self.account_mut(account)?;
        let organization = self.organization(organization)?;
        if !organization.members.contains(&account.0) {
            return Err(fault(FaultKind::Gone, "the account is no member of the organization"));
        }
        organization.admins.insert(account.0.clone());
        Ok(())
    }

    pub(super) fn send_invitation(&mut self, id: &AccountId) -> Result<()> {
        let account = self.account_mut(id)?;
        if !account.enabled {
            return Err(fault(FaultKind::Rejected, "the account is disabled"));
        }
        account.mails += 1;
        Ok(())
    }

    /// The account of an address that a mail went to.
    pub(super) fn mailed(&self, email: &str) -> Option<AccountId> {
        let email = email.to_lowercase();
        let found = self.accounts.values().find(|account| account.email == email && account.mails > 0)?;
        Some(AccountId(found.id.clone()))
    }

    pub(super) fn set_account_enabled(&mut self, id: &AccountId, enabled: bool) -> Result<bool> {
        Ok(std::mem::replace(&mut self.account_mut(id)?.enabled, enabled))
    }

    pub(super) fn log_out(&mut self, id: &AccountId) -> Result<()> {
        self.account_mut(id)?.log_outs += 1;
        Ok(())
    }

    pub(super) fn delete_account(&mut self, id: &AccountId) {
        self.accounts.remove(&id.0);
        for organization in self.organizations.values_mut() {
            organization.members.remove(&id.0);
            organization.admins.remove(&id.0);
        }
    }
}

/// Without attributes that have no value: Keycloak keeps none.
fn filled(attributes: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    attributes
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(key, values)| (key.clone(), values.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_what_they_stand_for_and_are_never_used_again() {
        let make = |state: &mut State, email: &str| {
            state.put_account(MockAccount { email: email.to_owned(), ..MockAccount::default() })
        };
        let (mut one, mut two) = (State::default(), State::default());
        let first = make(&mut one, "a@x");
        make(&mut two, "b@x");
        assert_eq!(make(&mut two, "A@x"), first, "the same in another process, whatever came before");
        one.delete_account(&first);
        assert_ne!(make(&mut one, "a@x"), first, "a later account of the address is another one");
        assert!(uuid::Uuid::parse_str(&first.0).is_ok());
    }
}
