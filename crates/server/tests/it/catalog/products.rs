//! Products: who sees which, and how they come and go.
//!
//! Invariant: a product that a tenant has, or had, stays.

use serde_json::{Value, json};

use crate::entitlements::put;
use crate::support::server::{both_stores, open_store};
use crate::support::setup::{each_store, events, tenant_admin, traces, with_issuer};
use crate::support::{Client, Options, Service, StoreKind};

async fn keys(client: &Client, query: &str) -> Vec<String> {
    let page = client.get(&format!("/v1/catalog?{query}")).await.expect(200).body;
    page["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap().to_owned()).collect()
}

both_stores! {
    async fn a_product_is_put_replaced_and_deleted(service: Service) {
        let before = events(&service).await.len();
        let full = json!({ "name": "CRM", "description": "Kunden\nund mehr", "trial_days": 30, "requestable": false });
        let made = service.admin.put("/v1/catalog/crm.pro-2_x", full.clone()).await.expect(201).body;
        let mut expected = full.clone();
        expected["key"] = json!("crm.pro-2_x");
        assert_eq!(made, expected);
        assert_eq!(service.admin.put("/v1/catalog/crm.pro-2_x", full).await.expect(200).body, expected);
        assert_eq!(service.admin.get("/v1/catalog").await.body, json!({ "items": [expected], "next_cursor": null }));
        let bare = service.admin.put("/v1/catalog/crm.pro-2_x", json!({ "name": "CRM" })).await.expect(200).body;
        let expected = json!({
            "key": "crm.pro-2_x", "name": "CRM", "description": null, "trial_days": 14, "requestable": true,
        });
        assert_eq!(bare, expected);
        service.admin.delete("/v1/catalog/crm.pro-2_x").await.expect(204);
        service.admin.delete("/v1/catalog/crm.pro-2_x").await.problem(404, "not_found");
        assert_eq!(keys(&service.admin, "").await, Vec::<String>::new());
        let mut left = events(&service).await;
        left.truncate(left.len() - before);
        left.reverse();
        let actions: Vec<_> = left.iter().map(|event| event.action.as_str()).collect();
        assert_eq!(actions, ["product.created", "product.updated", "product.deleted"]);
        assert!(left.iter().all(|event| event.group.is_none()));
        let target = left[0].target.clone().unwrap();
        assert_eq!((target.kind.as_deref(), target.id.as_str()), (Some("product"), "crm.pro-2_x"));
    }

    async fn what_is_wrong_with_a_product_is_named(service: Service) {
        let before = traces(&service).await;
        let long = "n".repeat(65);
        for (key, code) in [("A", "invalid_format"), ("-a", "invalid_format"), ("a.", "invalid_format"), ("a%20b", "invalid_format"),
            ("%FF", "invalid_format"), ("a%00", "invalid_format"), (&*long, "too_long")] {
            service.admin.put(&format!("/v1/catalog/{key}"), json!({ "name": "N" })).await.invalid(&[("key", code)]);
        }
        for (body, field, code) in [
            (json!({}), "name", "required"), (json!({ "name": null }), "name", "wrong_type"), (json!({ "name": " " }), "name", "too_short"),
            (json!({ "name": "n".repeat(256) }), "name", "too_long"), (json!({ "name": "a\tb" }), "name", "invalid_format"),
            (json!({ "name": "N", "description": "d".repeat(2_001) }), "description", "too_long"),
            (json!({ "name": "N", "trial_days": 0 }), "trial_days", "out_of_range"),
            (json!({ "name": "N", "trial_days": 366 }), "trial_days", "out_of_range"),
            (json!({ "name": "N", "requestable": "yes" }), "requestable", "wrong_type"),
            (json!({ "name": "N", "key": "k" }), "key", "unknown_field"),
        ] {
            service.admin.put("/v1/catalog/crm", body).await.invalid(&[(field, code)]);
        }
        service.admin.delete("/v1/catalog/Not%20One").await.problem(404, "not_found");
        assert_eq!(traces(&service).await, before);
        let edges = json!({ "name": "n".repeat(255), "description": "d".repeat(2_000), "trial_days": 365, "requestable": null });
        service.admin.put(&format!("/v1/catalog/{}", "k".repeat(64)), edges).await.expect(201);
    }

    async fn a_product_in_use_stays_even_when_it_was_revoked(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        service.admin.put("/v1/catalog/crm", json!({ "name": "CRM" })).await.expect(201);
        let made = put(&service, &tenant, "crm", json!({})).await.expect(201).body;
        service.admin.delete("/v1/catalog/crm").await.problem(409, "product_in_use");
        service.admin.delete(&format!("/v1/entitlements/{}", made["id"].as_str().unwrap())).await.expect(204);
        service.admin.delete("/v1/catalog/crm").await.problem(409, "product_in_use");
    }

    async fn the_newest_stand_first_and_pages_follow(service: Service) {
        for key in ["b", "c", "a"] {
            service.admin.put(&format!("/v1/catalog/{key}"), json!({ "name": key })).await.expect(201);
        }
        assert_eq!(keys(&service.admin, "").await, ["a", "c", "b"]);
        let first = service.admin.get("/v1/catalog?limit=2").await.expect(200).body;
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(keys(&service.admin, &format!("limit=2&cursor={cursor}")).await, ["b"]);
        service.admin.get("/v1/catalog?cursor=x").await.problem(400, "invalid_cursor");
        service.admin.get("/v1/catalog?limit=0").await.invalid(&[("limit", "out_of_range")]);
        service.admin.get("/v1/catalog?q=a").await.invalid(&[("q", "unknown_field")]);
    }

    async fn of_sixteen_puts_at_once_one_is_new(service: Service) {
        let one = |place: i32| {
            let admin = service.admin.clone();
            async move { admin.put("/v1/catalog/crm", json!({ "name": format!("CRM {place}") })).await.status }
        };
        let mut statuses = futures_util::future::join_all((0..16).map(one)).await;
        statuses.sort_unstable();
        assert_eq!((statuses[0], statuses[14], statuses[15]), (200, 200, 201));
    }
}

each_store! {
    async fn only_platform_admins_see_what_cannot_be_requested_and_change_anything(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        service.admin.make_tenant("beta").await;
        for (key, requestable) in [("open", true), ("closed", false)] {
            let body = json!({ "name": key, "requestable": requestable });
            service.admin.put(&format!("/v1/catalog/{key}"), body).await.expect(201);
        }
        assert_eq!(keys(&service.admin, "").await, ["closed", "open"]);
        let member = service.admin.bearer(&issuer.token(issuer.claims("mia").role("MEMBER").tenant("beta")));
        let robot = service.admin.bearer(&issuer.token(issuer.claims("robot").scope("registry:internal")));
        for client in [&member, &robot, &tenant_admin(&service, &issuer, "beta")] {
            assert_eq!(keys(client, "").await, ["open"]);
            client.put("/v1/catalog/open", json!({ "name": "N" })).await.problem(403, "forbidden");
            client.delete("/v1/catalog/open").await.problem(403, "forbidden");
        }
        let nobody = service.admin.bearer(&issuer.token(issuer.claims("nobody")));
        nobody.get("/v1/catalog").await.problem(403, "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_memory_starts_with_three_products_that_can_be_requested() {
    let options = Options { store: Some(open_store(StoreKind::Sqlite).await), seed_acme: true, ..Options::default() };
    let service = Service::start_with(StoreKind::Sqlite, options).await;
    let page = service.admin.get("/v1/catalog").await.expect(200).body;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert!(items.iter().all(|item| item["requestable"] == true && item["description"].is_string()));
    let days: std::collections::BTreeSet<_> = items.iter().map(|item| item["trial_days"].as_u64()).collect();
    assert_eq!(days.len(), 3);
    let acme: Value = json!({ "id": domain::ACME.to_string() });
    put(&service, &acme, items[0]["key"].as_str().unwrap(), json!({})).await.expect(201);
}
