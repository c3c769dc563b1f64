//! Organizations and their members (§1.2, §1.4, §1.5).

use serde_json::{Value, json};

use super::router::{Roles, forbidden, page, parameter};
use super::state::{Organization, State, attributes, representation, text};
use super::users;
use super::{Asked, Reply};

const KIND: &str = "OrganizationRepresentation";
const KNOWN: &[&str] = &[
    "id",
    "name",
    "alias",
    "enabled",
    "description",
    "redirectUrl",
    "attributes",
    "domains",
    "members",
    "identityProviders",
    "groups",
];
/// §1.4: columns end here, and nobody checks before.
const LONGEST: usize = 255;

fn not_found() -> Reply {
    Reply::message(404, "Organization not found.")
}

fn show(organization: &Organization, brief: bool) -> Value {
    let mut shown = json!({
        "id": organization.id, "name": organization.name, "alias": organization.alias, "enabled": organization.enabled,
        "domains": [],
    });
    if let Some(description) = &organization.description {
        shown["description"] = json!(description);
    }
    if let Some(url) = &organization.redirect_url {
        shown["redirectUrl"] = json!(url);
    }
    if !brief {
        shown["attributes"] = json!(organization.attributes);
    }
    shown
}

/// §1.5: `q=alias:x` is exact; a `q` without colon is passed over; brief and ten items by default.
pub(super) fn list(state: &State, roles: &Roles, asked: &Asked) -> Reply {
    if !roles.list_organizations() {
        return forbidden();
    }
    let (first, max) = match page(asked, 10) {
        Ok(page) => page,
        Err(reply) => return reply,
    };
    let q = parameter(asked, "q").and_then(|q| q.split_once(':'));
    let search = parameter(asked, "search").unwrap_or_default();
    let exact = parameter(asked, "exact") == Some("true");
    let matches = |organization: &&Organization| match q {
        Some(("alias", alias)) => organization.alias == alias,
        Some(("name", name)) => organization.name == name,
        Some((key, value)) => {
            organization.attributes.get(key).is_some_and(|values| values.iter().any(|own| own == value))
        }
        None if exact && !search.is_empty() => organization.name == search,
        None => organization.name.to_lowercase().contains(&search.to_lowercase()),
    };
    let brief = parameter(asked, "briefRepresentation") != Some("false");
    let found = state.organizations.iter().filter(matches).skip(first).take(max);
    Reply::json(200, &Value::Array(found.map(|organization| show(organization, brief)).collect()))
}

/// §1.4: the first of the characters that an alias may not have.
fn forbidden_in_alias(alias: &str) -> Option<String> {
    alias.chars().find(|c| c.is_whitespace() || "!#$&()*+,/:;=?@[]\\".contains(*c)).map(|c| {
        if c.is_whitespace() { "Empty Space not allowed.".to_owned() } else { format!("Character '{c}' not allowed.") }
    })
}

fn is_too_long(organization: &Organization) -> bool {
    let values = organization.attributes.values().flatten();
    [&organization.name, &organization.alias].into_iter().chain(values).any(|text| text.chars().count() > LONGEST)
}

pub(super) fn create(state: &mut State, roles: &Roles, asked: &Asked) -> Reply {
    if !roles.manage_organizations() {
        return forbidden();
    }
    let value = match representation(&asked.body, KIND, KNOWN) {
        Ok(value) => value,
        Err(reply) => return reply,
    };
    let Some(name) = text(&value, "name").filter(|name| !name.is_empty()) else {
        return Reply::message(400, "Name can not be null");
    };
    let given = text(&value, "alias").filter(|alias| !alias.is_empty());
    let alias = given.clone().unwrap_or_else(|| name.clone());
    if let Some(why) = forbidden_in_alias(&alias) {
        return match given {
            Some(_) => Reply::error(400, &why),
            None => Reply::error(400, &format!("Name cannot be used as alias: {why}")),
        };
    }
    // The name wins over the alias.
    if state.organizations.iter().any(|other| other.name == name) {
        return Reply::message(409, "A organization with the same name already exists.");
    }
    if state.organizations.iter().any(|other| other.alias == alias) {
        return Reply::message(409, "A organization with the same alias already exists");
    }
    // A given id is passed over (§1.2).
    let organization = Organization {
        id: state.new_id(),
        name,
        alias,
        enabled: value.get("enabled").and_then(Value::as_bool).unwrap_or(true),
        description: text(&value, "description"),
        redirect_url: text(&value, "redirectUrl"),
        attributes: attributes(&value).unwrap_or_default(),
        ..Organization::default()
    };
    if is_too_long(&organization) {
        return Reply::unknown_error();
    }
    let location = state.address(&format!("/organizations/{}", organization.id));
    state.organizations.push(organization);
    Reply::created(location)
}

pub(super) fn one(state: &mut State, roles: &Roles, method: &str, id: &str, asked: &Asked) -> Reply {
    if !roles.manage_organizations() {
        return forbidden();
    }
    let Some(now) = state.organization(id).cloned() else { return not_found() };
    match method {
        "GET" => Reply::json(200, &show(&now, false)),
        "PUT" => update(state, now, asked),
        "DELETE" => {
            // §1.8: who is managed by it goes with it.
            for (user, managed) in &now.members {
                if *managed {
                    state.remove_user(user);
                }
            }
            state.organizations.retain(|other| other.id != id);
            Reply::empty(204)
        }
        _ => Reply::error(405, "HTTP 405 Method Not Allowed"),
    }
}

fn update(state: &mut State, now: Organization, asked: &Asked) -> Reply {
    let value = match representation(&asked.body, KIND, KNOWN) {
        Ok(value) => value,
        Err(reply) => return reply,
    };
    let name = text(&value, "name");
    if name.is_none()
        || state.organizations.iter().any(|other| Some(&other.name) == name.as_ref() && other.id != now.id)
    {
        return Reply::message(409, "A organization with the same name already exists.");
    }
    if text(&value, "alias").unwrap_or_else(|| name.clone().unwrap_or_default()) != now.alias {
        return Reply::message(400, "Cannot change the alias");
    }
    let then = Organization {
        name: name.unwrap_or_default(),
        // Absent is true, and for the description absent is none; attributes stay.
        enabled: value.get("enabled").and_then(Value::as_bool).unwrap_or(true),
        description: text(&value, "description"),
        redirect_url: text(&value, "redirectUrl"),
        attributes: attributes(&value).unwrap_or_else(|| now.attributes.clone()),
        ..now
    };
    if is_too_long(&then) {
        return Reply::unknown_error();
    }
    if let Some(kept) = state.organization(&then.id.clone()) {
        *kept = then;
    }
    Reply::empty(204)
}

pub(super) fn members(state: &mut State, roles: &Roles, method: &str, id: &str, rest: &[&str], asked: &Asked) -> Reply {
    let reads = method == "GET";
    if !roles.manage_organizations() || (reads && !roles.view_users()) || (!reads && !roles.manage_users()) {
        return forbidden();
    }
    let Some(organization) = state.organization(id).cloned() else { return not_found() };
    let nothing = || Reply::error(404, "HTTP 404 Not Found");
    match (method, rest) {
        ("POST", []) => {
            // §1.2: the id raw or as a JSON string; anything else is nobody.
            let body = String::from_utf8_lossy(&asked.body).into_owned();
            let user = serde_json::from_str::<String>(&body).unwrap_or(body);
            if user.is_empty() || state.user(&user).is_none() {
                return nothing();
            }
            if organization.members.contains_key(&user) {
                return Reply::message(409, "User is already a member of the organization.");
            }
            let location = state.address(&format!("/organizations/{id}/members/{user}"));
            if let Some(organization) = state.organization(id) {
                organization.members.insert(user, false);
            }
            Reply::created(location)
        }
        ("GET", []) => {
            let (first, max) = match page(asked, 10) {
                Ok(page) => page,
                Err(reply) => return reply,
            };
            let wanted = parameter(asked, "membershipType").map(|kind| kind == "MANAGED");
            let ids: Vec<_> =
                organization.members.iter().filter(|(_, managed)| wanted.is_none_or(|w| w == **managed)).collect();
            let shown = ids.into_iter().skip(first).take(max);
            let shown =
                shown.filter_map(|(id, _)| Some(users::show(state, state.users.iter().find(|user| user.id == *id)?)));
            Reply::json(200, &Value::Array(shown.collect()))
        }
        ("GET", [user]) if organization.members.contains_key(*user) => {
            match state.users.iter().find(|own| own.id == *user) {
                Some(found) => Reply::json(200, &users::show(state, found)),
                None => nothing(),
            }
        }
        ("DELETE", [user]) if organization.members.contains_key(*user) => {
            // §1.2: with a managed member the account goes.
            if organization.members[*user] {
                state.remove_user(user);
            }
            if let Some(organization) = state.organization(id) {
                organization.members.remove(*user);
                for group in &mut organization.groups {
                    group.members.remove(*user);
                }
            }
            Reply::empty(204)
        }
        _ => nothing(),
    }
}

pub(super) fn of_user(state: &mut State, roles: &Roles, user: &str) -> Reply {
    if !roles.manage_organizations() {
        return forbidden();
    }
    if state.user(user).is_none() {
        return Reply::error(404, "HTTP 404 Not Found");
    }
    let mine = state.organizations.iter().filter(|organization| organization.members.contains_key(user));
    Reply::json(200, &Value::Array(mine.map(|organization| show(organization, true)).collect()))
}
