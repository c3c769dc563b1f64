//! Revocation: at once, for good, once, and also while the tenant is frozen.

use serde_json::json;

use super::{code, key_events, listed, make, path};
use crate::support::server::both_stores;
use crate::support::setup::{each_store, path_of, tenant_admin, with_issuer};

both_stores! {
    async fn a_key_is_revoked_once(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        for owner in [acme, json!({ "id": null })] {
            let (key, text) = make(&service.admin, &owner, json!({})).await;
            assert_eq!(code(&service, &text).await, "valid");
            let before = key_events(&service).await.len();
            service.admin.delete(&path(&key)).await.expect(204);
            assert_eq!(code(&service, &text).await, "revoked");
            let revoked = listed(&service, &key).await;
            service.admin.delete(&path(&key)).await.expect(204);
            assert_eq!(listed(&service, &key).await, revoked, "the first time counts");
            let events = key_events(&service).await;
            assert_eq!(events.len(), before + 1);
            assert_eq!((events[0].action.as_str(), events[0].crud.as_str()), ("api_key.revoked", "d"));
            assert_eq!(events[0].group.map(|id| json!(id)).unwrap_or_default(), key["tenant_id"]);
        }
    }

    async fn what_is_not_there_is_not_found(service: Service) {
        for absent in ["nothing", "00000000-0000-7000-8000-000000000001"] {
            service.admin.delete(&format!("/v1/api-keys/{absent}")).await.problem(404, "not_found");
        }
        assert_eq!(key_events(&service).await.len(), 0);
        service.admin.delete("/v1/api-keys/x?force=1").await.invalid(&[("force", "unknown_field")]);
    }
}

each_store! {
    async fn a_frozen_tenants_people_and_keys_still_revoke(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let acme = service.admin.make_tenant("acme").await;
        let (one, _) = make(&service.admin, &acme, json!({})).await;
        let (two, text) = make(&service.admin, &acme, json!({ "scopes": ["api_keys:write"] })).await;
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        tenant_admin(&service, &issuer, "acme").delete(&path(&one)).await.expect(204);
        // A key may end itself.
        service.admin.bearer(&text).delete(&path(&two)).await.expect(204);
        service.admin.bearer(&text).delete(&path(&two)).await.problem(401, "unauthenticated");
        assert_eq!(key_events(&service).await[0].actor.as_ref().unwrap().id, format!("key:{}", two["id"].as_str().unwrap()));
    }

    async fn a_foreign_key_looks_like_none(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        service.admin.make_tenant("acme").await;
        let other = service.admin.make_tenant("other").await;
        let admin = tenant_admin(&service, &issuer, "acme");
        let (foreign, _) = make(&service.admin, &other, json!({})).await;
        let (platform, _) = make(&service.admin, &json!({ "id": null }), json!({})).await;
        let mut absent = admin.delete("/v1/api-keys/00000000-0000-7000-8000-000000000001").await.problem(404, "not_found").body;
        for key in [&foreign, &platform] {
            let mut answer = admin.delete(&path(key)).await.problem(404, "not_found").body;
            for own in ["request_id", "instance"] {
                absent[own] = json!(null);
                answer[own] = json!(null);
            }
            assert_eq!(answer, absent);
        }
        assert_eq!(key_events(&service).await.len(), 2);
    }
}
