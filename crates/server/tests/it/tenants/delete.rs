//! Deleting tenants: what goes, what stays, what is free again.
//!
//! Invariant: DELETE of what is gone is what DELETE of what never was is; here both are 404, as for every foreign thing.

use serde_json::{Value, json};

use crate::support::Service;
use crate::support::server::both_stores;
use crate::support::setup::{events_of, id_of, path_of};

async fn frozen(service: &Service) -> Value {
    let body = json!({ "slug": "beta", "name": "Beta", "hosts": ["https://a.example", "https://*.w.example"] });
    let made = service.admin.post("/v1/tenants", body).await.expect(201).body;
    service.admin.post_empty(&path_of(&made, "/cancel")).await.expect(200).body
}

both_stores! {
    async fn everything_of_a_deleted_tenant_is_gone(service: Service) {
        let tenant = frozen(&service).await;
        let gone = service.admin.delete(&path_of(&tenant, "")).await.expect(204);
        assert_eq!(gone.text, "");
        for path in [
            path_of(&tenant, ""), "/v1/tenants/by-slug/beta".to_owned(), "/v1/tenants/by-host/a.example".to_owned(),
            "/v1/tenants/by-host/x.w.example".to_owned(),
        ] {
            service.admin.get(&path).await.problem(404, "not_found");
        }
        assert_eq!(service.admin.get("/v1/tenants").await.body["items"], json!([]));
        for step in ["/activate", "/cancel"] {
            service.admin.post_empty(&path_of(&tenant, step)).await.problem(404, "not_found");
        }
        service.admin.patch(&path_of(&tenant, ""), json!({})).await.problem(404, "not_found");
    }

    async fn slug_and_hosts_are_free_again(service: Service) {
        let tenant = frozen(&service).await;
        service.admin.delete(&path_of(&tenant, "")).await.expect(204);
        let again = frozen(&service).await;
        assert_ne!(id_of(&again), id_of(&tenant));
        assert_eq!(service.admin.get("/v1/tenants/by-slug/beta").await.body, again);
        assert_eq!(service.admin.get("/v1/tenants/by-host/a.example").await.body, again);
    }

    async fn its_audit_events_stay_without_their_group(service: Service) {
        let tenant = frozen(&service).await;
        let before = events_of(&service, &tenant).await;
        assert!(before.iter().all(|event| event.group.is_some()));
        service.admin.delete(&path_of(&tenant, "")).await.expect(204);
        let after = crate::support::setup::events(&service).await;
        assert_eq!(after.len(), before.len() + 1);
        assert!(after.iter().all(|event| event.group.is_none()), "{after:?}");
        assert_eq!((after[0].action.as_str(), after[0].crud.as_str()), ("tenant.deleted", "d"));
        assert_eq!(after[0].target.as_ref().unwrap().id, id_of(&tenant));
    }

    async fn of_sixteen_at_once_one_deletes(service: Service) {
        let tenant = frozen(&service).await;
        let one = |_| {
            let (admin, path) = (service.admin.clone(), path_of(&tenant, ""));
            async move { admin.delete(&path).await.status }
        };
        let mut statuses = futures_util::future::join_all((0..16).map(one)).await;
        statuses.sort_unstable();
        assert_eq!(statuses[0], 204);
        // A repeated DELETE is told that the tenant is gone, or again that it is done: never an error of ours.
        assert!(statuses.iter().all(|status| matches!(status, 204 | 404)), "{statuses:?}");
        let deleted = crate::support::setup::events(&service).await;
        assert_eq!(deleted.iter().filter(|event| event.action == "tenant.deleted").count(), 1);
    }
}
