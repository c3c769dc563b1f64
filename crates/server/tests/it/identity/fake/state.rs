//! A realm: its switches, organizations, accounts, mails and tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Clock as _, Timestamp};
use serde_json::{Value, json};

use crate::support::issuer::RealClock;

/// Whose rules it has, where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Organizations are the business of `manage-realm` alone (§1.3).
    V26_6,
    /// What everything else here was measured on.
    V26_7,
}

/// What the realm's mail server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Smtp {
    Works,
    /// None is configured, or it refuses: 500 at once (§2.1).
    Fails,
}

/// How a realm begins.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) sub_path: &'static str,
    pub(crate) version: Version,
    pub(crate) smtp: Smtp,
    pub(crate) roles: &'static [&'static str],
    /// `unmanagedAttributePolicy` is `ADMIN_EDIT` (§1.6).
    pub(crate) keeps_attributes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sub_path: "",
            version: Version::V26_7,
            smtp: Smtp::Works,
            roles: &["manage-users", "manage-organizations"],
            keeps_attributes: true,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) enabled: bool,
    pub(crate) description: Option<String>,
    pub(crate) redirect_url: Option<String>,
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    /// Accounts, and whether they are managed by it (§1.7).
    pub(crate) members: BTreeMap<String, bool>,
    pub(crate) groups: Vec<Group>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) members: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) email: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) email_verified: bool,
    pub(crate) created: i64,
    pub(crate) required_actions: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    pub(crate) has_password: bool,
    pub(crate) log_outs: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) at: Timestamp,
    pub(crate) link: String,
}

/// A realm.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) origin: String,
    pub(crate) sub_path: String,
    pub(crate) realm: String,
    pub(crate) enabled: bool,
    pub(crate) organizations_enabled: bool,
    pub(crate) version: Version,
    pub(crate) smtp: Smtp,
    pub(crate) keeps_attributes: bool,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) client_enabled: bool,
    pub(crate) service_account: bool,
    /// Without it the roles are not in the token (§1.3).
    pub(crate) full_scope: bool,
    pub(crate) roles: BTreeSet<String>,
    /// `accessTokenLifespan` (§3.4).
    pub(crate) lifespan: Duration,
    pub(crate) organizations: Vec<Organization>,
    pub(crate) users: Vec<User>,
    pub(crate) mails: Vec<Mail>,
    tokens: BTreeMap<String, (Instant, BTreeSet<String>)>,
    made: u64,
}

impl State {
    pub(super) fn new(options: Options, origin: String) -> Self {
        Self {
            origin,
            sub_path: options.sub_path.to_owned(),
            realm: "breakpilot dev".to_owned(),
            enabled: true,
            organizations_enabled: true,
            version: options.version,
            smtp: options.smtp,
            keeps_attributes: options.keeps_attributes,
            client_id: "provisioner".to_owned(),
            client_secret: "s3cret&of the=service".to_owned(),
            client_enabled: true,
            service_account: true,
            full_scope: true,
            roles: options.roles.iter().map(|role| (*role).to_owned()).collect(),
            lifespan: Duration::from_secs(300),
            organizations: Vec::new(),
            users: Vec::new(),
            mails: Vec::new(),
            tokens: BTreeMap::new(),
            made: 0,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        RealClock.now()
    }

    pub(super) fn new_id(&mut self) -> String {
        self.made += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.made)
    }

    /// The address of something in the realm, as `Location` has it.
    pub(super) fn address(&self, path: &str) -> String {
        let realm = self.realm.replace(' ', "%20");
        format!("{}{}/admin/realms/{realm}{path}", self.origin, self.sub_path)
    }

    /// §3.4: a token with the roles that the service account has now.
    pub(super) fn issue(&mut self) -> String {
        let id = self.new_id();
        let roles: BTreeSet<String> = if self.full_scope { self.roles.clone() } else { BTreeSet::new() };
        let mut claims = json!({ "jti": id, "azp": self.client_id, "typ": "Bearer" });
        if !roles.is_empty() {
            claims["resource_access"] = json!({ "realm-management": { "roles": roles } });
        }
        let token = format!("eyJhbGciOiJub25lIn0.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()));
        self.tokens.insert(token.clone(), (Instant::now() + self.lifespan, roles));
        token
    }

    /// The roles of a token that is still good.
    pub(super) fn roles_of(&self, token: &str) -> Option<BTreeSet<String>> {
        let (until, roles) = self.tokens.get(token)?;
        (Instant::now() < *until).then(|| roles.clone())
    }

    /// What a restart, a logout of all or a new key does.
    pub(crate) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    /// The tokens that were given out and are not forgotten.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.tokens.keys().cloned().collect()
    }

    pub(crate) fn organization(&mut self, id: &str) -> Option<&mut Organization> {
        self.organizations.iter_mut().find(|organization| organization.id == id)
    }

    pub(crate) fn user(&mut self, id: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.id == id)
    }

    /// An organization that somebody else makes, perhaps in the middle of a call of ours.
    pub(crate) fn put_organization(&mut self, alias: &str, name: &str) -> String {
        let id = self.new_id();
        let (alias, name) = (alias.to_owned(), name.to_owned());
        self.organizations.push(Organization { id: id.clone(), alias, name, enabled: true, ..Organization::default() });
        id
    }

    /// An account that somebody else makes.
    pub(crate) fn put_user(&mut self, email: &str) -> String {
        let id = self.new_id();
        self.users.push(User {
            id: id.clone(),
            username: email.to_lowercase(),
            email: Some(email.to_lowercase()),
            enabled: true,
            created: self.now().as_millisecond(),
            ..User::default()
        });
        id
    }

    /// Removes an account from everywhere.
    pub(crate) fn remove_user(&mut self, id: &str) {
        self.users.retain(|user| user.id != id);
        for organization in &mut self.organizations {
            organization.members.remove(id);
            for group in &mut organization.groups {
                group.members.remove(id);
            }
        }
    }
}

/// A JSON object as strictly as Keycloak reads it: the members that it knows, and none besides (§1.4).
pub(super) fn representation(body: &[u8], kind: &str, known: &[&str]) -> Result<Value, super::Reply> {
    use super::Reply;
    if body.is_empty() {
        return Err(Reply::message(400, &format!("{} cannot be null.", kind.trim_end_matches("Representation"))));
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Err(Reply::described(400, "invalid_request", "Cannot parse the JSON"));
    };
    let Some(members) = value.as_object() else {
        return Err(Reply::described(400, "unknown_error", "Cannot parse the JSON"));
    };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Reply::error(
            400,
            &format!("Invalid json representation for {kind}. Unrecognized field \"{name}\" at line 1 column 2."),
        )),
        None => Ok(value),
    }
}

pub(super) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn attributes(value: &Value) -> Option<BTreeMap<String, Vec<String>>> {
    let mut read: BTreeMap<String, Vec<String>> = serde_json::from_value(value.get("attributes")?.clone()).ok()?;
    read.retain(|_, values| !values.is_empty());
    Some(read)
}
