//! Entitlements, the catalog, and what is asked of it.
//!
//! Read by [`operations`](super::operations). Invariant: rows say what the contract says (§4), not what the code does.

use domain::Crud;

use super::{Clash, Effect, Has, Leaves, List, Names, Operation, READ, Start, leaves, with};

const WRITE: Operation = Operation { verb: "POST", may: "platform_admin", effect: Effect::Changes, ..READ };
const IN_BODY: Names = Names::InBody("tenant_id");

/// An event about an entitlement, which is named by its product.
const fn entitled(action: &'static str, crud: Crud) -> Leaves {
    Leaves { name: "{product}", ..leaves(action, crud, "entitlement") }
}

/// An event about a request, likewise.
const fn asked(action: &'static str, crud: Crud) -> Leaves {
    Leaves { id: "/id", name: "{product}", ..leaves(action, crud, "catalog") }
}

/// An event about a product, which is nobody's.
const fn product(action: &'static str, crud: Crud) -> Leaves {
    Leaves { id: "{product}", grouped: false, ..leaves(action, crud, "product") }
}

/// A body that names a product that nobody made.
const fn unknown(body: &'static str) -> Clash {
    Clash { code: "unknown_product", has: Has::Nothing, start: Start::Trial, body: Some(body) }
}

pub(super) const ROWS: &[Operation] = &[
    Operation {
        id: "list_entitlements",
        path: "/v1/entitlements",
        query: "tenant_id={id}&limit=5",
        may: "entitlements:read",
        names: Names::InFilter,
        has: Has::Entitlement,
        frozen_says: &[("/items/0/state", "\"active\""), ("/items/0/effective", "false")],
        list: Some(List { adds: "put_entitlement", key: "/id", owner: "/tenant_id", filters: &["tenant_id={id}"] }),
        ..READ
    },
    Operation {
        id: "put_entitlement",
        verb: "PUT",
        path: "/v1/entitlements",
        body: Some(r#"{"tenant_id":"{id}","product":"{product}","state":"active","limits":{"seats":5,"sso":true}}"#),
        names: IN_BODY,
        has: Has::Product,
        success: 201,
        audit: &[Leaves { id: "/id", ..entitled("entitlement.granted", Crud::C) }],
        refusals: &[unknown(r#"{"tenant_id":"{id}","product":"{new}","state":"active"}"#)],
        ..WRITE
    },
    Operation {
        id: "revoke_entitlement",
        verb: "DELETE",
        path: "/v1/entitlements/{id}",
        names: Names::Thing,
        has: Has::Entitlement,
        success: 204,
        audit: &[Leaves { id: "{thing}", ..entitled("entitlement.revoked", Crud::D) }],
        ..WRITE
    },
    Operation {
        id: "check_entitlement",
        verb: "POST",
        path: "/v1/entitlements/check",
        body: Some(r#"{"tenant_id":"{id}","product":"{product}"}"#),
        may: "entitlements:read",
        names: IN_BODY,
        has: Has::Entitlement,
        frozen_says: &[("/allowed", "false"), ("/reason", "\"tenant_frozen\"")],
        ..READ
    },
    Operation {
        id: "list_products",
        path: "/v1/catalog",
        query: "limit=5",
        may: "tenant:read | entitlements:read",
        names: Names::Nothing,
        has: Has::Product,
        list: Some(List { adds: "put_product", key: "/key", owner: "", filters: &[] }),
        ..READ
    },
    Operation {
        id: "put_product",
        verb: "PUT",
        path: "/v1/catalog/{key}",
        body: Some(r#"{"name":"New {new}","description":"Fresh","trial_days":30,"requestable":true}"#),
        names: Names::NewProduct,
        success: 201,
        audit: &[Leaves { name: "New {new}", ..product("product.created", Crud::C) }],
        ..WRITE
    },
    Operation {
        id: "delete_product",
        verb: "DELETE",
        path: "/v1/catalog/{key}",
        names: Names::Product,
        has: Has::Product,
        success: 204,
        audit: &[product("product.deleted", Crud::D)],
        conflicts: &[with(Has::Entitlement, "product_in_use"), with(Has::RevokedEntitlement, "product_in_use")],
        ..WRITE
    },
    Operation {
        id: "request_product",
        path: "/v1/catalog/request",
        body: Some(r#"{"tenant_id":"{id}","product":"{product}","message":"please"}"#),
        may: "catalog:request",
        names: IN_BODY,
        has: Has::Product,
        success: 202,
        audit: &[asked("catalog.requested", Crud::C)],
        refusals: &[
            unknown(r#"{"tenant_id":"{id}","product":"{new}"}"#),
            with(Has::HiddenProduct, "product_not_requestable"),
        ],
        conflicts: &[with(Has::Request, "request_already_open")],
        ..WRITE
    },
    Operation {
        id: "list_catalog_requests",
        path: "/v1/catalog/requests",
        query: "tenant_id={id}&status=open",
        may: "catalog:request",
        names: Names::InFilter,
        has: Has::Request,
        frozen_says: &[("/items/0/status", "\"open\"")],
        list: Some(List {
            adds: "request_product",
            key: "/id",
            owner: "/tenant_id",
            filters: &["tenant_id={id}", "status=open", "status=rejected", "tenant_id={id}&status=open"],
        }),
        ..READ
    },
    Operation {
        id: "approve_catalog_request",
        path: "/v1/catalog/requests/{id}/approve",
        body: Some(r#"{"limits":{"seats":3}}"#),
        names: Names::Thing,
        has: Has::Request,
        audit: &[asked("catalog.approved", Crud::U), entitled("entitlement.granted", Crud::C)],
        conflicts: &[with(Has::DecidedRequest, "request_already_decided")],
        ..WRITE
    },
    Operation {
        id: "reject_catalog_request",
        path: "/v1/catalog/requests/{id}/reject",
        body: Some("{}"),
        names: Names::Thing,
        has: Has::Request,
        audit: &[asked("catalog.rejected", Crud::U)],
        conflicts: &[with(Has::DecidedRequest, "request_already_decided")],
        ..WRITE
    },
    Operation {
        id: "request_trial",
        path: "/v1/catalog/trial-request",
        body: Some(r#"{"tenant_id":"{id}","product":"{product}"}"#),
        may: "catalog:request",
        names: IN_BODY,
        has: Has::Product,
        success: 201,
        audit: &[Leaves { id: "/id", ..entitled("trial.started", Crud::C) }],
        refusals: &[
            unknown(r#"{"tenant_id":"{id}","product":"{new}"}"#),
            with(Has::HiddenProduct, "product_not_requestable"),
        ],
        conflicts: &[
            with(Has::Trial, "trial_already_used"),
            with(Has::RevokedTrial, "trial_already_used"),
            with(Has::Entitlement, "entitlement_already_active"),
        ],
        ..WRITE
    },
];
