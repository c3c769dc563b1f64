//! What the adapter does when Keycloak, or what stands before it, fails: the cases of the facts' §6 by their numbers, on the
//! fake, which can be told to fail at any call. Cases 9, 16 and 17 are the application's.
//!
//! Invariant: no case waits for a limit of production; the limits here are short and the pauses shorter.

mod answers;
mod credentials;
mod invitations;
mod outcomes;
mod probe;
mod token;

use std::sync::Arc;
use std::time::Duration;

use server::clock::SystemRng;
use server::identity::keycloak::{KeycloakProvider, KeycloakSettings};

use super::fake::{FakeKeycloak, Fault};

/// How long a call may take here.
const CALL: Duration = Duration::from_secs(2);

fn provider(settings: KeycloakSettings) -> KeycloakProvider {
    KeycloakProvider::new(settings, Arc::new(SystemRng::default())).unwrap()
}

/// The adapter before a fake, with the limits of production but for pauses.
fn adapter(fake: &FakeKeycloak) -> KeycloakProvider {
    provider(fake.settings())
}

/// The same, in a hurry.
fn hurried(fake: &FakeKeycloak) -> KeycloakProvider {
    let mut settings = fake.settings();
    settings.limits.call = CALL;
    settings.limits.mail_call = 2 * CALL;
    settings.limits.mail_arrival = Duration::from_millis(250);
    provider(settings)
}

/// The answer of Keycloak's that somebody else was faster, in the shape of a lost race.
const LOST: &[u8] = br#"{"error":"conflict","error_description":"Duplicate resource error"}"#;

fn says(status: u16, body: &[u8]) -> Fault {
    Fault::Status(status, None, body.to_vec())
}
