//! A realm of the tests: the realm that operators import (`deploy/keycloak`), under a fresh name, and what tests do in it.
//!
//! `RealKeycloak::realm` makes one. Invariant: what a test changes of the file stands in its options; the rest is the file,
//! so that a file which does not work fails here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::http::{Http, Reply};
use super::real::{RealKeycloak, random_text, root};

/// The console's client: browsers log in with it.
pub(crate) const CONSOLE: &str = "breakpilot-console";
/// The portal's client: its tokens carry the flat `tenant_slug`.
pub(crate) const PORTAL: &str = "breakpilot-portal";
/// As the console, and the portal; but tokens for a password without a browser.
pub(crate) const DIRECT: &str = "tests-console";
pub(crate) const DIRECT_PORTAL: &str = "tests-portal";
/// The provider id of the protocol mapper in `deploy/keycloak/mapper`.
pub(crate) const MAPPER: &str = "tenant-registry-claims-mapper";
/// Where the console's logins end. Nobody listens there, and nobody follows.
pub(crate) const REDIRECT_URI: &str = "http://localhost:8090/callback";
/// The password of accounts that tests make.
pub(crate) const PASSWORD: &str = "correct horse battery";

const FILE: &str = "deploy/keycloak/breakpilot-dev-realm.json";
const CLIENT_ID: &str = "breakpilot-provisioner";
const SMTP_PORT: &str = "REALM_SMTP_PORT";

type Edit = Box<dyn FnOnce(&mut Value) + Send>;

/// How a realm differs from the file.
pub(crate) struct RealmOptions {
    with_direct_clients: bool,
    variables: BTreeMap<&'static str, String>,
    edits: Vec<Edit>,
}

impl Default for RealmOptions {
    fn default() -> Self {
        Self { with_direct_clients: true, ..Self::of_the_file() }
    }
}

impl fmt::Debug for RealmOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealmOptions").finish_non_exhaustive()
    }
}

impl RealmOptions {
    /// The file and nothing else: without the clients of the tests.
    pub(crate) fn of_the_file() -> Self {
        Self { with_direct_clients: false, variables: BTreeMap::new(), edits: Vec::new() }
    }

    /// Mails go to this server. Without it the realm has none, and each mail call is a 500.
    pub(crate) fn smtp(self, address: SocketAddr) -> Self {
        self.variable("REALM_SMTP_HOST", &address.ip().to_string()).variable(SMTP_PORT, &address.port().to_string())
    }

    /// The protocol mapper asks the registry at this address with this key.
    pub(crate) fn mapper(self, url: &str, key: &str) -> Self {
        self.variable("MAPPER_REGISTRY_URL", url).variable("MAPPER_REGISTRY_KEY", key)
    }

    /// A variable of the file.
    pub(crate) fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// Any change of the representation that is sent.
    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.edits.push(Box::new(edit));
        self
    }

    /// What is sent to make the realm.
    pub(super) fn representation(mut self, name: &str, secret: &str) -> Value {
        self.variables.insert("KEYCLOAK_CLIENT_SECRET", secret.to_owned());
        let mut realm: Value = serde_json::from_str(&filled(&realm_file(), &self.variables)).unwrap();
        realm["realm"] = json!(name);
        if !self.variables.contains_key(SMTP_PORT) {
            realm.as_object_mut().unwrap().remove("smtpServer");
        }
        if self.with_direct_clients {
            with_direct_clients(&mut realm);
        }
        for edit in self.edits {
            edit(&mut realm);
        }
        realm
    }
}

/// The text of the realm file.
pub(crate) fn realm_file() -> String {
    std::fs::read_to_string(root().join(FILE)).unwrap()
}

/// Fills in `${NAME}` and `${NAME:default}` as an import does; the Admin API takes them as they stand. A name in lower case
/// is a text of Keycloak's own, not a variable.
fn filled(text: &str, variables: &BTreeMap<&str, String>) -> String {
    let mut parts = text.split("${");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (inside, rest) = part.split_once('}').unwrap();
        let (name, default) = inside.split_once(':').map_or((inside, None), |(name, default)| (name, Some(default)));
        match variables.get(name).map(String::as_str).or(default) {
            Some(value) => out.push_str(value),
            None if name.starts_with(|c: char| c.is_ascii_lowercase()) => out.push_str(&format!("${{{inside}}}")),
            None => panic!("{FILE}: the tests have no value for {name}"),
        }
        out.push_str(rest);
    }
    out
}

fn with_direct_clients(realm: &mut Value) {
    for (client_id, like) in [(DIRECT, CONSOLE), (DIRECT_PORTAL, PORTAL)] {
        let clients = realm["clients"].as_array_mut().unwrap();
        let mut direct = clients.iter().find(|client| client["clientId"] == like).unwrap().clone();
        direct["clientId"] = json!(client_id);
        direct["directAccessGrantsEnabled"] = json!(true);
        clients.push(direct);
        let scopes = realm["scopeMappings"].as_array_mut().unwrap();
        let mut scope = scopes.iter().find(|scope| scope["client"] == like).unwrap().clone();
        scope["client"] = json!(client_id);
        scopes.push(scope);
    }
}

/// A realm.
#[derive(Debug)]
pub(crate) struct Realm {
    /// `http://localhost:port`, the `KEYCLOAK_ADMIN_URL` of a service.
    pub(crate) base_url: String,
    pub(crate) name: String,
    /// The service account of the provisioning.
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    /// The `iss` of its tokens.
    pub(crate) issuer: String,
    keycloak: &'static RealKeycloak,
}

impl Realm {
    pub(super) fn new(keycloak: &'static RealKeycloak, name: &str) -> Self {
        Self {
            base_url: keycloak.base_url.clone(),
            name: name.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: random_text(),
            issuer: format!("{}/realms/{name}", keycloak.base_url),
            keycloak,
        }
    }

    /// A call of the Admin API by one who may do everything; the path begins after the realm's name.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.keycloak.admin(method, &format!("/admin/realms/{}{path}", self.name), body).await
    }

    /// The same by the bearer of a token.
    pub(crate) async fn as_bearer(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        let url = format!("{}/admin/realms/{}{path}", self.base_url, self.name);
        Http::new().send(method, &url, &[("authorization", &format!("Bearer {token}"))], body).await
    }

    /// An address of the realm's OIDC protocol: `token`, `auth`, `logout`, `certs`.
    pub(crate) fn oidc(&self, endpoint: &str) -> String {
        format!("{}/protocol/openid-connect/{endpoint}", self.issuer)
    }

    /// A token of the service account of the provisioning.
    pub(crate) async fn service_token(&self) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
        ];
        access_token(&Http::new().post_form(&self.oidc("token"), &form).await.expect(200))
    }

    /// What the token endpoint answers to a user's name and password.
    pub(crate) async fn password_grant(&self, client: &str, email: &str, scope: &str) -> Reply {
        let form = [
            ("grant_type", "password"),
            ("client_id", client),
            ("username", email),
            ("password", PASSWORD),
            ("scope", scope),
        ];
        Http::new().post_form(&self.oidc("token"), &form).await
    }

    /// What the token endpoint answers to a refresh token of a client.
    pub(crate) async fn refresh(&self, client: &str, refresh_token: &str) -> Reply {
        let form = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", refresh_token)];
        Http::new().post_form(&self.oidc("token"), &form).await
    }

    /// An account that can log in, with these realm roles. Its id.
    pub(crate) async fn make_user(&self, email: &str, roles: &[&str]) -> String {
        self.make_user_with(email, PASSWORD, roles).await
    }

    /// The same with a password that the caller chooses.
    pub(crate) async fn make_user_with(&self, email: &str, password: &str, roles: &[&str]) -> String {
        let user = json!({
            "email": email, "firstName": "Erika", "lastName": "Muster", "emailVerified": true, "enabled": true,
            "credentials": [{ "type": "password", "value": password, "temporary": false }],
        });
        let id = self.admin("POST", "/users", Some(user)).await.made_id();
        for role in roles {
            let role = self.admin("GET", &format!("/roles/{role}"), None).await.expect(200).body;
            let path = format!("/users/{id}/role-mappings/realm");
            self.admin("POST", &path, Some(json!([role]))).await.expect(204);
        }
        id
    }

    /// An organization with attributes. Its id.
    pub(crate) async fn make_organization(&self, alias: &str, attributes: Value) -> String {
        let organization = json!({ "name": alias, "alias": alias, "enabled": true, "attributes": attributes });
        self.admin("POST", "/organizations", Some(organization)).await.made_id()
    }

    pub(crate) async fn add_member(&self, organization: &str, user: &str) {
        self.admin("POST", &format!("/organizations/{organization}/members"), Some(json!(user))).await.expect(201);
    }

    /// The internal id of a client.
    pub(crate) async fn client(&self, client_id: &str) -> String {
        let found = self.admin("GET", &format!("/clients?clientId={client_id}"), None).await.expect(200);
        found.body[0]["id"].as_str().unwrap().to_owned()
    }

    /// Changes settings of the protocol mapper of a client, as the admin console would; null removes one.
    pub(crate) async fn set_mapper(&self, client_id: &str, settings: Value) -> Reply {
        let path = format!("/clients/{}/protocol-mappers/models", self.client(client_id).await);
        let all = self.admin("GET", &path, None).await.expect(200).body;
        let mut all = all.as_array().unwrap().iter();
        let mut mapper = all.find(|mapper| mapper["protocolMapper"] == MAPPER).unwrap().clone();
        for (name, value) in settings.as_object().unwrap() {
            mapper["config"][name] = value.clone();
        }
        let path = format!("{path}/{}", mapper["id"].as_str().unwrap());
        self.admin("PUT", &path, Some(mapper)).await
    }

    /// A user's representation.
    pub(crate) async fn user(&self, id: &str) -> Value {
        self.admin("GET", &format!("/users/{id}"), None).await.expect(200).body
    }
}

/// The access token in an answer of the token endpoint.
#[track_caller]
pub(crate) fn access_token(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.body["access_token"].as_str().unwrap().to_owned()
}
