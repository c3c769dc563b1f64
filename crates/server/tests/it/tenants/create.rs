//! Making tenants: defaults, every optional field, names that are taken.
//!
//! Invariant: a creation that is refused leaves neither a tenant nor an event nor a change. Edges are in `edges.rs`.

use domain::Timestamp;
use domain::time::plus_days;
use serde_json::{Value, json};

use crate::support::server::both_stores;
use crate::support::setup::{events_of, id_of, path_of, traces};

pub(super) fn time(tenant: &Value, member: &str) -> Timestamp {
    tenant[member].as_str().unwrap_or_else(|| panic!("{member} of {tenant}")).parse().unwrap()
}

both_stores! {
    async fn a_new_tenant_starts_in_trial_with_the_defaults(service: Service) {
        let made = service.admin.post("/v1/tenants", json!({ "slug": "beta", "name": "Beta" })).await.expect(201);
        let id = id_of(&made.body);
        assert_eq!(made.header("etag"), "\"1\"");
        assert_eq!(made.header("location"), format!("/v1/tenants/{id}"));
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
        let created = time(&made.body, "created_at");
        assert_eq!(time(&made.body, "trial_ends_at"), plus_days(created, 14));
        let expected = json!({
            "id": id, "slug": "beta", "name": "Beta", "plan": "starter", "status": "trial", "status_reason": null,
            "trial_ends_at": made.body["trial_ends_at"], "metadata": {}, "hosts": [], "version": 1,
            "created_at": made.body["created_at"], "updated_at": made.body["created_at"], "frozen_at": null,
            "provisioning": {
                "status": "skipped", "step": null, "organization_id": null, "invite_url": null,
                "invite_url_kind": null, "error": null
            }
        });
        assert_eq!(made.body, expected);
        for path in [made.header("location"), "/v1/tenants/by-slug/beta"] {
            let read = service.admin.get(path).await.expect(200);
            assert_eq!((read.text.as_str(), read.header("etag")), (made.text.as_str(), "\"1\""));
        }
    }

    async fn every_optional_field_is_kept(service: Service) {
        let body = json!({
            "slug": "beta", "name": "Βητα GmbH", "plan": "enterprise", "trial_days": 30,
            "admin_email": "first.admin+registry@beta.example", "admin_name": "Ada Admin",
            "metadata": { "zulu": "1", "alpha": "", "crm id": "ä \"quoted\" \\ 😀" },
            "hosts": ["HTTPS://Beta.example.COM:443/", "http://beta.example.com:8080/app/", "https://*.beta.example"]
        });
        let made = service.admin.post("/v1/tenants", body).await.expect(201).body;
        assert_eq!(made["name"], "Βητα GmbH");
        assert_eq!(made["plan"], "enterprise");
        assert_eq!(time(&made, "trial_ends_at"), plus_days(time(&made, "created_at"), 30));
        assert_eq!(made["metadata"], json!({ "zulu": "1", "alpha": "", "crm id": "ä \"quoted\" \\ 😀" }));
        let hosts = json!(["https://beta.example.com", "http://beta.example.com:8080/app", "https://*.beta.example"]);
        assert_eq!(made["hosts"], hosts);
        assert_eq!(made["version"], 1);
        // The way in is shown this once.
        let mut shown = made.clone();
        shown["provisioning"]["invite_url"] = json!(null);
        shown["provisioning"]["invite_url_kind"] = json!(null);
        assert_eq!(service.admin.get(&path_of(&made, "")).await.expect(200).body, shown);
        let events = events_of(&service, &made).await;
        let actions: Vec<&str> = events.iter().rev().map(|event| event.action.as_str()).collect();
        assert_eq!(actions, ["tenant.created", "host.added", "host.added", "host.added", "keycloak.provisioned"]);
        assert!(events.iter().all(|event| event.actor.as_ref().unwrap().id == "dev-token"));
    }

    async fn two_spellings_of_one_route_are_one_host(service: Service) {
        let hosts = json!(["https://beta.example/app", "http://BETA.example:8080/app/"]);
        let body = json!({ "slug": "beta", "name": "Beta", "hosts": hosts });
        let made = service.admin.post("/v1/tenants", body).await.expect(201).body;
        assert_eq!(made["hosts"], json!(["https://beta.example/app"]));
    }

    async fn a_taken_slug_is_refused_without_a_trace(service: Service) {
        service.admin.make_tenant("beta").await;
        let before = traces(&service).await;
        let again = json!({ "slug": "beta", "name": "Other", "hosts": ["https://other.example"] });
        service.admin.post("/v1/tenants", again).await.problem(409, "slug_taken");
        assert_eq!(traces(&service).await, before);
        service.admin.get("/v1/tenants/by-host/other.example").await.problem(404, "not_found");
    }

    async fn a_taken_host_leaves_nothing_half_made(service: Service) {
        let first = json!({ "slug": "beta", "name": "Beta", "hosts": ["https://taken.example/app"] });
        service.admin.post("/v1/tenants", first).await.expect(201);
        let before = traces(&service).await;
        let hosts = json!(["https://free.example", "http://TAKEN.example:81/app/"]);
        let second = json!({ "slug": "gamma", "name": "Gamma", "hosts": hosts });
        let refused = service.admin.post("/v1/tenants", second).await.problem(409, "host_taken");
        assert_eq!((&refused.body["host"], &refused.body["prefix"]), (&json!("taken.example"), &json!("/app")));
        assert_eq!(traces(&service).await, before);
        service.admin.get("/v1/tenants/by-slug/gamma").await.problem(404, "not_found");
        service.admin.get("/v1/tenants/by-host/free.example").await.problem(404, "not_found");
        service.admin.make_tenant("gamma").await;
    }

    async fn of_sixteen_at_once_one_gets_the_slug(service: Service) {
        let one = |place: usize| {
            let admin = service.admin.clone();
            async move { admin.post("/v1/tenants", json!({ "slug": "beta", "name": format!("Nr {place}") })).await }
        };
        let answers = futures_util::future::join_all((0..16).map(one)).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 1);
        for answer in refused {
            answer.problem(409, "slug_taken");
        }
        assert_eq!(traces(&service).await, (1, 1, 1));
        assert_eq!(service.admin.get("/v1/tenants/by-slug/beta").await.body, made[0].body);
    }

    async fn of_sixteen_at_once_one_gets_the_host(service: Service) {
        let one = |place: usize| {
            let admin = service.admin.clone();
            let body = json!({ "slug": format!("beta-{place}"), "name": "Beta", "hosts": ["https://one.example"] });
            async move { admin.post("/v1/tenants", body).await }
        };
        let answers = futures_util::future::join_all((0..16).map(one)).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 1);
        for answer in refused {
            answer.problem(409, "host_taken");
        }
        assert_eq!(traces(&service).await.0, 1);
    }
}
