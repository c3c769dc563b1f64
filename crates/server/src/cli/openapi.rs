//! `tenant-registry openapi`: prints the document, as it is committed in `openapi.yaml`.

use super::{Outcome, say};

pub(super) fn run() -> Outcome {
    let document = crate::api::document()?;
    say(&String::from_utf8_lossy(&document.yaml))
}
