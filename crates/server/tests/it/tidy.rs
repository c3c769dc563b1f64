//! The house's own rules, kept by reading the sources: arrows between layers and crates, sizes, documents.
//!
//! A rule that a lint can keep is a lint's; these are the others. Each message says what to do. Invariant: every list of
//! exceptions here may only become shorter, and one that is no longer needed fails.

mod arrows;
mod crates;
mod documents;
mod sources;

use std::path::{Path, PathBuf};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A text of the repository.
struct Source {
    /// From the root, with slashes.
    path: String,
    text: String,
}

/// Every file of a folder, and of the folders in it, by path. Folders that are made by tools are left out.
fn files(folder: &str) -> Vec<String> {
    let root = root();
    let mut folders = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_symlink() || matches!(name, "target" | ".git" | "bin") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

/// The Rust files of a folder.
fn rust(folder: &str) -> Vec<Source> {
    let paths = files(folder).into_iter().filter(|path| path.ends_with(".rs"));
    let sources: Vec<_> =
        paths.map(|path| Source { text: std::fs::read_to_string(root().join(&path)).unwrap(), path }).collect();
    assert!(!sources.is_empty(), "{folder} has no Rust files: this test looks in the wrong place");
    sources
}

/// The code of a source, line by line with its number: without comments and without what strings say.
fn code(source: &str) -> Vec<(usize, String)> {
    source.lines().zip(1..).map(|(line, number)| (number, bare(line))).collect()
}

fn bare(line: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => {
                chars.next();
            }
            '"' => {
                quoted = !quoted;
                out.push(c);
            }
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            c if !quoted => out.push(c),
            _ => {}
        }
    }
    out
}

/// Whether a line of code names a path that begins with this word: `axum::…`, `use axum;`, but not `my_axum::`.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + word.len()..];
        let begins = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let whole = word.ends_with(':') || after.chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        begins && whole
    })
}

#[test]
fn code_is_told_from_comments_and_texts() {
    assert_eq!(bare(r#"let a = "axum::x // no"; // axum::y"#), r#"let a = ""; "#);
    assert_eq!(bare(r#"let a = "\"axum"; b"#), r#"let a = ""; b"#);
    assert!(names("use axum::Router;", "axum::") && !names("use my_axum::Router;", "axum::"));
    assert!(names("    x: hyper::Body", "hyper::") && !names("hyper_util::x", "hyper::"));
}
