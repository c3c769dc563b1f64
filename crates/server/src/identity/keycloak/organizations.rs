//! Organizations, their members, and the group of their administrators.
//!
//! [`super::KeycloakProvider`] calls these. What was posted and what came of it can differ (a race, a lost answer, a `Location`
//! that leads elsewhere), so each look-up compares exactly, and each refusal that may be a duplicate is followed by one.
//! Invariant: an organization is written only as what was just read with our values in it: a PUT without `enabled` switches
//! it on, and one without `description` clears that.

use std::collections::BTreeMap;

use domain::TenantId;
use futures_util::future::BoxFuture;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Api, Call, Needs, id_in_location};
use super::refusal::Failure;
use super::settings::below;
use crate::identity::provider::{FaultKind, MAX_TEXT, OrganizationSpec, belongs_to_another, check_spec};

/// The group of an organization's administrators; tokens name it `/IT_ADMIN`.
const ADMINS: &str = "IT_ADMIN";

/// How many members of the group are read at once, and how many pages at most.
const PAGE: usize = 100;
const PAGES: usize = 100;

const FINDING: &str = "looking for the organization";
const MAKING: &str = "making the organization";
const READING: &str = "reading the organization";
const CHANGING: &str = "changing the organization";
const ADDING: &str = "adding the member";
const NAMING: &str = "making the administrator";

#[derive(Debug, Deserialize)]
struct Organization {
    id: String,
    #[serde(default)]
    alias: String,
    #[serde(default)]
    attributes: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Group {
    id: String,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Id {
    id: String,
}

impl Api {
    pub(super) async fn ensure_organization(&self, wanted: &OrganizationSpec) -> Result<String, Failure> {
        check_spec(wanted).map_err(|error| Failure::of(error.kind, error.detail))?;
        if let Some(found) = self.find_organization(wanted).await? {
            return Ok(found);
        }
        let made = self
            .make_surely(
                MAKING,
                || Box::pin(async move { self.find_organization(wanted).await }),
                || Box::pin(async move { self.make_organization(wanted).await }),
            )
            .await;
        made.map_err(|failure| {
            if !failure.is(StatusCode::CONFLICT) {
                return failure;
            }
            // Nobody has the alias, so it is the name that is taken.
            failure.instead(FaultKind::NameConflict, format!("{MAKING}: another organization has its name"))
        })
    }

    /// The organization of exactly this alias. Older servers pass over a `q` that they do not know and list everybody's.
    async fn find_organization(&self, wanted: &OrganizationSpec) -> Result<Option<String>, Failure> {
        let by_alias = format!("alias:{}", wanted.alias);
        let ways: [&[(&str, &str)]; 2] = [
            &[("q", &by_alias), ("briefRepresentation", "false"), ("first", "0"), ("max", "10")],
            &[
                ("search", &wanted.name),
                ("exact", "true"),
                ("briefRepresentation", "false"),
                ("first", "0"),
                ("max", "10"),
            ],
        ];
        for query in ways {
            let call = Call::list(FINDING, Needs::Organizations, &["organizations"], query);
            let found: Vec<Organization> = self.get(call).await?;
            if let Some(found) = found.into_iter().find(|found| found.alias == wanted.alias) {
                if belongs_to_another(&found.attributes, wanted.tenant) {
                    let detail = format!("{FINDING}: the one of that alias is another tenant's");
                    return Err(Failure::of(FaultKind::NameConflict, detail));
                }
                return Ok(Some(found.id));
            }
        }
        Ok(None)
    }

    async fn make_organization(&self, wanted: &OrganizationSpec) -> Result<Option<String>, Failure> {
        let body = json!({
            "name": wanted.name,
            "alias": wanted.alias,
            "enabled": wanted.enabled.unwrap_or(true),
            "attributes": filled(&wanted.attributes),
        });
        let answer = self.send(Call::create(MAKING, Needs::Organizations, &["organizations"], body)).await?;
        Ok(below(&self.realm, &["organizations"]).and_then(|list| id_in_location(&answer, &list)))
    }

    async fn read_organization(&self, id: &str) -> Result<Option<Map<String, Value>>, Failure> {
        self.find(Call::thing(READING, Needs::Organizations, Method::GET, &["organizations", id])).await
    }

    pub(super) async fn update_organization(&self, id: &str, wanted: &OrganizationSpec) -> Result<bool, Failure> {
        check_spec(wanted).map_err(|error| Failure::of(error.kind, error.detail))?;
        let gone = || Failure::of(FaultKind::Gone, format!("{CHANGING}: it is not there"));
        let now = self.read_organization(id).await?.ok_or_else(gone)?;
        if belongs_to_another(&attributes(&now), wanted.tenant) {
            return Err(Failure::of(FaultKind::NameConflict, format!("{CHANGING}: it is another tenant's")));
        }
        let was_enabled = now.get("enabled").and_then(Value::as_bool).unwrap_or(true);
        let then = with(now.clone(), wanted);
        if then == now {
            return Ok(was_enabled);
        }
        let path = ["organizations", id];
        let call = Call::thing(CHANGING, Needs::Organizations, Method::PUT, &path).body(Value::Object(then));
        let Err(failure) = self.send(call).await else { return Ok(was_enabled) };
        if !failure.may_be_there() {
            return Err(failure);
        }
        let now = self.read_organization(id).await?.ok_or_else(gone)?;
        if with(now.clone(), wanted) == now {
            return Ok(was_enabled);
        }
        if failure.is(StatusCode::CONFLICT) {
            let detail = format!("{CHANGING}: another organization has its name");
            return Err(failure.instead(FaultKind::NameConflict, detail));
        }
        Err(failure)
    }

    pub(super) async fn delete_organization(&self, id: &str, tenant: TenantId) -> Result<(), Failure> {
        const DELETING: &str = "deleting the organization";
        let Some(now) = self.read_organization(id).await? else { return Ok(()) };
        if belongs_to_another(&attributes(&now), tenant) {
            return Ok(());
        }
        // Who registered through an invitation of the organization is "managed" by it, and goes with it.
        let path = ["organizations", id, "members"];
        let managed = Call::list(DELETING, Needs::Both, &path, &[("membershipType", "MANAGED"), ("max", "1")]);
        match self.find::<Vec<Value>>(managed.of_a_thing()).await? {
            Some(managed) if !managed.is_empty() => {
                let detail = "it has managed members, whose accounts would be deleted with it: an account that is not ours is \
                              never deleted";
                return Err(Failure::of(FaultKind::Rejected, format!("{DELETING}: {detail}")));
            }
            _ => {}
        }
        let path = ["organizations", id];
        let call = Call::thing(DELETING, Needs::Organizations, Method::DELETE, &path);
        unless_gone(self.send(call).await)
    }

    pub(super) async fn ensure_member(&self, organization: &str, account: &str) -> Result<(), Failure> {
        let path = ["organizations", organization, "members"];
        let add = || async move {
            // The body is the bare id, as a JSON string.
            let call = Call::create(ADDING, Needs::Both, &path, Value::from(account)).of_a_thing();
            self.send(call).await.map(|_| Some(()))
        };
        self.make_surely(
            ADDING,
            || Box::pin(async move { Ok(self.is_member(organization, account).await?.then_some(())) }),
            || Box::pin(add()),
        )
        .await
    }

    async fn is_member(&self, organization: &str, account: &str) -> Result<bool, Failure> {
        let path = ["organizations", organization, "members", account];
        let call = Call::thing("looking for the member", Needs::Both, Method::GET, &path);
        Ok(self.find::<Value>(call).await?.is_some())
    }

    pub(super) async fn ensure_admin(&self, organization: &str, account: &str) -> Result<(), Failure> {
        let group = match self.find_group(organization).await? {
            Some(group) => group,
            None => {
                self.make_surely(
                    NAMING,
                    || Box::pin(self.find_group(organization)),
                    || Box::pin(self.make_group(organization)),
                )
                .await?
            }
        };
        let path = ["organizations", organization, "groups", &group, "members", account];
        let Err(failure) = self.send(Call::thing(NAMING, Needs::Both, Method::PUT, &path)).await else { return Ok(()) };
        if !failure.may_be_there() {
            return Err(failure);
        }
        if self.is_in_group(organization, &group, account).await? {
            return Ok(());
        }
        if !self.is_member(organization, account).await? {
            let detail = format!("{NAMING}: the account is no member of the organization");
            return Err(failure.instead(FaultKind::Gone, detail));
        }
        Err(failure)
    }

    async fn find_group(&self, organization: &str) -> Result<Option<String>, Failure> {
        let (path, query) = (["organizations", organization, "groups"], [("search", ADMINS), ("exact", "true")]);
        let groups: Vec<Group> = self.get(Call::list(NAMING, Needs::Organizations, &path, &query).of_a_thing()).await?;
        Ok(groups.into_iter().find(|group| group.name == ADMINS).map(|group| group.id))
    }

    async fn make_group(&self, organization: &str) -> Result<Option<String>, Failure> {
        let path = ["organizations", organization, "groups"];
        let call = Call::create(NAMING, Needs::Organizations, &path, json!({ "name": ADMINS })).of_a_thing();
        let answer = self.send(call).await?;
        // Here, and here alone, the answer has a body.
        Ok(answer.json::<Id>(NAMING).ok().map(|group| group.id).filter(|id| !id.is_empty()))
    }

    async fn is_in_group(&self, organization: &str, group: &str, account: &str) -> Result<bool, Failure> {
        let path = ["organizations", organization, "groups", group, "members"];
        for page in 0..PAGES {
            let (first, max) = ((page * PAGE).to_string(), PAGE.to_string());
            let query = [("first", first.as_str()), ("max", max.as_str()), ("briefRepresentation", "true")];
            let members: Vec<Id> = self.get(Call::list(NAMING, Needs::Both, &path, &query).of_a_thing()).await?;
            if members.iter().any(|member| member.id == account) {
                return Ok(true);
            }
            if members.len() < PAGE {
                break;
            }
        }
        Ok(false)
    }

    /// The organizations that an account is a member of.
    pub(super) async fn organizations_of(&self, account: &str) -> Result<Option<Vec<String>>, Failure> {
        let path = ["organizations", "members", account, "organizations"];
        let call = Call::thing("reading the account's organizations", Needs::Organizations, Method::GET, &path);
        Ok(self.find::<Vec<Id>>(call).await?.map(|found| found.into_iter().map(|found| found.id).collect()))
    }

    /// Makes something that may be there only once. Where the outcome is a conflict, or unknown, `find` decides; what is
    /// not there is made once more. `make` gives nothing where it succeeded without saying what it made.
    pub(super) async fn make_surely<'a, T: Send>(
        &'a self,
        what: &str,
        find: impl Fn() -> BoxFuture<'a, Result<Option<T>, Failure>> + Send + Sync,
        make: impl Fn() -> BoxFuture<'a, Result<Option<T>, Failure>> + Send + Sync,
    ) -> Result<T, Failure> {
        let mut tries = 0;
        loop {
            let failure = match make().await {
                Ok(Some(made)) => return Ok(made),
                Ok(None) => {
                    let nowhere =
                        || Failure::of(FaultKind::Garbled, format!("{what}: it was made and cannot be found"));
                    return find().await?.ok_or_else(nowhere);
                }
                Err(failure) => failure,
            };
            if !failure.may_be_there() {
                return Err(failure);
            }
            if let Some(found) = find().await? {
                return Ok(found);
            }
            if !failure.unknown || tries >= self.limits.retries || !self.pause(&failure, tries).await {
                return Err(failure);
            }
            tries += 1;
        }
    }
}

/// A success, also where what was to be removed is not there.
pub(super) fn unless_gone<T>(outcome: Result<T, Failure>) -> Result<(), Failure> {
    match outcome {
        Err(failure) if failure.error.kind == FaultKind::Gone => Ok(()),
        other => other.map(|_| ()),
    }
}

/// The organization with what is wanted in it, and everything else as it was.
fn with(mut organization: Map<String, Value>, wanted: &OrganizationSpec) -> Map<String, Value> {
    organization.insert("name".to_owned(), json!(wanted.name));
    // What was read is sent back where nothing else is wanted: a PUT without it switches the organization on.
    if let Some(enabled) = wanted.enabled {
        organization.insert("enabled".to_owned(), json!(enabled));
    }
    let mut attributes = attributes(&organization);
    attributes.retain(|key, _| !wanted.attributes.contains_key(key));
    attributes.extend(filled(&wanted.attributes));
    organization.insert("attributes".to_owned(), json!(attributes));
    organization
}

fn attributes(organization: &Map<String, Value>) -> BTreeMap<String, Vec<String>> {
    organization.get("attributes").and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

/// Without attributes that have no value: Keycloak keeps none, and they would look changed for ever.
fn filled(attributes: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    debug_assert!(attributes.values().flatten().all(|value| value.chars().count() <= MAX_TEXT));
    attributes
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(key, values)| (key.clone(), values.clone()))
        .collect()
}
