//! What the operator is told at the start: one line, about the setting that is wrong.

use server::identity::keycloak::{KeycloakSettings, KeycloakSetupError};
use server::identity::provider::{FaultKind, IdentityProvider as _};

use super::super::fake::{FakeKeycloak, Options, State};
use super::{adapter, provider};

/// What the probe of a realm that was spoilt like this tells.
async fn told(spoil: impl FnOnce(&mut State, &mut KeycloakSettings)) -> (FaultKind, String) {
    let fake = FakeKeycloak::start().await;
    let mut settings = fake.settings();
    spoil(&mut fake.state(), &mut settings);
    let failed = provider(settings).probe().await.unwrap_err();
    assert!(!failed.detail.contains('\n') && !failed.detail.contains("s3cret"), "{failed}");
    (failed.kind, failed.detail)
}

#[track_caller]
fn check((kind, detail): (FaultKind, String), expected: FaultKind, words: &[&str]) {
    assert_eq!(kind, expected, "{detail}");
    for word in words {
        assert!(detail.contains(word), "{word} is not in {detail:?}");
    }
}

#[tokio::test]
async fn each_setting_that_is_wrong_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = format!("http://127.0.0.1:{port}");
    check(
        told(|_, settings| settings.base_url = closed).await,
        FaultKind::Unreachable,
        &["KEYCLOAK_ADMIN_URL", "no connection", "refused"],
    );
    check(
        told(|_, settings| settings.base_url.push_str("/auth")).await,
        FaultKind::Misconfigured,
        &["KEYCLOAK_ADMIN_URL", "/auth"],
    );
    check(
        told(|_, settings| settings.realm = "other".to_owned()).await,
        FaultKind::Misconfigured,
        &["KEYCLOAK_REALM", "realm other"],
    );
    check(told(|state, _| state.enabled = false).await, FaultKind::Misconfigured, &["realm is disabled"]);
    check(
        told(|state, _| state.organizations_enabled = false).await,
        FaultKind::Misconfigured,
        &["organizations are switched off"],
    );
    check(
        told(|_, settings| settings.client_secret = "wrong".into()).await,
        FaultKind::BadCredentials,
        &["KEYCLOAK_CLIENT_SECRET", "client provisioner"],
    );
    check(told(|state, _| state.service_account = false).await, FaultKind::BadCredentials, &["service account"]);
}

#[tokio::test]
async fn each_role_that_is_missing_is_named() {
    let with = |roles: &'static [&'static str]| {
        told(move |state, _| state.roles = roles.iter().map(|role| (*role).to_owned()).collect())
    };
    check(with(&["manage-organizations"]).await, FaultKind::MissingRole, &["lacks manage-users of"]);
    check(with(&["manage-users"]).await, FaultKind::MissingRole, &["lacks manage-organizations of"]);
    // Enough to look, and not enough to work.
    check(
        with(&["view-organizations", "manage-users"]).await,
        FaultKind::MissingRole,
        &["lacks manage-organizations of"],
    );
    check(with(&["manage-organizations", "view-users"]).await, FaultKind::MissingRole, &["lacks manage-users of"]);
    check(
        told(|state, _| state.full_scope = false).await,
        FaultKind::MissingRole,
        &["fullScopeAllowed", "manage-organizations"],
    );
}

#[tokio::test]
async fn a_realm_with_everything_passes_in_three_calls() {
    let fake = FakeKeycloak::with(Options::default()).await;
    adapter(&fake).probe().await.unwrap();
    assert_eq!(fake.calls(), ["token", "GET /organizations", "GET /users"]);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_anything_is_asked() {
    let fake = FakeKeycloak::start().await;
    let refused = |spoil: fn(&mut KeycloakSettings)| {
        let mut settings = fake.settings();
        spoil(&mut settings);
        let rng = std::sync::Arc::new(server::clock::SystemRng::default());
        server::identity::keycloak::KeycloakProvider::new(settings, rng).unwrap_err()
    };
    for spoil in [
        (|settings| settings.base_url = "localhost:8080".to_owned()) as fn(&mut KeycloakSettings),
        |settings| settings.base_url = "http://u:p@localhost".to_owned(),
        |settings| settings.issuer = Some("no address".to_owned()),
    ] {
        assert!(matches!(refused(spoil), KeycloakSetupError::Address { .. }));
    }
    for spoil in [
        (|settings| settings.realm = String::new()) as fn(&mut KeycloakSettings),
        |settings| settings.realm = "..".to_owned(),
        |settings| settings.client_id = String::new(),
        |settings| settings.client_secret = "".into(),
    ] {
        assert!(matches!(refused(spoil), KeycloakSetupError::Missing { .. }));
    }
    assert_eq!(fake.calls(), Vec::<String>::new());
}
