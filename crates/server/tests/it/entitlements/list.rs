//! The list of entitlements: whose, in which order, and what it says of the tenant's standing.
//!
//! Invariant: nobody sees another tenant's.

use serde_json::{Value, json};

use super::{offer, put};
use crate::support::Client;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, id_of, path_of, tenant_admin, with_issuer};

async fn products(client: &Client, query: &str) -> Vec<(String, bool)> {
    let page = client.get(&format!("/v1/entitlements?{query}")).await.expect(200).body;
    let read = |item: &Value| (item["product"].as_str().unwrap().to_owned(), item["effective"].as_bool().unwrap());
    page["items"].as_array().unwrap().iter().map(read).collect()
}

fn all(products: &[&str], effective: bool) -> Vec<(String, bool)> {
    products.iter().map(|product| ((*product).to_owned(), effective)).collect()
}

both_stores! {
    async fn effective_follows_the_tenant(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        put(&service, &tenant, "crm", json!({})).await.expect(201);
        assert_eq!(products(&service.admin, "").await, all(&["crm"], true));
        service.admin.post_empty(&path_of(&tenant, "/cancel")).await.expect(200);
        assert_eq!(products(&service.admin, "").await, all(&["crm"], false));
        service.admin.post_empty(&path_of(&tenant, "/activate")).await.expect(200);
        assert_eq!(products(&service.admin, "").await, all(&["crm"], true));
    }

    async fn a_trial_of_the_tenant_that_ran_out_counts_as_frozen_at_once(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        offer(&service, "crm").await;
        put(&service, &tenant, "crm", json!({})).await.expect(201);
        service.clock.advance_days(14);
        assert_eq!(products(&service.admin, "").await, all(&["crm"], false));
    }

    async fn pages_and_filters(service: Service) {
        let (beta, gamma) = (service.admin.make_tenant("beta").await, service.admin.make_tenant("gamma").await);
        for key in ["a", "b", "c"] {
            offer(&service, key).await;
            put(&service, &beta, key, json!({})).await.expect(201);
            put(&service, &gamma, key, json!({})).await.expect(201);
        }
        let of_beta = format!("tenant_id={}", id_of(&beta));
        assert_eq!(products(&service.admin, "").await.len(), 6);
        assert_eq!(products(&service.admin, &of_beta).await, all(&["c", "b", "a"], true));
        let first = service.admin.get(&format!("/v1/entitlements?{of_beta}&limit=2")).await.expect(200).body;
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(products(&service.admin, &format!("{of_beta}&limit=2&cursor={cursor}")).await, all(&["a"], true));
        service.admin.get(&format!("/v1/entitlements?cursor={cursor}")).await.problem(400, "invalid_cursor");
        service.admin.get("/v1/entitlements?tenant_id=1").await.invalid(&[("tenant_id", "invalid_format")]);
        service.admin.get("/v1/entitlements?product=a").await.invalid(&[("product", "unknown_field")]);
        let nobody = "00000000-0000-7000-8000-000000000009";
        service.admin.get(&format!("/v1/entitlements?tenant_id={nobody}")).await.problem(404, "tenant_not_found");
    }
}

each_store! {
    async fn a_tenants_callers_see_their_own(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let (beta, gamma) = (service.admin.make_tenant("beta").await, service.admin.make_tenant("gamma").await);
        for key in ["crm", "cms"] {
            offer(&service, key).await;
        }
        put(&service, &beta, "crm", json!({})).await.expect(201);
        put(&service, &gamma, "cms", json!({})).await.expect(201);
        let member = service.admin.bearer(&issuer.token(issuer.claims("mia").role("MEMBER").tenant("beta")));
        for client in [tenant_admin(&service, &issuer, "beta"), member] {
            assert_eq!(products(&client, "").await, all(&["crm"], true));
            assert_eq!(products(&client, &format!("tenant_id={}", id_of(&beta))).await, all(&["crm"], true));
            let foreign = client.get(&format!("/v1/entitlements?tenant_id={}", id_of(&gamma))).await;
            foreign.problem(404, "tenant_not_found");
        }
        let internal = issuer.claims("robot").scope("registry:internal");
        assert_eq!(products(&service.admin.bearer(&issuer.token(internal)), "").await.len(), 2);
        let nobody = service.admin.bearer(&issuer.token(issuer.claims("nobody")));
        nobody.get("/v1/entitlements").await.problem(403, "forbidden");
    }
}
