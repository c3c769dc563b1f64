//! How far a tenant's identity work has come, and what is to be done next.
//!
//! `app` drives it: one step of [`IdentityWork::next`], one call to the identity provider, one row written. Everything here
//! is a pure function of the row, of what is wanted, and of the time. Invariants: a step that is done is never asked for
//! again unless what it made is lost; what freezing changed is noted before it is changed, so that activation can restore
//! exactly that; an account that is not ours is never a step's object.

mod backoff;
mod people;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entitlement::Entitlement;
use crate::ids::TenantId;
use crate::tenant::{Status, Tenant};
use crate::time::{Timestamp, from_micros};
use crate::words::words;

pub use backoff::{Retry, wait};
pub use people::{PersonName, person_name};

/// The most that Keycloak keeps of an organization's name, in UTF-16 units, which is how it counts.
pub const ORGANIZATION_NAME_MAX: usize = 255;

words! {
    /// Where provisioning stands, as it is shown.
    ProvisioningStatus {
        /// Nobody is to be invited.
        Skipped = "skipped",
        /// Under way, or about to be.
        Pending = "pending",
        /// Done.
        Provisioned = "provisioned",
        /// The last attempt failed.
        Failed = "failed",
    }
}
words! {
    /// One thing to do at the identity provider.
    Step {
        /// Find or make the organization.
        Organization = "organization",
        /// Find or make the account.
        User = "user",
        /// Make the account a member.
        Membership = "membership",
        /// Make the member an administrator.
        Admin = "admin",
        /// Mail the invitation, where one is to be mailed.
        Email = "email",
        /// Give the organization its name and attributes.
        Update = "update",
        /// Freeze the organization.
        DisableOrganization = "disable_organization",
        /// Freeze the account.
        DisableUser = "disable_user",
        /// Take back what freezing did to the organization.
        EnableOrganization = "enable_organization",
        /// Take back what freezing did to the account.
        EnableUser = "enable_user",
        /// Remove the organization of a tenant that is gone.
        RemoveOrganization = "remove_organization",
        /// Remove the account of a tenant that is gone.
        RemoveUser = "remove_user",
    }
}
words! {
    /// What freezing did to something that could be switched off.
    Switched {
        /// It is about to be switched off, or was: an answer was lost.
        Meant = "meant",
        /// It was on, and freezing switched it off.
        Off = "off",
        /// It was left as it is: off before, or not ours to switch.
        Left = "left",
    }
}

/// Until when the work that a request asked for at `at` is that request's to take up; then it is everybody's.
#[must_use]
pub fn own_until(at: Timestamp) -> Timestamp {
    const OWN_MICROS: i64 = 5_000_000;
    from_micros(at.as_microsecond().saturating_add(OWN_MICROS))
}

/// What is shown of a tenant's provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioning {
    /// Where it stands.
    pub status: ProvisioningStatus,
    /// The step that is next, or failed.
    pub step: Option<Step>,
    /// The organization at the identity provider.
    pub organization_id: Option<String>,
    /// The code of what went wrong.
    pub error: Option<String>,
}

impl Provisioning {
    /// Nobody is to be invited.
    pub const SKIPPED: Self =
        Self { status: ProvisioningStatus::Skipped, step: None, organization_id: None, error: None };
    /// Nothing was done yet.
    pub const BEGUN: Self = Self {
        status: ProvisioningStatus::Pending,
        step: Some(Step::Organization),
        organization_id: None,
        error: None,
    };
}

impl Default for Provisioning {
    fn default() -> Self {
        Self::SKIPPED
    }
}

/// The identity work of one tenant: what was done, what went wrong, who is at it. It outlives its tenant until everything
/// of it is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityWork {
    /// Whose.
    pub tenant_id: TenantId,
    /// The tenant's slug: the organization's alias.
    pub slug: String,
    /// Whom to invite.
    pub email: String,
    /// That person's name.
    pub admin_name: Option<String>,
    /// Whether the tenant is gone, so that everything is to be removed.
    pub gone: bool,
    /// Counts what was asked for: every change of the tenant and of what it has.
    pub wanted: i64,
    /// Up to where that has been brought about.
    pub done: i64,
    /// When somebody last asked for the invitation to be mailed again.
    pub asked_at: Option<Timestamp>,
    /// What is shown.
    pub shown: Provisioning,
    /// Whether an organization may have been made: noted before the first try.
    pub organization_meant: bool,
    /// The name and attributes that the organization has of us, as text.
    pub pushed: Option<String>,
    /// What freezing did to the organization.
    pub organization_switched: Option<Switched>,
    /// The account.
    pub account_id: Option<String>,
    /// Whether we made it, for whichever tenant.
    pub account_ours: bool,
    /// When an account was first meant to be made: noted before the first try.
    pub account_meant_at: Option<Timestamp>,
    /// Whether it is a member.
    pub is_member: bool,
    /// Whether it is an administrator.
    pub is_admin: bool,
    /// Whether this tenant is the one whose invitation the account gets.
    pub mail_claimed: bool,
    /// When the question of a mail was last settled: it was sent, or there was none to send.
    pub mail_settled_at: Option<Timestamp>,
    /// What freezing did to the account.
    pub account_switched: Option<Switched>,
    /// When it was first all done.
    pub provisioned_at: Option<Timestamp>,
    /// The failure that was last told in the audit log, as step and code.
    pub told: Option<(Step, String)>,
    /// How many attempts failed since the last that did not.
    pub attempts: i64,
    /// When it is to be looked at again; none: when something changes.
    pub due_at: Option<Timestamp>,
    /// Until when somebody is at it.
    pub lease_until: Option<Timestamp>,
    /// Counts who was ever at it: a write of an earlier one is refused.
    pub fence: i64,
}

/// How a tenant is to stand at the identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// People may log in, and the attributes say how the tenant stands.
    Live,
    /// Nobody of it may log in.
    Shut,
    /// Nothing of it may be left.
    Gone,
}

/// What is wanted at the identity provider, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How the tenant is to stand.
    pub standing: Standing,
    /// The organization's name.
    pub name: String,
    /// The organization's attributes.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// When the clock makes something else of it.
    pub until: Option<Timestamp>,
}

impl Wanted {
    /// What a tenant wants at `now`; `shut_when_frozen` is the operator's choice.
    #[must_use]
    pub fn of(tenant: &Tenant, entitlements: &[Entitlement], shut_when_frozen: bool, now: Timestamp) -> Self {
        let status = tenant.status_at(now);
        let frozen = status == Status::Frozen;
        let products = entitlements.iter().filter(|held| held.is_effective(now, frozen));
        let mut products: Vec<String> = products.map(|held| held.product.clone()).collect();
        products.sort_unstable();
        let attributes = [
            ("tenant_id", vec![tenant.id.to_string()]),
            ("plan", vec![tenant.plan.as_str().to_owned()]),
            ("status", vec![status.as_str().to_owned()]),
            ("products", products),
        ];
        let trial =
            Some(tenant).filter(|tenant| tenant.status == Status::Trial).and_then(|tenant| tenant.trial_ends_at);
        let turns = entitlements.iter().flat_map(|held| [held.starts_at, held.expires_at]).chain([trial]);
        Self {
            standing: if frozen && shut_when_frozen { Standing::Shut } else { Standing::Live },
            name: organization_name(&tenant.name, tenant.slug.as_str()),
            attributes: attributes.into_iter().map(|(name, values)| (name.to_owned(), values)).collect(),
            until: turns.flatten().filter(|turn| *turn > now).min(),
        }
    }

    /// What a tenant that is gone wants.
    #[must_use]
    pub fn gone() -> Self {
        Self { standing: Standing::Gone, name: String::new(), attributes: BTreeMap::new(), until: None }
    }

    /// Name and attributes as one text, to be compared with what was pushed.
    #[must_use]
    pub fn push(&self) -> String {
        serde_json::json!({ "name": self.name, "attributes": self.attributes }).to_string()
    }
}

/// `"<name> (<slug>)"`, of which the tenant's name is cut where it would be too long: names are unique in a realm, and
/// tenants' are not.
#[must_use]
pub fn organization_name(name: &str, slug: &str) -> String {
    let room = ORGANIZATION_NAME_MAX.saturating_sub(slug.encode_utf16().count() + 3);
    let mut length = 0;
    let kept: String = name
        .chars()
        .take_while(|c| {
            length += c.len_utf16();
            length <= room
        })
        .collect();
    format!("{} ({slug})", kept.trim_end())
}

impl IdentityWork {
    /// The work of a tenant that was just made, if it has somebody to invite.
    #[must_use]
    pub fn of(tenant: &Tenant) -> Option<Self> {
        Some(Self {
            tenant_id: tenant.id,
            slug: tenant.slug.to_string(),
            email: tenant.admin_email.clone()?,
            admin_name: tenant.admin_name.clone(),
            gone: false,
            wanted: 1,
            done: 0,
            asked_at: None,
            shown: Provisioning::BEGUN,
            organization_meant: false,
            pushed: None,
            organization_switched: None,
            account_id: None,
            account_ours: false,
            account_meant_at: None,
            is_member: false,
            is_admin: false,
            mail_claimed: false,
            mail_settled_at: None,
            account_switched: None,
            provisioned_at: None,
            told: None,
            attempts: 0,
            due_at: Some(own_until(tenant.created_at)),
            lease_until: None,
            fence: 0,
        })
    }

    /// What is to be done next, if anything is.
    #[must_use]
    pub fn next(&self, wanted: &Wanted) -> Option<Step> {
        match wanted.standing {
            Standing::Live => self.next_of_live(&wanted.push()),
            Standing::Shut => self.next_of_shut(&wanted.push()),
            Standing::Gone => self.next_of_gone(),
        }
    }

    /// What is pushed stands before what concerns the account: a mail that cannot be sent must not keep a freeze from the
    /// tokens.
    fn next_of_live(&self, push: &str) -> Option<Step> {
        let steps = [
            (self.shown.organization_id.is_none(), Step::Organization),
            (self.organization_switched.is_some(), Step::EnableOrganization),
            (self.account_switched.is_some(), Step::EnableUser),
            (self.pushed.as_deref() != Some(push), Step::Update),
            (self.account_id.is_none(), Step::User),
            (!self.is_member, Step::Membership),
            (!self.is_admin, Step::Admin),
            (self.mail_is_open(), Step::Email),
        ];
        steps.into_iter().find_map(|(open, step)| open.then_some(step))
    }

    /// Nobody is invited into an organization that is shut; what was not made yet waits for the activation.
    fn next_of_shut(&self, push: &str) -> Option<Step> {
        self.shown.organization_id.as_ref()?;
        let open = |switched: Option<Switched>| matches!(switched, None | Some(Switched::Meant));
        let steps = [
            (open(self.organization_switched), Step::DisableOrganization),
            (self.account_id.is_some() && self.account_ours && open(self.account_switched), Step::DisableUser),
            (self.pushed.as_deref() != Some(push), Step::Update),
        ];
        steps.into_iter().find_map(|(open, step)| open.then_some(step))
    }

    fn next_of_gone(&self) -> Option<Step> {
        let account = if self.account_id.is_some() { self.account_ours } else { self.account_meant_at.is_some() };
        let steps = [(self.organization_meant, Step::RemoveOrganization), (account, Step::RemoveUser)];
        steps.into_iter().find_map(|(open, step)| open.then_some(step))
    }

    /// Whether somebody asked for a mail since the question was last settled.
    #[must_use]
    pub fn mail_was_asked(&self) -> bool {
        self.asked_at.is_some_and(|asked| self.mail_settled_at.is_none_or(|settled| asked > settled))
    }

    fn mail_is_open(&self) -> bool {
        self.mail_settled_at.is_none() || self.mail_was_asked()
    }

    /// The organization is there, as it was wanted. What was lost with an earlier one is to be done again.
    pub fn organization_is(&mut self, id: String) {
        if self.shown.organization_id.as_ref() != Some(&id) {
            self.organization_lost();
            self.organization_meant = true;
            self.shown.organization_id = Some(id);
        }
    }

    /// The account is there. One that is another than before gets a mail of its own.
    pub fn account_is(&mut self, id: String, ours: bool) {
        if self.account_id.as_ref() != Some(&id) {
            let meant = self.account_meant_at;
            self.account_lost();
            self.account_meant_at = meant;
            self.account_id = Some(id);
            self.account_ours = ours;
        }
        self.account_ours |= ours;
    }

    /// The organization is not there any more, and its memberships are not.
    pub fn organization_lost(&mut self) {
        self.shown.organization_id = None;
        self.organization_meant = false;
        self.pushed = None;
        self.organization_switched = None;
        self.membership_lost();
    }

    /// The account is not there any more.
    pub fn account_lost(&mut self) {
        self.account_id = None;
        self.account_ours = false;
        self.account_meant_at = None;
        self.account_switched = None;
        self.mail_claimed = false;
        self.mail_settled_at = None;
        self.membership_lost();
    }

    /// The account is no member any more.
    pub fn membership_lost(&mut self) {
        self.is_member = false;
        self.is_admin = false;
    }

    /// What is shown while an attempt is under way.
    pub fn begin(&mut self) {
        if self.shown.status == ProvisioningStatus::Failed {
            self.shown.status = ProvisioningStatus::Pending;
            self.shown.error = None;
        }
    }

    /// A step was done, and others are to follow.
    pub fn go_on(&mut self, next: Step) {
        if self.shown.status != ProvisioningStatus::Provisioned {
            self.shown.status = ProvisioningStatus::Pending;
            self.shown.step = Some(next);
            self.shown.error = None;
        }
    }

    /// Nothing is left to do of what was wanted up to `revision`. Says whether the tenant was provisioned by it, for the
    /// first time or again after a failure.
    pub fn finish(&mut self, revision: i64, wanted: &Wanted, now: Timestamp) -> bool {
        let complete = self.is_admin && self.mail_settled_at.is_some();
        let again = self.shown.status != ProvisioningStatus::Provisioned;
        if complete {
            self.shown.status = ProvisioningStatus::Provisioned;
            self.shown.step = None;
        } else {
            self.shown.status = ProvisioningStatus::Pending;
            self.shown.step = self.next_of_live(&wanted.push());
        }
        self.shown.error = None;
        self.told = None;
        self.attempts = 0;
        self.done = revision;
        self.due_at = wanted.until;
        self.lease_until = None;
        if complete && self.provisioned_at.is_none() {
            self.provisioned_at = Some(now);
        }
        complete && again
    }

    /// An attempt failed at a step. Says whether that is news: another step or another code than was told last.
    pub fn fail(&mut self, step: Step, code: &str, due_at: Timestamp) -> bool {
        self.shown.status = ProvisioningStatus::Failed;
        self.shown.step = Some(step);
        self.shown.error = Some(code.to_owned());
        self.attempts += 1;
        self.due_at = Some(due_at);
        self.lease_until = None;
        let failure = Some((step, code.to_owned()));
        let news = self.told != failure;
        self.told = failure;
        news
    }
}
