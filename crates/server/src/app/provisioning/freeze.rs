//! Shutting a frozen tenant's people out, and letting them in again.
//!
//! Only where the operator chose so (`KEYCLOAK_ON_FREEZE=disable`). Invariants: what is about to be switched off is noted
//! before it is, so that activation restores it also after a crash; what was off before stays off; an account that is not
//! ours, or belongs to another organization too, is never switched.

use domain::provisioning::{Switched, Wanted};

use super::attempt::{Attempt, Halt};
use super::steps::{account_of, organization_of, spec};
use crate::app::App;
use crate::identity::provider::{AccountId, FaultKind};

impl App {
    /// Switches the organization off.
    pub(super) async fn shut_organization(&self, attempt: &mut Attempt<'_>, wanted: &Wanted) -> Result<(), Halt> {
        let id = organization_of(&attempt.work)?;
        // An earlier attempt may have done it, and have lost the answer.
        let unsure = attempt.work.organization_switched == Some(Switched::Meant);
        if !unsure {
            attempt.work.organization_switched = Some(Switched::Meant);
            attempt.note_down().await?;
        }
        let update = self.provider().update_organization(&id, &spec(&attempt.work, wanted, Some(false))).await;
        let was_enabled = match update {
            Ok(was_enabled) => was_enabled,
            Err(fault) => {
                if !unsure && changed_nothing(fault.kind) {
                    attempt.work.organization_switched = None;
                }
                return Err(fault.into());
            }
        };
        attempt.work.pushed = Some(wanted.push());
        attempt.work.organization_switched = Some(if was_enabled || unsure { Switched::Off } else { Switched::Left });
        if was_enabled {
            attempt.note("keycloak.organization_disabled");
        }
        Ok(())
    }

    /// Switches the account off and ends its sessions, where it is ours alone and nobody else's.
    pub(super) async fn shut_account(&self, attempt: &mut Attempt<'_>) -> Result<(), Halt> {
        let (organization, id) = (organization_of(&attempt.work)?, account_of(&attempt.work)?);
        let unsure = attempt.work.account_switched == Some(Switched::Meant);
        let Some(found) = self.provider().get_account(&id).await? else {
            attempt.work.account_lost();
            return Ok(());
        };
        let member_elsewhere = found.organizations.iter().any(|other| *other != organization);
        let mut elsewhere = member_elsewhere || self.is_shared(attempt, &id).await?;
        if !unsure && (elsewhere || !found.enabled) {
            attempt.work.account_switched = Some(Switched::Left);
            return Ok(());
        }
        if !unsure {
            attempt.work.account_switched = Some(Switched::Meant);
            attempt.note_down().await?;
            // Whoever came to share it before that was noted does not know of it.
            elsewhere = self.is_shared(attempt, &id).await?;
        }
        if elsewhere {
            // It came to belong to somebody else while it was not known whether it was shut.
            if unsure {
                self.provider().set_account_enabled(&id, true).await?;
            }
            attempt.work.account_switched = Some(Switched::Left);
            return Ok(());
        }
        match self.provider().set_account_enabled(&id, false).await {
            Ok(_) => {}
            Err(fault) => {
                if !unsure && changed_nothing(fault.kind) {
                    attempt.work.account_switched = None;
                }
                return Err(fault.into());
            }
        }
        self.provider().log_out(&id).await?;
        attempt.work.account_switched = Some(Switched::Off);
        attempt.note("keycloak.user_disabled");
        Ok(())
    }

    async fn is_shared(&self, attempt: &Attempt<'_>, account: &AccountId) -> Result<bool, Halt> {
        Ok(!self.sharers(attempt.work.tenant_id, account).await?.is_empty())
    }

    /// Takes back what shutting did to the organization.
    pub(super) async fn open_organization(&self, attempt: &mut Attempt<'_>, wanted: &Wanted) -> Result<(), Halt> {
        match attempt.work.organization_switched {
            Some(Switched::Meant | Switched::Off) => {
                let id = organization_of(&attempt.work)?;
                self.provider().update_organization(&id, &spec(&attempt.work, wanted, Some(true))).await?;
                attempt.work.pushed = Some(wanted.push());
                attempt.work.organization_switched = None;
                attempt.note("keycloak.organization_enabled");
            }
            Some(Switched::Left) | None => attempt.work.organization_switched = None,
        }
        Ok(())
    }

    /// Takes back what shutting did to the account.
    pub(super) async fn open_account(&self, attempt: &mut Attempt<'_>) -> Result<(), Halt> {
        match attempt.work.account_switched {
            Some(Switched::Meant | Switched::Off) => {
                let id = account_of(&attempt.work)?;
                self.provider().set_account_enabled(&id, true).await?;
                attempt.work.account_switched = None;
                attempt.note("keycloak.user_enabled");
            }
            Some(Switched::Left) | None => attempt.work.account_switched = None,
        }
        Ok(())
    }
}

/// Whether a call that failed like this surely did nothing.
fn changed_nothing(kind: FaultKind) -> bool {
    match kind {
        FaultKind::BadCredentials
        | FaultKind::TokenRefused
        | FaultKind::MissingRole
        | FaultKind::Misconfigured
        | FaultKind::NameConflict
        | FaultKind::Gone
        | FaultKind::Rejected => true,
        FaultKind::Unreachable
        | FaultKind::Timeout
        | FaultKind::Unavailable
        | FaultKind::MailFailed
        | FaultKind::Garbled => false,
    }
}
