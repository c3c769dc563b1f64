//! What may not start outside dev.
//!
//! `serve` asks it before it opens anything, and refuses to start while there is a refusal.
//! Invariant: each refusal is about one setting, says why, and says what to do.

use std::fmt;

use super::{Config, DatabaseUrl};

/// One reason not to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The setting to change.
    pub setting: &'static str,
    /// Why, and what to do.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

impl Config {
    /// Every reason not to start; none in dev.
    #[must_use]
    pub fn check(&self) -> Vec<Refusal> {
        if self.app_env.is_dev() {
            return Vec::new();
        }
        let keycloak = &self.keycloak;
        let needs_client = keycloak.admin_url.is_some();
        let rules = [
            (
                self.database.url == DatabaseUrl::Memory,
                "DATABASE_URL",
                "empty is an in-memory store that loses everything at a restart; set `postgres://…` or `sqlite:PATH`",
            ),
            (
                keycloak.issuer.is_none(),
                "KEYCLOAK_ISSUER",
                "no issuer, so no token could be accepted; set the realm's URL, for example https://id.example.com/realms/main",
            ),
            (
                keycloak.admin_url.is_none(),
                "KEYCLOAK_ADMIN_URL",
                "empty is the mock identity provider, which makes no real organizations or users; set Keycloak's base URL",
            ),
            (
                needs_client && keycloak.client_id.is_none(),
                "KEYCLOAK_CLIENT_ID",
                "KEYCLOAK_ADMIN_URL is set, but the Admin API cannot be called without a service account; set its client id",
            ),
            (
                needs_client && keycloak.client_secret.is_none(),
                "KEYCLOAK_CLIENT_SECRET",
                "KEYCLOAK_ADMIN_URL is set, but the Admin API cannot be called without the service account's secret; set it",
            ),
            (
                self.development.token.is_some(),
                "DEV_TOKEN",
                "a dev token makes whoever knows it the platform admin; unset it, and use tokens of the issuer",
            ),
            (
                !self.development.clock_offset.is_zero(),
                "DEV_CLOCK_OFFSET_SECONDS",
                "a shifted clock ends trials and keys at the wrong time; unset it",
            ),
            (
                self.development.mail_sink_url.is_some(),
                "MAIL_SINK_URL",
                "reading the realm's mails would give invitations to whoever asks; unset it",
            ),
        ];
        rules
            .into_iter()
            .filter(|(broken, ..)| *broken)
            .map(|(_, setting, why)| Refusal { setting, message: format!("{why} (APP_ENV={})", self.app_env) })
            .collect()
    }
}
