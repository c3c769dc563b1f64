//! The providers that the suite runs on, each with somebody else who looks at it: the mock by its own methods, a Keycloak,
//! fake or real, by the Admin API.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use server::clock::SystemRng;
use server::identity::keycloak::KeycloakProvider;
use server::identity::mock::{MockAccount, MockOrganization, MockProvider};
use server::identity::provider::{AccountId, IdentityProvider};

use super::fake::FakeKeycloak;
use super::suite::{SeenAccount, SeenOrganization, World};

#[derive(Debug, Default)]
pub(crate) struct Mock(MockProvider);

#[async_trait]
impl World for Mock {
    async fn open() -> Option<Self> {
        Some(Self::default())
    }

    fn provider(&self) -> &dyn IdentityProvider {
        &self.0
    }

    async fn organization(&self, id: &str) -> Option<SeenOrganization> {
        let found = self.0.organizations().into_iter().find(|organization| organization.id == id)?;
        let MockOrganization { name, alias, enabled, attributes, .. } = found;
        Some(SeenOrganization { name, alias, enabled, attributes })
    }

    async fn put_organization(&self, seen: SeenOrganization) -> String {
        let SeenOrganization { name, alias, enabled, attributes } = seen;
        self.0.put_organization(MockOrganization { name, alias, enabled, attributes, ..MockOrganization::default() }).0
    }

    async fn members(&self, organization: &str) -> Vec<String> {
        let all = self.0.organizations().into_iter().filter(|own| own.id == organization);
        all.flat_map(|own| own.members).collect()
    }

    async fn admins(&self, organization: &str) -> Vec<String> {
        let all = self.0.organizations().into_iter().filter(|own| own.id == organization);
        all.flat_map(|own| own.admins).collect()
    }

    async fn accounts(&self, email: &str) -> Vec<SeenAccount> {
        let all = self.0.accounts().into_iter().filter(|account| account.email == email);
        all.map(|account| SeenAccount {
            id: account.id,
            email: account.email,
            first_name: account.first_name,
            last_name: account.last_name,
            enabled: account.enabled,
        })
        .collect()
    }

    async fn put_account(&self, email: &str, enabled: bool) -> String {
        self.0.put_account(MockAccount { email: email.to_owned(), enabled, ..MockAccount::default() }).0
    }

    async fn set_password(&self, account: &str) {
        let all = self.0.accounts().into_iter().filter(|own| own.id == account);
        for account in all {
            self.0.put_account(MockAccount { has_password: true, ..account });
        }
    }

    async fn remove_account(&self, account: &str) {
        self.0.remove_account(&AccountId(account.to_owned()));
    }

    async fn mails(&self, email: &str) -> usize {
        let found = self.0.accounts().into_iter().find(|account| account.email == email);
        found.map_or(0, |account| usize::try_from(account.mails).unwrap())
    }
}

/// Calls of the Admin API by one who may do everything.
#[async_trait]
pub(crate) trait Admin: Send + Sync {
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value);
    async fn mails_to(&self, email: &str) -> usize;
}

/// A Keycloak, and the adapter before it.
pub(crate) struct Keycloak<A> {
    pub(crate) admin: A,
    pub(crate) provider: KeycloakProvider,
}

impl<A: Admin> Keycloak<A> {
    async fn ids(&self, path: &str) -> Vec<String> {
        let (status, found) = self.admin.call("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {found}");
        found.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// What the suite looks at, over the Admin API.
#[async_trait]
pub(crate) trait Served: Admin + Sized + 'static {
    async fn serve() -> Option<Keycloak<Self>>;
}

#[async_trait]
impl<A: Served> World for Keycloak<A> {
    async fn open() -> Option<Self> {
        A::serve().await
    }

    fn provider(&self) -> &dyn IdentityProvider {
        &self.provider
    }

    async fn organization(&self, id: &str) -> Option<SeenOrganization> {
        let (status, seen) = self.admin.call("GET", &format!("/organizations/{id}"), None).await;
        (status == 200).then(|| SeenOrganization {
            name: seen["name"].as_str().unwrap().to_owned(),
            alias: seen["alias"].as_str().unwrap().to_owned(),
            enabled: seen["enabled"].as_bool().unwrap(),
            attributes: serde_json::from_value(seen["attributes"].clone()).unwrap_or_default(),
        })
    }

    async fn put_organization(&self, seen: SeenOrganization) -> String {
        let SeenOrganization { name, alias, enabled, attributes } = seen;
        let body = json!({ "name": name, "alias": alias, "enabled": enabled, "attributes": attributes });
        let (status, answer) = self.admin.call("POST", "/organizations", Some(body)).await;
        assert_eq!(status, 201, "{answer}");
        self.ids(&format!("/organizations?q=alias:{alias}")).await.remove(0)
    }

    async fn members(&self, organization: &str) -> Vec<String> {
        self.ids(&format!("/organizations/{organization}/members?max=100")).await
    }

    async fn admins(&self, organization: &str) -> Vec<String> {
        let groups = self.ids(&format!("/organizations/{organization}/groups?search=IT_ADMIN&exact=true")).await;
        let Some(group) = groups.first() else { return Vec::new() };
        assert_eq!(groups.len(), 1, "one group of the name");
        self.ids(&format!("/organizations/{organization}/groups/{group}/members?max=100")).await
    }

    async fn accounts(&self, email: &str) -> Vec<SeenAccount> {
        let email: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
        let (status, found) = self.admin.call("GET", &format!("/users?email={email}&exact=true"), None).await;
        assert_eq!(status, 200, "{found}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let seen = found.as_array().unwrap().iter().map(|user| SeenAccount {
            id: text(&user["id"]),
            email: text(&user["email"]),
            first_name: text(&user["firstName"]),
            last_name: text(&user["lastName"]),
            enabled: user["enabled"].as_bool().unwrap(),
        });
        seen.collect()
    }

    async fn put_account(&self, email: &str, enabled: bool) -> String {
        let body = json!({
            "email": email, "username": email, "enabled": enabled, "firstName": "Erika", "lastName": "Muster",
        });
        let (status, answer) = self.admin.call("POST", "/users", Some(body)).await;
        assert_eq!(status, 201, "{answer}");
        self.accounts(email).await.remove(0).id
    }

    async fn set_password(&self, account: &str) {
        let body = json!({ "type": "password", "value": "correct horse battery", "temporary": false });
        let (status, answer) = self.admin.call("PUT", &format!("/users/{account}/reset-password"), Some(body)).await;
        assert_eq!(status, 204, "{answer}");
    }

    async fn remove_account(&self, account: &str) {
        let (status, answer) = self.admin.call("DELETE", &format!("/users/{account}"), None).await;
        assert_eq!(status, 204, "{answer}");
    }

    async fn mails(&self, email: &str) -> usize {
        self.admin.mails_to(email).await
    }
}

#[async_trait]
impl Admin for FakeKeycloak {
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.admin(method, path, body)
    }

    async fn mails_to(&self, email: &str) -> usize {
        self.state().mails.iter().filter(|mail| mail.to == email).count()
    }
}

#[async_trait]
impl Served for FakeKeycloak {
    async fn serve() -> Option<Keycloak<Self>> {
        let fake = FakeKeycloak::start().await;
        let mut settings = fake.settings();
        settings.limits.mail_arrival = std::time::Duration::from_millis(300);
        let provider = KeycloakProvider::new(settings, Arc::new(SystemRng::default())).unwrap();
        Some(Keycloak { admin: fake, provider })
    }
}
