//! Rotation: a new key with the same properties, and an old one that never lives longer than it would have.
//!
//! Three faults of a peer are kept out here: a prefix that is cut, a life that grows, and an old key that stays good.

use std::time::Duration;

use serde_json::{Value, json};

use super::{after, code, key_events, listed, make, minted, path, rotate};
use crate::support::server::both_stores;
use crate::support::setup::{each_store, id_of, path_of, tenant_admin, with_issuer};

both_stores! {
    async fn a_rotated_key_passes_its_properties_on_and_ends_at_once(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let more = json!({ "name": "CI", "scopes": ["tenant:read", "b"], "expires_at": "2999-01-01T00:00:00Z" });
        let (old, old_text) = make(&service.admin, &acme, more).await;
        // Without a body there is no overlap.
        let (new, new_text) = minted(service.admin.post_empty(&format!("{}/rotate", path(&old))).await);
        let mut expected = old.clone();
        for own in ["id", "last_four", "created_at"] {
            assert_ne!(new[own], old[own], "{own}");
            expected[own] = new[own].clone();
        }
        assert_eq!(new, expected, "the whole prefix among it");
        assert!(new_text.starts_with("trk_dev_") && new_text != old_text);
        assert_eq!((code(&service, &old_text).await, code(&service, &new_text).await), ("revoked".into(), "valid".into()));
        assert!(listed(&service, &old).await["revoked_at"].is_string());

        let events = key_events(&service).await;
        assert_eq!(events.len(), 2);
        let (rotated, target) = (&events[0], events[0].target.as_ref().unwrap());
        assert_eq!((rotated.action.as_str(), rotated.crud.as_str()), ("api_key.rotated", "u"));
        assert_eq!((target.id.clone(), target.kind.as_deref()), (id_of(&old), Some("api_key")));
        let fields = serde_json::to_value(&rotated.fields).unwrap();
        assert_eq!(fields, json!({ "new_key_id": new["id"], "overlap_seconds": "0" }));
    }

    async fn with_an_overlap_the_old_key_lives_on_and_then_expires(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        service.admin.post_empty(&path_of(&acme, "/activate")).await.expect(200);
        let (old, old_text) = make(&service.admin, &acme, json!({})).await;
        let (_, new_text) = minted(rotate(&service.admin, &old, 604_800).await);
        assert_eq!((code(&service, &old_text).await, code(&service, &new_text).await), ("valid".into(), "valid".into()));
        service.clock.advance(Duration::from_secs(604_790));
        assert_eq!(code(&service, &old_text).await, "valid");
        service.clock.advance(Duration::from_secs(11));
        assert_eq!((code(&service, &old_text).await, code(&service, &new_text).await), ("expired".into(), "valid".into()));
        assert_eq!(listed(&service, &old).await["revoked_at"], Value::Null);
    }

    async fn an_overlap_never_lengthens_a_life(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let end = after(&service, 60);
        let (old, _) = make(&service.admin, &acme, json!({ "expires_at": end })).await;
        let (new, _) = minted(rotate(&service.admin, &old, 3_600).await);
        assert_eq!(listed(&service, &old).await["expires_at"], old["expires_at"]);
        assert_eq!(new["expires_at"], old["expires_at"]);
    }

    async fn a_key_that_ends_or_has_a_successor_is_not_rotated(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (revoked, _) = make(&service.admin, &acme, json!({})).await;
        service.admin.delete(&path(&revoked)).await.expect(204);
        let (expired, _) = make(&service.admin, &acme, json!({ "expires_at": after(&service, 30) })).await;
        let (rotated, rotated_text) = make(&service.admin, &acme, json!({})).await;
        rotate(&service.admin, &rotated, 600).await.expect(201);
        service.clock.advance(Duration::from_secs(31));
        assert_eq!(code(&service, &rotated_text).await, "valid", "and all the same");
        let before = key_events(&service).await.len();
        for key in [&revoked, &expired, &rotated] {
            rotate(&service.admin, key, 10).await.problem(409, "key_not_rotatable");
        }
        assert_eq!(key_events(&service).await.len(), before);
        // What lives on during its overlap can still be revoked.
        service.admin.delete(&path(&rotated)).await.expect(204);
        assert_eq!(code(&service, &rotated_text).await, "revoked");
    }

    async fn of_many_rotations_at_once_one_wins(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        for owner in [acme, json!({ "id": null })] {
            let (key, _) = make(&service.admin, &owner, json!({})).await;
            let before = key_events(&service).await.len();
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..16 {
                let (client, key) = (service.admin.clone(), key.clone());
                running.spawn(async move { rotate(&client, &key, 60).await.status });
            }
            let mut statuses = running.join_all().await;
            statuses.sort_unstable();
            assert_eq!(statuses, [vec![201], vec![409; 15]].concat());
            assert_eq!(key_events(&service).await.len(), before + 1);
        }
    }

    async fn a_repeated_rotation_gives_the_key_without_its_text(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (key, _) = make(&service.admin, &acme, json!({})).await;
        let keyed = service.admin.with("idempotency-key", "once");
        let first = rotate(&keyed, &key, 60).await.expect(201).body;
        let again = rotate(&keyed, &key, 60).await.expect(201);
        assert_eq!(again.body, json!({ "api_key": first["api_key"], "plaintext": null }));
        assert_eq!(key_events(&service).await.len(), 2);
    }

    async fn input_is_held_to_its_limits(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let (key, _) = make(&service.admin, &acme, json!({})).await;
        let rotate = format!("{}/rotate", path(&key));
        for (body, field, code) in [
            (json!({ "overlap_seconds": -1 }), "overlap_seconds", "out_of_range"),
            (json!({ "overlap_seconds": 604_801 }), "overlap_seconds", "out_of_range"),
            (json!({ "overlap_seconds": "60" }), "overlap_seconds", "wrong_type"),
            (json!({ "overlap_seconds": 1.5 }), "overlap_seconds", "wrong_type"),
            (json!({ "expires_at": null }), "expires_at", "unknown_field"),
        ] {
            service.admin.post(&rotate, body.clone()).await.invalid(&[(field, code)]);
            // 422 comes before 404.
            service.admin.post("/v1/api-keys/nothing/rotate", body).await.invalid(&[(field, code)]);
        }
        for absent in ["nothing", "00000000-0000-7000-8000-000000000001"] {
            service.admin.post_empty(&format!("/v1/api-keys/{absent}/rotate")).await.problem(404, "not_found");
        }
        service.admin.post(&rotate, json!({ "overlap_seconds": null })).await.expect(201);
    }
}

each_store! {
    async fn nobody_rotates_a_key_that_holds_more_than_they_do(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let acme = service.admin.make_tenant("acme").await;
        let other = service.admin.make_tenant("other").await;
        let admin = tenant_admin(&service, &issuer, "acme");
        let (internal, _) = make(&service.admin, &acme, json!({ "scopes": ["registry:internal"] })).await;
        let (foreign, _) = make(&service.admin, &other, json!({ "scopes": ["registry:internal"] })).await;
        let (platform, _) = make(&service.admin, &json!({ "id": null }), json!({})).await;
        let (mine, _) = make(&service.admin, &acme, json!({ "scopes": ["audit:read"] })).await;
        rotate(&admin, &internal, 0).await.problem(403, "forbidden");
        for absent in [&foreign, &platform] {
            rotate(&admin, absent, 0).await.problem(404, "not_found");
        }
        let (_, narrow) = make(&service.admin, &acme, json!({ "scopes": ["api_keys:write"] })).await;
        let narrow = service.admin.bearer(&narrow);
        rotate(&narrow, &mine, 0).await.problem(403, "forbidden");
        let (new, _) = minted(rotate(&admin, &mine, 0).await);
        assert_eq!(new["created_by"], "user:admin-of-acme");
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        rotate(&admin, &new, 0).await.problem(403, "tenant_frozen");
    }
}
