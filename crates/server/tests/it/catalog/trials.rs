//! Trials: once for each tenant and product.
//!
//! Invariant: whatever becomes of the entitlement, a trial that was used stays used.

use domain::Crud;
use serde_json::{Value, json};

use crate::entitlements::{offer, put};
use crate::support::server::both_stores;
use crate::support::setup::{events, path_of, traces};
use crate::support::{Answer, Service};

async fn wish(service: &Service, tenant: &Value, product: &str) -> Answer {
    let body = json!({ "tenant_id": tenant["id"], "product": product });
    service.admin.post("/v1/catalog/trial-request", body).await
}

both_stores! {
    async fn a_trial_lasts_the_days_of_its_product_and_is_had_once(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        service.admin.post_empty(&path_of(&tenant, "/activate")).await.expect(200);
        service.admin.put("/v1/catalog/crm", json!({ "name": "CRM", "trial_days": 3 })).await.expect(201);
        let before = events(&service).await.len();
        let made = wish(&service, &tenant, "crm").await.expect(201).body;
        assert_eq!((&made["state"], &made["source"], &made["effective"]), (&json!("trial"), &json!("trial"), &json!(true)));
        let at = |member: &str| made[member].as_str().unwrap().parse::<domain::Timestamp>().unwrap();
        assert_eq!(at("expires_at").as_microsecond() - at("starts_at").as_microsecond(), 3 * 24 * 3_600 * 1_000_000);
        let left = events(&service).await;
        assert_eq!(left.len(), before + 1);
        assert_eq!((left[0].action.as_str(), left[0].crud), ("trial.started", Crud::C));
        let target = left[0].target.clone().unwrap();
        assert_eq!((target.id.as_str(), target.name.as_deref()), (made["id"].as_str().unwrap(), Some("crm")));
        wish(&service, &tenant, "crm").await.problem(409, "trial_already_used");
        service.clock.advance_days(3);
        let listed = service.admin.get("/v1/entitlements").await.body["items"][0].clone();
        assert_eq!((&listed["state"], &listed["effective"]), (&json!("expired"), &json!(false)));
        wish(&service, &tenant, "crm").await.problem(409, "trial_already_used");
        // Bought since: that it was tried is told first.
        put(&service, &tenant, "crm", json!({})).await.expect(200);
        wish(&service, &tenant, "crm").await.problem(409, "trial_already_used");
    }

    async fn what_a_tenant_has_it_does_not_try(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let made = put(&service, &tenant, "crm", json!({})).await.expect(201).body;
        let before = traces(&service).await;
        wish(&service, &tenant, "crm").await.problem(409, "entitlement_already_active");
        assert_eq!(traces(&service).await, before);
        // Refusing used nothing up.
        service.admin.delete(&format!("/v1/entitlements/{}", made["id"].as_str().unwrap())).await.expect(204);
        let tried = wish(&service, &tenant, "crm").await.expect(201).body;
        assert_eq!(tried["id"], made["id"]);
    }

    async fn what_is_wrong_is_told_in_order(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        service.admin.put("/v1/catalog/closed", json!({ "name": "N", "requestable": false })).await.expect(201);
        let nobody = json!({ "id": "00000000-0000-7000-8000-000000000009" });
        wish(&service, &nobody, "unknown").await.problem(422, "unknown_product");
        wish(&service, &nobody, "closed").await.problem(422, "product_not_requestable");
        wish(&service, &nobody, "crm").await.problem(404, "tenant_not_found");
        wish(&service, &json!({ "id": 5 }), "crm").await.invalid(&[("tenant_id", "wrong_type")]);
        service.admin.post_empty(&path_of(&tenant, "/cancel")).await.expect(200);
        let made = wish(&service, &tenant, "crm").await.expect(201).body;
        assert_eq!(made["effective"], json!(false), "a platform admin is not bound, the product is not of use");
    }

    async fn of_sixteen_at_once_one_starts(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let answers = futures_util::future::join_all((0..16).map(|_| wish(&service, &tenant, "crm"))).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 1);
        for answer in refused {
            answer.problem(409, "trial_already_used");
        }
    }

    async fn a_repeated_wish_gets_the_first_answer(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let client = service.admin.with("idempotency-key", "try-1");
        let body = json!({ "tenant_id": tenant["id"], "product": "crm" });
        let first = client.post("/v1/catalog/trial-request", body.clone()).await.expect(201);
        let again = client.post("/v1/catalog/trial-request", body).await.expect(201);
        assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
    }
}
