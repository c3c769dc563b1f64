//! What Keycloak asks.
//!
//! Read by [`operations`](super::operations). Invariant: rows say what the contract says (§7), not what the code does.

use super::{Names, Operation, READ};

pub(super) const ROWS: &[Operation] = &[Operation {
    id: "get_claims",
    verb: "POST",
    path: "/v1/internal/keycloak/claims",
    body: Some(r#"{"tenant_id":"{id}"}"#),
    may: "registry:internal",
    names: Names::InBody("tenant_id"),
    frozen_says: &[("/status", "\"frozen\""), ("/products", "[]")],
    ..READ
}];
