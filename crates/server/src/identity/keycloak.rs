//! Keycloak behind the port, over its Admin API.
//!
//! The composition makes a [`KeycloakProvider`]; `app` knows it as a `dyn IdentityProvider`. Written against 26.7.3, tolerant of
//! what it does not know; why by hand, and what is repeated when, is in `docs/decisions/0011-identity-provider.md`.
//! Invariant: no secret, token, link or address of a person is in any text that leaves this module.

mod accounts;
mod api;
mod invitation;
mod organizations;
mod refusal;
mod settings;
mod token;

pub use settings::{KeycloakSettings, KeycloakSetupError, Limits, LoginClient};

use std::sync::Arc;

use async_trait::async_trait;
use domain::{Rng, Secret, TenantId, Timestamp};

use self::api::{Api, Call, Needs};
use self::invitation::Invitations;
use self::refusal::Failure;
use self::settings::{address, below};
use self::token::TokenSource;
use super::provider::{
    Account, AccountId, Ensured, FaultKind, IdentityProvider, InviteLink, OrganizationId, OrganizationSpec, Person,
    Result,
};

/// The realm of a Keycloak.
#[derive(Debug)]
pub struct KeycloakProvider {
    api: Api,
    invitations: Invitations,
    settings: KeycloakSettings,
}

impl KeycloakProvider {
    /// The realm of these settings. Nothing is asked yet. `rng` spreads repetitions.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn new(settings: KeycloakSettings, rng: Arc<dyn Rng>) -> Result<Self, KeycloakSetupError> {
        let base = address("KEYCLOAK_ADMIN_URL", &settings.base_url)?;
        let in_base =
            |path: &[&str]| below(&base, path).ok_or(KeycloakSetupError::Missing { setting: "KEYCLOAK_REALM" });
        let realm = settings.realm.as_str();
        let public = in_base(&["realms", realm])?;
        for (setting, empty) in [
            ("KEYCLOAK_CLIENT_ID", settings.client_id.is_empty()),
            ("KEYCLOAK_CLIENT_SECRET", settings.client_secret.is_empty()),
        ] {
            if empty {
                return Err(KeycloakSetupError::Missing { setting });
            }
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.limits.connect)
            .build()?;
        let tokens = TokenSource::new(token::Account {
            http: http.clone(),
            url: in_base(&["realms", realm, "protocol", "openid-connect", "token"])?,
            client_id: settings.client_id.clone(),
            secret: settings.client_secret.clone(),
            timeout: settings.limits.call,
        });
        let invitations = Invitations {
            http: http.clone(),
            sink: settings.mail_sink_url.as_deref().map(|url| Secret::from(url.trim_end_matches('/'))),
            issuer: settings
                .issuer
                .as_deref()
                .map(|issuer| address("KEYCLOAK_ISSUER", issuer))
                .transpose()?
                .unwrap_or(public),
            login: settings.login.clone(),
            arrival: settings.limits.mail_arrival,
        };
        let api = Api {
            http,
            realm: in_base(&["admin", "realms", realm])?,
            tokens,
            secret: settings.client_secret.clone(),
            limits: settings.limits,
            rng,
        };
        Ok(Self { api, invitations, settings })
    }

    /// What an operator must mend, if anything, in the order in which it would be met.
    async fn diagnose(&self) -> Result<(), Failure> {
        let list = |what, needs, path| Call::list(what, needs, path, &[("max", "1")]);
        self.api.send(list("looking for the realm's organizations", Needs::Organizations, &["organizations"])).await?;
        self.api.send(list("looking for the realm's accounts", Needs::Users, &["users"])).await?;
        // Reading may work with lesser roles. A token that shows none is a lightweight one, since reading worked.
        let token = self.api.tokens.get().await?;
        match api::lacking(&token, Needs::Both).filter(|_| token.roles.is_some()) {
            Some(lacking) => Err(Failure::of(FaultKind::MissingRole, lacking)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl IdentityProvider for KeycloakProvider {
    async fn probe(&self) -> Result<()> {
        self.diagnose().await.map_err(|failure| {
            let KeycloakSettings { realm, client_id, .. } = &self.settings;
            let detail = match failure.error.kind {
                FaultKind::Unreachable | FaultKind::Timeout | FaultKind::Unavailable => {
                    format!("KEYCLOAK_ADMIN_URL does not answer as it should: {}", failure.error.detail)
                }
                _ => failure.error.detail.clone(),
            };
            failure.instead_detail(format!("Keycloak, realm {realm}, client {client_id}: {detail}")).into()
        })
    }

    async fn ensure_organization(&self, wanted: &OrganizationSpec) -> Result<OrganizationId> {
        Ok(self.api.ensure_organization(wanted).await.map(OrganizationId)?)
    }

    async fn update_organization(&self, id: &OrganizationId, wanted: &OrganizationSpec) -> Result<bool> {
        Ok(self.api.update_organization(&id.0, wanted).await?)
    }

    async fn delete_organization(&self, id: &OrganizationId, tenant: TenantId) -> Result<()> {
        Ok(self.api.delete_organization(&id.0, tenant).await?)
    }

    async fn ensure_account(&self, person: &Person, intended: Timestamp) -> Result<Ensured> {
        Ok(self.api.ensure_account(person, intended).await?)
    }

    async fn get_account(&self, id: &AccountId) -> Result<Option<Account>> {
        Ok(self.api.get_account(&id.0).await?)
    }

    async fn ensure_member(&self, organization: &OrganizationId, account: &AccountId) -> Result<()> {
        Ok(self.api.ensure_member(&organization.0, &account.0).await?)
    }

    async fn ensure_admin(&self, organization: &OrganizationId, account: &AccountId) -> Result<()> {
        Ok(self.api.ensure_admin(&organization.0, &account.0).await?)
    }

    async fn send_invitation(&self, account: &AccountId) -> Result<()> {
        Ok(self.api.send_invitation(&account.0, self.settings.login.as_ref()).await?)
    }

    async fn invite_link(&self, email: &str, since: Timestamp) -> Option<InviteLink> {
        // The sink knows nothing of a shifted clock.
        let since = since.checked_sub(self.settings.clock_offset).unwrap_or(since);
        self.invitations.link(email, since).await
    }

    async fn set_account_enabled(&self, id: &AccountId, enabled: bool) -> Result<bool> {
        Ok(self.api.set_account_enabled(&id.0, enabled).await?)
    }

    async fn log_out(&self, id: &AccountId) -> Result<()> {
        Ok(self.api.log_out(&id.0).await?)
    }

    async fn delete_account(&self, id: &AccountId) -> Result<()> {
        Ok(self.api.delete_account(&id.0).await?)
    }
}
