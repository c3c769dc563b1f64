//! The suite on a real Keycloak, and what only a real one can show: what realms do with our mark, where the login begins,
//! what the probe says of settings that it refuses, and a network that fails between it and us.
//!
//! All of it shares one realm made from the operators' file; what needs another makes its own.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::Secret;
use serde_json::{Value, json};
use server::clock::SystemRng;
use server::identity::keycloak::{KeycloakProvider, KeycloakSettings};
use server::identity::provider::{FaultKind, IdentityProvider as _, InviteKind};

use super::suite::{World as _, kind, now, person, tenant, wanted};
use super::worlds::{Admin, Keycloak, Served};
use crate::keycloak::real::{RealKeycloak, left_out};
use crate::keycloak::realm::{Realm, RealmOptions};
use crate::keycloak::sink::MailSink;
use crate::support::proxy::Proxy;

/// The realm and the mail sink of the suite.
#[derive(Debug)]
pub(crate) struct Shared {
    realm: Realm,
    sink: MailSink,
}

impl Shared {
    async fn get() -> &'static Self {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        tokio::task::spawn_blocking(|| {
            SHARED.get_or_init(|| {
                // The sink has to outlive the test that was first, and its runtime.
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
                let runtime: &'static tokio::runtime::Runtime = Box::leak(Box::new(runtime));
                runtime.block_on(async {
                    let sink = MailSink::start().await;
                    let realm = RealKeycloak::shared().await.realm(RealmOptions::default().smtp(sink.smtp)).await;
                    Self { realm, sink }
                })
            })
        })
        .await
        .unwrap()
    }
}

#[derive(Debug)]
pub(crate) struct Real(&'static Shared);

fn settings(realm: &Realm) -> KeycloakSettings {
    let secret = Secret::from(realm.client_secret.as_str());
    KeycloakSettings::new(&realm.base_url, &realm.name, &realm.client_id, secret)
}

fn provider(settings: KeycloakSettings) -> KeycloakProvider {
    KeycloakProvider::new(settings, Arc::new(SystemRng::default())).unwrap()
}

#[async_trait]
impl Admin for Real {
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let reply = self.0.realm.admin(method, path, body).await;
        (reply.status, reply.body)
    }

    async fn mails_to(&self, email: &str) -> usize {
        self.0.sink.mails_to(email).len()
    }
}

#[async_trait]
impl Served for Real {
    async fn serve() -> Option<Keycloak<Self>> {
        if left_out() {
            return None;
        }
        let shared = Shared::get().await;
        let mut settings = settings(&shared.realm);
        settings.mail_sink_url = Some(shared.sink.url.clone());
        Some(Keycloak { admin: Real(shared), provider: provider(settings) })
    }
}

/// A real realm that differs from the file.
async fn realm(options: RealmOptions) -> Option<Realm> {
    if left_out() { None } else { Some(RealKeycloak::shared().await.realm(options).await) }
}

#[tokio::test]
async fn an_account_is_known_by_its_creation_where_a_realm_drops_attributes() {
    // Keycloak's own user profile keeps no attribute that it does not know.
    let drop_profile = |realm: &mut Value| drop(realm.as_object_mut().unwrap().remove("components"));
    let Some(realm) = realm(RealmOptions::default().edit(drop_profile)).await else { return };
    let (invited, intended) = (person(tenant(), "joerg@example.com"), now());
    let made = provider(settings(&realm)).ensure_account(&invited, intended).await.unwrap();
    let kept = realm.user(&made.id.0).await;
    assert!(made.ours && kept["attributes"]["tenant_registry"].is_null(), "{kept}");
    assert!(kept["createdTimestamp"].as_i64().unwrap() < intended.as_millisecond(), "{kept}");
    // A later process, which knows when it was meant to be made, and one that does not.
    assert_eq!(provider(settings(&realm)).ensure_account(&invited, intended).await.unwrap(), made);
    assert!(!provider(settings(&realm)).ensure_account(&invited, now()).await.unwrap().ours);
    // Without a mail server each mail is a 500, at once, and the account stays.
    let begin = Instant::now();
    assert_eq!(kind(provider(settings(&realm)).send_invitation(&made.id).await), FaultKind::MailFailed);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_login_page_is_there_and_knows_the_address() {
    let Some(world) = Keycloak::<Real>::open().await else { return };
    let email = format!("{}@example.com", world.own("erika"));
    world.put_account(&email, true).await;
    let link = world.provider().invite_link(&email, now()).await.unwrap();
    assert_eq!(link.kind, InviteKind::Login);
    // Cookies have to come back on the way; the page is the end of some redirects.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(&link.url).send().await.unwrap();
    let (status, page) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("name=\"password\"") && page.contains(&email), "{page}");
}

#[tokio::test]
async fn the_probe_says_what_is_wrong_with_a_real_realm() {
    if left_out() {
        return;
    }
    type Spoil = fn(&mut Value);
    let cases: [(Spoil, FaultKind, &str); 6] = [
        (
            |realm| realm["organizationsEnabled"] = json!(false),
            FaultKind::Misconfigured,
            "organizations are switched off",
        ),
        (|realm| realm["enabled"] = json!(false), FaultKind::Misconfigured, "realm is disabled"),
        (|realm| service_roles(realm, &["manage-organizations"]), FaultKind::MissingRole, "lacks manage-users of"),
        (
            |realm| service_roles(realm, &["manage-users", "view-organizations"]),
            FaultKind::MissingRole,
            "lacks manage-organizations of",
        ),
        (|realm| service_client(realm)["fullScopeAllowed"] = json!(false), FaultKind::MissingRole, "fullScopeAllowed"),
        (|realm| service_client(realm)["enabled"] = json!(false), FaultKind::BadCredentials, "KEYCLOAK_CLIENT_ID"),
    ];
    for (spoil, kind, words) in cases {
        let realm = realm(RealmOptions::default().edit(spoil)).await.unwrap();
        let failed = provider(settings(&realm)).probe().await.unwrap_err();
        assert!(failed.kind == kind && failed.detail.contains(words), "{words}: {failed}");
    }
    let good = &Shared::get().await.realm;
    let mut wrong = settings(good);
    wrong.client_secret = Secret::from("wrong");
    assert_eq!(kind(provider(wrong).probe().await), FaultKind::BadCredentials);
    let mut wrong = settings(good);
    wrong.realm = "nowhere".to_owned();
    let failed = provider(wrong).probe().await.unwrap_err();
    assert!(failed.kind == FaultKind::Misconfigured && failed.detail.contains("KEYCLOAK_REALM"), "{failed}");
    let mut wrong = settings(good);
    wrong.base_url.push_str("/auth");
    assert_eq!(kind(provider(wrong).probe().await), FaultKind::Misconfigured);
    // A token that was asked for by another name of the host is refused.
    let mut slash = settings(good);
    slash.base_url.push('/');
    provider(slash).probe().await.unwrap();
}

fn service_client(realm: &mut Value) -> &mut Value {
    let clients = realm["clients"].as_array_mut().unwrap();
    clients.iter_mut().find(|client| client["serviceAccountsEnabled"] == true).unwrap()
}

fn service_roles(realm: &mut Value, roles: &[&str]) {
    let users = realm["users"].as_array_mut().unwrap();
    let user = users.iter_mut().find(|user| !user["serviceAccountClientId"].is_null()).unwrap();
    user["clientRoles"]["realm-management"] = json!(roles);
}

#[tokio::test]
async fn a_network_that_fails_before_a_real_keycloak_costs_time_and_nothing_else() {
    let Some(world) = Keycloak::<Real>::open().await else { return };
    let upstream = url::Url::parse(&world.admin.0.realm.base_url).unwrap();
    let port = upstream.port().unwrap();
    let proxy = Proxy::start(([127, 0, 0, 1], port).into()).unwrap();
    let mut through = settings(&world.admin.0.realm);
    through.base_url = format!("http://{}", proxy.address);
    through.limits.call = Duration::from_secs(5);
    let limit = through.limits.call;
    let provider = provider(through);
    provider.probe().await.unwrap();

    // Two look-ups, and the answer to the creation is cut off: it was made, and is found.
    let spec = wanted(tenant(), &world.own("cut"));
    proxy.cut_answer(3);
    let id = provider.ensure_organization(&spec).await.unwrap();
    assert_eq!(world.organization(&id.0).await.unwrap().alias, spec.alias);
    let (invited, intended) = (person(spec.tenant, &format!("{}@example.com", spec.alias)), now());
    proxy.cut_answer(2);
    let account = provider.ensure_account(&invited, intended).await.unwrap();
    assert!(account.ours);
    proxy.cut_answer(1);
    provider.ensure_member(&id, &account.id).await.unwrap();
    assert_eq!(world.members(&id.0).await, std::slice::from_ref(&account.id.0));
    // No group yet: looked for, made, joined.
    proxy.cut_answer(2);
    provider.ensure_admin(&id, &account.id).await.unwrap();
    proxy.cut_answer(2);
    provider.ensure_admin(&id, &account.id).await.unwrap();
    assert_eq!(world.admins(&id.0).await, std::slice::from_ref(&account.id.0));

    // Silent: each call takes its limit.
    proxy.fall_silent();
    let begin = Instant::now();
    assert_eq!(kind(provider.get_account(&account.id).await), FaultKind::Timeout);
    assert!(begin.elapsed() >= limit && begin.elapsed() < 3 * limit, "{:?}", begin.elapsed());
    proxy.speak();
    // Slow: everything works.
    proxy.delay(Duration::from_millis(150));
    let begin = Instant::now();
    assert!(provider.get_account(&account.id).await.unwrap().unwrap().ours);
    assert!(begin.elapsed() >= Duration::from_millis(150));
}
