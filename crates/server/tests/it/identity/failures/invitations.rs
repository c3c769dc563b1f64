//! Mails that are not sent, links that are not found.

use domain::time::SignedDuration;
use server::identity::provider::{FaultKind, IdentityProvider as _, InviteKind};

use super::super::fake::{FakeKeycloak, Fault, Options, Smtp};
use super::super::suite::{kind, now, person, tenant};
use super::{adapter, hurried, provider, says};

#[tokio::test]
async fn a_realm_without_a_mail_server_keeps_the_account() {
    let fake = FakeKeycloak::with(Options { smtp: Smtp::Fails, ..Options::default() }).await;
    let adapter = hurried(&fake);
    let id = adapter.ensure_account(&person(tenant(), "a@example.com"), now()).await.unwrap().id;
    let failed = adapter.send_invitation(&id).await.unwrap_err();
    assert!(failed.kind == FaultKind::MailFailed && failed.kind.is_passing(), "{failed}");
    assert!(failed.detail.contains("Invalid sender address"), "the operator reads why: {failed}");
    assert_eq!(fake.count("PUT /users/{}/execute-actions-email"), 1, "each call is a mail");
    assert!(adapter.get_account(&id).await.unwrap().is_some());
    assert_eq!(adapter.invite_link("a@example.com", now()).await.unwrap().kind, InviteKind::Login);
}

#[tokio::test]
async fn a_mail_call_that_a_proxy_fails_is_no_mail_servers_fault() {
    let fake = FakeKeycloak::start().await;
    let adapter = adapter(&fake);
    let id = adapter.ensure_account(&person(tenant(), "a@example.com"), now()).await.unwrap().id;
    for status in [502, 503, 504] {
        fake.fault("PUT /users/{}/execute-actions-email", 1, Fault::status(status));
        assert_eq!(kind(adapter.send_invitation(&id).await), FaultKind::Unavailable);
    }
    assert_eq!(fake.count("PUT /users/{}/execute-actions-email"), 3, "none was made again");
    // A refused token had no effect, so this one is.
    fake.fault("PUT /users/{}/execute-actions-email", 1, says(401, b""));
    adapter.send_invitation(&id).await.unwrap();
    assert_eq!(fake.state().mails.len(), 1);
}

#[tokio::test]
async fn an_older_mail_is_no_invitation() {
    let fake = FakeKeycloak::start().await;
    let adapter = hurried(&fake);
    let id = adapter.ensure_account(&person(tenant(), "a@example.com"), now()).await.unwrap().id;
    adapter.send_invitation(&id).await.unwrap();
    let first = fake.state().mails[0].clone();
    let later = now() + SignedDuration::from_secs(2);
    assert_eq!(adapter.invite_link("a@example.com", later).await.unwrap().kind, InviteKind::Login);
    let link = adapter.invite_link("a@example.com", first.at).await.unwrap();
    assert!(link.kind == InviteKind::Mail && link.url == first.link);
    adapter.send_invitation(&id).await.unwrap();
    let second = fake.state().mails[1].clone();
    assert!(adapter.invite_link("a@example.com", first.at).await.unwrap().url == second.link, "the newest");

    // A service whose clock is shifted names times that the sink does not know.
    let mut settings = fake.settings();
    settings.clock_offset = SignedDuration::from_hours(24 * 14);
    let shifted = first.at + settings.clock_offset;
    assert_eq!(provider(settings).invite_link("a@example.com", shifted).await.unwrap().kind, InviteKind::Mail);
}

#[tokio::test]
async fn a_sink_that_fails_is_as_good_as_none() {
    let fake = FakeKeycloak::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let elsewhere = [None, Some(format!("http://127.0.0.1:{port}")), Some(format!("{}/no-sink", fake.base_url))];
    for sink in elsewhere {
        let mut settings = fake.settings();
        settings.limits.mail_arrival = std::time::Duration::from_millis(250);
        settings.mail_sink_url = sink;
        let link = provider(settings).invite_link("a@example.com", now()).await.unwrap();
        assert_eq!(link.kind, InviteKind::Login);
        assert!(link.url.starts_with(&format!("{}/realms/breakpilot%20dev/", fake.base_url)), "{}", link.url);
    }
}
