//! How Keycloak is reached, and what is wrong with settings that cannot work.
//!
//! The composition makes a [`KeycloakSettings`] of the configuration and hands it to
//! [`KeycloakProvider::new`](super::KeycloakProvider::new). Invariant: nothing here is printed that would let somebody in:
//! the secret is a `Secret`, and an address with a password in it is refused.

use std::fmt;
use std::time::Duration;

use domain::Secret;
use domain::time::SignedDuration;
use url::Url;

/// How long a call may take, and how often one that may be repeated is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until there is a connection.
    pub connect: Duration,
    /// An ordinary call, its body read.
    pub call: Duration,
    /// A call during which Keycloak sends a mail: longer than it waits for its mail server (10 s where the realm does not
    /// say otherwise).
    pub mail_call: Duration,
    /// How long [`invite_link`](crate::identity::provider::IdentityProvider::invite_link) waits for the mail to arrive.
    pub mail_arrival: Duration,
    /// How often more than once a call is made that is safe to repeat.
    pub retries: u32,
    /// The pause before the first repetition, doubled for each further one; about half of it is chance.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            call: Duration::from_secs(10),
            mail_call: Duration::from_secs(30),
            mail_arrival: Duration::from_secs(2),
            retries: 2,
            pause: Duration::from_millis(150),
        }
    }
}

/// Where Keycloak is, who we are there, and what people are sent to.
#[derive(Clone)]
pub struct KeycloakSettings {
    /// `KEYCLOAK_ADMIN_URL`: where Keycloak answers, as `https://id.example` or with the path before `/admin` and `/realms`.
    pub base_url: String,
    /// `KEYCLOAK_REALM`.
    pub realm: String,
    /// `KEYCLOAK_CLIENT_ID`: the service account.
    pub client_id: String,
    /// `KEYCLOAK_CLIENT_SECRET`: as mighty as an administrator of the realm.
    pub client_secret: Secret,
    /// `KEYCLOAK_ISSUER`: the realm as browsers reach it. None: `base_url` and the realm.
    pub issuer: Option<String>,
    /// Where the login page leads back to. None: the realm's own account pages.
    pub login: Option<LoginClient>,
    /// `MAIL_SINK_URL`, in dev alone.
    pub mail_sink_url: Option<String>,
    /// `DEV_CLOCK_OFFSET_SECONDS`: by how much the times that we are given are ahead of those of the mail sink.
    pub clock_offset: SignedDuration,
    /// Time limits.
    pub limits: Limits,
}

/// The application that a login is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginClient {
    /// Its id in the realm.
    pub client_id: String,
    /// Where the browser goes with the code.
    pub redirect_uri: String,
}

impl KeycloakSettings {
    /// These, with the usual limits, without a mail sink, and with the realm's own account pages behind the login.
    pub fn new(
        base_url: impl Into<String>,
        realm: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: Secret,
    ) -> Self {
        Self {
            base_url: base_url.into(),
            realm: realm.into(),
            client_id: client_id.into(),
            client_secret,
            issuer: None,
            login: None,
            mail_sink_url: None,
            clock_offset: SignedDuration::ZERO,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for KeycloakSettings {
    /// Without addresses: they may have passwords in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeycloakSettings")
            .field("realm", &self.realm)
            .field("client_id", &self.client_id)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeycloakSetupError {
    /// No address.
    #[error("{setting} is no http or https address without user name, query and fragment")]
    Address {
        /// Which.
        setting: &'static str,
    },
    /// Nothing where something is needed.
    #[error("{setting} is needed where KEYCLOAK_ADMIN_URL is set")]
    Missing {
        /// Which.
        setting: &'static str,
    },
    /// The HTTP client.
    #[error("the HTTP client for Keycloak cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// An address to which segments of a path are added.
pub(super) fn address(setting: &'static str, text: &str) -> Result<Url, KeycloakSetupError> {
    let refused = || KeycloakSetupError::Address { setting };
    let mut url = Url::parse(text.trim()).map_err(|_| refused())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(refused());
    }
    // `https://id.example/sub/`, `…/sub` and `…/sub//` are one.
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// An address below another one: each segment is encoded whole, so that an id never becomes a path.
pub(super) fn below(base: &Url, segments: &[&str]) -> Option<Url> {
    // The parser of addresses would drop these, and with them the end of the path before.
    if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
        return None;
    }
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, segments: &[&str], expected: Option<&str>) {
        let base = address("KEYCLOAK_ADMIN_URL", base).unwrap();
        assert_eq!(below(&base, segments).map(String::from).as_deref(), expected);
    }

    #[test]
    fn segments_are_added_to_any_spelling_of_the_base() {
        for base in ["http://id.example:8080", "http://id.example:8080/", "http://id.example:8080//"] {
            check(base, &["admin", "realms", "a"], Some("http://id.example:8080/admin/realms/a"));
        }
        for base in ["https://id.example/sub", "https://id.example/sub/", " https://id.example/sub/ "] {
            check(base, &["realms"], Some("https://id.example/sub/realms"));
        }
    }

    #[test]
    fn a_segment_stays_one() {
        check("http://h", &["a/b", "c d", "?x=1", "e;f#g"], Some("http://h/a%2Fb/c%20d/%3Fx=1/e;f%23g"));
        check("http://h", &["%2e%2e"], Some("http://h/%252e%252e"));
        for dropped in ["", ".", ".."] {
            check("http://h", &["users", dropped], None);
        }
    }

    #[test]
    fn addresses_that_cannot_work_or_hold_a_password_are_refused() {
        for bad in
            ["", "id.example", "ftp://id.example", "http://u:p@id.example", "http://h?x", "http://h#x", "file:///"]
        {
            let told = address("KEYCLOAK_ADMIN_URL", bad).map(|_| ()).unwrap_err().to_string();
            assert!(told.contains("KEYCLOAK_ADMIN_URL") && !told.contains("u:p"), "{told}");
        }
    }

    #[test]
    fn settings_print_no_secret() {
        let mut settings = KeycloakSettings::new("http://u:hunter2@h", "r", "c", Secret::from("hunter2"));
        settings.mail_sink_url = Some("http://u:hunter2@sink".to_owned());
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
