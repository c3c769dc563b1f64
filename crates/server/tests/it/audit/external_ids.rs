//! The sender's own ids: a repetition is told the first one's id, and stores nothing.

use serde_json::{Value, json};

use super::{count, with};
use crate::support::server::both_stores;
use crate::support::setup::path_of;

fn called(external: &str, tenant: &Value) -> Value {
    with(&json!({ "external_id": external, "group": { "id": tenant["id"] } }))
}

both_stores! {
    async fn a_repetition_is_the_first_one_again(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let beta = service.admin.make_tenant("beta").await;
        let first = service.admin.post("/v1/audit", called("e-1", &acme)).await.expect(201).body;
        assert_eq!(service.admin.post("/v1/audit", called("e-1", &acme)).await.expect(201).body, first);
        let array = json!([called("e-2", &acme), called("e-1", &acme), called("e-2", &acme), called("e-1", &beta)]);
        let ids = service.admin.post("/v1/audit", array.clone()).await.expect(201).body["ids"].clone();
        assert_eq!((&ids[1], &ids[2]), (&first["id"], &ids[0]));
        assert!(ids[3] != first["id"] && ids[0] != first["id"], "{ids}");
        assert_eq!(service.admin.post("/v1/audit", array).await.expect(201).body["ids"], ids);
        assert_eq!(count(&service).await, 2 + 3);
    }

    async fn events_of_no_tenant_are_not_told_apart(service: Service) {
        let event = with(&json!({ "external_id": "e" }));
        let first = service.admin.post("/v1/audit", event.clone()).await.expect(201).body;
        assert_ne!(service.admin.post("/v1/audit", event).await.expect(201).body, first);
        assert_eq!(count(&service).await, 2);
    }

    async fn of_many_that_publish_one_at_once_one_is_stored(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        for round in 0..3 {
            let one = |_| {
                let (admin, event) = (service.admin.clone(), called(&format!("e-{round}"), &acme));
                async move { admin.post("/v1/audit", event).await.expect(201).body["id"].clone() }
            };
            let ids = futures_util::future::join_all((0..8).map(one)).await;
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
            assert_eq!(count(&service).await, 1 + round + 1);
        }
    }

    async fn a_refused_array_claims_nothing(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let bad = json!([called("e", &acme), with(&json!({ "action": "" }))]);
        service.admin.post("/v1/audit", bad).await.invalid(&[("1.action", "too_short")]);
        service.admin.post("/v1/audit", called("e", &acme)).await.expect(201);
        assert_eq!(count(&service).await, 2);
    }

    async fn a_new_tenant_of_a_deleted_ones_slug_begins_anew(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let first = service.admin.post("/v1/audit", called("e", &acme)).await.expect(201).body;
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        service.admin.delete(&path_of(&acme, "")).await.expect(204);
        service.admin.post("/v1/audit", called("e", &acme)).await.problem(404, "tenant_not_found");
        let again = service.admin.make_tenant("acme").await;
        assert_ne!(service.admin.post("/v1/audit", called("e", &again)).await.expect(201).body, first);
    }
}
