//! The operation table (house rule 11): every operation of the document, with what the derived tests must know of it.
//!
//! Add yours here: a row is all that a new operation needs for its 401, 403, 404, 405, 4xx-order, audit, freeze,
//! idempotency and If-Match tests. Texts are filled by [`Subject::fill`](super::world::Subject::fill). Invariant: table and
//! document list the same operations, with the same words about who may call.

use domain::Crud;
use reqwest::Method;

/// In which state an operation wants the tenant that it is called on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Trial,
    Active,
    Frozen,
}

/// What the path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// One tenant: a foreign one and an absent one are 404.
    Tenant,
    /// Nothing that could be foreign.
    Nothing,
}

/// How an operation meets a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    None,
    /// The tenant is in a state that the call does not take: 409 `invalid_transition`.
    In(Start),
    /// This body wants what another tenant has (`{other_slug}`, `{other_host}`): 409 with this code.
    Taken {
        body: &'static str,
        code: &'static str,
    },
}

/// One event that an operation leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaves {
    pub(crate) action: &'static str,
    pub(crate) crud: Crud,
    /// The type of the target.
    pub(crate) target: &'static str,
}

/// An operation of the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// `operationId`.
    pub(crate) id: &'static str,
    /// The HTTP method.
    pub(crate) verb: &'static str,
    /// As in the document.
    pub(crate) path: &'static str,
    /// The query of a good call, without `?`.
    pub(crate) query: &'static str,
    /// The body of a good call, where the operation takes one.
    pub(crate) body: Option<&'static str>,
    /// `x-may-call`.
    pub(crate) may: &'static str,
    pub(crate) names: Names,
    /// The tenant that a good call wants.
    pub(crate) start: Start,
    /// The status of a good call.
    pub(crate) success: u16,
    /// What a good call leaves in the audit log; nothing means that it changes nothing.
    pub(crate) audit: &'static [Leaves],
    pub(crate) conflict: Conflict,
}

impl Operation {
    pub(crate) fn method(&self) -> Method {
        self.verb.parse().unwrap()
    }

    /// Whether it changes anything.
    pub(crate) fn writes(&self) -> bool {
        !self.audit.is_empty()
    }

    /// Whether it is a write to a tenant that the path names, which honours `If-Match`.
    pub(crate) fn writes_to_tenant(&self) -> bool {
        self.writes() && self.names == Names::Tenant
    }

    pub(crate) fn is_public(&self) -> bool {
        self.may == "public"
    }
}

const fn leaves(action: &'static str, crud: Crud, target: &'static str) -> Leaves {
    Leaves { action, crud, target }
}

/// A read of one tenant, which the other rows are told as a difference to.
const READ: Operation = Operation {
    id: "",
    verb: "GET",
    path: "",
    query: "",
    body: None,
    may: "tenant:read",
    names: Names::Tenant,
    start: Start::Trial,
    success: 200,
    audit: &[],
    conflict: Conflict::None,
};
const PROBE: Operation = Operation { may: "public", names: Names::Nothing, ..READ };

/// Every operation. Add yours here.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation { id: "list_tenants", path: "/v1/tenants", query: "limit=5&status=trial", names: Names::Nothing, ..READ },
    Operation {
        id: "create_tenant",
        verb: "POST",
        path: "/v1/tenants",
        body: Some(r#"{"slug":"{new}","name":"New {new}","hosts":["https://{new}.example.com"]}"#),
        may: "platform_admin",
        names: Names::Nothing,
        success: 201,
        audit: &[leaves("tenant.created", Crud::C, "tenant"), leaves("host.added", Crud::C, "host")],
        conflict: Conflict::Taken { body: r#"{"slug":"{other_slug}","name":"Again"}"#, code: "slug_taken" },
        ..READ
    },
    Operation { id: "get_tenant", path: "/v1/tenants/{id}", ..READ },
    Operation { id: "get_tenant_by_slug", path: "/v1/tenants/by-slug/{slug}", ..READ },
    Operation { id: "get_tenant_by_host", path: "/v1/tenants/by-host/{host}", query: "path=/deep/inside", ..READ },
    Operation {
        id: "update_tenant",
        verb: "PATCH",
        path: "/v1/tenants/{id}",
        body: Some(r#"{"name":"Renamed {new}","metadata":{"crm":"{new}"}}"#),
        may: "platform_admin",
        audit: &[leaves("tenant.updated", Crud::U, "tenant")],
        ..READ
    },
    Operation {
        id: "delete_tenant",
        verb: "DELETE",
        path: "/v1/tenants/{id}",
        may: "platform_admin",
        start: Start::Frozen,
        success: 204,
        audit: &[leaves("tenant.deleted", Crud::D, "tenant")],
        conflict: Conflict::In(Start::Active),
        ..READ
    },
    Operation {
        id: "activate_tenant",
        verb: "POST",
        path: "/v1/tenants/{id}/activate",
        body: Some("{}"),
        may: "platform_admin",
        audit: &[leaves("tenant.activated", Crud::U, "tenant")],
        conflict: Conflict::In(Start::Active),
        ..READ
    },
    Operation {
        id: "cancel_tenant",
        verb: "POST",
        path: "/v1/tenants/{id}/cancel",
        body: Some(r#"{"reason":"moved away"}"#),
        may: "platform_admin",
        start: Start::Active,
        audit: &[leaves("tenant.cancelled", Crud::U, "tenant")],
        conflict: Conflict::In(Start::Frozen),
        ..READ
    },
    Operation {
        id: "extend_trial",
        verb: "POST",
        path: "/v1/tenants/{id}/extend-trial",
        body: Some(r#"{"days":7}"#),
        may: "platform_admin",
        audit: &[leaves("tenant.trial_extended", Crud::U, "tenant")],
        conflict: Conflict::In(Start::Active),
        ..READ
    },
    Operation {
        id: "add_host",
        verb: "PUT",
        path: "/v1/tenants/{id}/hosts",
        body: Some(r#"{"url":"https://{new}.example.com/shop"}"#),
        may: "hosts:write",
        audit: &[leaves("host.added", Crud::C, "host")],
        conflict: Conflict::Taken { body: r#"{"url":"https://{other_host}"}"#, code: "host_taken" },
        ..READ
    },
    Operation {
        id: "remove_host",
        verb: "DELETE",
        path: "/v1/tenants/{id}/hosts",
        query: "url=https://{host}",
        may: "hosts:write",
        success: 204,
        audit: &[leaves("host.removed", Crud::D, "host")],
        ..READ
    },
    Operation { id: "healthz", path: "/healthz", ..PROBE },
    Operation { id: "readyz", path: "/readyz", ..PROBE },
    Operation { id: "health", path: "/health", ..PROBE },
];

/// Routes that are served and stand in no document: (path, media type). May only shrink.
pub(crate) const UNDOCUMENTED: &[&str] = &["/docs", "/metrics", "/openapi.json", "/openapi.yaml"];
