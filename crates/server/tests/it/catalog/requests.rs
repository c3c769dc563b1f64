//! Requests: asked once, decided once, and what an approval gives.
//!
//! Invariant: an approval and its grant happen together or not at all.

use domain::Crud;
use serde_json::{Value, json};

use crate::entitlements::{from_now, offer, put};
use crate::support::server::both_stores;
use crate::support::setup::{each_store, events, id_of, path_of, tenant_admin, traces, with_issuer};
use crate::support::{Answer, Client};

async fn ask(client: &Client, tenant: &Value, product: &str) -> Answer {
    client.post("/v1/catalog/request", json!({ "tenant_id": tenant["id"], "product": product })).await
}

fn decision(request: &Value, word: &str) -> String {
    format!("/v1/catalog/requests/{}/{word}", request["id"].as_str().unwrap())
}

async fn statuses(client: &Client, query: &str) -> Vec<String> {
    let page = client.get(&format!("/v1/catalog/requests?{query}")).await.expect(200).body;
    page["items"].as_array().unwrap().iter().map(|item| item["status"].as_str().unwrap().to_owned()).collect()
}

both_stores! {
    async fn an_approval_grants_in_the_same_step(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let before = events(&service).await.len();
        let wish = json!({ "tenant_id": tenant["id"], "product": "crm", "message": "Bitte!\nDanke." });
        let made = service.admin.post("/v1/catalog/request", wish).await.expect(202).body;
        assert_eq!(made, json!({
            "id": made["id"], "tenant_id": tenant["id"], "product": "crm", "message": "Bitte!\nDanke.", "status": "open",
            "requested_by": "dev-token", "decided_by": null, "created_at": made["created_at"], "decided_at": null,
        }));
        let end = from_now(&service, 3_600);
        let body = json!({ "state": "trial", "expires_at": end, "limits": { "seats": 3 } });
        let approved = service.admin.post(&decision(&made, "approve"), body).await.expect(200).body;
        assert_eq!((&approved["status"], &approved["decided_by"]), (&json!("approved"), &json!("dev-token")));
        assert!(approved["decided_at"].is_string());
        let held = service.admin.get("/v1/entitlements").await.body["items"][0].clone();
        assert_eq!(
            (&held["state"], &held["source"], &held["expires_at"], &held["limits"]),
            (&json!("trial"), &json!("request"), &json!(end), &json!({ "seats": 3 }))
        );
        let mut left = events(&service).await;
        left.truncate(left.len() - before);
        left.reverse();
        let found: Vec<_> = left.iter().map(|event| (event.action.as_str(), event.crud)).collect();
        assert_eq!(found, [("catalog.requested", Crud::C), ("catalog.approved", Crud::U), ("entitlement.granted", Crud::C)]);
        let target = left[0].target.clone().unwrap();
        assert_eq!((target.kind.as_deref(), target.id.as_str(), target.name.as_deref()),
            (Some("catalog"), made["id"].as_str().unwrap(), Some("crm")));
        assert!(left.iter().all(|event| event.group.is_some_and(|group| group.to_string() == tenant["id"])));
        for word in ["approve", "reject"] {
            service.admin.post_empty(&decision(&made, word)).await.problem(409, "request_already_decided");
        }
        // The trial that was approved is used up.
        let again = json!({ "tenant_id": tenant["id"], "product": "crm" });
        service.admin.post("/v1/catalog/trial-request", again).await.problem(409, "trial_already_used");
    }

    async fn an_approval_needs_no_body_and_a_rejection_leaves_room_to_ask_again(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let first = ask(&service.admin, &tenant, "crm").await.expect(202).body;
        ask(&service.admin, &tenant, "crm").await.problem(409, "request_already_open");
        let rejected = service.admin.post_empty(&decision(&first, "reject")).await.expect(200).body;
        assert_eq!(rejected["status"], "rejected");
        assert_eq!(service.admin.get("/v1/entitlements").await.body["items"], json!([]));
        let second = ask(&service.admin, &tenant, "crm").await.expect(202).body;
        service.admin.post_empty(&decision(&second, "approve")).await.expect(200);
        let held = service.admin.get("/v1/entitlements").await.body["items"][0].clone();
        assert_eq!((&held["state"], &held["source"], &held["expires_at"]), (&json!("active"), &json!("request"), &Value::Null));
        assert_eq!(statuses(&service.admin, "").await, ["approved", "rejected"]);
        assert_eq!(statuses(&service.admin, "status=rejected").await, ["rejected"]);
        assert_eq!(statuses(&service.admin, &format!("status=open&tenant_id={}", id_of(&tenant))).await, Vec::<String>::new());
        service.admin.get("/v1/catalog/requests?status=closed").await.invalid(&[("status", "not_allowed")]);
        service.admin.get("/v1/catalog/requests?tenant_id=x").await.invalid(&[("tenant_id", "invalid_format")]);
        let first = service.admin.get("/v1/catalog/requests?limit=1").await.expect(200).body;
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(statuses(&service.admin, &format!("limit=1&cursor={cursor}")).await, ["rejected"]);
        service.admin.get(&format!("/v1/catalog/requests?status=open&cursor={cursor}")).await.problem(400, "invalid_cursor");
    }

    async fn what_is_wrong_is_named_and_leaves_no_trace(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        service.admin.put("/v1/catalog/closed", json!({ "name": "N", "requestable": false })).await.expect(201);
        let open = ask(&service.admin, &tenant, "crm").await.expect(202).body;
        let before = traces(&service).await;
        ask(&service.admin, &tenant, "unknown").await.problem(422, "unknown_product");
        ask(&service.admin, &tenant, "closed").await.problem(422, "product_not_requestable");
        let nobody = json!({ "id": "00000000-0000-7000-8000-000000000009" });
        ask(&service.admin, &nobody, "closed").await.problem(422, "product_not_requestable");
        ask(&service.admin, &nobody, "crm").await.problem(404, "tenant_not_found");
        ask(&service.admin, &json!({ "id": "x" }), "crm").await.invalid(&[("tenant_id", "invalid_format")]);
        let long = json!({ "tenant_id": tenant["id"], "product": "crm", "message": "m".repeat(1_001) });
        service.admin.post("/v1/catalog/request", long).await.invalid(&[("message", "too_long")]);
        for (body, field, code) in [
            (json!({ "expires_at": from_now(&service, -1) }), "expires_at", "out_of_range"),
            (json!({ "expires_at": "soon" }), "expires_at", "invalid_format"),
            (json!({ "state": "revoked" }), "state", "not_allowed"), (json!({ "limits": { "a": "b" } }), "limits.a", "wrong_type"),
            (json!({ "starts_at": null }), "starts_at", "unknown_field"),
        ] {
            service.admin.post(&decision(&open, "approve"), body).await.invalid(&[(field, code)]);
        }
        service.admin.post(&decision(&open, "reject"), json!({ "reason": "no" })).await.invalid(&[("reason", "unknown_field")]);
        for id in ["00000000-0000-7000-8000-000000000009", "1"] {
            for word in ["approve", "reject"] {
                service.admin.post_empty(&decision(&json!({ "id": id }), word)).await.problem(404, "not_found");
            }
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn the_product_may_be_gone_when_it_is_approved(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let made = ask(&service.admin, &tenant, "crm").await.expect(202).body;
        service.admin.delete("/v1/catalog/crm").await.expect(204);
        service.admin.post_empty(&decision(&made, "approve")).await.problem(422, "unknown_product");
        service.admin.post_empty(&decision(&made, "reject")).await.expect(200);
    }

    async fn of_sixteen_requests_at_once_one_is_open(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let answers = futures_util::future::join_all((0..16).map(|_| ask(&service.admin, &tenant, "crm"))).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
        assert_eq!(made.len(), 1);
        for answer in refused {
            answer.problem(409, "request_already_open");
        }
    }

    async fn of_racing_decisions_one_counts(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let made = ask(&service.admin, &tenant, "crm").await.expect(202).body;
        let one = |place: usize| {
            let (admin, path) = (service.admin.clone(), decision(&made, ["approve", "reject"][place % 2]));
            async move { admin.post_empty(&path).await }
        };
        let answers = futures_util::future::join_all((0..16).map(one)).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        for answer in lost {
            answer.problem(409, "request_already_decided");
        }
        let held = service.admin.get("/v1/entitlements").await.body["items"].as_array().unwrap().len();
        assert_eq!(held, usize::from(won[0].body["status"] == "approved"));
    }

    async fn a_repeated_request_gets_the_first_answer(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let client = service.admin.with("idempotency-key", "wish-1");
        let first = ask(&client, &tenant, "crm").await.expect(202);
        let again = ask(&client, &tenant, "crm").await.expect(202);
        assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
        let client = service.admin.with("idempotency-key", "yes-1");
        let first = client.post_empty(&decision(&first.body, "approve")).await.expect(200);
        let again = client.post_empty(&decision(&first.body, "approve")).await.expect(200);
        assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body));
    }

    async fn an_approval_changes_what_is_there(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        let held = put(&service, &tenant, "crm", json!({ "limits": { "seats": 1 } })).await.expect(201).body;
        let made = ask(&service.admin, &tenant, "crm").await.expect(202).body;
        service.admin.post(&decision(&made, "approve"), json!({ "limits": { "seats": 9 } })).await.expect(200);
        let now = service.admin.get("/v1/entitlements").await.body["items"][0].clone();
        assert_eq!((&now["id"], &now["limits"], &now["source"]), (&held["id"], &json!({ "seats": 9 }), &json!("request")));
    }
}

each_store! {
    async fn a_tenants_admin_asks_for_its_own_and_decides_nothing(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let (beta, gamma) = (service.admin.make_tenant("beta").await, service.admin.make_tenant("gamma").await);
        offer(&service, "crm").await;
        let own = tenant_admin(&service, &issuer, "beta");
        ask(&own, &gamma, "crm").await.problem(404, "tenant_not_found");
        let made = ask(&own, &beta, "crm").await.expect(202).body;
        assert_eq!(made["requested_by"], "user:admin-of-beta");
        ask(&service.admin, &gamma, "crm").await.expect(202);
        assert_eq!(statuses(&own, "").await.len(), 1);
        assert_eq!(statuses(&service.admin, "").await.len(), 2);
        own.get(&format!("/v1/catalog/requests?tenant_id={}", id_of(&gamma))).await.problem(404, "tenant_not_found");
        for word in ["approve", "reject"] {
            own.post_empty(&decision(&made, word)).await.problem(403, "forbidden");
        }
        let member = service.admin.bearer(&issuer.token(issuer.claims("mia").role("MEMBER").tenant("beta")));
        ask(&member, &beta, "crm").await.problem(403, "forbidden");
        member.get("/v1/catalog/requests").await.problem(403, "forbidden");
    }

    async fn a_frozen_tenant_asks_for_nothing_and_gets_no_kept_answer(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let beta = service.admin.make_tenant("beta").await;
        for key in ["crm", "cms"] {
            offer(&service, key).await;
        }
        let own = tenant_admin(&service, &issuer, "beta").with("idempotency-key", "wish-1");
        ask(&own, &beta, "crm").await.expect(202);
        ask(&own, &beta, "crm").await.expect(202);
        service.admin.post_empty(&path_of(&beta, "/cancel")).await.expect(200);
        ask(&own, &beta, "crm").await.problem(403, "tenant_frozen");
        let fresh = tenant_admin(&service, &issuer, "beta");
        ask(&fresh, &beta, "cms").await.problem(403, "tenant_frozen");
        ask(&fresh, &beta, "unknown").await.problem(422, "unknown_product");
        let trial = json!({ "tenant_id": beta["id"], "product": "cms" });
        fresh.post("/v1/catalog/trial-request", trial).await.problem(403, "tenant_frozen");
        assert_eq!(statuses(&fresh, "").await, ["open"], "it may look");
        ask(&service.admin, &beta, "cms").await.expect(202);
    }
}
