//! Accounts and the mails with links (§1.4 "Users", §1.5, §2.1).

use serde_json::{Value, json};

use super::router::{Roles, forbidden, page, parameter};
use super::state::{Mail, Smtp, State, User, attributes, representation, text};
use super::{Asked, Reply};

const KIND: &str = "UserRepresentation";
const KNOWN: &[&str] = &[
    "id",
    "username",
    "email",
    "firstName",
    "lastName",
    "enabled",
    "emailVerified",
    "requiredActions",
    "createdTimestamp",
    "attributes",
    "credentials",
    "realmRoles",
    "clientRoles",
    "groups",
    "federationLink",
    "notBefore",
];

pub(super) fn show(state: &State, user: &User) -> Value {
    let mut shown = json!({
        "id": user.id, "username": user.username, "email": user.email, "firstName": user.first_name,
        "lastName": user.last_name, "enabled": user.enabled, "emailVerified": user.email_verified,
        "createdTimestamp": user.created, "requiredActions": user.required_actions, "totp": false,
        "disableableCredentialTypes": [], "notBefore": 0,
    });
    // Attributes that the realm does not know are shown where it keeps them.
    if state.keeps_attributes && !user.attributes.is_empty() {
        shown["attributes"] = json!(user.attributes);
    }
    shown
}

fn not_found() -> Reply {
    Reply::error(404, "User not found")
}

pub(super) fn answer(state: &mut State, roles: &Roles, method: &str, rest: &[&str], asked: &Asked) -> Reply {
    let may = if method == "GET" { roles.view_users() } else { roles.manage_users() };
    if !may {
        return forbidden();
    }
    match (method, rest) {
        ("GET", []) => list(state, asked),
        ("POST", []) => create(state, asked),
        (_, [id, rest @ ..]) => {
            let Some(user) = state.user(id).cloned() else { return not_found() };
            match (method, rest) {
                ("GET", []) => Reply::json(200, &show(state, &user)),
                ("PUT", []) => update(state, user, asked),
                ("DELETE", []) => {
                    state.remove_user(id);
                    Reply::empty(204)
                }
                ("GET", ["credentials"]) => {
                    let password = json!({ "id": "c", "type": "password", "createdDate": 0 });
                    Reply::json(200, &Value::Array(user.has_password.then_some(password).into_iter().collect()))
                }
                ("PUT", ["reset-password"]) => {
                    if let Some(user) = state.user(id) {
                        user.has_password = true;
                    }
                    Reply::empty(204)
                }
                ("POST", ["logout"]) => {
                    if let Some(user) = state.user(id) {
                        user.log_outs += 1;
                    }
                    Reply::empty(204)
                }
                ("PUT", ["execute-actions-email"]) => mail(state, &user, asked),
                _ => Reply::error(404, "HTTP 404 Not Found"),
            }
        }
        _ => Reply::error(405, "HTTP 405 Method Not Allowed"),
    }
}

/// §1.5: `email` is compared without case; whole with `exact`, as an infix without it.
fn list(state: &State, asked: &Asked) -> Reply {
    let (first, max) = match page(asked, 100) {
        Ok(page) => page,
        Err(reply) => return reply,
    };
    let email = parameter(asked, "email").map(str::to_lowercase);
    let exact = parameter(asked, "exact") == Some("true");
    let matches = |user: &&User| {
        let own = user.email.as_deref().unwrap_or_default();
        email.as_deref().is_none_or(|email| if exact { own == email } else { own.contains(email) })
    };
    let found = state.users.iter().filter(matches).skip(first).take(max);
    Reply::json(200, &Value::Array(found.map(|user| show(state, user)).collect()))
}

/// §1.4: an address has an ASCII local part.
fn is_address(email: &str) -> bool {
    email.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && local.is_ascii() && !host.is_empty() && !email.contains(char::is_whitespace)
    })
}

fn invalid_email() -> Reply {
    let body = json!({ "field": "email", "errorMessage": "error-invalid-email", "params": ["email"] });
    Reply::json(400, &body)
}

fn create(state: &mut State, asked: &Asked) -> Reply {
    let value = match representation(&asked.body, KIND, KNOWN) {
        Ok(value) => value,
        Err(reply) => return reply,
    };
    // §1.4: with `registrationEmailAsUsername` the address is needed, and is the user name.
    let Some(email) = text(&value, "email").map(|email| email.to_lowercase()) else {
        return Reply::message(400, "User name is missing");
    };
    if !is_address(&email) {
        return invalid_email();
    }
    if state.users.iter().any(|other| other.username == email) {
        return Reply::message(409, "User exists with same username");
    }
    if state.users.iter().any(|other| other.email.as_ref() == Some(&email)) {
        return Reply::message(409, "User exists with same email");
    }
    let list = |name: &str| -> Vec<String> {
        value.get(name).and_then(|list| serde_json::from_value(list.clone()).ok()).unwrap_or_default()
    };
    let kept = if state.keeps_attributes { attributes(&value).unwrap_or_default() } else { Default::default() };
    let user = User {
        id: state.new_id(),
        username: email.clone(),
        email: Some(email),
        first_name: text(&value, "firstName"),
        last_name: text(&value, "lastName"),
        // Absent is a disabled account.
        enabled: value.get("enabled").and_then(Value::as_bool).unwrap_or(false),
        email_verified: value.get("emailVerified").and_then(Value::as_bool).unwrap_or(false),
        // Who creates may say when.
        created: value.get("createdTimestamp").and_then(Value::as_i64).unwrap_or_else(|| state.now().as_millisecond()),
        required_actions: list("requiredActions"),
        attributes: kept,
        has_password: value.get("credentials").is_some(),
        log_outs: 0,
    };
    let location = state.address(&format!("/users/{}", user.id));
    state.users.push(user);
    Reply::created(location)
}

/// §1.4: single members keep the rest; with attributes the address has to be there too.
fn update(state: &mut State, mut user: User, asked: &Asked) -> Reply {
    let value = match representation(&asked.body, KIND, KNOWN) {
        Ok(value) => value,
        Err(reply) => return reply,
    };
    if let Some(attributes) = attributes(&value) {
        if text(&value, "email").is_none() {
            return invalid_email();
        }
        if state.keeps_attributes {
            user.attributes = attributes;
        }
    }
    if let Some(enabled) = value.get("enabled").and_then(Value::as_bool) {
        user.enabled = enabled;
    }
    user.first_name = text(&value, "firstName").or(user.first_name);
    user.last_name = text(&value, "lastName").or(user.last_name);
    if let Some(email) = text(&value, "email") {
        user.email = Some(email.to_lowercase());
    }
    if let Some(kept) = state.user(&user.id.clone()) {
        *kept = user;
    }
    Reply::empty(204)
}

/// §2.1.
fn mail(state: &mut State, user: &User, asked: &Asked) -> Reply {
    const ACTIONS: &[&str] = &["VERIFY_EMAIL", "UPDATE_PASSWORD", "UPDATE_PROFILE", "CONFIGURE_TOTP"];
    if parameter(asked, "lifespan").is_some_and(|text| text.parse::<i64>().is_err()) {
        return Reply::error(404, "HTTP 404 Not Found");
    }
    if !user.enabled {
        return Reply::message(400, "User is disabled");
    }
    if parameter(asked, "redirect_uri").is_some() && parameter(asked, "client_id").is_none() {
        return Reply::message(400, "Client id missing");
    }
    let actions: Vec<String> = serde_json::from_slice(&asked.body).unwrap_or_default();
    if actions.iter().any(|action| !ACTIONS.contains(&action.as_str())) {
        return Reply::message(400, "Provided invalid required actions");
    }
    if state.smtp == Smtp::Fails {
        let why = "Failed to send execute actions email: Invalid sender address 'null'. If the sender address is null…";
        return Reply::message(500, why);
    }
    let (at, number) = (state.now(), state.mails.len());
    let realm = state.realm.replace(' ', "%20");
    let base = format!("{}{}", state.origin, state.sub_path);
    let link = format!("{base}/realms/{realm}/login-actions/action-token?key=eyJ.{number}&client_id=account");
    state.mails.push(Mail { to: user.email.clone().unwrap_or_default(), at, link });
    Reply::empty(204)
}
