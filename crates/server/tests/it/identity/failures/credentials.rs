//! Who we are there: refused tokens, refused secrets, missing roles, realms that are not there.

use server::identity::provider::{AccountId, FaultKind, IdentityProvider as _, OrganizationId};

use super::super::fake::{FakeKeycloak, Fault, Options, State, Version};
use super::super::suite::{kind, now, person, tenant, wanted};
use super::{adapter, says};

#[tokio::test]
async fn case_5_a_refused_token_is_replaced_once() {
    let fake = FakeKeycloak::start().await;
    let adapter = adapter(&fake);
    adapter.probe().await.unwrap();
    // Not known there any more: restarted, or all sessions ended.
    fake.state().forget_tokens();
    adapter.ensure_organization(&wanted(tenant(), "acme")).await.unwrap();
    assert_eq!(fake.count("token"), 2);
    // A POST is repeated as well: who is refused has done nothing.
    fake.fault("POST /organizations", 1, says(401, b"{}"));
    adapter.ensure_organization(&wanted(tenant(), "other")).await.unwrap();
    assert_eq!((fake.count("token"), fake.count("POST /organizations")), (3, 3));
}

#[tokio::test]
async fn case_5_a_second_refusal_names_the_usual_cause() {
    let fake = FakeKeycloak::start().await;
    for nth in [1, 2] {
        fake.fault("GET /organizations", nth, says(401, br#"{"error":"HTTP 401 Unauthorized"}"#));
    }
    let adapter = adapter(&fake);
    let refused = adapter.ensure_organization(&wanted(tenant(), "acme")).await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::TokenRefused, "{refused}");
    assert!(refused.detail.contains("KC_HOSTNAME") && !refused.kind.is_passing(), "{refused}");
    assert_eq!(fake.count("token"), 2, "asked for a second one, and no more");
    adapter.ensure_organization(&wanted(tenant(), "acme")).await.unwrap();
    assert_eq!(fake.count("token"), 3, "the refused one was not kept");
}

#[tokio::test]
async fn case_6_refused_credentials_are_said_without_the_secret() {
    let spoil: [fn(&mut State); 4] = [
        |state| state.client_secret = "another".to_owned(),
        |state| state.client_id = "another".to_owned(),
        |state| state.client_enabled = false,
        |state| state.service_account = false,
    ];
    for spoil in spoil {
        let fake = FakeKeycloak::start().await;
        let (adapter, secret) = (adapter(&fake), fake.state().client_secret.clone());
        spoil(&mut fake.state());
        let refused = adapter.ensure_organization(&wanted(tenant(), "acme")).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::BadCredentials, "{refused}");
        assert!(!refused.kind.is_passing() && !refused.detail.contains(&secret), "{refused}");
        assert!(refused.detail.contains("KEYCLOAK_CLIENT_SECRET"), "{refused}");
        assert_eq!(fake.calls(), ["token"], "asked once, and nothing without a token");
    }
}

#[tokio::test]
async fn case_6_an_answer_that_is_no_token_is_no_token() {
    let page = b"<html><body>s3cret&of the=service, please log in</body></html>";
    for fault in [says(401, page), says(400, page), says(200, page), says(200, b"{}"), says(200, b"")] {
        let fake = FakeKeycloak::start().await;
        fake.fault("token", 1, fault);
        let refused = adapter(&fake).probe().await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::BadCredentials, "{refused}");
        assert!(!refused.detail.contains("s3cret") && !refused.detail.contains("html"), "{refused}");
    }
}

#[tokio::test]
async fn case_7_a_missing_role_is_named_with_the_step() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
    let organization = adapter.ensure_organization(&spec).await.unwrap();
    let account = adapter.ensure_account(&person(spec.tenant, "a@example.com"), now()).await.unwrap().id;
    let have = |roles: &[&str]| {
        let mut state = fake.state();
        state.roles = roles.iter().map(|role| (*role).to_owned()).collect();
        state.forget_tokens();
    };
    have(&["manage-organizations"]);
    let refused = adapter.ensure_account(&person(spec.tenant, "b@example.com"), now()).await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::MissingRole);
    assert!(refused.detail.contains("account") && refused.detail.contains("lacks manage-users of"), "{refused}");
    let refused = adapter.ensure_member(&organization, &account).await.unwrap_err();
    assert!(refused.detail.starts_with("adding the member") && refused.detail.contains("manage-users"), "{refused}");
    assert!(!refused.detail.contains("manage-organizations"), "that one is there: {refused}");

    have(&["manage-users"]);
    let refused = adapter.update_organization(&organization, &spec).await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::MissingRole);
    assert!(refused.detail.contains("lacks manage-organizations of"), "{refused}");

    have(&[]);
    let refused = adapter.delete_organization(&organization, spec.tenant).await.unwrap_err();
    assert!(refused.detail.contains("fullScopeAllowed"), "{refused}");
    assert!(!refused.kind.is_passing() && adapter.get_account(&account).await.is_err(), "nothing is taken for absent");
}

#[tokio::test]
async fn case_7_before_26_7_organizations_are_the_realms() {
    let options = |roles| Options { version: Version::V26_6, roles, ..Options::default() };
    let fake = FakeKeycloak::with(options(&["manage-users", "manage-organizations"])).await;
    let refused = adapter(&fake).ensure_organization(&wanted(tenant(), "acme")).await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::MissingRole, "{refused}");
    let fake = FakeKeycloak::with(options(&["manage-users", "manage-realm"])).await;
    let adapter = adapter(&fake);
    adapter.ensure_organization(&wanted(tenant(), "acme")).await.unwrap();
    adapter.probe().await.unwrap();
}

#[tokio::test]
async fn case_8_a_realm_that_is_not_there_or_has_no_organizations_is_a_setting() {
    let spoil: [fn(&mut State); 3] = [
        |state| state.organizations_enabled = false,
        |state| state.realm = "another".to_owned(),
        |state| {
            state.enabled = false;
            state.forget_tokens();
        },
    ];
    for spoil in spoil {
        let fake = FakeKeycloak::start().await;
        let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
        let organization = adapter.ensure_organization(&spec).await.unwrap();
        let account = adapter.ensure_account(&person(spec.tenant, "a@example.com"), now()).await.unwrap().id;
        spoil(&mut fake.state());
        assert_eq!(kind(adapter.ensure_organization(&spec).await), FaultKind::Misconfigured);
        assert_eq!(kind(adapter.update_organization(&organization, &spec).await), FaultKind::Misconfigured);
        // What cannot be seen is not gone: nobody may conclude that it has to be made again, or is deleted.
        assert_eq!(kind(adapter.delete_organization(&organization, spec.tenant).await), FaultKind::Misconfigured);
        assert_eq!(kind(adapter.ensure_member(&organization, &account).await), FaultKind::Misconfigured);
        assert_eq!(kind(adapter.get_account(&AccountId("x".to_owned())).await), FaultKind::Misconfigured);
        assert_eq!(kind(adapter.delete_account(&AccountId("x".to_owned())).await), FaultKind::Misconfigured);
        assert!(!FaultKind::Misconfigured.is_passing());
    }
}

#[tokio::test]
async fn case_8_a_proxys_404_is_no_missing_thing() {
    let fake = FakeKeycloak::start().await;
    let adapter = adapter(&fake);
    adapter.probe().await.unwrap();
    for call in ["GET /organizations/{}", "GET /organizations"] {
        fake.fault(call, 1, says(404, b"<html>no route to Keycloak</html>"));
    }
    let id = OrganizationId("5a".to_owned());
    assert_eq!(kind(adapter.delete_organization(&id, tenant()).await), FaultKind::Misconfigured);
    let redirect = Fault::status(302);
    fake.fault("GET /organizations/{}", 1, redirect);
    assert_eq!(kind(adapter.delete_organization(&id, tenant()).await), FaultKind::Misconfigured);
}
