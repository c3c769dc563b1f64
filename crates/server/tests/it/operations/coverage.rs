//! The table, the document and the router list the same operations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;

use super::table::{Effect, Names, Operation, Start, UNDOCUMENTED, operations};
use super::world::{World, on_both_stores};
use crate::support::client::document;

/// The document's operations: id, method, path and the operation itself.
fn documented() -> Vec<(String, String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            found.push((id, method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

#[test]
fn the_table_lists_every_operation_of_the_document_and_no_other() {
    let wanted: BTreeSet<_> = documented().into_iter().map(|(id, method, path, _)| (id, method, path)).collect();
    let own = |text: &str| text.to_owned();
    let listed: BTreeSet<_> = operations().map(|row| (own(row.id), own(row.verb), own(row.path))).collect();
    let missing: Vec<_> = wanted.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&wanted).collect();
    assert!(missing.is_empty(), "add rows to operations/table/ for {missing:?}");
    assert!(unknown.is_empty(), "the document does not have {unknown:?}");
    assert_eq!(listed.len(), operations().count(), "an operation stands twice in the table");
    eprintln!("the_table_lists_every_operation: {} operations", operations().count());
}

#[test]
fn the_table_says_of_each_operation_what_the_document_says() {
    let documented: BTreeMap<_, _> = documented().into_iter().map(|(id, _, _, operation)| (id, operation)).collect();
    for row in operations() {
        let operation = &documented[row.id];
        assert_eq!(operation["x-may-call"], row.may, "{}", row.id);
        assert!(operation["responses"].get(row.success.to_string()).is_some(), "{}: {}", row.id, row.success);
        assert_eq!(operation.get("requestBody").is_some(), row.body.is_some(), "{}: a body", row.id);
        assert_eq!(operation.get("security").is_some(), !row.is_public(), "{}: security", row.id);
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let has = |name: &str, place: &str| parameters.iter().any(|p| p["name"] == name && p["in"] == place);
        for name in row.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')) {
            assert!(has(name, "path"), "{}: the path's {name} is not described", row.id);
        }
        for (name, _) in row.query.split('&').filter_map(|pair| pair.split_once('=')) {
            assert!(has(name, "query"), "{}: the parameter {name} is not described", row.id);
        }
        assert_eq!(has("If-Match", "header"), row.writes_to_tenant(), "{}: If-Match", row.id);
        // Reading POSTs ignore the key.
        assert_eq!(has("Idempotency-Key", "header"), row.takes_a_key(), "{}: Idempotency-Key", row.id);
        assert_eq!(is_list(operation, row), row.list.is_some(), "{}: a list", row.id);
        assert!(
            row.list.is_none() || (has("limit", "query") && has("cursor", "query")),
            "{}: limit and cursor",
            row.id
        );
    }
}

/// Whether the document says that the answer is a page of a list.
fn is_list(operation: &Value, row: &Operation) -> bool {
    let content = &operation["responses"][row.success.to_string()]["content"];
    if row.success != 204 {
        assert!(content.get(row.media).is_some(), "{}: {} is not described", row.id, row.media);
    }
    let name = content[row.media]["schema"]["$ref"].as_str().and_then(|name| name.rsplit('/').next());
    name.is_some_and(|name| document()["components"]["schemas"][name]["properties"].get("next_cursor").is_some())
}

#[test]
fn the_table_is_consistent_with_itself() {
    for row in operations() {
        let id = row.id;
        let by_path = matches!(row.names, Names::Tenant | Names::Thing | Names::Product | Names::NewProduct);
        assert_eq!(row.path.contains('{'), by_path, "{id}: what the path names");
        assert_eq!(row.query.contains("tenant_id={id}"), row.names == Names::InFilter, "{id}: what the query names");
        if let Names::InBody(field) = row.names {
            let (outer, inner) = field.split_once('.').unwrap_or(("", field));
            let body: Value = serde_json::from_str(row.body.unwrap()).unwrap();
            let at = if outer.is_empty() { &body[inner] } else { &body[outer][inner] };
            assert_eq!(at, "{id}", "{id}: what the body names");
        }
        assert!(row.verb != "GET" || !row.writes(), "{id}: a GET changes nothing");
        assert!(matches!(row.verb, "GET" | "POST") || row.writes(), "{id}: say what it changes");
        assert_eq!(row.writes(), !row.audit.is_empty(), "{id}: say what it leaves in the audit log");
        assert!(row.conflicts.is_empty() || row.writes(), "{id}: a read meets no conflict");
        assert!(row.reveals.is_empty() || row.takes_a_key(), "{id}: only what is made has a secret");
        assert!(row.path.starts_with("/v1/") || row.is_public(), "{id}: outside /v1 everything is public");
        if let Some(list) = row.list {
            assert!(
                operations().any(|adds| adds.id == list.adds && adds.effect != Effect::Reads),
                "{id}: what adds to it"
            );
        }
    }
}

/// The texts of `crates/server/src/api`, with their paths.
fn api_sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push((path.clone(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    sources
}

/// The first string literal of each call of a method.
fn first_arguments(source: &str, call: &str) -> Vec<String> {
    let calls = source.match_indices(call).map(|(at, found)| source[at + found.len()..].trim_start());
    calls.filter_map(|rest| rest.strip_prefix('"')?.split('"').next().map(str::to_owned)).collect()
}

#[test]
fn every_route_is_in_the_document_but_for_the_listed_exceptions() {
    let sources = api_sources();
    let of = |call: &str| -> BTreeSet<String> {
        sources.iter().flat_map(|(_, source)| first_arguments(source, call)).collect()
    };
    let undocumented = of(".route(");
    let exceptions: BTreeSet<String> = UNDOCUMENTED.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(undocumented, exceptions, "register routes with api_route; the exceptions may only become fewer");
    let paths: BTreeSet<String> = document()["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(of(".api_route("), paths, "registered with api_route, against the document");
    for (path, source) in &sources {
        for other in
            [".route_service(", ".nest(", ".nest_service(", ".nest_api_service(", ".api_route_with(", ".hidden("]
        {
            assert!(!source.contains(other), "{}: {other}…) hides routes from this test", path.display());
        }
    }
}

on_both_stores! {
    async fn a_wrong_method_is_answered_with_those_that_are_right(world: World) {
        let subject = world.subject(Start::Trial).await;
        let mark = world.mark().await;
        let mut methods: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for row in operations() {
            let path = row.path.replace("{key}", "{product}");
            methods.entry(subject.fill(&path)).or_default().insert(row.verb);
        }
        for path in UNDOCUMENTED {
            methods.entry((*path).to_owned()).or_default().insert("GET");
        }
        for (path, right) in &methods {
            let mut allowed: BTreeSet<&str> = right.clone();
            if allowed.contains("GET") {
                allowed.insert("HEAD");
            }
            for wrong in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                if right.contains(wrong.as_str()) {
                    continue;
                }
                // Whoever asks: the router knows of nobody.
                for client in [world.service.admin.clone(), world.service.admin.anonymous()] {
                    let answer = world.send(&client, &wrong, path, None).await;
                    assert_eq!(answer.status, 405, "{wrong} {path}: {}", answer.text);
                    let answer = answer.problem(405, "method_not_allowed");
                    let told: BTreeSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
                    assert_eq!(told, allowed, "{wrong} {path}");
                }
            }
        }
        world.nothing_since(&mark, "a wrong method").await;
        world.report("a_wrong_method", operations().count());
    }
}
