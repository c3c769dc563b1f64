//! The pages of the list: whole while events are added, and reached by cursors that nobody can make.

use serde_json::{Value, json};

use super::{actions, bare, items};
use crate::support::Service;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, tenant_admin, with_issuer};

async fn cursor(service: &Service, query: &str) -> String {
    let page = service.admin.get(&format!("/v1/audit?{query}")).await.expect(200).body;
    page["next_cursor"].as_str().unwrap_or_else(|| panic!("{query} has one page: {page}")).to_owned()
}

both_stores! {
    async fn pages_neither_repeat_nor_skip_while_events_are_added(service: Service) {
        let events: Vec<Value> = (0..25).map(|n| bare(&format!("old.{n}"))).collect();
        service.admin.post("/v1/audit", json!(events)).await.expect(201);
        for filter in ["", "action=old.*", "q=OLD&crud=c"] {
            let (mut seen, mut query) = (Vec::new(), format!("limit=4&{filter}"));
            loop {
                let page = service.admin.get(&format!("/v1/audit?{query}")).await.expect(200).body;
                for event in page["items"].as_array().unwrap() {
                    seen.push(event["action"].as_str().unwrap().to_owned());
                }
                service.admin.post("/v1/audit", bare("new")).await.expect(201);
                let Some(next) = page["next_cursor"].as_str() else { break };
                query = format!("limit=4&{filter}&cursor={next}");
            }
            // A last page that is full is the last one: nobody is sent on to an empty one.
            seen.retain(|action| action != "new");
            let expected: Vec<String> = (0..25).rev().map(|n| format!("old.{n}")).collect();
            assert_eq!(seen, expected, "{filter}");
        }
    }

    async fn a_full_last_page_has_no_cursor(service: Service) {
        service.admin.post("/v1/audit", json!([bare("a"), bare("b")])).await.expect(201);
        assert_eq!(service.admin.get("/v1/audit?limit=2").await.body["next_cursor"], Value::Null);
        let first = service.admin.get("/v1/audit?limit=1").await.body;
        let rest = service.admin.get(&format!("/v1/audit?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await.body;
        assert_eq!((&rest["items"][0]["action"], &rest["next_cursor"]), (&json!("a"), &Value::Null));
        assert_eq!(actions(&service.admin, "").await, ["b", "a"]);
    }

    async fn a_cursor_that_is_not_ours_is_refused(service: Service) {
        service.admin.make_tenant("acme").await;
        service.admin.post("/v1/audit", json!([bare("a"), bare("b"), bare("c")])).await.expect(201);
        let genuine = cursor(&service, "limit=1").await;
        for bad in ["", "x", "AAAA", &format!("{genuine}AA"), &genuine[2..]] {
            service.admin.get(&format!("/v1/audit?cursor={bad}")).await.problem(400, "invalid_cursor");
        }
        for other in ["action=a", "crud=c", "q=a", "actor_id=ada", "from=2001-01-01T00:00:00Z"] {
            service.admin.get(&format!("/v1/audit?{other}&cursor={genuine}")).await.problem(400, "invalid_cursor");
        }
        let of_prefix = cursor(&service, "action=*&limit=1").await;
        service.admin.get(&format!("/v1/audit?action=a*&cursor={of_prefix}")).await.problem(400, "invalid_cursor");
        service.admin.make_tenant("other").await;
        let of_tenants = service.admin.get("/v1/tenants?limit=1").await.expect(200).body["next_cursor"].clone();
        let of_tenants = of_tenants.as_str().unwrap();
        service.admin.get(&format!("/v1/audit?cursor={of_tenants}")).await.problem(400, "invalid_cursor");
        service.admin.get(&format!("/v1/tenants?cursor={genuine}")).await.problem(400, "invalid_cursor");
        assert_eq!(items(&service.admin, &format!("cursor={genuine}&limit=2")).await.len(), 2);
    }
}

each_store! {
    async fn a_cursor_of_another_caller_is_refused(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        service.admin.make_tenant("beta").await;
        service.admin.make_tenant("gamma").await;
        let admins = cursor(&service, "limit=1").await;
        let beta = tenant_admin(&service, &issuer, "beta");
        beta.get(&format!("/v1/audit?cursor={admins}")).await.problem(400, "invalid_cursor");
        beta.post("/v1/audit", json!([bare("a"), bare("b")])).await.expect(201);
        let page = beta.get("/v1/audit?limit=1").await.expect(200).body;
        let own = page["next_cursor"].as_str().unwrap();
        tenant_admin(&service, &issuer, "gamma").get(&format!("/v1/audit?cursor={own}")).await.problem(400, "invalid_cursor");
        assert_eq!(actions(&beta, &format!("cursor={own}")).await, ["a", "tenant.created"]);
    }
}
