//! Accounts: found by address, made with a mark, mailed, enabled, disabled, removed.
//!
//! [`super::KeycloakProvider`] calls these. An account is ours if it carries the attribute that we gave it, or, where the realm
//! keeps no attributes that it does not know, if its time of creation is exactly the one that we chose: the Admin API takes
//! `createdTimestamp` from whoever creates, everybody else gets the time of day.
//! Invariant: an account that is found is never changed by finding it.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use domain::Timestamp;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, Call, Needs, Repeat, id_in_location};
use super::organizations::unless_gone;
use super::refusal::Failure;
use super::settings::{LoginClient, below};
use crate::identity::provider::{Account, AccountId, Ensured, FaultKind, OrganizationId, Person};

/// The attribute of accounts that we made; its value is the tenant for whom.
const MARK: &str = "tenant_registry";

/// What the owner has to do before the first login. Both always: a password set by mail does not verify the address.
const ACTIONS: [&str; 2] = ["VERIFY_EMAIL", "UPDATE_PASSWORD"];

const FINDING: &str = "looking for the account";
const MAKING: &str = "making the account";
const READING: &str = "reading the account";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    created_timestamp: Option<i64>,
    #[serde(default)]
    attributes: Option<BTreeMap<String, Vec<String>>>,
}

impl User {
    fn is_marked(&self) -> bool {
        self.attributes.as_ref().is_some_and(|attributes| attributes.contains_key(MARK))
    }
}

#[derive(Debug, Deserialize)]
struct Credential {
    #[serde(rename = "type", default)]
    kind: String,
}

/// When an account of ours says that it was made, in milliseconds: between one hour and a day before it was meant to be.
/// Not that instant itself: somebody who is told of a new tenant when we are may make an account in the same millisecond.
/// Nobody else's time of day is this one but by chance, one in eighty million for an account made on that very day.
fn chosen_creation(person: &Person, intended: Timestamp) -> i64 {
    const HOUR: i64 = 3_600_000;
    let (email, at) = (person.email.to_lowercase(), intended.as_microsecond());
    let digest = digest(&SHA256, format!("{} {at} {email}", person.tenant).as_bytes());
    let number = digest.as_ref().iter().take(7).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    intended.as_millisecond() - HOUR - number % (23 * HOUR)
}

impl Api {
    pub(super) async fn ensure_account(&self, person: &Person, intended: Timestamp) -> Result<Ensured, Failure> {
        if let Some(found) = self.find_account(person, intended).await? {
            return Ok(found);
        }
        let made = self
            .make_surely(
                MAKING,
                || Box::pin(self.find_account(person, intended)),
                || Box::pin(self.make_account(person, intended)),
            )
            .await;
        made.map_err(|failure| {
            if !failure.is(StatusCode::CONFLICT) {
                return failure;
            }
            let detail = format!("{MAKING}: the address is the user name of an account that has another address");
            failure.instead(FaultKind::Rejected, detail)
        })
    }

    /// The account of exactly this address.
    async fn find_account(&self, person: &Person, intended: Timestamp) -> Result<Option<Ensured>, Failure> {
        let query = [("email", person.email.as_str()), ("exact", "true"), ("briefRepresentation", "false")];
        let found: Vec<User> = self.get(Call::list(FINDING, Needs::Users, &["users"], &query)).await?;
        let wanted = person.email.to_lowercase();
        let mut found =
            found.into_iter().filter(|user| user.email.as_ref().is_some_and(|email| email.to_lowercase() == wanted));
        let Some(user) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            let detail = format!("{FINDING}: the realm has several of one address (duplicateEmailsAllowed)");
            return Err(Failure::of(FaultKind::Misconfigured, detail));
        }
        let ours = user.is_marked() || user.created_timestamp == Some(chosen_creation(person, intended));
        Ok(Some(Ensured { id: AccountId(user.id), ours }))
    }

    async fn make_account(&self, person: &Person, intended: Timestamp) -> Result<Option<Ensured>, Failure> {
        let mut body = json!({
            // Where the realm does not take the address as the user name by itself, it is one all the same.
            "username": person.email,
            "email": person.email,
            "firstName": person.first_name,
            "lastName": person.last_name,
            // Absent is false.
            "enabled": true,
            "emailVerified": false,
            "requiredActions": ACTIONS,
            "createdTimestamp": chosen_creation(person, intended),
            "attributes": { MARK: [person.tenant.to_string()] },
        });
        let mut outcome = self.post_account(&body).await;
        if outcome.as_ref().is_err_and(|failure| failure.is(StatusCode::BAD_REQUEST)) {
            // A realm may drop attributes that it does not know, or refuse them.
            if let Some(members) = body.as_object_mut() {
                members.remove("attributes");
            }
            outcome = self.post_account(&body).await;
        }
        let id = match outcome? {
            Some(id) => id,
            None => match self.find_account(person, intended).await? {
                Some(found) => found.id,
                None => return Ok(None),
            },
        };
        Ok(Some(Ensured { id, ours: true }))
    }

    async fn post_account(&self, body: &Value) -> Result<Option<AccountId>, Failure> {
        let answer = self.send(Call::create(MAKING, Needs::Users, &["users"], body.clone())).await?;
        Ok(below(&self.realm, &["users"]).and_then(|list| id_in_location(&answer, &list)).map(AccountId))
    }

    async fn read_account(&self, id: &str) -> Result<Option<User>, Failure> {
        self.find(Call::thing(READING, Needs::Users, Method::GET, &["users", id])).await
    }

    pub(super) async fn get_account(&self, id: &str) -> Result<Option<Account>, Failure> {
        let Some(user) = self.read_account(id).await? else { return Ok(None) };
        let path = ["users", id, "credentials"];
        let call = Call::thing("reading the account's credentials", Needs::Users, Method::GET, &path);
        let Some(credentials) = self.find::<Vec<Credential>>(call).await? else { return Ok(None) };
        let Some(organizations) = self.organizations_of(id).await? else { return Ok(None) };
        let mut organizations: Vec<_> = organizations.into_iter().map(OrganizationId).collect();
        organizations.sort();
        Ok(Some(Account {
            enabled: user.enabled,
            has_password: credentials.iter().any(|credential| credential.kind == "password"),
            ours: user.is_marked(),
            id: AccountId(user.id),
            organizations,
        }))
    }

    /// Mails the link. The mail goes out during the call, and once more if it is made once more.
    pub(super) async fn send_invitation(&self, id: &str, login: Option<&LoginClient>) -> Result<(), Failure> {
        let path = ["users", id, "execute-actions-email"];
        let query: Vec<(&str, &str)> = login
            .iter()
            .flat_map(|login| [("client_id", login.client_id.as_str()), ("redirect_uri", login.redirect_uri.as_str())])
            .collect();
        let call = Call::thing("mailing the invitation", Needs::Users, Method::PUT, &path);
        self.send(call.query(&query).body(json!(ACTIONS)).repeat(Repeat::Mail)).await.map(|_| ())
    }

    pub(super) async fn set_account_enabled(&self, id: &str, enabled: bool) -> Result<bool, Failure> {
        const SWITCHING: &str = "switching the account on or off";
        let gone = || Failure::of(FaultKind::Gone, format!("{SWITCHING}: it is not there"));
        let was = self.read_account(id).await?.ok_or_else(gone)?.enabled;
        if was != enabled {
            // Without attributes: with them the whole profile would be validated, and replaced.
            let path = ["users", id];
            let call = Call::thing(SWITCHING, Needs::Users, Method::PUT, &path);
            self.send(call.body(json!({ "enabled": enabled }))).await?;
        }
        Ok(was)
    }

    pub(super) async fn log_out(&self, id: &str) -> Result<(), Failure> {
        let path = ["users", id, "logout"];
        let call = Call::thing("ending the account's sessions", Needs::Users, Method::POST, &path);
        self.send(call.repeat(Repeat::Freely)).await.map(|_| ())
    }

    pub(super) async fn delete_account(&self, id: &str) -> Result<(), Failure> {
        unless_gone(self.send(Call::thing("deleting the account", Needs::Users, Method::DELETE, &["users", id])).await)
    }
}
