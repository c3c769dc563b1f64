//! The list of keys: whose they are, in which order, page by page, and never with a secret.

use serde_json::{Value, json};

use super::{make, path};
use crate::support::client::Client;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, id_of, tenant_admin, with_issuer};

async fn ids(client: &Client, query: &str) -> Vec<Value> {
    let page = client.get(&format!("/v1/api-keys?{query}")).await.expect(200).body;
    page["items"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect()
}

both_stores! {
    async fn keys_stand_newest_first_and_revoked_ones_too(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let other = service.admin.make_tenant("other").await;
        assert_eq!(service.admin.get("/v1/api-keys").await.body, json!({ "items": [], "next_cursor": null }));
        let mut all = Vec::new();
        for owner in [&acme, &other, &json!({ "id": null }), &acme, &acme] {
            all.insert(0, make(&service.admin, owner, json!({})).await.0);
        }
        service.admin.delete(&path(&all[0])).await.expect(204);
        let of = |tenant: &Value| -> Vec<Value> {
            all.iter().filter(|key| key["tenant_id"] == tenant["id"]).map(|key| key["id"].clone()).collect()
        };
        assert_eq!(ids(&service.admin, "").await, all.iter().map(|key| key["id"].clone()).collect::<Vec<_>>());
        assert_eq!(ids(&service.admin, &format!("tenant_id={}", id_of(&acme))).await, of(&acme));
        let query = format!("tenant_id={}&limit=2", id_of(&acme));
        let first = service.admin.get(&format!("/v1/api-keys?{query}")).await.expect(200).body;
        make(&service.admin, &acme, json!({})).await;
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(ids(&service.admin, &format!("{query}&cursor={cursor}")).await, of(&acme)[2..]);
        for other in ["limit=2".to_owned(), format!("tenant_id={}", id_of(&other))] {
            service.admin.get(&format!("/v1/api-keys?{other}&cursor={cursor}")).await.problem(400, "invalid_cursor");
        }
    }

    async fn filters_are_judged(service: Service) {
        service.admin.make_tenant("acme").await;
        for (query, field, code) in [
            ("tenant_id=acme", "tenant_id", "invalid_format"), ("tenant_id=", "tenant_id", "invalid_format"),
            ("limit=0", "limit", "out_of_range"), ("limit=201", "limit", "out_of_range"), ("limit=x", "limit", "wrong_type"),
            ("revoked=1", "revoked", "unknown_field"),
        ] {
            service.admin.get(&format!("/v1/api-keys?{query}")).await.invalid(&[(field, code)]);
        }
        assert_eq!(ids(&service.admin, "limit=200").await, Vec::<Value>::new());
        let absent = "/v1/api-keys?tenant_id=00000000-0000-7000-8000-000000000001";
        service.admin.get(absent).await.problem(404, "tenant_not_found");
        service.admin.get("/v1/api-keys?cursor=x").await.problem(400, "invalid_cursor");
    }
}

each_store! {
    async fn a_tenants_caller_sees_its_own(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let acme = service.admin.make_tenant("acme").await;
        let other = service.admin.make_tenant("other").await;
        let (mine, _) = make(&service.admin, &acme, json!({})).await;
        make(&service.admin, &other, json!({})).await;
        let (_, platform) = make(&service.admin, &json!({ "id": null }), json!({ "scopes": ["api_keys:read"] })).await;
        let admin = tenant_admin(&service, &issuer, "acme");
        for query in [String::new(), format!("tenant_id={}", id_of(&acme))] {
            assert_eq!(ids(&admin, &query).await, [mine["id"].clone()]);
        }
        admin.get(&format!("/v1/api-keys?tenant_id={}", id_of(&other))).await.problem(404, "tenant_not_found");
        assert_eq!(ids(&service.admin.bearer(&platform), "").await.len(), 3);
        let member = service.admin.bearer(&issuer.token(issuer.claims("bob").role("MEMBER").tenant("acme")));
        member.get("/v1/api-keys").await.problem(403, "forbidden");
    }
}
