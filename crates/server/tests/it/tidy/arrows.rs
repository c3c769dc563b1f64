//! The arrows between the layers of the server (architecture.md): api → app → the store's port; jobs → app.

use super::{code, names, rust};

/// What a layer may not name, and why.
struct Arrow {
    layer: &'static str,
    never: &'static [&'static str],
    why: &'static str,
}

const ARROWS: &[Arrow] = &[
    Arrow {
        layer: "app",
        never: &[
            "axum::",
            "http::",
            "hyper::",
            "hyper_util::",
            "tower::",
            "tower_http::",
            "aide::",
            "reqwest::",
            "schemars::",
        ],
        why: "app knows no HTTP: map in api",
    },
    Arrow {
        layer: "app",
        never: &[
            "sqlx::",
            "store::sqlite",
            "store::postgres",
            "store::migrate",
            "crate::api",
            "crate::cli",
            "crate::jobs",
            "crate::config",
        ],
        why: "app knows the store's port, and nobody that calls it",
    },
    Arrow {
        layer: "api",
        never: &[
            "sqlx::",
            "store::sqlite",
            "store::postgres",
            "store::migrate",
            "store::Store",
            "store::Tx",
            "store::ReadTx",
        ],
        why: "api asks app and not the store",
    },
    Arrow { layer: "api", never: &["crate::cli", "crate::jobs"], why: "api is called by neither, and calls neither" },
    Arrow {
        layer: "jobs",
        never: &[
            "crate::api",
            "crate::cli",
            "axum::",
            "http::",
            "sqlx::",
            "store::sqlite",
            "store::postgres",
            "store::Store",
        ],
        why: "a job asks app",
    },
    Arrow {
        layer: "identity",
        never: &[
            "crate::api",
            "crate::app",
            "crate::jobs",
            "crate::cli",
            "crate::config",
            "axum::",
            "sqlx::",
            "store::",
        ],
        why: "identity is an adapter: it knows domain and its own protocol",
    },
    Arrow {
        layer: "config",
        never: &[
            "crate::api",
            "crate::app",
            "crate::jobs",
            "crate::cli",
            "crate::identity",
            "crate::telemetry",
            "store::",
            "axum::",
            "sqlx::",
        ],
        why: "config uses nothing of ours but domain",
    },
];

/// The layer of a file of `crates/server/src`: the folder, or the file itself.
fn layer(path: &str) -> &str {
    let inside = path.strip_prefix("crates/server/src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn no_arrow_between_the_layers_is_turned_round() {
    let mut seen = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for source in rust("crates/server/src") {
        for arrow in ARROWS.iter().filter(|arrow| arrow.layer == layer(&source.path)) {
            seen.insert(arrow.layer);
            for (number, line) in code(&source.text) {
                if let Some(word) = arrow.never.iter().find(|word| names(&line, word)) {
                    wrong.push(format!("{}:{number} names {word}: {}", source.path, arrow.why));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["api", "app", "config", "identity", "jobs"],
        "layers that have files"
    );
}

#[test]
fn only_the_command_line_names_a_concrete_store() {
    for source in rust("crates/server/src") {
        if matches!(layer(&source.path), "lib" | "cli") {
            continue;
        }
        for (number, line) in code(&source.text) {
            let found =
                ["store::sqlite", "store::postgres", "SqliteStore", "PgStore"].iter().find(|word| names(&line, word));
            assert!(found.is_none(), "{}:{number} names {found:?}: take an `Arc<dyn Store>`", source.path);
        }
    }
}

#[test]
fn only_the_composition_names_the_systems_clock_and_generator() {
    for source in rust("crates/server/src") {
        if matches!(layer(&source.path), "lib" | "cli" | "clock") {
            continue;
        }
        for (number, line) in code(&source.text) {
            let found = ["SystemClock", "SystemRng", "crate::clock"].iter().find(|word| names(&line, word));
            assert!(found.is_none(), "{}:{number} names {found:?}: take a Clock or an Rng", source.path);
        }
    }
}
