//! What each step does: one question or change at the identity provider, and what it makes of the work.
//!
//! `drive.rs` calls [`App::do_step`] without a transaction, and writes down what comes of it. Invariants: an account of
//! somebody else gets a membership and nothing more; an account gets one invitation by itself, however many tenants it was
//! invited by, and another one only when somebody asks.

use std::time::Duration;

use domain::provisioning::{Step, Switched, Wanted, organization_name, person_name};
use domain::{IdentityWork, TenantId};
use store::{Scope, Unaudited};

use super::Whose;
use super::attempt::{Attempt, Halt};
use crate::app::App;
use crate::identity::provider::{
    AccountId, Ensured, FaultKind, IdentityError, IdentityProvider, OrganizationId, OrganizationSpec, Person,
};

/// After so many failed attempts in a row another tenant's work may invite an account in this one's place.
const CLAIM_ATTEMPTS: i64 = 3;
/// How often it is looked whether somebody else has done what a step waits for.
const LOOK: Duration = Duration::from_millis(20);

impl App {
    /// Does one step.
    pub(super) async fn do_step(&self, attempt: &mut Attempt<'_>, step: Step, wanted: &Wanted) -> Result<(), Halt> {
        match step {
            Step::Organization => self.make_organization(attempt, wanted).await,
            Step::Update => {
                let id = organization_of(&attempt.work)?;
                self.provider().update_organization(&id, &spec(&attempt.work, wanted, None)).await?;
                attempt.work.pushed = Some(wanted.push());
                Ok(())
            }
            Step::User => self.make_account(attempt).await,
            Step::Membership => {
                let (organization, account) = (organization_of(&attempt.work)?, account_of(&attempt.work)?);
                self.let_in(attempt, &account).await?;
                self.provider().ensure_member(&organization, &account).await?;
                attempt.work.is_member = true;
                Ok(())
            }
            Step::Admin => {
                let (organization, account) = (organization_of(&attempt.work)?, account_of(&attempt.work)?);
                self.provider().ensure_admin(&organization, &account).await?;
                attempt.work.is_admin = true;
                Ok(())
            }
            Step::Email => self.invite(attempt).await,
            Step::DisableOrganization => self.shut_organization(attempt, wanted).await,
            Step::DisableUser => self.shut_account(attempt).await,
            Step::EnableOrganization => self.open_organization(attempt, wanted).await,
            Step::EnableUser => self.open_account(attempt).await,
            Step::RemoveOrganization => self.remove_organization(attempt).await,
            Step::RemoveUser => self.remove_account(attempt).await,
        }
    }

    pub(super) fn provider(&self) -> &dyn IdentityProvider {
        &*self.identity.settings.provider
    }

    async fn make_organization(&self, attempt: &mut Attempt<'_>, wanted: &Wanted) -> Result<(), Halt> {
        self.make_way(attempt).await?;
        if !attempt.work.organization_meant {
            attempt.work.organization_meant = true;
            attempt.note_down().await?;
        }
        let id = self.provider().ensure_organization(&spec(&attempt.work, wanted, None)).await?;
        attempt.work.organization_is(id.0);
        // Noted with the write that follows, so that the account's step need not.
        attempt.work.account_meant_at.get_or_insert(attempt.ctx.now());
        Ok(())
    }

    /// Removes what is left of earlier tenants of this slug, whose alias it is too.
    async fn make_way(&self, attempt: &Attempt<'_>) -> Result<(), Halt> {
        let former = self.store.read(Scope::Platform).await?.former_holders_of_slug(&attempt.work.slug).await?;
        for id in former {
            let ctx = self.job_ctx("provisioning");
            // Somebody else may be at it: that is waited for, within the time that a step has.
            while let Some(left) = self.left_of(id).await? {
                if left.attempts > 0 && left.due_at.is_some_and(|due| due > ctx.now()) {
                    return Err(not_yet("the organization of an earlier tenant with this slug is still to be removed"));
                }
                Box::pin(self.drive(&ctx, id, Whose::Everybodys)).await?;
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// What is left of a tenant that is gone.
    async fn left_of(&self, id: TenantId) -> Result<Option<IdentityWork>, Halt> {
        Ok(self.store.read(Scope::Platform).await?.get_identity_work(id).await?)
    }

    async fn make_account(&self, attempt: &mut Attempt<'_>) -> Result<(), Halt> {
        if attempt.work.account_meant_at.is_none() {
            attempt.work.account_meant_at = Some(attempt.ctx.now());
            attempt.note_down().await?;
        }
        let intended = attempt.work.account_meant_at.unwrap_or_else(|| attempt.ctx.now());
        let Ensured { id, ours } = self.provider().ensure_account(&person(&attempt.work), intended).await?;
        // One that another tenant's work made is ours, whether or not it carries a mark.
        let known = self.sharers(attempt.work.tenant_id, &id).await?.iter().any(|other| other.account_ours);
        attempt.work.account_is(id.0, ours || known);
        Ok(())
    }

    /// Mails the invitation, where there is one to mail: an account of ours without a password, whose invitation no other
    /// tenant's work has taken upon itself; or one that somebody asked for.
    async fn invite(&self, attempt: &mut Attempt<'_>) -> Result<(), Halt> {
        let account = account_of(&attempt.work)?;
        let asked = attempt.work.mail_was_asked() && attempt.work.provisioned_at.is_some();
        let mut mailed = false;
        if attempt.work.account_ours {
            let found = self.provider().get_account(&account).await?.ok_or_else(|| gone("the account is gone"))?;
            if !found.has_password && (asked || self.claim_mail(attempt, &account).await?) {
                self.provider().send_invitation(&account).await?;
                mailed = true;
            }
        }
        // Who asked while the mail was under way has got it.
        attempt.work.mail_settled_at = Some(attempt.ctx.now().max(attempt.work.asked_at.unwrap_or_default()));
        if mailed && asked {
            attempt.note("keycloak.invite_resent");
        }
        Ok(())
    }

    /// Takes it upon this work to mail the account; false where another one has.
    async fn claim_mail(&self, attempt: &mut Attempt<'_>, account: &AccountId) -> Result<bool, Halt> {
        let mut tx = self.store.begin(Scope::Platform).await?;
        let held = tx.lock_identity_work_of_account(&account.0).await?;
        let own = attempt.work.tenant_id;
        let mut claims = held.iter().filter(|other| other.tenant_id != own && other.mail_claimed && !other.gone);
        // One that does not get to it, since it is shut or fails again and again, keeps nobody from being invited.
        let at_it = |other: &IdentityWork| other.organization_switched.is_none() && other.attempts < CLAIM_ATTEMPTS;
        if claims.any(|other| other.mail_settled_at.is_some() || (!attempt.work.mail_claimed && at_it(other))) {
            return Ok(false);
        }
        if attempt.work.mail_claimed {
            return Ok(true);
        }
        attempt.work.mail_claimed = true;
        if tx.save_identity_work(&attempt.work, None).await? == store::Saved::Lost {
            return Err(Halt::Lost);
        }
        tx.commit_unaudited(Unaudited::Provisioning).await?;
        Ok(true)
    }

    /// Lets an account of ours log in again that the freeze of another tenant shut: it belongs to more than that one now.
    /// This work has the account already where that freeze looks for it, so one of the two sees the other.
    async fn let_in(&self, attempt: &Attempt<'_>, account: &AccountId) -> Result<(), Halt> {
        if !attempt.work.account_ours {
            return Ok(());
        }
        let sharers = self.sharers(attempt.work.tenant_id, account).await?;
        let switched = |how: Switched| sharers.iter().any(|other| other.account_switched == Some(how));
        if switched(Switched::Meant) {
            return Err(not_yet("the account is just being shut by the freeze of another tenant"));
        }
        if switched(Switched::Off) {
            self.provider().set_account_enabled(account, true).await?;
        }
        Ok(())
    }

    /// The work of other tenants that are there and have this account.
    pub(super) async fn sharers(&self, own: TenantId, account: &AccountId) -> Result<Vec<IdentityWork>, Halt> {
        let mut tx = self.store.begin(Scope::Platform).await?;
        let held = tx.lock_identity_work_of_account(&account.0).await?;
        Ok(held.into_iter().filter(|other| other.tenant_id != own && !other.gone).collect())
    }

    /// Finds out what it is that is gone, so that it is made again. False: nothing that could be.
    pub(super) async fn set_back(&self, attempt: &mut Attempt<'_>, step: Step) -> bool {
        match step {
            Step::Update | Step::DisableOrganization | Step::EnableOrganization => attempt.work.organization_lost(),
            Step::Membership | Step::Admin | Step::Email | Step::DisableUser | Step::EnableUser => {
                let (Ok(organization), Ok(account)) = (organization_of(&attempt.work), account_of(&attempt.work))
                else {
                    return false;
                };
                match self.provider().get_account(&account).await {
                    Ok(None) => attempt.work.account_lost(),
                    // It is there, and cannot be made a member: it is the organization that is not.
                    Ok(Some(_)) if step == Step::Membership => attempt.work.organization_lost(),
                    Ok(Some(found)) if !found.organizations.contains(&organization) => attempt.work.membership_lost(),
                    Ok(Some(_)) | Err(_) => return false,
                }
            }
            Step::Organization | Step::User | Step::RemoveOrganization | Step::RemoveUser => return false,
        }
        true
    }
}

/// What the organization is to be. Of a tenant that is gone, it is only to be found.
pub(super) fn spec(work: &IdentityWork, wanted: &Wanted, enabled: Option<bool>) -> OrganizationSpec {
    let name = if wanted.name.is_empty() { organization_name(&work.slug, &work.slug) } else { wanted.name.clone() };
    let mut attributes = wanted.attributes.clone();
    attributes.entry("tenant_id".to_owned()).or_insert_with(|| vec![work.tenant_id.to_string()]);
    OrganizationSpec { tenant: work.tenant_id, alias: work.slug.clone(), name, attributes, enabled }
}

pub(super) fn person(work: &IdentityWork) -> Person {
    let name = person_name(work.admin_name.as_deref(), &work.email);
    Person { tenant: work.tenant_id, email: work.email.clone(), first_name: name.first, last_name: name.last }
}

/// What another tenant's work has to end before this step can be done.
fn not_yet(detail: &str) -> Halt {
    Halt::Fault(IdentityError { kind: FaultKind::Unavailable, detail: detail.to_owned(), retry_after: None })
}

pub(super) fn gone(detail: &str) -> IdentityError {
    IdentityError { kind: FaultKind::Gone, detail: detail.to_owned(), retry_after: None }
}

/// The organization, which the steps before have made.
pub(super) fn organization_of(work: &IdentityWork) -> Result<OrganizationId, Halt> {
    let id = work.shown.organization_id.clone().ok_or_else(|| gone("the organization was not made"))?;
    Ok(OrganizationId(id))
}

/// The account, which the steps before have made.
pub(super) fn account_of(work: &IdentityWork) -> Result<AccountId, Halt> {
    Ok(AccountId(work.account_id.clone().ok_or_else(|| gone("the account was not made"))?))
}
