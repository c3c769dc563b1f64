//! The invited person's way, without a browser: mail, link, password, login, refresh, logout; and what a mail needs.
//!
//! The calls are those of the provisioning, made by its own service account with the roles of the realm file, so that a
//! role which is missing there fails here. Invariant: no link or token is printed.

use serde_json::{Value, json};

use super::browser::{Browser, Login, Person, Tokens};
use super::http::Http;
use super::real::{RealKeycloak, left_out};
use super::realm::{CONSOLE, PASSWORD, Realm, RealmOptions};
use super::sink::{Behaviour, MailSink};

const JOERG: &str = "joerg@acme.test";

/// An account and its membership, as provisioning makes them. The account's id.
async fn invited(realm: &Realm, token: &str) -> String {
    let acme = json!({ "name": "Acme (acme)", "alias": "acme", "enabled": true });
    let acme = realm.as_bearer(token, "POST", "/organizations", Some(acme)).await.made_id();
    let joerg = json!({
        "email": JOERG, "firstName": "Jörg", "lastName": "Müßig", "enabled": true,
        "attributes": { "tenant_registry": ["acme"] },
        "requiredActions": ["VERIFY_EMAIL", "UPDATE_PASSWORD"],
    });
    let joerg = realm.as_bearer(token, "POST", "/users", Some(joerg)).await.made_id();
    let path = format!("/organizations/{acme}/members");
    realm.as_bearer(token, "POST", &path, Some(json!(joerg))).await.expect(201);
    let group = json!({ "name": "IT_ADMIN" });
    let group = realm.as_bearer(token, "POST", &format!("/organizations/{acme}/groups"), Some(group)).await.made_id();
    let path = format!("/organizations/{acme}/groups/{group}/members/{joerg}");
    realm.as_bearer(token, "PUT", &path, None).await.expect(204);
    joerg
}

async fn send(realm: &Realm, token: &str, user: &str) -> super::http::Reply {
    let actions = json!(["VERIFY_EMAIL", "UPDATE_PASSWORD"]);
    realm.as_bearer(token, "PUT", &format!("/users/{user}/execute-actions-email"), Some(actions)).await
}

/// A realm that mails into a sink, and the account of somebody who is invited in it.
struct Invited {
    sink: MailSink,
    realm: Realm,
    token: String,
    user: String,
}

impl Invited {
    async fn start() -> Self {
        let sink = MailSink::start().await;
        let realm = RealKeycloak::shared().await.realm(RealmOptions::default().smtp(sink.smtp)).await;
        let token = realm.service_token().await;
        let user = invited(&realm, &token).await;
        Self { sink, realm, token, user }
    }
}

#[tokio::test]
async fn an_invited_person_sets_a_password_logs_in_and_out() {
    if left_out() {
        return;
    }
    let Invited { sink, realm, token, user } = Invited::start().await;
    assert_eq!(realm.user(&user).await["attributes"]["tenant_registry"], json!(["acme"]), "the mark is kept");
    assert_eq!(send(&realm, &token, &user).await.status, 204);
    let mail = sink.mail_to(JOERG, 1).await;
    assert!(mail.link().starts_with(&realm.issuer), "the link leads elsewhere");
    assert_eq!(mail.from, "no-reply@breakpilot.test");

    // Nobody logs in before.
    let mut browser = Browser::at(&realm);
    let before = browser.log_in(&realm, &Person::new(JOERG, PASSWORD)).await;
    assert!(matches!(before, Login::Stopped(_)), "{before:?}");

    let mut browser = Browser::at(&realm);
    let page = browser.accept_invitation(&mail.link(), PASSWORD).await;
    assert_eq!((page.status, page.form("kc-passwd-update-form")), (200, None), "{}", page.html);
    let user = realm.user(&user).await;
    assert_eq!((&user["emailVerified"], &user["requiredActions"]), (&json!(true), &json!([])));

    // Once used it is dead.
    let again = Browser::at(&realm).get(&mail.link()).await;
    assert_eq!(again.status, 400);

    let mut browser = Browser::at(&realm);
    let tokens = browser.log_in(&realm, &Person::new(JOERG, PASSWORD)).await.tokens();
    let claims = tokens.claims();
    assert_eq!(claims["organization"], json!({ "acme": { "groups": ["/IT_ADMIN"] } }));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(realm.issuer), &json!("tenant-registry")));
    assert_eq!(claims["name"], "Jörg Müßig");
    let refreshed = Tokens::of(&realm.refresh(CONSOLE, &tokens.refresh).await);
    browser.log_out(&realm, &refreshed).await;
    let refused = realm.refresh(CONSOLE, &refreshed.refresh).await;
    assert_eq!((refused.status, &refused.body["error"]), (400, &json!("invalid_grant")), "{}", refused.text);
    // A wrong password and a wrong scope are no login.
    let wrong = Browser::at(&realm).log_in(&realm, &Person::new(JOERG, "wrong")).await;
    assert!(matches!(wrong, Login::Stopped(_)), "{wrong:?}");
    let foreign = Person::new(JOERG, PASSWORD).scope("organization:beta");
    let foreign = Browser::at(&realm).log_in(&realm, &foreign).await;
    assert!(matches!(&foreign, Login::Refused(error) if error == "invalid_scope"), "{foreign:?}");
}

#[tokio::test]
async fn the_sink_shows_mails_as_mailpit_does() {
    if left_out() {
        return;
    }
    let Invited { sink, realm, token, user } = Invited::start().await;
    for _ in 0..2 {
        send(&realm, &token, &user).await.expect(204);
    }
    sink.mail_to(JOERG, 2).await;
    let http = Http::new();
    let list = http.get(&format!("{}/api/v1/messages?limit=1", sink.url)).await.expect(200).body;
    assert_eq!((&list["total"], list["messages"].as_array().unwrap().len()), (&json!(2), 1));
    let found = http.get(&format!("{}/api/v1/search?query=to:%22{JOERG}%22", sink.url)).await.expect(200).body;
    let found = found["messages"].as_array().unwrap().clone();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["To"][0]["Address"], JOERG);
    assert!(found[0]["Created"].as_str() > found[1]["Created"].as_str(), "the newest is first: {found:?}");
    let none = http.get(&format!("{}/api/v1/search?query=to:%22other@acme.test%22", sink.url)).await.expect(200);
    assert_eq!(none.body["messages"], json!([]));
    let id = found[0]["ID"].as_str().unwrap();
    let whole: Value = http.get(&format!("{}/api/v1/message/{id}", sink.url)).await.expect(200).body;
    assert!(whole["HTML"].as_str().unwrap().contains("href=\""), "no link in it");
    http.get(&format!("{}/api/v1/message/other", sink.url)).await.expect(404);
}

#[tokio::test]
async fn a_mail_that_cannot_be_sent_is_a_500_and_changes_nothing() {
    if left_out() {
        return;
    }
    let keycloak = RealKeycloak::shared().await;
    let without = keycloak.realm(RealmOptions::default()).await;
    let token = without.service_token().await;
    let user = invited(&without, &token).await;
    assert_eq!(send(&without, &token, &user).await.status, 500);
    assert_eq!(without.user(&user).await["enabled"], true);

    let sink = MailSink::start().await;
    let realm = keycloak.realm(RealmOptions::default().smtp(sink.smtp)).await;
    let token = realm.service_token().await;
    let user = invited(&realm, &token).await;
    for behaviour in [Behaviour::Refuse, Behaviour::Hang] {
        sink.behave(behaviour);
        let begin = std::time::Instant::now();
        assert_eq!(send(&realm, &token, &user).await.status, 500, "{behaviour:?}");
        // The realm file's own limits: 2 s to connect, 3 s for an answer, where Keycloak's would be 10.
        let took = begin.elapsed();
        assert!(took < std::time::Duration::from_secs(8), "{behaviour:?}: {took:?}");
    }
    sink.behave(Behaviour::Take);
    assert_eq!(send(&realm, &token, &user).await.status, 204);
    sink.mail_to(JOERG, 1).await;
}
