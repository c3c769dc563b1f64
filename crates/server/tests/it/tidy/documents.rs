//! What the documents promise: paths that exist, the OpenAPI document of the code, no word of the place this was written in.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{files, root};
use crate::support::client::document;

/// Markdown of the repository; what is not written yet is not here yet.
fn documents() -> Vec<String> {
    files("").into_iter().filter(|path| path.ends_with(".md")).collect()
}

/// The words between backticks, outside of fenced blocks.
fn backticked(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(|word| (number, word.to_owned())));
        }
    }
    found
}

/// The path that a word is, where it looks like one of this repository: it begins with a folder of the root or has the name
/// of a file there. `crates/server/src/api/{get,list}.rs` is two; `<resource>` and `*` stand for whatever is there.
fn as_paths(word: &str, top: &BTreeSet<String>) -> Vec<String> {
    let word = word.split('#').next().unwrap().trim_end_matches('/');
    let word = word.strip_prefix("./").unwrap_or(word);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-{},*<>…".contains(c);
    let first = word.split('/').next().unwrap();
    if word.is_empty() || !word.chars().all(plain) || !word.contains('/') || !top.contains(first) {
        return Vec::new();
    }
    let known = |path: &str| path.split(['<', '*', '…']).next().map(str::to_owned).unwrap_or_default();
    match (word.split_once('{'), word.split_once('}')) {
        (Some((before, _)), Some((within, after))) => {
            let choices = within.split_once('{').map(|(_, choices)| choices).unwrap_or_default();
            choices.split(',').map(|choice| known(&format!("{before}{choice}{after}"))).collect()
        }
        _ => vec![known(word)],
    }
}

#[test]
fn every_path_in_the_documents_exists() {
    let root = root();
    let top: BTreeSet<String> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let all = files("");
    // What stands before a placeholder may end within a name.
    let exists = |path: &str| root.join(path).exists() || all.iter().any(|file| file.starts_with(path));
    let mut missing = Vec::new();
    let mut checked = 0;
    for name in documents() {
        let text = std::fs::read_to_string(root.join(&name)).unwrap();
        for (line, word) in backticked(&text) {
            for path in as_paths(&word, &top) {
                checked += 1;
                // Made by `make`, or by a recipe's reader.
                let made = ["bin/", "target/"].iter().any(|folder| path.starts_with(folder));
                if !made && !exists(&path) {
                    missing.push(format!("{name}:{line} names {path}"));
                }
            }
        }
        for (line, target) in links(&text) {
            checked += 1;
            let folder = root.join(&name).parent().unwrap().to_owned();
            if !folder.join(&target).exists() {
                missing.push(format!("{name}:{line} links to {target}"));
            }
        }
    }
    eprintln!("every_path_in_the_documents_exists: {} documents, {checked} paths", documents().len());
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The targets of links to other files.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

#[test]
fn words_are_taken_for_paths_where_they_look_like_one() {
    let top: BTreeSet<String> = ["crates", "docs", "Makefile"].map(str::to_owned).into();
    let check = |word: &str, paths: &[&str]| assert_eq!(as_paths(word, &top), paths, "{word}");
    check("crates/server/src/api/", &["crates/server/src/api"]);
    check(
        "crates/store/src/{sqlite,postgres}/mod.rs",
        &["crates/store/src/sqlite/mod.rs", "crates/store/src/postgres/mod.rs"],
    );
    check("crates/server/src/api/<resource>/get.rs", &["crates/server/src/api/"]);
    check("docs/recipes/*.md", &["docs/recipes/"]);
    check("/v1/tenants", &[]);
    check("make test", &[]);
    check("application/json", &[]);
    assert_eq!(backticked("a `b` c\n```\n`d`\n```\n`e`"), [(1, "b".to_owned()), (5, "e".to_owned())]);
    assert_eq!(links("[a](docs/b.md#c) [d](https://e) [f](#g)"), [(1, "docs/b.md".to_owned())]);
}

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let committed = std::fs::read_to_string(root().join("openapi.yaml")).unwrap();
    let generated = server::api::document().unwrap();
    assert!(committed.as_bytes() == &*generated.yaml, "openapi.yaml is not what the code says: run `make openapi`");
    let yaml: Value = yaml_serde::from_slice(&generated.yaml).unwrap();
    assert_eq!(&yaml, document(), "YAML and JSON are one document");
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| collect(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let mut references = Vec::new();
    collect(document(), &mut references);
    assert!(references.len() > 10, "{references:?}");
    for reference in &references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out of the document"));
        assert!(document().pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let schemas = document()["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        let used = references.iter().any(|reference| reference.ends_with(&format!("/{name}")));
        assert!(used, "nothing refers to the schema {name}");
    }
}

#[test]
fn every_operation_says_what_it_is_and_who_may_call() {
    let known: BTreeSet<&str> =
        document()["tags"].as_array().unwrap().iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            let text = |name: &str| operation[name].as_str().unwrap_or_default();
            assert!(!text("summary").is_empty(), "{at} has no summary");
            assert!(!text("x-may-call").is_empty(), "{at} does not say who may call");
            assert!(!text("operationId").is_empty() && ids.insert(text("operationId")), "{at}: no id of its own");
            let tags: Vec<_> = operation["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            assert!(tags.len() == 1 && known.contains(tags[0]), "{at}: {tags:?}");
            // OpenAPI 3.1, "Path Templating": every name of the template is a parameter.
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            for name in path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')) {
                let described =
                    parameters.iter().any(|p| p["name"] == name && p["in"] == "path" && p["required"] == true);
                assert!(described, "{at}: {name} is not described as a parameter");
            }
        }
    }
}

#[test]
fn no_file_names_the_place_where_it_was_written() {
    // Put together here, so that this file does not name them either.
    let places = [format!("/{}/", "work"), format!("/{}/w/", "tmp")];
    let mut found = Vec::new();
    for path in files("") {
        let bytes = std::fs::read(root().join(&path)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for (line, number) in text.lines().zip(1..) {
            // `/home/work/` of some image would be another thing.
            if places
                .iter()
                .any(|place| line.match_indices(place.as_str()).any(|(at, _)| !line[..at].ends_with(is_name)))
            {
                found.push(format!("{path}:{number}: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '}')
}
