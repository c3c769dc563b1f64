//! The arrows between the crates, by what cargo resolves.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::root;

/// Our crates, and on which of ours each may depend.
const OURS: &[(&str, &[&str])] = &[
    ("tenancy", &[]),
    ("domain", &["tenancy"]),
    ("store", &["domain", "tenancy"]),
    ("server", &["domain", "store", "tenancy"]),
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).current_dir(root()).args(arguments).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The crates in the normal tree of one of ours, as it is built by default.
fn tree(package: &str) -> BTreeSet<String> {
    let text =
        cargo(&["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let found: BTreeSet<String> = text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    assert!(found.contains(package), "the tree of {package}: {text}");
    found
}

#[test]
fn our_crates_depend_on_each_other_as_the_architecture_says() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--offline", "--no-deps", "--format-version=1"])).unwrap();
    let allowed: BTreeMap<&str, &[&str]> = OURS.iter().copied().collect();
    let mut found = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = allowed.get(name) else { panic!("say in tidy/crates.rs on what {name} may depend") };
        found.insert(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            // A crate's own tests may want more of it: `store` with its feature `testing`.
            let ours = dependency["path"].is_string() && on != name;
            assert!(!ours || allowed.contains(&on), "{name} must not depend on {on}");
        }
    }
    assert_eq!(found.len(), OURS.len(), "tidy/crates.rs lists a crate that is no more");
}

#[track_caller]
fn check_absent(package: &str, never: &[&str]) {
    let tree = tree(package);
    let found: Vec<_> = never.iter().filter(|name| tree.contains(**name)).collect();
    assert!(found.is_empty(), "{package} pulls in {found:?}");
}

#[test]
fn the_embeddable_library_brings_no_server_client_or_database() {
    check_absent(
        "tenancy",
        &["axum", "hyper", "mio", "reqwest", "rustls", "sqlx", "sqlx-core", "tower", "domain", "store", "server"],
    );
}

/// Of its own it has none; what `tenancy` has beside the rules of hosts is the runtime's, and `domain` calls none of it.
#[test]
fn the_rules_need_no_io() {
    let text =
        cargo(&["tree", "--offline", "--package", "domain", "--edges", "normal", "--depth", "1", "--prefix", "none"]);
    let direct: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(direct.contains("tenancy"), "{text}");
    let never =
        ["axum", "hyper", "http", "reqwest", "sqlx", "sqlx-core", "tokio", "futures-util", "async-trait", "papaya"];
    let found: Vec<_> = never.iter().filter(|name| direct.contains(**name)).collect();
    assert!(found.is_empty(), "domain pulls in {found:?}");
}

#[test]
fn the_store_knows_no_http() {
    check_absent("store", &["axum", "hyper", "reqwest", "tower", "aide"]);
}

#[test]
fn there_is_one_crypto_library() {
    check_absent("server", &["ring", "openssl", "openssl-sys", "native-tls", "rsa"]);
}
