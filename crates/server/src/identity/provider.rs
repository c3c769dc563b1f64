//! The identity provider as the application sees it: organizations, accounts, memberships, mails.
//!
//! `app` drives a tenant's identity through it, one call per persisted step; `keycloak` and `mock` are the two that there
//! are. Invariant: every `ensure_` may be repeated after an unknown outcome without making a second of anything, and
//! nothing here opens a transaction or knows of one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use domain::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// An organization's id at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationId(pub String);

/// An account's id at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub String);

/// The organization that a tenant wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationSpec {
    /// Whose it is: an organization of the same alias that carries another tenant's id is not taken over.
    pub tenant: TenantId,
    /// The tenant's slug; it never changes.
    pub alias: String,
    /// `"<name> (<slug>)"`, at most 255 characters: names are unique in a realm.
    pub name: String,
    /// What tokens can carry without a call: `tenant_id`, `plan`, `status`, `products`. A value over 255 characters is
    /// refused by Keycloak, so many values are many elements. An attribute without an element is removed.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Whether its members may log in with it. None leaves that as it is: somebody may have switched it off by hand.
    /// One that is made with none is enabled.
    pub enabled: Option<bool>,
}

/// The person to invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// For whom it is invited: the mark of an account that we make.
    pub tenant: TenantId,
    /// Address, compared without case.
    pub email: String,
    /// Given name; an account without one cannot finish its login.
    pub first_name: String,
    /// Family name; the same.
    pub last_name: String,
}

/// What [`IdentityProvider::ensure_account`] came upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// Its id.
    pub id: AccountId,
    /// Whether this call or an earlier one of ours for any tenant made it. Only then may it be mailed a password link,
    /// disabled or deleted.
    pub ours: bool,
}

/// An account as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whether it may log in at all.
    pub enabled: bool,
    /// Whether a password was set.
    pub has_password: bool,
    /// Whether it carries the mark of an account that we made. False does not say that somebody else did where a realm
    /// cannot store the mark: keep what [`IdentityProvider::ensure_account`] said.
    pub ours: bool,
    /// The organizations that it is a member of.
    pub organizations: Vec<OrganizationId>,
}

/// What kind of link an invitation is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InviteKind {
    /// The link of the mail that was sent, read from the sink.
    Mail,
    /// The login page, with the address filled in.
    Login,
}

/// A way into the new account. Whoever has it may be that person: never logged, audited, stored, or shown outside dev.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteLink {
    /// Where it leads.
    pub url: String,
    /// What it is.
    pub kind: InviteKind,
}

impl fmt::Debug for InviteLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InviteLink").field("url", &"***").field("kind", &self.kind).finish()
    }
}

/// Why a call failed, as far as it decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// No connection.
    Unreachable,
    /// No answer in time: what became of it is unknown.
    Timeout,
    /// The provider, or a proxy before it, cannot answer now (429, 5xx).
    Unavailable,
    /// The mail could not be sent (500 of a mail call: no SMTP server, or one that refuses).
    MailFailed,
    /// The service account's id or secret is refused.
    BadCredentials,
    /// The service account's token is refused a second time: usually issuer and host differ.
    TokenRefused,
    /// The service account lacks a role.
    MissingRole,
    /// The realm is unknown or disabled, or organizations are switched off in it.
    Misconfigured,
    /// Another organization has the name, or the alias with another tenant's id.
    NameConflict,
    /// The account, the organization or the membership is not there (any more): begin again at the step that makes it.
    Gone,
    /// The provider refuses what was sent, and would again.
    Rejected,
    /// An answer that cannot be understood.
    Garbled,
}

impl FaultKind {
    /// Its stable code, in answers and in the audit log.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::MailFailed => "mail_failed",
            Self::BadCredentials => "bad_credentials",
            Self::TokenRefused => "auth",
            Self::MissingRole => "missing_role",
            Self::Misconfigured => "misconfigured",
            Self::NameConflict => "name_conflict",
            Self::Gone => "gone",
            Self::Rejected => "rejected",
            Self::Garbled => "garbled",
        }
    }

    /// Whether the same call may succeed later without anybody changing a setting. What may not is tried again all the
    /// same, but seldom: operators mend settings.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Timeout | Self::Unavailable | Self::MailFailed | Self::Gone | Self::Garbled
        )
    }
}

/// Why a call failed. Its text is for operators and the audit log: short, without secrets, tokens, links or addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", kind.code())]
pub struct IdentityError {
    /// What to do about it.
    pub kind: FaultKind,
    /// What happened, in one line.
    pub detail: String,
    /// When the provider asked to come back.
    pub retry_after: Option<Duration>,
}

/// The attribute by which an organization says whose it is.
pub const TENANT_ATTRIBUTE: &str = "tenant_id";

/// How long a name, an alias and a value of an attribute may be: Keycloak's columns end there, and what is longer is
/// answered by a bare 500 that looks like an outage.
pub const MAX_TEXT: usize = 255;

/// Whether an organization with these attributes is the one of another tenant. One that says nothing is nobody's.
pub(super) fn belongs_to_another(attributes: &BTreeMap<String, Vec<String>>, tenant: TenantId) -> bool {
    let tenant = tenant.to_string();
    attributes.get(TENANT_ATTRIBUTE).is_some_and(|values| values.iter().any(|value| *value != tenant))
}

/// Refuses what no provider takes, before anything is sent.
pub(super) fn check_spec(wanted: &OrganizationSpec) -> Result<()> {
    let rejected =
        |detail: &str| Err(IdentityError { kind: FaultKind::Rejected, detail: detail.to_owned(), retry_after: None });
    if wanted.name.is_empty() || wanted.alias.is_empty() {
        return rejected("an organization needs a name and an alias");
    }
    if !wanted.alias.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return rejected("an alias has lower-case letters, digits and hyphens");
    }
    let values = wanted.attributes.iter().flat_map(|(key, values)| values.iter().chain([key]));
    if values.chain([&wanted.name, &wanted.alias]).any(|text| text.chars().count() > MAX_TEXT) {
        return rejected("a name, an alias or an attribute has more than 255 characters");
    }
    Ok(())
}

/// What a call gives.
pub type Result<T, E = IdentityError> = std::result::Result<T, E>;

/// Where people and their organizations are kept.
#[async_trait]
pub trait IdentityProvider: Send + Sync + fmt::Debug + 'static {
    /// Whether everything that is needed is there; the error's line tells the operator what is wrong.
    async fn probe(&self) -> Result<()>;

    /// Finds the organization by its alias, or makes it as it is wanted. What is found is not changed.
    async fn ensure_organization(&self, wanted: &OrganizationSpec) -> Result<OrganizationId>;
    /// Gives the organization the name, attributes and `enabled` that are wanted, and leaves the rest as it is: attributes
    /// of others stay. Says whether it was enabled before.
    async fn update_organization(&self, id: &OrganizationId, wanted: &OrganizationSpec) -> Result<bool>;
    /// Removes the organization of that tenant; one that is not there, or is another tenant's, is left. Refused
    /// ([`FaultKind::Rejected`]) where accounts that are not ours would be deleted with it.
    async fn delete_organization(&self, id: &OrganizationId, tenant: TenantId) -> Result<()>;

    /// Finds the account of an address, or makes one: enabled, with both names, marked as ours, address to be verified and
    /// password to be set by its owner. `intended` is when this provisioning first meant to make it, noted before the
    /// first call and given again with each repetition: where a realm cannot store the mark, an account is known as ours
    /// by a time of creation that was chosen from it. Of two that cannot be told apart, it is somebody else's.
    async fn ensure_account(&self, person: &Person, intended: Timestamp) -> Result<Ensured>;
    /// An account, or none.
    async fn get_account(&self, id: &AccountId) -> Result<Option<Account>>;
    /// Makes it a member.
    async fn ensure_member(&self, organization: &OrganizationId, account: &AccountId) -> Result<()>;
    /// Makes the member an administrator of the organization: the group `IT_ADMIN`.
    async fn ensure_admin(&self, organization: &OrganizationId, account: &AccountId) -> Result<()>;
    /// Mails the link by which the owner verifies the address and sets the password. Only for accounts of ours.
    async fn send_invitation(&self, account: &AccountId) -> Result<()>;
    /// The way into the account, in dev: the link of the newest mail to the address that is no older than `since` (by the
    /// service's clock), if one arrives soon, or the login page.
    async fn invite_link(&self, email: &str, since: Timestamp) -> Option<InviteLink>;

    /// Lets an account log in, or not. Only for accounts of ours. Says whether it could before.
    async fn set_account_enabled(&self, id: &AccountId, enabled: bool) -> Result<bool>;
    /// Ends the account's sessions.
    async fn log_out(&self, id: &AccountId) -> Result<()>;
    /// Removes an account of ours; one that is not there is no error.
    async fn delete_account(&self, id: &AccountId) -> Result<()>;
}
