//! Making a key: what it answers once, what it refuses, and in which order.
//!
//! Invariant: a refused creation leaves neither key nor event.

use serde_json::{Value, json};

use super::{key_events, listed, make, minted};
use crate::support::server::both_stores;
use crate::support::setup::{each_store, id_of, path_of, tenant_admin, with_issuer};

both_stores! {
    async fn a_key_is_shown_whole_once(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let scopes = json!(["tenant:read", "reports.export", "tenant:read"]);
        let more = json!({ "name": "CI ключ", "scopes": scopes, "expires_at": "2999-01-31T01:00:00.1234567+01:00" });
        let (key, text) = make(&service.admin, &acme, more).await;
        assert!(text.starts_with("trk_dev_") && text.len() == 36, "{text}");
        assert!(domain::api_key::format::read(&text).is_ok());
        let expected = json!({
            "id": key["id"], "tenant_id": acme["id"], "name": "CI ключ", "prefix": "trk_dev_", "last_four": text[32..],
            "scopes": ["tenant:read", "reports.export"], "expires_at": "2999-01-31T00:00:00.123456Z",
            "created_at": key["created_at"], "created_by": "dev-token", "last_used_at": null, "revoked_at": null,
        });
        assert_eq!(key, expected);
        assert_eq!(listed(&service, &key).await, expected);
        let events = key_events(&service).await;
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!((event.action.as_str(), event.crud.as_str()), ("api_key.created", "c"));
        let target = event.target.as_ref().unwrap();
        assert_eq!((target.id.clone(), target.name.as_deref()), (id_of(&key), Some("CI ключ")));
        assert_eq!(target.kind.as_deref(), Some("api_key"));
        assert_eq!(event.group.map(|id| id.to_string()), Some(id_of(&acme)));
        assert!(!format!("{event:?}").contains(&text[8..30]));
    }

    async fn a_key_of_the_platform_has_no_tenant(service: Service) {
        let (key, _) = make(&service.admin, &json!({ "id": null }), json!({ "scopes": ["registry:internal"] })).await;
        assert_eq!((&key["tenant_id"], &key["expires_at"]), (&Value::Null, &Value::Null));
        let events = key_events(&service).await;
        assert_eq!((events.len(), events[0].group, events[0].group_name.as_deref()), (1, None, None));
    }

    async fn a_repeated_creation_gives_the_key_without_its_text(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let keyed = service.admin.with("idempotency-key", "once");
        let body = json!({ "tenant_id": acme["id"], "name": "Key", "scopes": ["a"] });
        let first = keyed.post("/v1/api-keys", body.clone()).await.expect(201);
        let again = keyed.post("/v1/api-keys", body.clone()).await.expect(201);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.body, json!({ "api_key": first.body["api_key"], "plaintext": null }));
        assert_eq!(key_events(&service).await.len(), 1);
        let other = json!({ "tenant_id": acme["id"], "name": "Other" });
        keyed.post("/v1/api-keys", other).await.problem(422, "idempotency_key_reused");
    }

    async fn input_is_held_to_its_limits(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let id = &acme["id"];
        let (longest, too_long) = ("s".repeat(64), "s".repeat(65));
        for (body, field, code) in [
            (json!({ "name": "x" }), "tenant_id", "required"),
            (json!({ "tenant_id": id }), "name", "required"),
            (json!({ "tenant_id": 5, "name": "x" }), "tenant_id", "wrong_type"),
            (json!({ "tenant_id": "acme", "name": "x" }), "tenant_id", "invalid_format"),
            (json!({ "tenant_id": "", "name": "x" }), "tenant_id", "invalid_format"),
            (json!({ "tenant_id": "00000000000000000000000000000001", "name": "x" }), "tenant_id", "invalid_format"),
            (json!({ "tenant_id": id, "name": "" }), "name", "too_short"),
            (json!({ "tenant_id": id, "name": " " }), "name", "too_short"),
            (json!({ "tenant_id": id, "name": "n".repeat(256) }), "name", "too_long"),
            (json!({ "tenant_id": id, "name": "a\u{7}" }), "name", "invalid_format"),
            (json!({ "tenant_id": id, "name": "a\0" }), "name", "not_allowed"),
            (json!({ "tenant_id": id, "name": null }), "name", "wrong_type"),
            (json!({ "tenant_id": id, "name": "x", "prefix": "sk" }), "prefix", "unknown_field"),
            (json!({ "tenant_id": id, "name": "x", "scopes": "a" }), "scopes", "wrong_type"),
            (json!({ "tenant_id": id, "name": "x", "scopes": ["a", 1] }), "scopes.1", "wrong_type"),
            (json!({ "tenant_id": id, "name": "x", "scopes": [""] }), "scopes.0", "too_short"),
            (json!({ "tenant_id": id, "name": "x", "scopes": [too_long] }), "scopes.0", "too_long"),
            (json!({ "tenant_id": id, "name": "x", "scopes": ["tenant:*"] }), "scopes.0", "invalid_format"),
            (json!({ "tenant_id": id, "name": "x", "scopes": ["Tenant"] }), "scopes.0", "invalid_format"),
            (json!({ "tenant_id": id, "name": "x", "scopes": ["a\n"] }), "scopes.0", "invalid_format"),
            (json!({ "tenant_id": id, "name": "x", "scopes": vec!["a"; 101] }), "scopes", "too_long"),
            (json!({ "tenant_id": id, "name": "x", "expires_at": "2001-01-01T00:00:00Z" }), "expires_at", "out_of_range"),
            (json!({ "tenant_id": id, "name": "x", "expires_at": "tomorrow" }), "expires_at", "invalid_format"),
            (json!({ "tenant_id": id, "name": "x", "expires_at": "2999-01-31" }), "expires_at", "invalid_format"),
            (json!({ "tenant_id": id, "name": "x", "expires_at": 5 }), "expires_at", "wrong_type"),
        ] {
            service.admin.post("/v1/api-keys", body).await.invalid(&[(field, code)]);
        }
        service.admin.post("/v1/api-keys?dry=1", json!({ "tenant_id": id, "name": "x" })).await.invalid(&[("dry", "unknown_field")]);
        let absent = json!({ "tenant_id": "00000000-0000-7000-8000-000000000001", "name": "x" });
        service.admin.post("/v1/api-keys", absent).await.problem(404, "tenant_not_found");
        assert_eq!(key_events(&service).await.len(), 0);

        let mut most: Vec<String> = (0..99).map(|n| format!("s{n}")).collect();
        most.push(longest);
        let body = json!({ "tenant_id": id, "name": "n".repeat(255), "scopes": most, "expires_at": null });
        let (key, _) = minted(service.admin.post("/v1/api-keys", body).await);
        assert_eq!(key["scopes"], json!(most));
        let soon = json!({ "tenant_id": id, "name": "x", "scopes": null });
        assert_eq!(minted(service.admin.post("/v1/api-keys", soon).await).0["scopes"], json!([]));
    }
}

each_store! {
    async fn nobody_gives_away_what_they_do_not_hold(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let acme = service.admin.make_tenant("acme").await;
        let other = service.admin.make_tenant("other").await;
        let admin = tenant_admin(&service, &issuer, "acme");
        // Everything but what only a platform admin gives, the platform's own scopes too.
        let (key, _) = make(&admin, &acme, json!({ "scopes": ["api_keys:write", "reports.export"] })).await;
        assert_eq!(key["created_by"], "user:admin-of-acme");
        let internal = json!({ "tenant_id": acme["id"], "name": "x", "scopes": ["tenant:read", "registry:internal"] });
        admin.post("/v1/api-keys", internal.clone()).await.problem(403, "forbidden");
        admin.post("/v1/api-keys", json!({ "tenant_id": null, "name": "x" })).await.problem(403, "forbidden");
        admin.post("/v1/api-keys", json!({ "tenant_id": other["id"], "name": "x" })).await.problem(404, "tenant_not_found");

        // 422 before 403, and that before 404.
        let mut body = internal.clone();
        body["tenant_id"] = other["id"].clone();
        admin.post("/v1/api-keys", body.clone()).await.problem(403, "forbidden");
        body["expires_at"] = json!("2001-01-01T00:00:00Z");
        admin.post("/v1/api-keys", body).await.invalid(&[("expires_at", "out_of_range")]);

        let member = service.admin.bearer(&issuer.token(issuer.claims("bob").role("MEMBER").tenant("acme")));
        member.post("/v1/api-keys", internal).await.problem(403, "forbidden");
        service.admin.anonymous().post("/v1/api-keys", json!({})).await.problem(401, "unauthenticated");
        assert_eq!(key_events(&service).await.len(), 1);
    }

    async fn a_frozen_tenants_people_make_no_keys(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let acme = service.admin.make_tenant("acme").await;
        let admin = tenant_admin(&service, &issuer, "acme");
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        let body = json!({ "tenant_id": acme["id"], "name": "x" });
        admin.post("/v1/api-keys", body.clone()).await.problem(403, "tenant_frozen");
        service.admin.post("/v1/api-keys", body).await.expect(201);
    }
}
