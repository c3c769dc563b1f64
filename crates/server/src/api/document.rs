//! The OpenAPI document: its frame, its three forms, and a reference page that needs no other host.
//!
//! All of `aide` that is not an extractor is here. Invariant: the document is the same on every machine, so that the
//! committed `openapi.yaml` can be compared with it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aide::openapi::{ApiKeyLocation, Info, License, OpenApi, ReferenceOr, SecurityScheme, Tag};
use bytes::Bytes;
use serde_json::Value;

use super::auth::MAY_CALL;
use super::state::Document;

const DESCRIPTION: &str = "The control plane of a multi-tenant platform: who the tenants are, how they are reached, and \
what happened to them.\n\nErrors are RFC 9457 problem details with a stable `code`. Unknown members and query parameters \
are refused and named (422). Every POST accepts an `Idempotency-Key`; writes to a tenant honour `If-Match`.";

/// The frame, before the routes are added.
pub(super) fn begin() -> OpenApi {
    let license = License { name: "MIT OR Apache-2.0".to_owned(), ..License::default() };
    OpenApi {
        info: Info {
            title: "tenant-registry".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: Some(DESCRIPTION.to_owned()),
            license: Some(license),
            ..Info::default()
        },
        tags: vec![
            Tag {
                name: "api keys".to_owned(),
                description: Some("Keys of tenants and of the platform.".to_owned()),
                ..Tag::default()
            },
            Tag { name: "tenants".to_owned(), description: Some("Who the tenants are.".to_owned()), ..Tag::default() },
            Tag { name: "audit".to_owned(), description: Some("What happened.".to_owned()), ..Tag::default() },
            Tag {
                name: "entitlements".to_owned(),
                description: Some("What tenants have, and what that allows.".to_owned()),
                ..Tag::default()
            },
            Tag {
                name: "catalog".to_owned(),
                description: Some("What tenants can have, and what they asked for.".to_owned()),
                ..Tag::default()
            },
            Tag {
                name: "keycloak".to_owned(),
                description: Some("What the identity provider asks.".to_owned()),
                ..Tag::default()
            },
            Tag {
                name: "operations".to_owned(),
                description: Some("For operators and their tools.".to_owned()),
                ..Tag::default()
            },
        ],
        ..OpenApi::default()
    }
}

/// What is added once the routes are there.
pub(super) fn finish(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let bearer = SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: None,
        description: Some("A token of the issuer, or in dev the dev token.".to_owned()),
        extensions: Default::default(),
    };
    let key = SecurityScheme::ApiKey {
        location: ApiKeyLocation::Header,
        name: "X-API-Key".to_owned(),
        description: Some("In dev, the dev token.".to_owned()),
        extensions: Default::default(),
    };
    components.security_schemes.insert("bearer".to_owned(), ReferenceOr::Item(bearer));
    components.security_schemes.insert("apiKey".to_owned(), ReferenceOr::Item(key));
}

/// JSON, YAML and the page.
pub(super) fn render(document: &OpenApi) -> Result<Document, String> {
    let mut value = serde_json::to_value(document).map_err(|error| error.to_string())?;
    drop_null_defaults(&mut value);
    drop_unused_schemas(&mut value);
    let json = serde_json::to_vec_pretty(&value).map_err(|error| error.to_string())?;
    let yaml = yaml_serde::to_string(&value).map_err(|error| error.to_string())?;
    Ok(Document { json: json.into(), yaml: yaml.into(), html: Bytes::from(page(&value)) })
}

/// `default: null` says of a member that may be left out no more than that, and of one that may not be null a falsehood.
fn drop_null_defaults(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("default").is_some_and(Value::is_null) {
                members.shift_remove("default");
            }
            members.values_mut().for_each(drop_null_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_null_defaults),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Parameters are written out where they stand; the schemas that they were read from are left behind, with nobody to refer
/// to them.
fn drop_unused_schemas(document: &mut Value) {
    loop {
        let mut used = BTreeSet::new();
        references(document, &mut used);
        let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
        let Some(schemas) = schemas else { return };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(name));
        if schemas.len() == before {
            return;
        }
    }
}

fn references(value: &Value, used: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let name =
                members.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/components/schemas/"));
            used.extend(name.map(str::to_owned));
            members.values().for_each(|member| references(member, used));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, used)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color-scheme:light dark}code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow:auto;padding:.75rem;\
border:1px solid #8884;border-radius:.4rem}h2{margin-top:3rem}section{border-top:1px solid #8884;padding:.5rem 0 1rem}\
h3{font-size:1rem;font-family:ui-monospace,monospace}b{display:inline-block;min-width:4.5rem}table{border-collapse:collapse}\
td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}nav a{display:block;font-family:ui-monospace,monospace;\
font-size:.9em}";

/// The page: no script, no font, no picture, nothing from anywhere else.
fn page(document: &Value) -> String {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>{title} {version}</title><style>{STYLE}</style><h1>{title} <small>{version}</small></h1>\
         <p>{description}</p><p>The document itself: <a href=/openapi.json>JSON</a>, <a href=/openapi.yaml>YAML</a>.</p>",
        title = escape(text("/info/title")),
        version = escape(text("/info/version")),
        description = escape(text("/info/description")).replace("\n\n", "</p><p>"),
    );
    let mut index = String::new();
    let mut sections = String::new();
    for (path, item) in document.pointer("/paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
            let method = method.to_uppercase();
            let _ = write!(index, "<a href='#{0}'><b>{1}</b>{2}</a>", escape(id), escape(&method), escape(path));
            section(&mut sections, id, &method, path, operation);
        }
    }
    let _ = write!(html, "<h2>Operations</h2><nav>{index}</nav>{sections}<h2>Schemas</h2>");
    for (name, schema) in document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten() {
        let _ = write!(html, "<section id='schema-{0}'><h3>{0}</h3>{1}</section>", escape(name), code(schema));
    }
    html
}

fn section(html: &mut String, id: &str, method: &str, path: &str, operation: &Value) {
    let text = |name: &str| escape(operation.get(name).and_then(Value::as_str).unwrap_or_default());
    let _ = write!(
        html,
        "<section id='{id}'><h3><b>{method}</b>{path}</h3><p><strong>{summary}.</strong> {description}</p>\
         <p>May call: <code>{who}</code></p>",
        id = escape(id),
        method = escape(method),
        path = escape(path),
        summary = text("summary"),
        description = text("description"),
        who = text(MAY_CALL),
    );
    if let Some(parameters) = operation.get("parameters").and_then(Value::as_array) {
        html.push_str("<table><tr><th>Parameter<th>In<th>What");
        for parameter in parameters {
            let cell = |name: &str| escape(parameter.get(name).and_then(Value::as_str).unwrap_or_default());
            let _ = write!(html, "<tr><td><code>{}</code><td>{}<td>{}", cell("name"), cell("in"), cell("description"));
        }
        html.push_str("</table>");
    }
    if let Some(body) = operation.pointer("/requestBody/content/application~1json/schema") {
        let _ = write!(html, "<p>Body: {}</p>", link(body));
    }
    for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        let schemas = response.get("content").and_then(Value::as_object).into_iter().flatten();
        let schemas: Vec<String> = schemas.filter_map(|(_, media)| media.get("schema")).map(link).collect();
        let description = response.get("description").and_then(Value::as_str).unwrap_or_default();
        let _ = write!(html, "<p><b>{}</b>{} {}</p>", escape(status), escape(description), schemas.join(" "));
    }
    html.push_str("</section>");
}

fn link(schema: &Value) -> String {
    match schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next()) {
        Some(name) => format!("<a href='#schema-{0}'><code>{0}</code></a>", escape(name)),
        None => code(schema),
    }
}

fn code(schema: &Value) -> String {
    format!("<pre>{}</pre>", escape(&serde_json::to_string_pretty(schema).unwrap_or_default()))
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
