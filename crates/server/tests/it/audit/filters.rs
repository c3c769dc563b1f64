//! The filters of the list, which the export has as well.

use serde_json::{Value, json};

use super::{actions, bare, items, with};
use crate::support::Service;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, escaped, path_of, tenant_admin, with_issuer};

/// Events that differ in everything that is filtered by; oldest first.
async fn five(service: &Service) {
    let events = json!([
        { "action": "key.created", "crud": "c", "actor": { "id": "ada", "name": "Ada Lovelace" } },
        { "action": "key.revoked", "crud": "d", "actor": { "id": "bob" }, "target": { "id": "k-1", "name": "First", "type": "key" } },
        { "action": "keys", "crud": "r", "actor": { "id": "Ada" }, "description": "100% Straße" },
        { "action": "Key.created", "crud": "u", "is_anonymous": true, "fields": { "plan": "Gold_1" }, "component": "Web" },
        { "action": "login", "crud": "c", "actor": { "id": "a%" }, "source_ip": "2001:db8::7", "external_id": "Ext-9" },
    ]);
    service.admin.post("/v1/audit", events).await.expect(201);
}

both_stores! {
    async fn filters_work_alone_and_together(service: Service) {
        five(&service).await;
        for (query, expected) in [
            ("action=key.created", vec!["key.created"]), ("action=key.*", vec!["key.revoked", "key.created"]),
            ("action=key*", vec!["keys", "key.revoked", "key.created"]), ("action=Key.*", vec!["Key.created"]),
            ("action=*", vec!["login", "Key.created", "keys", "key.revoked", "key.created"]), ("action=key.%25", vec![]),
            ("action=key", vec![]), ("crud=c", vec!["login", "key.created"]), ("crud=r", vec!["keys"]),
            ("actor_id=ada", vec!["key.created"]), ("actor_id=Ada", vec!["keys"]), ("actor_id=a%25", vec!["login"]),
            ("target_id=k-1", vec!["key.revoked"]), ("target_id=First", vec![]),
            ("q=LOVELACE", vec!["key.created"]), ("q=strasse", vec!["keys"]), ("q=%25", vec!["login", "keys"]),
            ("q=_", vec!["Key.created"]), ("q=gold_1", vec!["Key.created"]), ("q=web", vec!["Key.created"]),
            ("q=DB8", vec!["login"]), ("q=ext-9", vec!["login"]), ("q=k-1", vec!["key.revoked"]), ("q=KEY.CREATED", vec!["Key.created", "key.created"]),
            ("q=nothing", vec![]), ("q=plan", vec![]),
            ("action=key*&crud=d", vec!["key.revoked"]), ("crud=c&actor_id=ada&q=key", vec!["key.created"]), ("crud=c&action=keys", vec![]),
        ] {
            assert_eq!(actions(&service.admin, query).await, expected, "{query}");
        }
    }

    async fn times_are_half_open_and_by_what_was_received(service: Service) {
        let old = with(&json!({ "action": "old", "created": "2001-01-01T00:00:00Z" }));
        service.admin.post("/v1/audit", json!([old, bare("middle"), bare("new")])).await.expect(201);
        let at: Vec<String> = items(&service.admin, "").await.iter().map(|event| escaped(event["received"].as_str().unwrap())).collect();
        let (new, middle, old) = (&at[0], &at[1], &at[2]);
        for (query, expected) in [
            (format!("from={middle}"), vec!["new", "middle"]), (format!("to={middle}"), vec!["old"]),
            (format!("from={old}&to={new}"), vec!["middle", "old"]), (format!("from={middle}&to={middle}"), vec![]),
            (format!("from={new}&to={old}"), vec![]), ("from=2001-01-01T00:00:00Z&to=2002-01-01T00:00:00%2B01:00".to_owned(), vec![]),
        ] {
            assert_eq!(actions(&service.admin, &query).await, expected, "{query}");
        }
    }

    async fn bad_filters_are_named(service: Service) {
        let long = "q".repeat(256);
        assert!(actions(&service.admin, &format!("q={}", &long[1..])).await.is_empty(), "just inside");
        for (query, field, code) in [
            ("tenant_id=acme", "tenant_id", "invalid_format"), ("tenant_id=", "tenant_id", "invalid_format"),
            ("former_tenant_id=1", "former_tenant_id", "invalid_format"), ("action=k*y", "action", "invalid_format"),
            ("action=**", "action", "invalid_format"), ("action=", "action", "too_short"), ("crud=x", "crud", "not_allowed"),
            ("crud=c,d", "crud", "not_allowed"), ("from=today", "from", "invalid_format"), ("to=2026-01-01", "to", "invalid_format"),
            ("from=2026-01-01T00:00:00", "from", "invalid_format"), ("q=", "q", "too_short"), (&format!("q={long}"), "q", "too_long"),
            ("actor_id=", "actor_id", "too_short"), (&format!("target_id={long}"), "target_id", "too_long"),
            ("colour=red", "colour", "unknown_field"), ("q=a&q=b", "q", "not_allowed"), ("q=%00", "q", "not_allowed"),
        ] {
            service.admin.get(&format!("/v1/audit?{query}")).await.invalid(&[(field, code)]);
            service.admin.get(&format!("/v1/audit/export?{query}")).await.invalid(&[(field, code)]);
        }
        service.admin.get("/v1/audit?limit=0").await.invalid(&[("limit", "out_of_range")]);
        service.admin.get("/v1/audit?limit=201").await.invalid(&[("limit", "out_of_range")]);
        for parameter in ["limit=1", "cursor=x"] {
            let name = parameter.split('=').next().unwrap();
            service.admin.get(&format!("/v1/audit/export?{parameter}")).await.invalid(&[(name, "unknown_field")]);
        }
        let both = "tenant_id=00000000-0000-7000-8000-000000000009&former_tenant_id=00000000-0000-7000-8000-000000000009";
        service.admin.get(&format!("/v1/audit?{both}")).await.invalid(&[("former_tenant_id", "not_allowed")]);
    }

    async fn a_deleted_tenants_events_are_found_as_former_ones(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        service.admin.post("/v1/audit", with(&json!({ "group": { "id": acme["id"] } }))).await.expect(201);
        let of = |name: &str| format!("{name}={}", acme["id"].as_str().unwrap());
        assert_eq!(actions(&service.admin, &of("tenant_id")).await, ["user.login", "tenant.created"]);
        service.admin.get(&format!("/v1/audit?{}", of("former_tenant_id"))).await.problem(404, "tenant_not_found");
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        service.admin.delete(&path_of(&acme, "")).await.expect(204);
        for path in ["/v1/audit", "/v1/audit/export"] {
            service.admin.get(&format!("{path}?{}", of("tenant_id"))).await.problem(404, "tenant_not_found");
        }
        let former = items(&service.admin, &of("former_tenant_id")).await;
        let found: Vec<&str> = former.iter().map(|event| event["action"].as_str().unwrap()).collect();
        assert_eq!(found, ["tenant.deleted", "tenant.cancelled", "user.login", "tenant.created"]);
        assert!(former.iter().all(|event| event["group"] == Value::Null), "{former:?}");
        assert_eq!(actions(&service.admin, &format!("{}&action=user.*&q=LOGIN", of("former_tenant_id"))).await, ["user.login"]);
        let never = "former_tenant_id=00000000-0000-7000-8000-000000000009";
        service.admin.get(&format!("/v1/audit?{never}")).await.problem(404, "tenant_not_found");
    }
}

each_store! {
    async fn a_tenants_callers_see_their_own_events(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        let beta = service.admin.make_tenant("beta").await;
        let gamma = service.admin.make_tenant("gamma").await;
        service.admin.post("/v1/audit", bare("of.nobody")).await.expect(201);
        let admin = tenant_admin(&service, &issuer, "beta");
        let id = |tenant: &Value| tenant["id"].as_str().unwrap().to_owned();
        for query in [String::new(), format!("tenant_id={}", id(&beta)), "action=tenant.*".to_owned(), "q=tenant".to_owned()] {
            let seen = items(&admin, &query).await;
            assert_eq!(seen.len(), 1, "{query}");
            assert_eq!(seen[0]["group"]["id"], beta["id"], "{query}");
        }
        for foreign in [id(&gamma), "00000000-0000-7000-8000-000000000009".to_owned()] {
            for path in ["/v1/audit", "/v1/audit/export"] {
                admin.get(&format!("{path}?tenant_id={foreign}")).await.problem(404, "tenant_not_found");
                admin.get(&format!("{path}?former_tenant_id={foreign}")).await.problem(403, "forbidden");
            }
        }
        // By role first, whatever else is wrong with the query; and an admin is told that.
        let former = "former_tenant_id=x";
        for (query, field) in [
            (former.to_owned(), "former_tenant_id"),
            ("former%5Ftenant_id=x".to_owned(), "former_tenant_id"),
            (format!("{former}&{former}"), "former_tenant_id"),
            (format!("former_tenant_id={}&from=now", id(&gamma)), "from"),
            (format!("colour=%00&former_tenant_id={}", id(&gamma)), "colour"),
        ] {
            for path in ["/v1/audit", "/v1/audit/export"] {
                admin.get(&format!("{path}?{query}")).await.problem(403, "forbidden");
                let told = service.admin.get(&format!("{path}?{query}")).await.problem(422, "validation_failed");
                assert_eq!(told.body["errors"][0]["field"], field, "{query}");
            }
        }
        let unacceptable = admin.with("accept", "image/png");
        unacceptable.get(&format!("/v1/audit/export?{former}")).await.problem(403, "forbidden");
        unacceptable.get("/v1/audit/export?colour=red").await.problem(406, "not_acceptable");
        let exported = admin.get("/v1/audit/export").await.expect(200).text;
        assert!(exported.lines().count() == 2 && exported.contains(&id(&beta)) && !exported.contains(&id(&gamma)), "{exported}");
    }
}
