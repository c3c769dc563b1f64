//! The audit log: what is published, read and exported.
//!
//! Read by [`operations`](super::operations). Invariant: rows say what the contract says (§6), not what the code does.

use domain::Crud;

use super::{Effect, Has, Leaves, List, Names, Operation, READ, leaves};

pub(super) const ROWS: &[Operation] = &[
    Operation {
        id: "publish_events",
        verb: "POST",
        path: "/v1/audit",
        body: Some(
            r#"{"action":"door.opened","crud":"u","group":{"id":"{id}"},"actor":{"id":"u-1","name":"Uma"},
                "target":{"id":"d-{new}","name":"Door {new}","type":"door"}}"#,
        ),
        body_max: 8 << 20,
        may: "audit:write",
        names: Names::InBody("group.id"),
        success: 201,
        effect: Effect::Publishes,
        audit: &[Leaves { id: "d-{new}", name: "Door {new}", ..leaves("door.opened", Crud::U, "door") }],
        ..READ
    },
    Operation {
        id: "list_audit_events",
        path: "/v1/audit",
        query: "tenant_id={id}&limit=5",
        may: "audit:read",
        names: Names::InFilter,
        has: Has::Event,
        list: Some(List {
            adds: "publish_events",
            key: "/id",
            owner: "/group/id",
            filters: &[
                "tenant_id={id}",
                "crud=u",
                "action=door.*",
                "action=door.opened",
                "actor_id=u-1",
                "q=door",
                "from=2020-01-01T00:00:00Z",
                "from=2020-01-01T00:00:00Z&to=2200-01-01T00:00:00Z",
                "tenant_id={id}&crud=u",
            ],
        }),
        ..READ
    },
    Operation {
        id: "export_audit_events",
        path: "/v1/audit/export",
        query: "tenant_id={id}&crud=u",
        may: "audit:read",
        names: Names::InFilter,
        has: Has::Event,
        media: "text/csv",
        ..READ
    },
];
