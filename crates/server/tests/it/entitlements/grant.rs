//! Giving, changing and taking back.
//!
//! Invariant: one entitlement per tenant and product, whatever happens to it.

use domain::Crud;
use serde_json::{Value, json};

use super::{from_now, offer, put};
use crate::support::Service;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, events, path_of, tenant_admin, traces, with_issuer};

async fn actions(service: &Service, skip: usize) -> Vec<(String, Crud)> {
    let mut all = events(service).await;
    all.reverse();
    all.into_iter().skip(skip).map(|event| (event.action, event.crud)).collect()
}

both_stores! {
    async fn a_grant_is_new_once_and_the_same_afterwards(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let before = events(&service).await.len();
        let made = put(&service, &tenant, "crm", json!({ "limits": { "seats": 5, "sso": true } })).await.expect(201).body;
        assert_eq!(made, json!({
            "id": made["id"], "tenant_id": tenant["id"], "product": "crm", "state": "active", "effective": true,
            "source": "grant", "starts_at": null, "expires_at": null, "limits": { "seats": 5, "sso": true },
        }));
        // Nothing changed: no event.
        let same = put(&service, &tenant, "crm", json!({ "limits": { "sso": true, "seats": 5 } })).await.expect(200).body;
        assert_eq!(same, made);
        // What is not said is none.
        let end = from_now(&service, 3_600);
        let changed = put(&service, &tenant, "crm", json!({ "expires_at": end })).await.expect(200).body;
        assert_eq!((&changed["id"], &changed["limits"], &changed["expires_at"]), (&made["id"], &json!({}), &json!(end)));
        let path = format!("/v1/entitlements/{}", made["id"].as_str().unwrap());
        service.admin.delete(&path).await.expect(204);
        service.admin.delete(&path).await.expect(204);
        let listed = service.admin.get("/v1/entitlements").await.body["items"][0].clone();
        assert_eq!((&listed["state"], &listed["effective"]), (&json!("revoked"), &json!(false)));
        // After a revocation it is the same row again.
        let again = put(&service, &tenant, "crm", json!({})).await.expect(200).body;
        assert_eq!((&again["id"], &again["state"]), (&made["id"], &json!("active")));
        let expected = [
            ("entitlement.granted", Crud::C), ("entitlement.changed", Crud::U), ("entitlement.revoked", Crud::D),
            ("entitlement.granted", Crud::C),
        ].map(|(action, crud)| (action.to_owned(), crud));
        assert_eq!(actions(&service, before).await, expected);
        let newest = events(&service).await.remove(0);
        let target = newest.target.unwrap();
        assert_eq!((target.kind.as_deref(), target.id.as_str(), target.name.as_deref()),
            (Some("entitlement"), made["id"].as_str().unwrap(), Some("crm")));
        assert_eq!(newest.group.unwrap().to_string(), tenant["id"]);
        assert_eq!(newest.fields["product"], "crm");
    }

    async fn an_expired_one_is_granted_again(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        service.admin.post_empty(&path_of(&tenant, "/activate")).await.expect(200);
        offer(&service, "crm").await;
        let made = put(&service, &tenant, "crm", json!({ "expires_at": from_now(&service, 60) })).await.expect(201).body;
        service.clock.advance_days(1);
        let listed = service.admin.get("/v1/entitlements").await.body["items"][0].clone();
        assert_eq!((&listed["state"], &listed["effective"]), (&json!("expired"), &json!(false)));
        let before = events(&service).await.len();
        let again = put(&service, &tenant, "crm", json!({})).await.expect(200).body;
        assert_eq!((&again["id"], &again["state"]), (&made["id"], &json!("active")));
        assert_eq!(actions(&service, before).await, [("entitlement.granted".to_owned(), Crud::C)]);
    }

    async fn what_is_wrong_is_named_and_leaves_no_trace(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let before = traces(&service).await;
        let (past, soon, later) = (from_now(&service, -60), from_now(&service, 60), from_now(&service, 3_600));
        let long = "n".repeat(65);
        let many: serde_json::Map<String, Value> = (0..101).map(|n| (n.to_string(), json!(1))).collect();
        for (more, field, code) in [
            (json!({ "expires_at": past }), "expires_at", "out_of_range"),
            (json!({ "starts_at": soon, "expires_at": soon }), "expires_at", "out_of_range"),
            (json!({ "starts_at": later, "expires_at": soon }), "expires_at", "out_of_range"),
            (json!({ "expires_at": "tomorrow" }), "expires_at", "invalid_format"),
            (json!({ "starts_at": "2026-01-01" }), "starts_at", "invalid_format"),
            (json!({ "starts_at": 5 }), "starts_at", "wrong_type"),
            (json!({ "state": "revoked" }), "state", "not_allowed"),
            (json!({ "state": null }), "state", "wrong_type"),
            (json!({ "tenant_id": "beta" }), "tenant_id", "invalid_format"),
            (json!({ "tenant_id": null }), "tenant_id", "wrong_type"),
            (json!({ "product": null }), "product", "wrong_type"),
            (json!({ "limits": { "a": "1" } }), "limits.a", "wrong_type"),
            (json!({ "limits": { "a": null } }), "limits.a", "wrong_type"),
            (json!({ "limits": { &*long: 1 } }), &format!("limits.{long}"), "too_long"),
            (json!({ "limits": { "": 1 } }), "limits.", "too_short"),
            (json!({ "limits": { "a\nb": 1 } }), "limits.a\nb", "invalid_format"),
            (json!({ "limits": many }), "limits", "too_long"),
            (json!({ "limits": [] }), "limits", "wrong_type"),
            (json!({ "colour": "red" }), "colour", "unknown_field"),
        ] {
            put(&service, &tenant, "crm", more).await.invalid(&[(field, code)]);
        }
        service.admin.put("/v1/entitlements", json!({})).await
            .invalid(&[("tenant_id", "required"), ("product", "required"), ("state", "required")]);
        for product in ["unknown", "", "CRM", "crm "] {
            put(&service, &tenant, product, json!({})).await.problem(422, "unknown_product");
        }
        let nobody = json!({ "id": "00000000-0000-7000-8000-000000000009" });
        put(&service, &nobody, "unknown", json!({})).await.problem(422, "unknown_product");
        put(&service, &nobody, "crm", json!({})).await.problem(404, "tenant_not_found");
        for id in ["00000000-0000-7000-8000-000000000009", "1", "crm"] {
            service.admin.delete(&format!("/v1/entitlements/{id}")).await.problem(404, "not_found");
        }
        assert_eq!(traces(&service).await, before);
        // Nulls are as if nothing were said.
        put(&service, &tenant, "crm", json!({ "starts_at": null, "expires_at": null, "limits": null })).await.expect(201);
    }

    async fn a_grant_in_trial_uses_the_trial_up(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let made = put(&service, &tenant, "crm", json!({ "state": "trial" })).await.expect(201).body;
        service.admin.delete(&format!("/v1/entitlements/{}", made["id"].as_str().unwrap())).await.expect(204);
        let wish = json!({ "tenant_id": tenant["id"], "product": "crm" });
        service.admin.post("/v1/catalog/trial-request", wish).await.problem(409, "trial_already_used");
    }

    async fn of_sixteen_grants_at_once_one_is_new(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let answers = futures_util::future::join_all((0..16).map(|_| put(&service, &tenant, "crm", json!({})))).await;
        let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!((statuses[14], statuses[15]), (200, 201), "{statuses:?}");
        let granted = events(&service).await.into_iter().filter(|event| event.action.starts_with("entitlement.")).count();
        assert_eq!(granted, 1);
    }
}

each_store! {
    async fn only_platform_admins_give_and_take(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let made = put(&service, &tenant, "crm", json!({})).await.expect(201).body;
        let own = tenant_admin(&service, &issuer, "beta");
        let body = json!({ "tenant_id": tenant["id"], "product": "crm", "state": "active" });
        own.put("/v1/entitlements", body).await.problem(403, "forbidden");
        own.delete(&format!("/v1/entitlements/{}", made["id"].as_str().unwrap())).await.problem(403, "forbidden");
    }
}
