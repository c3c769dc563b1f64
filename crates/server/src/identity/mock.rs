//! An identity provider in memory: what `make dev` has where no Keycloak is configured, and what tests make fail.
//!
//! It keeps the port's promises as Keycloak does (one suite runs on both), is deterministic, writes down what it was asked,
//! and can be told to fail or hang at any call. Its state ends with the process, so ids are made of what they stand for and
//! not counted: a database that outlives it never finds a stranger under an id.
//! Invariant: one lock, held for one step and never across an `await`.

mod plan;
mod state;

pub use plan::{Entry, Moment, Operation};
pub use state::{MockAccount, MockOrganization};

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::{TenantId, Timestamp};
use tokio::sync::watch;

use super::provider::{
    Account, AccountId, Ensured, FaultKind, IdentityProvider, InviteKind, InviteLink, OrganizationId, OrganizationSpec,
    Person, Result,
};
use plan::{Plans, fault};
use state::State;

/// Where its links lead: nowhere, by RFC 2606 §2.
const NOWHERE: &str = "https://identity.invalid";

/// The provider.
#[derive(Debug)]
pub struct MockProvider {
    state: Mutex<State>,
    plans: Mutex<Plans>,
    /// Counts how often hanging calls were let go.
    released: watch::Sender<u64>,
}

impl Default for MockProvider {
    fn default() -> Self {
        Self { state: Mutex::default(), plans: Mutex::default(), released: watch::Sender::new(0) }
    }
}

/// What it can be told and asked, beside the port.
impl MockProvider {
    /// The `nth` call of that operation from now on, counted from one, fails.
    pub fn fail(&self, operation: Operation, nth: u64, kind: FaultKind, moment: Moment) {
        self.plans().add(operation, nth, nth, Some(kind), moment);
    }

    /// The `nth` call of that operation from now on fails, and every later one until [`MockProvider::recover`].
    pub fn fail_from(&self, operation: Operation, nth: u64, kind: FaultKind, moment: Moment) {
        self.plans().add(operation, nth, u64::MAX, Some(kind), moment);
    }

    /// The `nth` call of that operation from now on hangs until [`MockProvider::recover`].
    pub fn hang(&self, operation: Operation, nth: u64, moment: Moment) {
        self.plans().add(operation, nth, nth, None, moment);
    }

    /// Forgets what was to go wrong; calls that hang go on.
    pub fn recover(&self) {
        self.plans().clear();
        self.released.send_modify(|count| *count += 1);
    }

    /// What was asked, oldest first, and what came of it; the last thousand calls.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.plans().journal()
    }

    /// How often an operation was called, those that hang and fail included.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        self.plans().calls(operation)
    }

    /// The organizations, by alias.
    #[must_use]
    pub fn organizations(&self) -> Vec<MockOrganization> {
        self.state().organizations()
    }

    /// The accounts, by address.
    #[must_use]
    pub fn accounts(&self) -> Vec<MockAccount> {
        self.state().accounts()
    }

    /// Puts an organization there as somebody else would; one of the same alias is replaced.
    pub fn put_organization(&self, organization: MockOrganization) -> OrganizationId {
        self.state().put_organization(organization)
    }

    /// Puts an account there as somebody else would; one of the same address is replaced and keeps its id.
    pub fn put_account(&self, account: MockAccount) -> AccountId {
        self.state().put_account(account)
    }

    /// Removes an account as somebody else would.
    pub fn remove_account(&self, id: &AccountId) {
        self.state().delete_account(id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one call: what was planned for before, the effect, what was planned for after.
    async fn call<T>(
        &self,
        operation: Operation,
        subject: &str,
        work: impl FnOnce(&mut State) -> Result<T> + Send,
    ) -> Result<T>
    where
        T: Send,
    {
        let (number, planned) = self.plans().begin(operation);
        let outcome = async {
            self.misbehave(planned, Moment::Before, operation).await?;
            let done = work(&mut self.state());
            self.misbehave(planned, Moment::After, operation).await?;
            done
        }
        .await;
        self.plans().note(Entry {
            operation,
            number,
            subject: subject.to_owned(),
            outcome: outcome.as_ref().map(|_| ()).map_err(|error| error.kind),
        });
        outcome
    }

    async fn misbehave(&self, planned: Option<plan::Planned>, at: Moment, operation: Operation) -> Result<()> {
        let Some(planned) = planned.filter(|planned| planned.moment == at) else { return Ok(()) };
        match planned.kind {
            Some(kind) => Err(fault(kind, format!("{} was told to fail", operation.name()))),
            None => {
                let mut released = self.released.subscribe();
                // The sender lives as long as this provider.
                let _ = released.changed().await;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl IdentityProvider for MockProvider {
    async fn probe(&self) -> Result<()> {
        self.call(Operation::Probe, "", |_| Ok(())).await
    }

    async fn ensure_organization(&self, wanted: &OrganizationSpec) -> Result<OrganizationId> {
        self.call(Operation::EnsureOrganization, &wanted.alias, |state| state.ensure_organization(wanted)).await
    }

    async fn update_organization(&self, id: &OrganizationId, wanted: &OrganizationSpec) -> Result<bool> {
        self.call(Operation::UpdateOrganization, &id.0, |state| state.update_organization(id, wanted)).await
    }

    async fn delete_organization(&self, id: &OrganizationId, tenant: TenantId) -> Result<()> {
        self.call(Operation::DeleteOrganization, &id.0, |state| {
            state.delete_organization(id, tenant);
            Ok(())
        })
        .await
    }

    async fn ensure_account(&self, person: &Person, _intended: Timestamp) -> Result<Ensured> {
        // The mark can always be kept here.
        self.call(Operation::EnsureAccount, &person.tenant.to_string(), |state| state.ensure_account(person)).await
    }

    async fn get_account(&self, id: &AccountId) -> Result<Option<Account>> {
        self.call(Operation::GetAccount, &id.0, |state| Ok(state.account(id))).await
    }

    async fn ensure_member(&self, organization: &OrganizationId, account: &AccountId) -> Result<()> {
        self.call(Operation::EnsureMember, &organization.0, |state| state.ensure_member(organization, account)).await
    }

    async fn ensure_admin(&self, organization: &OrganizationId, account: &AccountId) -> Result<()> {
        self.call(Operation::EnsureAdmin, &organization.0, |state| state.ensure_admin(organization, account)).await
    }

    async fn send_invitation(&self, account: &AccountId) -> Result<()> {
        self.call(Operation::SendInvitation, &account.0, |state| state.send_invitation(account)).await
    }

    async fn invite_link(&self, email: &str, _since: Timestamp) -> Option<InviteLink> {
        let found = self.call(Operation::InviteLink, "", |state| Ok(state.mailed(email))).await;
        let url = match found.ok()? {
            Some(id) => {
                return Some(InviteLink { url: format!("{NOWHERE}/invitations/{}", id.0), kind: InviteKind::Mail });
            }
            None => url::Url::parse_with_params(&format!("{NOWHERE}/login"), [("login_hint", email)]).ok()?,
        };
        Some(InviteLink { url: url.into(), kind: InviteKind::Login })
    }

    async fn set_account_enabled(&self, id: &AccountId, enabled: bool) -> Result<bool> {
        self.call(Operation::SetAccountEnabled, &id.0, |state| state.set_account_enabled(id, enabled)).await
    }

    async fn log_out(&self, id: &AccountId) -> Result<()> {
        self.call(Operation::LogOut, &id.0, |state| state.log_out(id)).await
    }

    async fn delete_account(&self, id: &AccountId) -> Result<()> {
        self.call(Operation::DeleteAccount, &id.0, |state| {
            state.delete_account(id);
            Ok(())
        })
        .await
    }
}
