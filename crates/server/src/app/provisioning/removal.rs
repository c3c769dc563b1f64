//! Removing what was made for a tenant that is gone: its organization, and its account where that is ours and nobody else's.
//!
//! Invariant: what may have been made by a call whose answer was lost is looked for and removed too, and an organization or
//! account of somebody else is left alone.

use domain::provisioning::{Switched, Wanted};

use super::attempt::{Attempt, Halt};
use super::steps::{person, spec};
use crate::app::App;
use crate::identity::provider::{AccountId, FaultKind, OrganizationId};

impl App {
    /// Removes the organization.
    pub(super) async fn remove_organization(&self, attempt: &mut Attempt<'_>) -> Result<(), Halt> {
        let tenant = attempt.work.tenant_id;
        let id = match attempt.work.shown.organization_id.clone() {
            Some(id) => Some(OrganizationId(id)),
            // Finding is part of making: where nothing was made it is made now, and goes with the next call.
            None => match self.provider().ensure_organization(&spec(&attempt.work, &Wanted::gone(), None)).await {
                Ok(id) => Some(id),
                // Another tenant has the alias, so there is nothing of this one.
                Err(fault) if fault.kind == FaultKind::NameConflict => None,
                Err(fault) => return Err(fault.into()),
            },
        };
        if let Some(id) = id {
            match self.provider().delete_organization(&id, tenant).await {
                Ok(()) => {}
                Err(fault) if fault.kind == FaultKind::Gone => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        attempt.work.organization_lost();
        Ok(())
    }

    /// Removes the account, unless it belongs to another organization or another tenant's work has it.
    pub(super) async fn remove_account(&self, attempt: &mut Attempt<'_>) -> Result<(), Halt> {
        let id = match (attempt.work.account_id.clone(), attempt.work.account_meant_at) {
            (Some(id), _) => Some(AccountId(id)),
            (None, Some(intended)) => {
                let found = self.provider().ensure_account(&person(&attempt.work), intended).await;
                match found {
                    Ok(found) => Some(found.id).filter(|_| found.ours),
                    // An address that the provider does not take has no account.
                    Err(fault) if fault.kind == FaultKind::Rejected => None,
                    Err(fault) => return Err(fault.into()),
                }
            }
            (None, None) => None,
        };
        if let Some(id) = id
            && let Some(found) = self.provider().get_account(&id).await?
        {
            let alone = self.sharers(attempt.work.tenant_id, &id).await?.is_empty();
            if found.organizations.is_empty() && alone {
                self.provider().delete_account(&id).await?;
            } else if matches!(attempt.work.account_switched, Some(Switched::Meant | Switched::Off)) {
                // It came to belong to somebody else while it was shut.
                self.provider().set_account_enabled(&id, true).await?;
            }
        }
        attempt.work.account_lost();
        Ok(())
    }
}
