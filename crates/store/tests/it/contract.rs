//! The contract suite, stamped onto every backend.
//!
//! Invariant: the list of cases and the suite's files agree, so that a case that was written also runs.

use std::collections::BTreeSet;
use std::path::Path;

use store::contract_suite;
use store::testing::suite::CASES;
use store::testing::{Postgres, SqliteFile, SqliteMemory};

contract_suite!(sqlite_memory, SqliteMemory);
contract_suite!(sqlite_file, SqliteFile);
contract_suite!(postgres, Postgres);

#[test]
fn every_case_that_is_written_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testing/suite");
    let mut written = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split_once("(backend: "));
        written.extend(names.map(|(name, _)| (file.clone(), name.to_owned())));
    }
    let listed: BTreeSet<_> = CASES.iter().map(|(file, name)| ((*file).to_owned(), (*name).to_owned())).collect();
    assert_eq!(listed.len(), CASES.len(), "a case is listed twice");
    assert_eq!(written, listed);
}
