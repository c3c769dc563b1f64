//! Tenants over HTTP.

use serde_json::json;

use crate::support::Service;
use crate::support::server::both_stores;

both_stores! {
    async fn a_new_tenant_starts_in_trial(service: Service) {
        let made = service.admin.post("/v1/tenants", json!({ "slug": "beta", "name": "Beta" })).await.expect(201);
        assert_eq!(made.body["status"], "trial");
        assert_eq!(made.body["plan"], "starter");
        assert_eq!(made.header("etag"), "\"1\"");
        assert_eq!(made.header("location"), format!("/v1/tenants/{}", made.body["id"].as_str().unwrap()));
        let read = service.admin.get("/v1/tenants/by-slug/beta").await.expect(200);
        assert_eq!(read.body, made.body);
    }
}
