//! Tenants, their hosts, and the probes.
//!
//! Read by [`operations`](super::operations). Invariant: rows say what the contract says (§3, §8), not what the code does.

use domain::Crud;

use super::{Clash, Effect, Has, Leaves, List, Names, Operation, READ, Start, in_state, leaves};

const PROBE: Operation = Operation { may: "public", names: Names::Nothing, ..READ };
const GET: Operation = Operation { frozen_says: &[("/status", "\"frozen\"")], ..READ };
const WRITE: Operation = Operation { verb: "POST", may: "platform_admin", effect: Effect::Changes, ..READ };

/// An event about the tenant that the path names.
const fn about(action: &'static str, crud: Crud) -> Leaves {
    Leaves { id: "{id}", ..leaves(action, crud, "tenant") }
}

pub(super) const ROWS: &[Operation] = &[
    Operation {
        id: "list_tenants",
        path: "/v1/tenants",
        query: "limit=5&status=trial",
        names: Names::Nothing,
        list: Some(List {
            adds: "create_tenant",
            key: "/id",
            owner: "/id",
            filters: &["status=trial", "status=active", "plan=starter", "q=e", "status=trial&q=e"],
        }),
        ..READ
    },
    Operation {
        id: "create_tenant",
        path: "/v1/tenants",
        body: Some(r#"{"slug":"{new}","name":"New {new}","hosts":["https://{new}.example.com"]}"#),
        names: Names::Nothing,
        success: 201,
        audit: &[
            Leaves { id: "/id", name: "New {new}", ..leaves("tenant.created", Crud::C, "tenant") },
            Leaves { name: "https://{new}.example.com", ..leaves("host.added", Crud::C, "host") },
        ],
        conflicts: &[Clash {
            code: "slug_taken",
            has: Has::Rival,
            start: Start::Trial,
            body: Some(r#"{"slug":"{other_slug}","name":"Again"}"#),
        }],
        ..WRITE
    },
    Operation { id: "get_tenant", path: "/v1/tenants/{id}", ..GET },
    Operation { id: "get_tenant_by_slug", path: "/v1/tenants/by-slug/{slug}", ..GET },
    Operation { id: "get_tenant_by_host", path: "/v1/tenants/by-host/{host}", query: "path=/deep/inside", ..GET },
    Operation {
        id: "update_tenant",
        verb: "PATCH",
        path: "/v1/tenants/{id}",
        body: Some(r#"{"name":"Renamed {new}","metadata":{"crm":"{new}"}}"#),
        audit: &[Leaves { name: "Renamed {new}", ..about("tenant.updated", Crud::U) }],
        ..WRITE
    },
    Operation {
        id: "delete_tenant",
        verb: "DELETE",
        path: "/v1/tenants/{id}",
        start: Start::Frozen,
        success: 204,
        // The events of a tenant that is gone have no group.
        audit: &[Leaves { grouped: false, ..about("tenant.deleted", Crud::D) }],
        conflicts: &[in_state(Start::Active), in_state(Start::Trial)],
        ..WRITE
    },
    Operation {
        id: "activate_tenant",
        path: "/v1/tenants/{id}/activate",
        body: Some("{}"),
        audit: &[about("tenant.activated", Crud::U)],
        conflicts: &[in_state(Start::Active)],
        ..WRITE
    },
    Operation {
        id: "cancel_tenant",
        path: "/v1/tenants/{id}/cancel",
        body: Some(r#"{"reason":"moved away"}"#),
        start: Start::Active,
        audit: &[about("tenant.cancelled", Crud::U)],
        conflicts: &[in_state(Start::Frozen)],
        ..WRITE
    },
    Operation {
        id: "provision_tenant",
        path: "/v1/tenants/{id}/provision",
        body: Some("{}"),
        has: Has::Administrator,
        audit: &[about("keycloak.invite_resent", Crud::U)],
        reveals: &["/provisioning/invite_url"],
        ..WRITE
    },
    Operation {
        id: "extend_trial",
        path: "/v1/tenants/{id}/extend-trial",
        body: Some(r#"{"days":7}"#),
        audit: &[about("tenant.trial_extended", Crud::U)],
        conflicts: &[in_state(Start::Active)],
        ..WRITE
    },
    Operation {
        id: "add_host",
        verb: "PUT",
        path: "/v1/tenants/{id}/hosts",
        body: Some(r#"{"url":"https://{new}.example.com/shop"}"#),
        may: "hosts:write",
        audit: &[Leaves { name: "https://{new}.example.com/shop", ..leaves("host.added", Crud::C, "host") }],
        conflicts: &[Clash {
            code: "host_taken",
            has: Has::Rival,
            start: Start::Trial,
            body: Some(r#"{"url":"https://{other_host}"}"#),
        }],
        ..WRITE
    },
    Operation {
        id: "remove_host",
        verb: "DELETE",
        path: "/v1/tenants/{id}/hosts",
        query: "url=https://{host}",
        may: "hosts:write",
        success: 204,
        audit: &[Leaves { name: "https://{host}", ..leaves("host.removed", Crud::D, "host") }],
        ..WRITE
    },
    Operation { id: "healthz", path: "/healthz", ..PROBE },
    Operation { id: "readyz", path: "/readyz", ..PROBE },
    Operation { id: "health", path: "/health", ..PROBE },
];
