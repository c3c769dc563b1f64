//! Whose tokens are accepted, and how the Admin API of the identity provider is reached.
//!
//! The token check, the identity adapter and the provisioning job read it.
//! Invariant: an issuer is kept letter by letter, since `iss` is compared so (OpenID Connect Core, section 3.1.3.7).

use std::time::Duration;

use domain::Secret;

use super::reader::Reader;

/// What freezing a tenant does in Keycloak (contract, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFreeze {
    /// The status that tokens carry changes.
    Mark,
    /// The organization and our accounts in it are disabled.
    Disable,
}

/// Issuer, Admin API, provisioning.
#[derive(Debug, Clone)]
pub struct KeycloakConfig {
    /// `KEYCLOAK_ISSUER`; none accepts no tokens.
    pub issuer: Option<String>,
    /// `KEYCLOAK_AUDIENCE`.
    pub audience: String,
    /// `KEYCLOAK_ADMIN_URL` without a slash at the end; none is the mock.
    pub admin_url: Option<String>,
    /// `KEYCLOAK_REALM`.
    pub realm: String,
    /// `KEYCLOAK_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `KEYCLOAK_CLIENT_SECRET`.
    pub client_secret: Option<Secret>,
    /// `KEYCLOAK_ON_FREEZE`.
    pub on_freeze: OnFreeze,
    /// `PROVISION_TIMEOUT_SECONDS`; zero does not wait.
    pub provision_timeout: Duration,
}

impl KeycloakConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            issuer: reader.optional_url("KEYCLOAK_ISSUER"),
            audience: reader.text("KEYCLOAK_AUDIENCE"),
            admin_url: reader.optional_url("KEYCLOAK_ADMIN_URL").map(|url| url.trim_end_matches('/').to_owned()),
            realm: reader.text("KEYCLOAK_REALM"),
            client_id: reader.optional_text("KEYCLOAK_CLIENT_ID"),
            client_secret: reader.optional_text("KEYCLOAK_CLIENT_SECRET").map(Secret::from),
            on_freeze: reader.parsed("KEYCLOAK_ON_FREEZE", OnFreeze::Mark, |text| match text {
                "mark" => Ok(OnFreeze::Mark),
                "disable" => Ok(OnFreeze::Disable),
                _ => Err("must be `mark` or `disable`".to_owned()),
            }),
            provision_timeout: reader.seconds("PROVISION_TIMEOUT_SECONDS", 0..=300),
        }
    }
}
