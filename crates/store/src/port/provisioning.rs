//! The port's part about the identity work of tenants.
//!
//! `app` drives the work between short transactions, one call to the identity provider after each. Invariants, each with a
//! case in the suite: every write of a tenant, of what it has, or of its end asks for the work in the same transaction; of
//! two workers one has the lease; what a worker writes that lost it is refused.

use async_trait::async_trait;
use domain::{IdentityWork, Tenant, TenantId, Timestamp};

use crate::error::Result;

/// Reads of identity work, for the platform alone.
#[async_trait]
pub trait ProvisioningReads: Send {
    /// The work of a tenant, if it has or had somebody to invite.
    async fn get_identity_work(&mut self, tenant: TenantId) -> Result<Option<IdentityWork>>;
    /// Tenants that are gone, had this slug, and of which something is left to remove.
    async fn former_holders_of_slug(&mut self, slug: &str) -> Result<Vec<TenantId>>;
}

/// Writes of identity work.
#[async_trait]
pub trait ProvisioningWork: Send {
    /// Asks for the work of a locked tenant and for its invitation; begins it where there is none yet. Whoever asks does
    /// it, and everybody may from `due_at` on. False: the tenant has nobody to invite.
    async fn ask_for_provisioning(&mut self, tenant: &Tenant, at: Timestamp, due_at: Timestamp) -> Result<bool>;
    /// Takes work that is due by then, for as long as the lease. None: it is not due, somebody is at it, or there is none.
    async fn claim_identity_work(
        &mut self,
        tenant: TenantId,
        now: Timestamp,
        due_by: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<IdentityWork>>;
    /// Writes down how far the work has come, if its fence is still the newest. What was asked for since `work.wanted` makes
    /// it due at once. `told` is the locked tenant where what is shown of it changed.
    async fn save_identity_work(&mut self, work: &IdentityWork, told: Option<&Tenant>) -> Result<Saved>;
    /// Removes the work of a tenant that is gone, if its fence is still the newest. Says whether.
    async fn remove_identity_work(&mut self, work: &IdentityWork) -> Result<bool>;
    /// Everybody's work that has this account, held until the end of the transaction, in one order for all.
    async fn lock_identity_work_of_account(&mut self, account: &str) -> Result<Vec<IdentityWork>>;
}

/// What became of a write of identity work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is written, and nothing else was asked for meanwhile.
    Written,
    /// It is written, and there is more to do.
    More,
    /// Somebody else is at it by now: nothing was written.
    Lost,
}
