//! Answers that are odd, long, slow or for somebody else.

use std::time::Duration;

use serde_json::json;
use server::identity::provider::{FaultKind, IdentityProvider as _};

use super::super::fake::{FakeKeycloak, Fault, Options};
use super::super::suite::{kind, now, person, tenant, wanted};
use super::{adapter, hurried, provider, says};

#[tokio::test]
async fn case_10_nobody_there_is_said_at_once() {
    let fake = FakeKeycloak::start().await;
    // A port that nobody listens on: bound, and let go again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for address in [format!("http://127.0.0.1:{port}"), "http://keycloak.invalid:8080".to_owned()] {
        let mut settings = fake.settings();
        settings.base_url = address;
        let begin = std::time::Instant::now();
        let failed = provider(settings).ensure_organization(&wanted(tenant(), "acme")).await.unwrap_err();
        assert!(failed.kind == FaultKind::Unreachable && failed.kind.is_passing(), "{failed}");
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn case_11_who_says_when_to_come_back_is_heard() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
    for status in [429, 503] {
        // Long: for the job to wait.
        let before = fake.count("GET /organizations");
        fake.fault("GET /organizations", 1, Fault::Status(status, Some(7), Vec::new()));
        let later = adapter.ensure_organization(&spec).await.unwrap_err();
        assert!(later.kind == FaultKind::Unavailable && later.retry_after == Some(Duration::from_secs(7)), "{later:?}");
        assert_eq!(fake.count("GET /organizations") - before, 1);
    }
    // Short: worth waiting for.
    fake.fault("GET /organizations", 1, Fault::Status(429, Some(1), Vec::new()));
    let begin = std::time::Instant::now();
    adapter.ensure_organization(&spec).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn case_19_an_id_is_looked_up_where_the_location_is_missing_or_of_another_host() {
    for location in [
        None,
        Some("http://internal:8080/admin/realms/breakpilot%20dev/users/5a5a"),
        Some("not an address"),
        Some("/admin/realms/breakpilot%20dev/users/5a5a"),
    ] {
        let fake = FakeKeycloak::start().await;
        let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
        for call in ["POST /organizations", "POST /users", "POST /organizations/{}/groups"] {
            fake.fault(call, 1, Fault::Location(location.map(str::to_owned)));
        }
        let organization = adapter.ensure_organization(&spec).await.unwrap();
        let account = adapter.ensure_account(&person(spec.tenant, "a@example.com"), now()).await.unwrap();
        adapter.ensure_member(&organization, &account.id).await.unwrap();
        adapter.ensure_admin(&organization, &account.id).await.unwrap();
        let state = fake.state();
        assert_eq!(organization.0, state.organizations[0].id);
        assert!(account.ours && account.id.0 == state.users[0].id, "{account:?}");
        assert!(state.organizations[0].groups[0].members.contains(&account.id.0));
    }
}

#[tokio::test]
async fn case_20_what_we_do_not_know_is_passed_over() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
    let organization = adapter.ensure_organization(&spec).await.unwrap();
    let newer = json!([{ "id": organization.0, "alias": "acme", "inviteLink": null, "newer": { "than": "us" } }]);
    fake.fault("GET /organizations", 1, Fault::Body(newer.to_string().into_bytes()));
    assert_eq!(adapter.ensure_organization(&spec).await.unwrap(), organization);
    // A user of which a newer server shows less.
    let id = adapter.ensure_account(&person(spec.tenant, "a@example.com"), now()).await.unwrap().id;
    fake.fault("GET /users/{}", 1, Fault::Body(json!({ "id": id.0, "enabled": true }).to_string().into_bytes()));
    let account = adapter.get_account(&id).await.unwrap().unwrap();
    assert!(account.enabled && !account.ours, "{account:?}");
}

#[tokio::test]
async fn case_21_any_spelling_of_the_address_will_do() {
    for (sub_path, tail) in [("", ""), ("", "/"), ("", "//"), ("/auth/id", ""), ("/auth/id", "/")] {
        let fake = FakeKeycloak::with(Options { sub_path, ..Options::default() }).await;
        let mut settings = fake.settings();
        settings.base_url.push_str(tail);
        let adapter = provider(settings);
        adapter.probe().await.unwrap();
        adapter.ensure_organization(&wanted(tenant(), "acme")).await.unwrap();
        adapter.ensure_account(&person(tenant(), "a+b@example.com"), now()).await.unwrap();
        assert_eq!(fake.count("POST /users"), 1);
    }
}

#[tokio::test]
async fn case_22_whatever_an_error_says_is_told_short_and_without_secrets() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), adapter(&fake));
    adapter.probe().await.unwrap();
    let secret = fake.state().client_secret.clone();
    let token = fake.state().tokens()[0].clone();
    let telling = format!("{secret} {token} max@example.com https://id.example/x?key=1 Bearer {token}");
    let bodies = [
        vec![b'x'; 5 << 20],
        format!(r#"{{"errorMessage":"{}"}}"#, "long ".repeat(1 << 20)).into_bytes(),
        b"{\"error\":\"\xff\xfe\xc3\x28\"}".to_vec(),
        json!({ "errorMessage": telling }).to_string().into_bytes(),
        json!({ "error": "x", "error_description": telling }).to_string().into_bytes(),
        json!({ "errors": [{ "field": "email", "errorMessage": telling }] }).to_string().into_bytes(),
        format!("<html>{telling}</html>").into_bytes(),
    ];
    for body in bodies {
        fake.fault("GET /organizations", 1, says(422, &body));
        let refused = adapter.ensure_organization(&spec).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::Rejected);
        let told = format!("{refused} {refused:?}");
        assert!(refused.detail.chars().count() < 300, "{told}");
        for secret in [&secret, &token, "max@", "https://", "key="] {
            assert!(!told.contains(secret), "{told}");
        }
    }
    assert!(!format!("{adapter:?}").contains(&token) && !format!("{adapter:?}").contains(&secret));
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_said_to_be() {
    let fake = FakeKeycloak::start().await;
    let (spec, adapter) = (wanted(tenant(), "acme"), hurried(&fake));
    for garbage in [b"<html>".as_slice(), b"{", b"null", b"[{}]", b"\xff"] {
        fake.fault("GET /organizations", 1, Fault::Body(garbage.to_vec()));
        let refused = adapter.ensure_organization(&spec).await.unwrap_err();
        assert!(refused.kind == FaultKind::Garbled && refused.kind.is_passing(), "{refused}");
    }
    assert_eq!(fake.count("POST /organizations"), 0, "nothing is made on such a ground");
    adapter.ensure_organization(&spec).await.unwrap();
    fake.fault("GET /organizations", 1, Fault::SlowBody);
    assert_eq!(kind(adapter.ensure_organization(&spec).await), FaultKind::Timeout);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for call in ["token", "GET /organizations", "POST /organizations"] {
        let fake = FakeKeycloak::start().await;
        for status in [301, 302, 307, 308] {
            fake.state().forget_tokens();
            fake.fault(call, 1, Fault::status(status));
            let spec = wanted(tenant(), "acme");
            let refused = adapter(&fake).ensure_organization(&spec).await.unwrap_err();
            assert_eq!(refused.kind, FaultKind::Misconfigured, "{call} {status}: {refused}");
            assert!(refused.detail.contains("KEYCLOAK_ADMIN_URL"), "{refused}");
        }
    }
}

#[tokio::test]
async fn an_older_server_that_lists_everybody_is_not_believed() {
    let fake = FakeKeycloak::start().await;
    // §1.5: a `q` that is not understood lists everything, ten at a time.
    let everybody: Vec<_> =
        (0..10).map(|number| json!({ "id": format!("id-{number}"), "alias": format!("other-{number}") })).collect();
    fake.fault("GET /organizations", 1, Fault::Body(json!(everybody).to_string().into_bytes()));
    let id = adapter(&fake).ensure_organization(&wanted(tenant(), "acme")).await.unwrap();
    assert_eq!(id.0, fake.state().organizations[0].id);
}
