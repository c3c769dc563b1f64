//! The rules of each field, the same whichever way a body is read: typed at first, with the schema where that fails.

use serde_json::{Value, json};

use super::{bare, count, items, with};
use crate::support::server::both_stores;

/// Bad events, and what is said of each.
fn bad_events() -> Vec<(Value, Vec<(String, &'static str)>)> {
    let long = |length: usize| "ä".repeat(length);
    let map = |members: usize| -> Value {
        (0..members).map(|n| (n.to_string(), json!("v"))).collect::<serde_json::Map<_, _>>().into()
    };
    let longest = long(41);
    let huge = long(5_000);
    let crowded: serde_json::Map<_, _> = (0..51).map(|n| (format!("{n}{huge}"), json!(n))).collect();
    [
        (json!({ "action": "" }), vec![("action", "too_short")]),
        (json!({ "action": long(256) }), vec![("action", "too_long")]),
        (json!({ "action": "a\nb" }), vec![("action", "invalid_format")]),
        (json!({ "action": 5 }), vec![("action", "wrong_type")]),
        (json!({ "crud": "create" }), vec![("crud", "not_allowed")]),
        (json!({ "crud": "C" }), vec![("crud", "not_allowed")]),
        (json!({ "crud": null }), vec![("crud", "wrong_type")]),
        (json!({ "actor": {} }), vec![("actor.id", "required")]),
        (json!({ "actor": { "id": "" } }), vec![("actor.id", "too_short")]),
        (json!({ "actor": { "id": 7 } }), vec![("actor.id", "wrong_type")]),
        (json!({ "actor": { "id": "a", "type": "user" } }), vec![("actor.type", "unknown_field")]),
        (json!({ "actor": { "id": "a", "displayName": "A" } }), vec![("actor.displayName", "unknown_field")]),
        (json!({ "actor": { "id": "a", "href": long(2_049) } }), vec![("actor.href", "too_long")]),
        (json!({ "actor": "ada" }), vec![("actor", "wrong_type")]),
        (json!({ "target": { "type": "t" } }), vec![("target.id", "required")]),
        (
            json!({ "target": { "id": "t", "type": long(256), "name": long(256) } }),
            vec![("target.type", "too_long"), ("target.name", "too_long")],
        ),
        (json!({ "created": "2026-01-01T00:00:00" }), vec![("created", "invalid_format")]),
        (json!({ "created": "2026-01-01 00:00:00Z" }), vec![("created", "invalid_format")]),
        (json!({ "created": 1_790_000_000 }), vec![("created", "wrong_type")]),
        (json!({ "source_ip": "2001:db8::1garbage" }), vec![("source_ip", "invalid_format")]),
        (json!({ "source_ip": "fe80::1%eth0" }), vec![("source_ip", "invalid_format")]),
        (json!({ "source_ip": "01.2.3.4" }), vec![("source_ip", "invalid_format")]),
        (json!({ "source_ip": "" }), vec![("source_ip", "invalid_format")]),
        (json!({ "description": long(5_001) }), vec![("description", "too_long")]),
        (json!({ "is_failure": "yes" }), vec![("is_failure", "wrong_type")]),
        (json!({ "fields": { "n": 1 } }), vec![("fields.n", "wrong_type")]),
        (json!({ "fields": map(51) }), vec![("fields", "too_long")]),
        (json!({ "fields": { "": "v" } }), vec![("fields.", "too_short")]),
        (json!({ "metadata": { (longest.as_str()): "v" } }), vec![("metadata.@", "too_long")]),
        (json!({ "metadata": { "k": long(501) } }), vec![("metadata.k", "too_long")]),
        (json!({ "metadata": ["a"] }), vec![("metadata", "wrong_type")]),
        (
            json!({ "component": long(256), "version": long(256) }),
            vec![("component", "too_long"), ("version", "too_long")],
        ),
        (json!({ "external_id": "" }), vec![("external_id", "too_short")]),
        (json!({ "external_id": long(256) }), vec![("external_id", "too_long")]),
        (json!({ "group": { "id": "" } }), vec![("group.id", "too_short")]),
        (json!({ "group": { "id": "x", "name": long(256) } }), vec![("group.name", "too_long")]),
        (json!({ "group": { "id": "x", "slug": "y" } }), vec![("group.slug", "unknown_field")]),
        // What serde would read, by position or by name, and nobody means.
        (json!({ "crud": { "c": null } }), vec![("crud", "wrong_type")]),
        (json!({ "crud": ["c"] }), vec![("crud", "wrong_type")]),
        (json!({ "actor": ["ada", null, null, null] }), vec![("actor", "wrong_type")]),
        (json!({ "target": ["t", null, null, null, null] }), vec![("target", "wrong_type")]),
        (json!({ "group": ["x", null] }), vec![("group", "wrong_type")]),
        (json!({ "group": [] }), vec![("group", "wrong_type")]),
        // Of what is too much or too long, little is said.
        (json!({ "fields": crowded }), vec![("fields", "too_long")]),
        (json!({ "metadata": { (huge.as_str()): "v" } }), vec![("metadata.#", "too_long")]),
        (json!({ "metadata": { (huge.as_str()): 1 } }), vec![("metadata.#", "wrong_type")]),
        (json!({ (huge.as_str()): 1 }), vec![("#", "unknown_field")]),
        (json!({ "actor": { "id": "a", (huge.as_str()): 1 } }), vec![("actor.#", "unknown_field")]),
        (json!({ "id": "x", "received": "y" }), vec![("id", "unknown_field"), ("received", "unknown_field")]),
    ]
    .into_iter()
    .map(|(more, errors)| {
        let named = |(field, code): (&str, &'static str)| (field.replace('@', &longest).replace('#', &long(60)), code);
        (with(&more), errors.into_iter().map(named).collect())
    })
    .collect()
}

fn borrowed<'a>(errors: &'a [(String, &'static str)]) -> Vec<(&'a str, &'static str)> {
    errors.iter().map(|(field, code)| (field.as_str(), *code)).collect()
}

both_stores! {
    async fn every_rule_is_told_with_its_field(service: Service) {
        for (event, errors) in bad_events() {
            service.admin.post("/v1/audit", event).await.invalid(&borrowed(&errors));
        }
        assert_eq!(count(&service).await, 0);
    }

    async fn both_ways_of_reading_say_the_same(service: Service) {
        // A neighbour that can only be refused with the schema in hand: the others are then read that way as well.
        let neighbour = with(&json!({ "crud": 0 }));
        for (event, errors) in bad_events().into_iter().filter(|(event, _)| event["group"].is_null()) {
            let mut expected: Vec<_> = errors.iter().map(|(field, code)| (format!("0.{field}"), *code)).collect();
            service.admin.post("/v1/audit", json!([event.clone()])).await.invalid(&borrowed(&expected));
            expected.push(("1.crud".to_owned(), "wrong_type"));
            service.admin.post("/v1/audit", json!([event, neighbour])).await.invalid(&borrowed(&expected));
        }
        assert_eq!(count(&service).await, 0);
    }

    async fn an_event_is_an_object_in_an_array_too(service: Service) {
        let mut members = vec![Value::Null; 15];
        (members[0], members[1], members[4]) = (json!("user.login"), json!("c"), json!({ "id": "ada" }));
        service.admin.post("/v1/audit", json!([members])).await.invalid(&[("0", "wrong_type")]);
        service.admin.post("/v1/audit", json!([members, bare("a")])).await.invalid(&[("0", "wrong_type")]);
        assert_eq!(count(&service).await, 0);
    }

    async fn an_answer_does_not_grow_with_what_is_wrong(service: Service) {
        let wrong = |members: usize| -> serde_json::Map<String, Value> {
            (0..members).map(|n| (format!("{n:05}{}", "k".repeat(50)), json!("v"))).collect()
        };
        let crowded = service.admin.post("/v1/audit", with(&json!({ "fields": wrong(20_000) }))).await;
        crowded.invalid(&[("fields", "too_long")]);
        let (party, map) = (json!({ "id": "a", "fields": wrong(50) }), wrong(50));
        let all = with(&json!({ "actor": party, "target": party, "fields": map, "metadata": map }));
        for body in [all.clone(), json!([all])] {
            let answer = service.admin.post("/v1/audit", body).await.problem(422, "validation_failed");
            assert_eq!(answer.body["errors"].as_array().unwrap().len(), 100);
        }
        let nul = json!({ "action": "a", "crud": "c", ("k".repeat(5_000)): "\0" });
        let cut = "k".repeat(60);
        service.admin.post("/v1/audit", with(&nul)).await.invalid(&[(&cut, "not_allowed")]);
    }

    async fn the_end_of_time_is_a_time(service: Service) {
        let never = "9999-12-31T23:59:59Z";
        service.admin.post("/v1/audit", with(&json!({ "created": never }))).await.expect(201);
        let listed = items(&service.admin, &format!("from=0000-01-01T00:00:00Z&to={never}")).await;
        assert_eq!((listed.len(), &listed[0]["created"]), (1, &json!("9999-12-30T22:00:00Z")));
    }

    async fn what_is_just_inside_the_limits_is_taken(service: Service) {
        let long = |length: usize| "ä".repeat(length);
        let map: serde_json::Map<String, Value> =
            (0..50).map(|n| (format!("{n:02}{}", long(38)), json!(long(500)))).collect();
        let whole = json!({
            "action": long(255), "crud": "d", "description": long(5_000), "component": long(255), "version": long(255),
            "actor": { "id": long(255), "name": long(255), "href": long(2_048), "fields": map },
            "target": { "id": long(255), "name": long(255), "type": long(255), "href": long(2_048), "fields": map },
            "fields": map, "metadata": map, "external_id": long(255),
        });
        service.admin.post("/v1/audit", whole).await.expect(201);
        for address in ["0.0.0.0", "::1", "2001:db8::", "::ffff:1.2.3.4", "255.255.255.255"] {
            service.admin.post("/v1/audit", with(&json!({ "source_ip": address }))).await.expect(201);
        }
        for crud in ["c", "r", "u", "d"] {
            service.admin.post("/v1/audit", with(&json!({ "crud": crud }))).await.expect(201);
        }
        service.admin.post("/v1/audit", json!({ "action": "a", "crud": "r", "is_anonymous": true })).await.expect(201);
        service.admin.post("/v1/audit", bare("käse 🧀")).await.expect(201);
    }
}
