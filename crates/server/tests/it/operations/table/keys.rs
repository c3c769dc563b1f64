//! API keys, and what services ask about them.
//!
//! Read by [`operations`](super::operations). Invariant: rows say what the contract says (§5), not what the code does.

use domain::Crud;

use super::{Effect, Has, Leaves, List, Names, Operation, READ, leaves, with};

const WRITE: Operation = Operation { verb: "POST", may: "api_keys:write", effect: Effect::Changes, ..READ };

pub(super) const ROWS: &[Operation] = &[
    Operation {
        id: "list_api_keys",
        path: "/v1/api-keys",
        query: "tenant_id={id}&limit=5",
        may: "api_keys:read",
        names: Names::InFilter,
        has: Has::ApiKey,
        list: Some(List { adds: "create_api_key", key: "/id", owner: "/tenant_id", filters: &["tenant_id={id}"] }),
        ..READ
    },
    Operation {
        id: "create_api_key",
        path: "/v1/api-keys",
        body: Some(r#"{"tenant_id":"{id}","name":"Key {new}","scopes":["tenant:read"]}"#),
        names: Names::InBody("tenant_id"),
        success: 201,
        audit: &[Leaves { id: "/api_key/id", name: "Key {new}", ..leaves("api_key.created", Crud::C, "api_key") }],
        reveals: &["/plaintext"],
        ..WRITE
    },
    Operation {
        id: "rotate_api_key",
        path: "/v1/api-keys/{id}/rotate",
        body: Some(r#"{"overlap_seconds":60}"#),
        names: Names::Thing,
        has: Has::ApiKey,
        success: 201,
        // One event, about the key that was rotated.
        audit: &[Leaves { id: "{thing}", name: "Key of {slug}", ..leaves("api_key.rotated", Crud::U, "api_key") }],
        conflicts: &[
            with(Has::RevokedKey, "key_not_rotatable"),
            with(Has::RotatedKey, "key_not_rotatable"),
            with(Has::OverlappingKey, "key_not_rotatable"),
        ],
        reveals: &["/plaintext"],
        ..WRITE
    },
    Operation {
        id: "revoke_api_key",
        verb: "DELETE",
        path: "/v1/api-keys/{id}",
        names: Names::Thing,
        has: Has::ApiKey,
        success: 204,
        effect: Effect::ChangesEvenFrozen,
        audit: &[Leaves { id: "{thing}", name: "Key of {slug}", ..leaves("api_key.revoked", Crud::D, "api_key") }],
        ..WRITE
    },
    Operation {
        id: "verify_api_key",
        verb: "POST",
        path: "/v1/internal/api-keys/verify",
        body: Some(r#"{"key":"{secret}","scope":"tenant:read"}"#),
        may: "registry:internal",
        names: Names::Nothing,
        has: Has::ApiKey,
        frozen_says: &[("/valid", "false"), ("/code", "\"tenant_frozen\""), ("/products", "[]")],
        ..READ
    },
];
