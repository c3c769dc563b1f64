//! The whole way of a tenant and its first administrator, on the real Keycloak with everything real around it: made,
//! invited, logged in, frozen in both ways, activated, deleted.
//!
//! `docs/keycloak-transcript.md` is what it wrote down: `TRANSCRIPT=docs/keycloak-transcript.md make test` writes it anew. Invariant:
//! no link, token or secret is written down.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::browser::{Browser, Login, Person, Tokens, claims};
use super::real::{RealKeycloak, left_out};
use super::realm::{CONSOLE, PASSWORD, Realm, RealmOptions};
use super::sink::MailSink;
use crate::entitlements::{offer, put};
use crate::support::server::eventually;
use crate::support::setup::path_of;
use crate::support::{Options, Service, StoreKind};

/// What happened, in words.
#[derive(Default)]
struct Transcript(String);

impl Transcript {
    fn title(&mut self, text: &str) {
        writeln!(self.0, "\n## {text}\n").unwrap();
    }

    fn line(&mut self, call: &str, answer: impl std::fmt::Display) {
        writeln!(self.0, "    {call}\n      {answer}").unwrap();
    }

    fn end(self) {
        let text = format!(
            "# A tenant's way, on a real Keycloak\n\nWritten by the test `a_tenants_whole_way` \
             (`crates/server/tests/it/keycloak/transcript.rs`) as it ran: the service on PostgreSQL, Keycloak 26.7.3 with the realm of \
             `deploy/keycloak` and the protocol mapper, a mail sink, and a browser's part. Ids, links and tokens are left out.\n{}",
            self.0
        );
        println!("{text}");
        if let Some(path) = std::env::var_os("TRANSCRIPT") {
            std::fs::write(super::real::root().join(path), text).unwrap();
        }
    }
}

/// A realm with our mapper, a sink for its mails, and a service that provisions into it.
struct Setup {
    realm: Realm,
    sink: MailSink,
    service: Service,
}

impl Setup {
    async fn start(on_freeze: &str) -> Self {
        let sink = MailSink::start().await;
        let realm = RealKeycloak::shared().await.realm(RealmOptions::default().smtp(sink.smtp)).await;
        let options = Options::default()
            .set("KEYCLOAK_ISSUER", &realm.issuer)
            .set("KEYCLOAK_ADMIN_URL", &realm.base_url)
            .set("KEYCLOAK_REALM", &realm.name)
            .set("KEYCLOAK_CLIENT_ID", &realm.client_id)
            .set("KEYCLOAK_CLIENT_SECRET", &realm.client_secret)
            .set("KEYCLOAK_ON_FREEZE", on_freeze)
            .set("PROVISION_TIMEOUT_SECONDS", "60")
            .set("REQUEST_TIMEOUT_SECONDS", "90")
            .set("MAIL_SINK_URL", &sink.url);
        let service = Service::start_with(StoreKind::Postgres, options).await;
        let key = json!({ "tenant_id": null, "name": "keycloak", "scopes": ["registry:internal"] });
        let key = service.admin.post("/v1/api-keys", key).await.expect(201).body;
        let mapper = json!({ "registry.url": service.url, "registry.bearer": key["plaintext"] });
        realm.set_mapper(CONSOLE, mapper).await.expect(204);
        Self { realm, sink, service }
    }

    async fn log_in(&self, email: &str) -> Login {
        Browser::at(&self.realm).log_in(&self.realm, &Person::new(email, PASSWORD)).await
    }

    async fn tenant(&self, tenant: &Value) -> Value {
        self.service.admin.get(&path_of(tenant, "")).await.expect(200).body
    }

    async fn organizations(&self, slug: &str) -> Vec<Value> {
        let path = format!("/organizations?q=alias:{slug}&briefRepresentation=false");
        self.realm.admin("GET", &path, None).await.expect(200).body.as_array().unwrap().clone()
    }

    async fn accounts(&self, email: &str) -> Vec<Value> {
        let path = format!("/users?email={email}&exact=true");
        self.realm.admin("GET", &path, None).await.expect(200).body.as_array().unwrap().clone()
    }

    /// Until the organization's attribute `status` is this one.
    async fn until_pushed(&self, slug: &str, status: &str) {
        eventually("the status is pushed", async || {
            self.organizations(slug).await.iter().any(|found| found["attributes"]["status"] == json!([status]))
        })
        .await;
    }

    async fn until_gone(&self, slug: &str, email: &str) {
        eventually("organization and account are removed", async || {
            self.organizations(slug).await.is_empty() && self.accounts(email).await.is_empty()
        })
        .await;
    }
}

/// The members of a token that people look for.
fn shown(token: &str) -> Value {
    let all = claims(token);
    let names = ["organization", "slug", "products", "plan", "status"];
    names.iter().map(|name| ((*name).to_owned(), all[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// The answer without what differs from run to run.
fn provisioning(tenant: &Value) -> Value {
    let mut shown = tenant["provisioning"].clone();
    for name in ["organization_id", "invite_url"] {
        if shown[name].is_string() {
            shown[name] = json!("…");
        }
    }
    shown
}

async fn create(setup: &Setup, said: &mut Transcript, slug: &str, email: &str) -> Value {
    let body = json!({
        "slug": slug, "name": "Müller & Söhne", "plan": "professional", "admin_email": email, "admin_name": "Jörg Müßig",
    });
    let tenant = setup.service.admin.post("/v1/tenants", body.clone()).await.expect(201).body;
    said.line(&format!("POST /v1/tenants {body}"), format!("201 provisioning: {}", provisioning(&tenant)));
    assert_eq!(tenant["provisioning"]["status"], "provisioned", "{}", tenant["provisioning"]);
    assert_eq!(tenant["provisioning"]["invite_url_kind"], "mail");
    tenant
}

async fn accept(setup: &Setup, said: &mut Transcript, tenant: &Value, email: &str) {
    let mail = setup.sink.mail_to(email, 1).await;
    assert_eq!(mail.link(), tenant["provisioning"]["invite_url"], "the answer in dev has the mail's link");
    said.line(&format!("mail to {email}"), "one mail, with the link that `invite_url` is in dev");
    let page = Browser::at(&setup.realm).accept_invitation(&mail.link(), PASSWORD).await;
    assert_eq!((page.status, page.form("kc-passwd-update-form")), (200, None), "{}", page.html);
    said.line("the link, then the form for the password", "200, address verified, password set");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_whole_way() {
    if left_out() {
        return;
    }
    let mut said = Transcript::default();
    let setup = Setup::start("mark").await;
    let (admin, email) = (&setup.service.admin, "joerg@mueller.test");

    said.title("A tenant is made, and its administrator invited");
    let tenant = create(&setup, &mut said, "mueller", email).await;
    offer(&setup.service, "scan").await;
    put(&setup.service, &tenant, "scan", json!({})).await.expect(201);
    said.line("PUT /v1/entitlements (product scan)", "201");

    said.title("The invited person sets a password and logs in by authorization code with PKCE");
    accept(&setup, &mut said, &tenant, email).await;
    let tokens = setup.log_in(email).await.tokens();
    let bundle = shown(&tokens.access);
    said.line("login at the console, scope openid organization", format!("token: {bundle}"));
    assert_eq!((&bundle["products"], &bundle["status"]), (&json!(["scan"]), &json!("trial")));
    assert_eq!(bundle["organization"]["mueller"]["groups"], json!(["/IT_ADMIN"]));
    assert_eq!(claims(&tokens.access)["name"], "Jörg Müßig");
    let joerg = admin.bearer(&tokens.access);
    let key = json!({ "tenant_id": tenant["id"], "name": "First key", "scopes": ["tenant:read"] });
    joerg.get("/v1/tenants/by-slug/mueller").await.expect(200);
    joerg.post("/v1/api-keys", key.clone()).await.expect(201);
    said.line("GET /v1/tenants/by-slug/mueller with that token", "200");
    said.line("POST /v1/api-keys with that token", "201");

    said.title("Frozen, KEYCLOAK_ON_FREEZE=mark: people log in and read, tokens say frozen, writes are refused");
    admin.post_empty(&path_of(&tenant, "/cancel")).await.expect(200);
    setup.until_pushed("mueller", "frozen").await;
    said.line("POST /v1/tenants/{id}/cancel", "200; the organization's attribute `status` becomes `frozen`");
    let tokens = setup.log_in(email).await.tokens();
    let bundle = shown(&tokens.access);
    said.line("login again", format!("token: {bundle}"));
    assert_eq!((&bundle["products"], &bundle["status"]), (&json!([]), &json!("frozen")));
    let joerg = admin.bearer(&tokens.access);
    joerg.get("/v1/tenants/by-slug/mueller").await.expect(200);
    joerg.post("/v1/api-keys", key.clone()).await.problem(403, "tenant_frozen");
    said.line("GET /v1/tenants/by-slug/mueller", "200");
    said.line("POST /v1/api-keys", "403 tenant_frozen");

    said.title("Activated");
    admin.post_empty(&path_of(&tenant, "/activate")).await.expect(200);
    setup.until_pushed("mueller", "active").await;
    let refreshed = Tokens::of(&setup.realm.refresh(CONSOLE, &tokens.refresh).await);
    said.line("POST /v1/tenants/{id}/activate, then a refresh", format!("token: {}", shown(&refreshed.access)));
    assert_eq!(shown(&refreshed.access)["products"], json!(["scan"]));
    admin.bearer(&refreshed.access).post("/v1/api-keys", key).await.expect(201);
    said.line("POST /v1/api-keys", "201");

    said.title("Deleted: organization and account go with the tenant");
    admin.post_empty(&path_of(&tenant, "/cancel")).await.expect(200);
    admin.delete(&path_of(&tenant, "")).await.expect(204);
    setup.until_gone("mueller", email).await;
    said.line("POST …/cancel, DELETE /v1/tenants/{id}", "204; Keycloak has neither the organization nor the account");
    let after = setup.log_in(email).await;
    assert!(!matches!(after, Login::Done(_)), "{after:?}");
    said.line("login", "refused");

    shut_out(&mut said).await;
    said.end();
}

async fn shut_out(said: &mut Transcript) {
    let setup = Setup::start("disable").await;
    let (admin, email) = (&setup.service.admin, "erika@schmidt.test");
    said.title("Frozen, KEYCLOAK_ON_FREEZE=disable: nobody logs in, and refreshes are refused");
    let tenant = create(&setup, said, "schmidt", email).await;
    accept(&setup, said, &tenant, email).await;
    let tokens = setup.log_in(email).await.tokens();
    said.line("login", format!("token: {}", shown(&tokens.access)));
    admin.post_empty(&path_of(&tenant, "/cancel")).await.expect(200);
    eventually("the account is disabled", async || setup.accounts(email).await[0]["enabled"] == false).await;
    said.line("POST /v1/tenants/{id}/cancel", "200; organization and account are disabled, sessions ended");
    let refused = setup.log_in(email).await;
    assert!(!matches!(refused, Login::Done(_)), "{refused:?}");
    said.line("login", "refused");
    let refused = setup.realm.refresh(CONSOLE, &tokens.refresh).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    said.line("refresh", format!("400 {}", refused.body["error"]));

    said.title("Activated: exactly what was shut is opened");
    admin.post_empty(&path_of(&tenant, "/activate")).await.expect(200);
    eventually("the account is enabled", async || setup.accounts(email).await[0]["enabled"] == true).await;
    eventually("all is done", async || setup.tenant(&tenant).await["provisioning"]["status"] == "provisioned").await;
    assert_eq!(setup.organizations("schmidt").await[0]["enabled"], true);
    let tokens = setup.log_in(email).await.tokens();
    said.line("POST /v1/tenants/{id}/activate, then login", format!("token: {}", shown(&tokens.access)));
    admin.post_empty(&path_of(&tenant, "/cancel")).await.expect(200);
    admin.delete(&path_of(&tenant, "")).await.expect(204);
    setup.until_gone("schmidt", email).await;
    said.line("POST …/cancel, DELETE /v1/tenants/{id}", "204; Keycloak has neither the organization nor the account");
}
