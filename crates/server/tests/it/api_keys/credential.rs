//! Keys as credentials of this service: what they may do, where, and until when.
//!
//! Invariant: a key that is not good is 401, one that may not is 403, and another tenant's thing is 404.

use std::time::Duration;

use domain::KeyEnv;
use serde_json::{Value, json};

use super::{after, key_events, make, minted, path, rotate, stranger};
use crate::support::Service;
use crate::support::client::Client;
use crate::support::server::both_stores;
use crate::support::setup::{id_of, path_of};

async fn with_scopes(service: &Service, tenant: &Value, scopes: &[&str]) -> Client {
    service.admin.bearer(&make(&service.admin, tenant, json!({ "scopes": scopes })).await.1)
}

both_stores! {
    async fn a_key_may_what_its_scopes_name_in_its_own_tenant(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let other = service.admin.make_tenant("other").await;
        let reader = with_scopes(&service, &acme, &["tenant:read"]).await;
        reader.get(&path_of(&acme, "")).await.expect(200);
        reader.get("/v1/tenants/by-slug/acme").await.expect(200);
        assert_eq!(reader.get("/v1/tenants").await.expect(200).body["items"].as_array().unwrap().len(), 1);
        reader.get(&path_of(&other, "")).await.problem(404, "not_found");
        let host = json!({ "url": "https://a.example" });
        reader.put(&path_of(&acme, "/hosts"), host.clone()).await.problem(403, "forbidden");
        reader.get("/v1/api-keys").await.problem(403, "forbidden");
        reader.post_empty(&path_of(&acme, "/activate")).await.problem(403, "forbidden");

        let hosts = with_scopes(&service, &acme, &["hosts:write"]).await;
        hosts.put(&path_of(&acme, "/hosts"), host.clone()).await.expect(200);
        hosts.put(&path_of(&other, "/hosts"), host).await.problem(404, "not_found");
        hosts.get(&path_of(&acme, "")).await.problem(403, "forbidden");
        let nothing = with_scopes(&service, &acme, &["reports.export", "tenant", "tenant:readx"]).await;
        nothing.get(&path_of(&acme, "")).await.problem(403, "forbidden");
    }

    async fn a_key_is_taken_in_either_header(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (_, text) = make(&service.admin, &acme, json!({ "scopes": ["tenant:read"] })).await;
        let anonymous = service.admin.anonymous();
        anonymous.bearer(&text).get(&path_of(&acme, "")).await.expect(200);
        anonymous.with("x-api-key", &text).get(&path_of(&acme, "")).await.expect(200);
        anonymous.bearer(&text).with("x-api-key", &text).get(&path_of(&acme, "")).await.expect(200);
        let (_, second) = make(&service.admin, &acme, json!({ "scopes": ["tenant:read"] })).await;
        let both = anonymous.bearer(&text).with("x-api-key", &second);
        both.get(&path_of(&acme, "")).await.problem(401, "unauthenticated");
    }

    async fn a_key_that_is_not_good_is_no_credential(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let gone = service.admin.make_tenant("gone").await;
        let scopes = json!({ "scopes": ["tenant:read"] });
        let (revoked, revoked_text) = make(&service.admin, &acme, scopes.clone()).await;
        service.admin.delete(&path(&revoked)).await.expect(204);
        let (rotated, rotated_text) = make(&service.admin, &acme, scopes.clone()).await;
        rotate(&service.admin, &rotated, 0).await.expect(201);
        let more = json!({ "scopes": ["tenant:read"], "expires_at": after(&service, 60) });
        let (_, expired_text) = make(&service.admin, &acme, more).await;
        service.admin.bearer(&expired_text).get("/v1/tenants").await.expect(200);
        let (_, orphan_text) = make(&service.admin, &gone, scopes.clone()).await;
        service.admin.bearer(&orphan_text).get("/v1/tenants").await.expect(200);
        service.admin.post_empty(&path_of(&gone, "/cancel")).await.expect(200);
        service.admin.delete(&path_of(&gone, "")).await.expect(204);
        let (_, good_text) = make(&service.admin, &acme, scopes).await;
        let typo = good_text.replace("trk_dev_", "trk_dev_0");
        service.clock.advance(Duration::from_secs(61));
        for bad in [
            &revoked_text, &rotated_text, &expired_text, &orphan_text, &typo, "trk_", "trk_dev_x",
            &stranger(KeyEnv::Dev), &stranger(KeyEnv::Live),
        ] {
            for client in [service.admin.bearer(bad), service.admin.anonymous().with("x-api-key", bad)] {
                let answer = client.get("/v1/tenants").await.problem(401, "unauthenticated");
                assert!(answer.header("www-authenticate").contains("invalid_token"), "{bad}");
                assert!(bad.len() < 9 || !answer.text.contains(&bad[8..]), "{}", answer.text);
            }
        }
        service.admin.bearer(&good_text).get("/v1/tenants").await.expect(200);
    }

    async fn a_key_of_the_platform_reaches_every_tenant_with_its_scopes(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let other = service.admin.make_tenant("other").await;
        let key = with_scopes(&service, &json!({ "id": null }), &["tenant:read", "api_keys:write", "hosts:write"]).await;
        for tenant in [&acme, &other] {
            key.get(&path_of(tenant, "")).await.expect(200);
        }
        assert_eq!(key.get("/v1/tenants").await.body["items"].as_array().unwrap().len(), 2);
        key.post("/v1/tenants", json!({ "slug": "third", "name": "Third" })).await.problem(403, "forbidden");
        // It gives away what it holds, in every tenant, but makes no key of the platform.
        make(&key, &acme, json!({ "scopes": ["tenant:read"] })).await;
        for (body, status) in [
            (json!({ "tenant_id": acme["id"], "name": "x", "scopes": ["audit:read"] }), 403),
            (json!({ "tenant_id": null, "name": "x" }), 403),
        ] {
            key.post("/v1/api-keys", body).await.problem(status, "forbidden");
        }
        // Nor does it touch one: a key that ends soon could else get itself one that does not.
        let (platform, _) = make(&service.admin, &json!({ "id": null }), json!({})).await;
        let platform = format!("/v1/api-keys/{}", platform["id"].as_str().unwrap());
        key.post_empty(&format!("{platform}/rotate")).await.problem(403, "forbidden");
        key.delete(&platform).await.problem(403, "forbidden");
        service.admin.delete(&platform).await.expect(204);
        // A freeze binds who belongs to the tenant.
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        key.put(&path_of(&acme, "/hosts"), json!({ "url": "https://a.example" })).await.expect(200);
    }

    async fn a_service_reaches_every_tenant_whoever_holds_its_scope(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let other = service.admin.make_tenant("other").await;
        let internal = with_scopes(&service, &acme, &["registry:internal", "hosts:write"]).await;
        internal.get(&path_of(&other, "")).await.expect(200);
        internal.put(&path_of(&other, "/hosts"), json!({ "url": "https://a.example" })).await.expect(200);
        internal.get("/v1/api-keys").await.problem(403, "forbidden");
        let body = json!({ "tenant_id": acme["id"], "name": "x", "scopes": ["registry:internal"] });
        internal.post("/v1/api-keys", body).await.problem(403, "forbidden");
    }

    async fn a_frozen_tenants_key_reads_and_revokes_and_nothing_else(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let scopes = ["tenant:read", "hosts:write", "api_keys:read", "api_keys:write"];
        let key = with_scopes(&service, &acme, &scopes).await;
        let (victim, _) = make(&key, &acme, json!({ "scopes": ["hosts:write"] })).await;
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        key.get(&path_of(&acme, "")).await.expect(200);
        key.get("/v1/api-keys").await.expect(200);
        key.put(&path_of(&acme, "/hosts"), json!({ "url": "https://a.example" })).await.problem(403, "tenant_frozen");
        key.post("/v1/api-keys", json!({ "tenant_id": acme["id"], "name": "x" })).await.problem(403, "tenant_frozen");
        rotate(&key, &victim, 0).await.problem(403, "tenant_frozen");
        key.delete(&path(&victim)).await.expect(204);
    }

    async fn a_key_acts_under_its_own_name_and_has_its_own_idempotency_keys(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (maker, text) = make(&service.admin, &acme, json!({ "scopes": ["api_keys:write"] })).await;
        let body = json!({ "tenant_id": acme["id"], "name": "x" });
        let keyed = service.admin.bearer(&text).with("idempotency-key", "once");
        let (made, _) = minted(keyed.post("/v1/api-keys", body.clone()).await);
        assert_eq!(made["created_by"], format!("key:{}", id_of(&maker)));
        let replayed = keyed.post("/v1/api-keys", body.clone()).await.expect(201);
        assert_eq!((&replayed.body["api_key"]["id"], &replayed.body["plaintext"]), (&made["id"], &Value::Null));
        let others = service.admin.with("idempotency-key", "once").post("/v1/api-keys", body).await.expect(201);
        assert_ne!(others.body["api_key"]["id"], made["id"]);
        assert_eq!(key_events(&service).await[1].actor.as_ref().unwrap().id, format!("key:{}", id_of(&maker)));
    }
}
