//! Which rule answers: paths, credentials, roles, content types.

use std::collections::BTreeSet;

use serde_json::json;
use url::form_urlencoded;

use super::state::{State, Version};
use super::{Asked, Reply, groups, mails, organizations, users};

/// §1.2: what a realm's Admin API has that no id is.
const WORDS: &[&str] = &[
    "organizations",
    "members",
    "groups",
    "users",
    "credentials",
    "logout",
    "execute-actions-email",
    "reset-password",
];

/// A call's kind: the method and the path below the realm with `{}` for each id, or `token`.
pub(super) fn name_of(state: &State, asked: &Asked) -> String {
    if asked.path.ends_with("/protocol/openid-connect/token") {
        return "token".to_owned();
    }
    let decoded = segments(&asked.path);
    let below = decoded.iter().position(|segment| *segment == state.realm).map_or(0, |at| at + 1);
    let mut name = format!("{} ", asked.method);
    for segment in &decoded[below..] {
        name.push('/');
        name.push_str(if WORDS.contains(&segment.as_str()) { segment } else { "{}" });
    }
    name
}

fn segments(path: &str) -> Vec<String> {
    let decode = |segment: &str| {
        // A plus is a plus in a path.
        let encoded = format!("x={}", segment.replace('+', "%2B"));
        let pair = form_urlencoded::parse(encoded.as_bytes()).next();
        pair.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
}

/// Which of the roles a call wants are there (§1.3).
#[derive(Debug, Clone)]
pub(super) struct Roles {
    pub(super) all: bool,
    pub(super) names: BTreeSet<String>,
    pub(super) version: Version,
}

impl Roles {
    fn any(&self, names: &[&str]) -> bool {
        self.all || names.iter().any(|name| self.names.contains(*name))
    }

    pub(super) fn manage_organizations(&self) -> bool {
        match self.version {
            Version::V26_6 => self.any(&["manage-realm"]),
            Version::V26_7 => self.any(&["manage-organizations", "manage-realm"]),
        }
    }

    pub(super) fn list_organizations(&self) -> bool {
        let lesser = self.version != Version::V26_6 && self.any(&["view-organizations", "query-organizations"]);
        self.manage_organizations() || lesser
    }

    pub(super) fn manage_users(&self) -> bool {
        self.any(&["manage-users"])
    }

    pub(super) fn view_users(&self) -> bool {
        self.manage_users() || self.any(&["view-users"])
    }
}

/// §1.4: a role is missing.
pub(super) fn forbidden() -> Reply {
    Reply::error(403, "HTTP 403 Forbidden")
}

pub(super) fn answer(state: &mut State, asked: &Asked, may_everything: bool) -> Reply {
    let Some(path) = asked.path.strip_prefix(state.sub_path.as_str()) else {
        return Reply::error(404, "Unable to find matching target resource method");
    };
    if let Some(path) = path.strip_prefix("/sink/") {
        return mails::answer(state, path, asked);
    }
    // §1.4: paths that are not in their normal form.
    if path.contains("//") || path.to_ascii_lowercase().contains("%2e%2e") {
        return Reply::described(400, "missingNormalization", "Request path not normalized");
    }
    if path.contains(';') || path.to_ascii_lowercase().contains("%3b") {
        return Reply::described(400, "invalidCharacter", "Request path contains an invalid character");
    }
    let segments = segments(path);
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["realms", realm, "protocol", "openid-connect", "token"] => token(state, realm, asked),
        ["admin", "realms", realm, rest @ ..] => admin(state, realm, rest, asked, may_everything),
        // §3.4: so it is with the prefix `/auth`.
        _ => Reply::error(404, "Unable to find matching target resource method"),
    }
}

/// §3.4.
fn token(state: &mut State, realm: &str, asked: &Asked) -> Reply {
    if realm != state.realm {
        return Reply::error(404, "Realm does not exist");
    }
    if !state.enabled {
        return Reply::described(403, "access_denied", "Realm not enabled");
    }
    if !is_content_type(asked, "application/x-www-form-urlencoded") {
        return Reply::described(400, "invalid_request", "Missing form parameter: grant_type");
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(&asked.body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if field("grant_type") != Some("client_credentials") {
        return Reply::described(400, "unsupported_grant_type", "Unsupported grant_type");
    }
    if field("client_id") != Some(state.client_id.as_str()) || !state.client_enabled {
        return Reply::described(401, "invalid_client", "Invalid client or Invalid client credentials");
    }
    if field("client_secret") != Some(state.client_secret.as_str()) {
        return Reply::described(401, "unauthorized_client", "Invalid client or Invalid client credentials");
    }
    if !state.service_account {
        return Reply::described(401, "unauthorized_client", "Client not enabled to retrieve service account");
    }
    let body = json!({
        "access_token": state.issue(), "expires_in": state.lifespan.as_secs(), "refresh_expires_in": 0,
        "token_type": "Bearer", "not-before-policy": 0, "scope": "email profile",
    });
    Reply::json(200, &body)
}

fn is_content_type(asked: &Asked, wanted: &str) -> bool {
    let sent = asked.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(';').next().is_some_and(|sent| sent.trim().eq_ignore_ascii_case(wanted))
}

fn admin(state: &mut State, realm: &str, path: &[&str], asked: &Asked, may_everything: bool) -> Reply {
    let bearer = asked.headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let names = match bearer.and_then(|token| state.roles_of(token)) {
        Some(names) => names,
        None if may_everything => BTreeSet::new(),
        None => return Reply::error(401, "HTTP 401 Unauthorized"),
    };
    if realm != state.realm {
        return Reply::error(404, "Realm not found.");
    }
    let roles = Roles { all: may_everything, names, version: state.version };
    // §1.4: another content type is refused.
    if matches!(asked.method.as_str(), "POST" | "PUT")
        && !asked.body.is_empty()
        && !is_content_type(asked, "application/json")
    {
        return Reply::error(415, "HTTP 415 Unsupported Media Type");
    }
    if path.first() == Some(&"organizations") && !state.organizations_enabled {
        return Reply::message(404, "Organizations not enabled for this realm.");
    }
    let method = asked.method.as_str();
    match (method, path) {
        ("GET", ["organizations"]) => organizations::list(state, &roles, asked),
        ("POST", ["organizations"]) => organizations::create(state, &roles, asked),
        ("GET", ["organizations", "members", user, "organizations"]) => organizations::of_user(state, &roles, user),
        (_, ["organizations", id]) => organizations::one(state, &roles, method, id, asked),
        (_, ["organizations", id, "members", rest @ ..]) => {
            organizations::members(state, &roles, method, id, rest, asked)
        }
        (_, ["organizations", id, "groups", rest @ ..]) => groups::answer(state, &roles, method, id, rest, asked),
        (_, ["users", rest @ ..]) => users::answer(state, &roles, method, rest, asked),
        _ => Reply::error(404, "Unable to find matching target resource method"),
    }
}

/// A parameter of the query.
pub(super) fn parameter<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    asked.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// §1.4, §1.5: lists have ten items unless asked otherwise; a number that is none is 404.
pub(super) fn page(asked: &Asked, default: usize) -> Result<(usize, usize), Reply> {
    let number = |name: &str, default: usize| match parameter(asked, name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Reply::error(404, "HTTP 404 Not Found")),
    };
    Ok((number("first", 0)?, number("max", default)?))
}
