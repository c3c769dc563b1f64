//! A frozen tenant's callers read its log and publish nothing; services and platform admins are not bound.

use serde_json::json;

use super::{actions, bare, with};
use crate::support::setup::{each_store, path_of, tenant_admin, with_issuer};

each_store! {
    async fn a_frozen_tenants_callers_read_and_publish_nothing(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let beta = service.admin.make_tenant("beta").await;
        let admin = tenant_admin(&service, &issuer, "beta");
        let keyed = admin.with("idempotency-key", "before");
        keyed.post("/v1/audit", bare("before")).await.expect(201);
        service.admin.post_empty(&path_of(&beta, "/cancel")).await.expect(200);
        for body in [bare("after"), json!([bare("after")]), with(&json!({ "group": { "id": beta["id"] } }))] {
            admin.post("/v1/audit", body).await.problem(403, "tenant_frozen");
        }
        // The order of checks: what is wrong with an event, and a tenant that is not there, come first.
        admin.post("/v1/audit", with(&json!({ "crud": "x" }))).await.invalid(&[("crud", "not_allowed")]);
        let foreign = with(&json!({ "group": { "id": "00000000-0000-7000-8000-000000000009" } }));
        admin.post("/v1/audit", foreign).await.problem(404, "tenant_not_found");
        // A freeze is judged before a repetition.
        keyed.post("/v1/audit", bare("before")).await.problem(403, "tenant_frozen");
        assert_eq!(actions(&admin, "").await, ["tenant.cancelled", "before", "tenant.created"]);
        admin.get("/v1/audit/export").await.expect(200);
        let of_beta = with(&json!({ "group": { "id": beta["id"] } }));
        service.admin.post("/v1/audit", of_beta.clone()).await.expect(201);
        let billing = service.admin.bearer(&issuer.token(issuer.claims("billing").scope("registry:internal")));
        billing.post("/v1/audit", of_beta).await.expect(201);
    }

    async fn a_trial_past_its_end_is_frozen_here_too(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        service.admin.make_tenant("beta").await;
        let admin = tenant_admin(&service, &issuer, "beta");
        admin.post("/v1/audit", bare("before")).await.expect(201);
        service.clock.advance_days(15);
        admin.post("/v1/audit", bare("after")).await.problem(403, "tenant_frozen");
    }
}
