//! Sizes, signatures, state and matches of the sources.

use std::collections::BTreeSet;

use super::{code, names, rust};

/// Files may have this many lines (house rule 4).
const LINES_MAX: usize = 500;
/// Those that have more. May only become fewer.
const LONG: &[&str] = &[];
/// `main.rs` may have this many (house rule 1).
const MAIN_MAX: usize = 40;

/// `static` items that are no state: (file, name). May only become fewer.
const STATICS: &[(&str, &str)] = &[
    // Allocates for the whole process.
    ("crates/server/src/main.rs", "ALLOCATOR"),
    // Tables that are read.
    ("crates/server/src/config/settings.rs", "ALL"),
    ("crates/store/src/migrate.rs", "POSTGRES"),
    ("crates/store/src/migrate.rs", "SQLITE"),
    // Of test runs: names that must differ, a cluster and a database that are shared.
    ("crates/store/src/testing/backends.rs", "COUNT"),
    ("crates/store/src/testing/backends.rs", "TEMPLATE"),
    ("crates/store/src/testing/fixtures.rs", "COUNT"),
    ("crates/store/src/testing/postgres.rs", "SHARED"),
];

#[test]
fn files_stay_short() {
    let sources = rust("crates").into_iter().filter(|source| source.path.contains("/src/"));
    let long: BTreeSet<String> =
        sources.filter(|source| source.text.lines().count() > LINES_MAX).map(|source| source.path).collect();
    let listed: BTreeSet<String> = LONG.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(long, listed, "a file over {LINES_MAX} lines has two subjects; the list may only become shorter");
}

#[test]
fn main_parses_and_dispatches() {
    let main = std::fs::read_to_string(super::root().join("crates/server/src/main.rs")).unwrap();
    assert!(main.lines().count() <= MAIN_MAX, "main.rs has more than {MAIN_MAX} lines");
}

#[test]
fn files_begin_with_why_they_exist() {
    for source in rust("crates").iter().filter(|source| source.path.contains("/src/")) {
        assert!(source.text.starts_with("//!"), "{} does not begin with why it exists", source.path);
    }
}

#[test]
fn nothing_of_a_running_service_is_global() {
    let mut found = BTreeSet::new();
    for source in rust("crates").iter().filter(|source| source.path.contains("/src/")) {
        for (number, line) in code(&source.text) {
            let line = line.trim();
            assert!(!names(line, "thread_local!") && !line.contains("lazy_static!"), "{}:{number}: state", source.path);
            let item = line.strip_prefix("pub").map_or(line, |rest| {
                // `pub static`, `pub(crate) static`
                rest.trim_start_matches(|c: char| c == '(' || c == ')' || c.is_alphabetic()).trim_start()
            });
            let item = if line.starts_with("pub static") { &line[4..] } else { item };
            if let Some(rest) = item.strip_prefix("static ") {
                let name = rest.trim_start_matches("mut ").split([':', ' ']).next().unwrap();
                found.insert((source.path.clone(), name.to_owned()));
            }
        }
    }
    let listed: BTreeSet<_> = STATICS.iter().map(|(path, name)| ((*path).to_owned(), (*name).to_owned())).collect();
    assert_eq!(found, listed, "state belongs into Deps, not into a static; the list may only become shorter");
}

/// The parameter lists of the handlers of a file: `async fn` that gives a `Result<…, ApiError>`.
fn handlers(text: &str) -> Vec<(String, String)> {
    let code: Vec<String> = code(text).into_iter().map(|(_, line)| line).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, start) in code.match_indices("pub(super) async fn ") {
        let rest = &code[at + start.len()..];
        let (name, rest) = rest.split_once('(').unwrap();
        let mut depth = 1;
        let end = rest.find(|c: char| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        found.push((name.to_owned(), rest[..end.unwrap()].to_owned()));
    }
    found
}

#[test]
fn every_handler_says_who_may_call_it() {
    // Served without a document, for tools: nobody is asked who they are. May only become fewer.
    let exceptions = BTreeSet::from(["metrics", "openapi_json", "openapi_yaml", "docs"].map(str::to_owned));
    let mut silent = BTreeSet::new();
    let mut count = 0;
    for source in rust("crates/server/src/api") {
        let routed = source.path.matches('/').count() > 4 || source.path.ends_with("api/operations.rs");
        if !routed || source.path.ends_with("/mod.rs") || source.path.ends_with("/view.rs") {
            continue;
        }
        let handlers = handlers(&source.text);
        // What the handlers of one resource share.
        if ["accept", "csv", "event", "filter"]
            .iter()
            .any(|part| source.path.ends_with(&format!("api/audit/{part}.rs")))
        {
            assert!(handlers.is_empty(), "{} has a handler", source.path);
            continue;
        }
        assert!(!handlers.is_empty(), "{} has no handler", source.path);
        for (name, parameters) in handlers {
            count += 1;
            let says = ["PlatformAdmin", "TenantScoped", "Service", "Public"].iter().any(|who| names(&parameters, who));
            if !says {
                silent.insert(name);
            }
        }
    }
    assert_eq!(silent, exceptions, "name PlatformAdmin, TenantScoped<…>, Service or Public in the signature");
    assert!(count > 10, "{count} handlers");
    eprintln!("every_handler_says_who_may_call_it: {count} handlers");
}

#[test]
fn no_error_is_mapped_by_a_catch_all() {
    let source = std::fs::read_to_string(super::root().join("crates/server/src/api/error.rs")).unwrap();
    for (number, line) in code(&source) {
        let line = line.trim();
        assert!(!line.starts_with("_ =>") && !line.starts_with("_ if"), "error.rs:{number}: name the errors");
    }
    // Elsewhere a match that names errors of the domain names them all.
    for source in rust("crates/server/src") {
        let lines = code(&source.text);
        for (place, (number, line)) in lines.iter().enumerate() {
            let arm = line.trim_start();
            if !(arm.starts_with("_ =>") || arm.starts_with("_ if")) {
                continue;
            }
            let indent = line.len() - arm.len();
            let arms = lines[..place].iter().rev().take_while(|(_, before)| {
                let text = before.trim_start();
                text.is_empty() || before.len() - text.len() >= indent
            });
            let errors = ["Error::", "StoreError::", "domain::Error::"];
            let over_errors = arms.into_iter().any(|(_, arm)| {
                let indented = arm.len() - arm.trim_start().len() == indent;
                let pattern = arm.split("=>").next().unwrap_or_default().trim_start();
                indented && arm.contains("=>") && errors.iter().any(|error| pattern.starts_with(error))
            });
            assert!(!over_errors, "{}:{number}: a catch-all over errors; name them", source.path);
        }
    }
}
