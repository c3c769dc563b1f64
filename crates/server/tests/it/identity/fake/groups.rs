//! Groups of an organization and their members (§1.2, §1.6).

use serde_json::{Value, json};

use super::router::{Roles, forbidden, page, parameter};
use super::state::{Group, State, representation, text};
use super::users;
use super::{Asked, Reply};

fn show(group: &Group) -> Value {
    json!({ "id": group.id, "name": group.name, "path": format!("/{}", group.name), "subGroups": [] })
}

pub(super) fn answer(state: &mut State, roles: &Roles, method: &str, id: &str, rest: &[&str], asked: &Asked) -> Reply {
    let about_members = rest.len() > 1;
    if !roles.manage_organizations() || (about_members && method == "PUT" && !roles.manage_users()) {
        return forbidden();
    }
    let Some(organization) = state.organization(id).cloned() else {
        return Reply::message(404, "Organization not found.");
    };
    match (method, rest) {
        ("GET", []) => {
            let search = parameter(asked, "search").unwrap_or_default();
            let exact = parameter(asked, "exact") == Some("true");
            let matches = |group: &&Group| if exact { group.name == search } else { group.name.contains(search) };
            Reply::json(200, &Value::Array(organization.groups.iter().filter(matches).map(show).collect()))
        }
        ("POST", []) => {
            let known = ["id", "name", "path", "attributes", "description", "subGroups"];
            let value = match representation(&asked.body, "GroupRepresentation", &known) {
                Ok(value) => value,
                Err(reply) => return reply,
            };
            let Some(name) = text(&value, "name").filter(|name| !name.is_empty()) else {
                return Reply::message(400, "Group name is missing");
            };
            if organization.groups.iter().any(|group| group.name == name) {
                return Reply::message(409, "Group with the given name already exists.");
            }
            let group = Group { id: state.new_id(), name, ..Group::default() };
            // With a body, unlike every other creation.
            let mut reply = Reply::json(201, &show(&group));
            reply.location = Some(state.address(&format!("/organizations/{id}/groups/{}", group.id)));
            if let Some(organization) = state.organization(id) {
                organization.groups.push(group);
            }
            reply
        }
        (_, [group, "members", rest @ ..]) => {
            let Some(found) = organization.groups.iter().find(|own| own.id == *group) else {
                return Reply::error(404, "Could not find group by id");
            };
            members(state, method, id, found, rest, asked)
        }
        _ => Reply::error(404, "HTTP 404 Not Found"),
    }
}

fn members(state: &mut State, method: &str, id: &str, group: &Group, rest: &[&str], asked: &Asked) -> Reply {
    match (method, rest) {
        ("GET", []) => {
            let (first, max) = match page(asked, 100) {
                Ok(page) => page,
                Err(reply) => return reply,
            };
            let shown = group.members.iter().skip(first).take(max);
            let shown =
                shown.filter_map(|id| Some(users::show(state, state.users.iter().find(|user| user.id == *id)?)));
            Reply::json(200, &Value::Array(shown.collect()))
        }
        ("PUT", [user]) => {
            if state.user(user).is_none() {
                return Reply::message(404, "User does not exist");
            }
            let Some(organization) = state.organization(id) else {
                return Reply::message(404, "Organization not found.");
            };
            if !organization.members.contains_key(*user) {
                return Reply::message(400, "User is not member of the organization");
            }
            let Some(own) = organization.groups.iter_mut().find(|own| own.id == group.id) else {
                return Reply::error(404, "Could not find group by id");
            };
            if own.members.insert((*user).to_owned()) {
                Reply::empty(204)
            } else {
                Reply::message(409, "User is already a member of the group")
            }
        }
        ("DELETE", [user]) => {
            let organization = state.organization(id);
            if let Some(own) = organization.and_then(|it| it.groups.iter_mut().find(|own| own.id == group.id)) {
                own.members.remove(*user);
            }
            Reply::empty(204)
        }
        _ => Reply::error(404, "HTTP 404 Not Found"),
    }
}
