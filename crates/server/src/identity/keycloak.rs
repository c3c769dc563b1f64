//! Keycloak behind the port, over its Admin API.
//!
//! The composition makes a [`KeycloakProvider`]; `app` knows it as a `dyn IdentityProvider`. Facts about the server that the
//! code rests on are named where it does. Invariant: no secret, token, link or address of a person is in any text that
//! leaves this module.

mod settings;

pub use settings::{KeycloakSettings, KeycloakSetupError, Limits, LoginClient};

use std::sync::Arc;

use async_trait::async_trait;
use domain::{Rng, TenantId, Timestamp};

use super::provider::{
    Account, AccountId, Ensured, FaultKind, IdentityError, IdentityProvider, InviteLink, OrganizationId,
    OrganizationSpec, Person, Result,
};

/// The realm of a Keycloak.
#[derive(Debug)]
pub struct KeycloakProvider {
    settings: KeycloakSettings,
    rng: Arc<dyn Rng>,
}

impl KeycloakProvider {
    /// The realm of these settings. Nothing is asked yet. `rng` spreads repetitions.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn new(settings: KeycloakSettings, rng: Arc<dyn Rng>) -> Result<Self, KeycloakSetupError> {
        settings::address("KEYCLOAK_ADMIN_URL", &settings.base_url)?;
        Ok(Self { settings, rng })
    }

    fn not_yet<T>(&self) -> Result<T> {
        let detail = format!("the calls to {} are being built ({:?})", self.settings.base_url, self.rng);
        Err(IdentityError { kind: FaultKind::Unreachable, detail, retry_after: None })
    }
}

#[async_trait]
impl IdentityProvider for KeycloakProvider {
    async fn probe(&self) -> Result<()> {
        self.not_yet()
    }
    async fn ensure_organization(&self, _: &OrganizationSpec) -> Result<OrganizationId> {
        self.not_yet()
    }
    async fn update_organization(&self, _: &OrganizationId, _: &OrganizationSpec) -> Result<bool> {
        self.not_yet()
    }
    async fn delete_organization(&self, _: &OrganizationId, _: TenantId) -> Result<()> {
        self.not_yet()
    }
    async fn ensure_account(&self, _: &Person, _: Timestamp) -> Result<Ensured> {
        self.not_yet()
    }
    async fn get_account(&self, _: &AccountId) -> Result<Option<Account>> {
        self.not_yet()
    }
    async fn ensure_member(&self, _: &OrganizationId, _: &AccountId) -> Result<()> {
        self.not_yet()
    }
    async fn ensure_admin(&self, _: &OrganizationId, _: &AccountId) -> Result<()> {
        self.not_yet()
    }
    async fn send_invitation(&self, _: &AccountId) -> Result<()> {
        self.not_yet()
    }
    async fn invite_link(&self, _: &str, _: Timestamp) -> Option<InviteLink> {
        None
    }
    async fn set_account_enabled(&self, _: &AccountId, _: bool) -> Result<bool> {
        self.not_yet()
    }
    async fn log_out(&self, _: &AccountId) -> Result<()> {
        self.not_yet()
    }
    async fn delete_account(&self, _: &AccountId) -> Result<()> {
        self.not_yet()
    }
}
