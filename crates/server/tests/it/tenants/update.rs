//! PATCH, a merge patch (RFC 7396), and the preconditions of writes.
//!
//! Invariant: what changes nothing is answered with the tenant, and leaves version, log and feed as they are.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Service;
use crate::support::server::both_stores;
use crate::support::setup::{actions_of, events_of, path_of, traces};

async fn with_metadata(service: &Service, metadata: Value) -> Value {
    let body = json!({ "slug": "beta", "name": "Beta", "metadata": metadata });
    service.admin.post("/v1/tenants", body).await.expect(201).body
}

both_stores! {
    async fn fields_change_and_the_rest_stays(service: Service) {
        let made = with_metadata(&service, json!({ "a": "1" })).await;
        let path = path_of(&made, "");
        let changed = service.admin.patch(&path, json!({ "name": "New", "plan": "enterprise" })).await.expect(200);
        assert_eq!(changed.header("etag"), "\"2\"");
        let mut expected = made.clone();
        expected["name"] = json!("New");
        expected["plan"] = json!("enterprise");
        expected["version"] = json!(2);
        expected["updated_at"] = changed.body["updated_at"].clone();
        assert_eq!(changed.body, expected);
        assert!(changed.body["updated_at"].as_str() > made["updated_at"].as_str());
        assert_eq!(service.admin.get(&path).await.body, expected);
        assert_eq!(events_of(&service, &made).await[0].fields["changed"], "name,plan");
    }

    async fn metadata_is_merged_member_by_member(service: Service) {
        let made = with_metadata(&service, json!({ "a": "1", "b": "2", "c": "3" })).await;
        let path = path_of(&made, "");
        for (patch, expected) in [
            (json!({ "a": null, "b": "two", "d": "4" }), json!({ "b": "two", "c": "3", "d": "4" })),
            (json!({ "c": null, "absent": null }), json!({ "b": "two", "d": "4" })),
            (json!({ "e": "" }), json!({ "b": "two", "d": "4", "e": "" })),
            (Value::Null, json!({})),
            (json!({ "f": "6" }), json!({ "f": "6" })),
        ] {
            let changed = service.admin.patch(&path, json!({ "metadata": patch })).await.expect(200).body;
            assert_eq!(changed["metadata"], expected, "{patch}");
        }
        assert_eq!(service.admin.get(&path).await.body["version"], 6);
    }

    async fn what_changes_nothing_leaves_no_trace(service: Service) {
        let made = with_metadata(&service, json!({ "a": "1" })).await;
        let before = traces(&service).await;
        for patch in [
            json!({}), json!({ "name": "Beta" }), json!({ "plan": "starter" }), json!({ "metadata": {} }),
            json!({ "metadata": { "a": "1" } }), json!({ "metadata": { "absent": null } }),
            json!({ "name": "Beta", "plan": "starter", "metadata": { "a": "1" } }),
        ] {
            let answer = service.admin.patch(&path_of(&made, ""), patch).await.expect(200);
            assert_eq!((answer.header("etag"), &answer.body), ("\"1\"", &made));
        }
        service.admin.send_bytes(Method::PATCH, &path_of(&made, ""), "", Vec::new()).await.expect(200);
        assert_eq!(traces(&service).await, before);
        assert_eq!(actions_of(&service, &made).await, ["tenant.created"]);
    }

    async fn other_nulls_and_broken_rules_are_refused(service: Service) {
        let made = with_metadata(&service, json!({ "a": "1" })).await;
        let path = path_of(&made, "");
        let before = traces(&service).await;
        let long_key = "k".repeat(41);
        let long_field = format!("metadata.{long_key}");
        for (patch, field, code) in [
            (json!({ "name": null }), "name", "wrong_type"), (json!({ "plan": null }), "plan", "not_allowed"),
            (json!({ "name": "" }), "name", "too_short"), (json!({ "name": " " }), "name", "too_short"),
            (json!({ "name": "n".repeat(256) }), "name", "too_long"), (json!({ "name": "a\u{7}" }), "name", "invalid_format"),
            (json!({ "plan": "gold" }), "plan", "not_allowed"), (json!({ "slug": "gamma" }), "slug", "unknown_field"),
            (json!({ "status": "active" }), "status", "unknown_field"), (json!({ "version": 9 }), "version", "unknown_field"),
            (json!({ "hosts": [] }), "hosts", "unknown_field"), (json!({ "metadata": { "k": 1 } }), "metadata.k", "wrong_type"),
            (json!({ "metadata": { "": "v" } }), "metadata.", "too_short"), (json!({ "metadata": [] }), "metadata", "wrong_type"),
            (json!({ "metadata": { long_key: "v" } }), &long_field, "too_long"),
            (json!({ "metadata": { "k": "v".repeat(501) } }), "metadata.k", "too_long"),
        ] {
            let refused = service.admin.patch(&path, patch.clone()).await.problem(422, "validation_failed");
            let error = &refused.body["errors"][0];
            assert_eq!(error["field"], field, "{patch}");
            if !patch["plan"].is_null() || patch.get("plan").is_none() {
                assert_eq!(error["code"], code, "{patch}");
            }
        }
        service.admin.patch(&path, json!({ "name": "n".repeat(255) })).await.expect(200);
        assert_eq!(traces(&service).await, (before.0, before.1 + 1, before.2 + 1));
    }

    async fn the_fifty_first_member_is_refused_however_it_comes(service: Service) {
        let members: BTreeMap<String, &str> = (0..49).map(|place| (format!("k{place}"), "v")).collect();
        let made = with_metadata(&service, json!(members)).await;
        let path = path_of(&made, "");
        service.admin.patch(&path, json!({ "metadata": { "a": "v", "b": "v" } })).await.invalid(&[("metadata", "too_long")]);
        service.admin.patch(&path, json!({ "metadata": { "a": "v" } })).await.expect(200);
        service.admin.patch(&path, json!({ "metadata": { "b": "v" } })).await.invalid(&[("metadata", "too_long")]);
        // One goes, one comes.
        service.admin.patch(&path, json!({ "metadata": { "b": "v", "a": null } })).await.expect(200);
        assert_eq!(service.admin.get(&path).await.body["metadata"].as_object().unwrap().len(), 50);
    }

    async fn both_media_types_are_taken_and_no_other(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let path = path_of(&made, "");
        for (media, status) in [
            ("application/json", 200), ("application/merge-patch+json", 200), ("Application/JSON; Charset=UTF-8", 200),
            ("application/merge-patch+json;charset=\"utf-8\"", 200), ("application/json-patch+json", 415), ("text/json", 415),
            ("application/json; charset=latin1", 415), ("application/x-www-form-urlencoded", 415), ("application/problem+json", 415),
        ] {
            let body = json!({ "name": format!("By {}", media.len()) }).to_string().into_bytes();
            let answer = service.admin.send_bytes(Method::PATCH, &path, media, body).await;
            assert_eq!(answer.status, status, "{media}");
            if status == 415 {
                answer.problem(415, "unsupported_media_type");
            }
        }
        let merge = service.admin.send_bytes(Method::POST, "/v1/tenants", "application/merge-patch+json", b"{}".to_vec()).await;
        merge.problem(415, "unsupported_media_type");
    }

    async fn if_match_is_compared_with_the_version(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let path = path_of(&made, "");
        let patch = async |seen: &str, place: usize| {
            service.admin.with("if-match", seen).patch(&path, json!({ "name": format!("Nr {place}") })).await
        };
        let mut version = 1;
        for (place, (seen, fits)) in [
            ("\"1\"", true), ("\"1\"", false), ("*", true), ("\"1\", \"3\"", true), ("\"1\",\"2\",\"9\"", false), ("W/\"4\"", false),
            ("W/\"4\", \"4\"", true), ("\"05\"", false), ("\"+5\"", false), ("\"other\"", false), ("\"\"", false), ("\"99999999999999999999\"", false),
            (" \"5\" ", true),
        ].into_iter().enumerate() {
            let answer = patch(seen, place).await;
            if fits {
                version += 1;
                assert_eq!(answer.expect(200).body["version"], version, "{seen}");
            } else {
                assert_eq!(answer.problem(412, "version_mismatch").body["current_version"], version, "{seen}");
            }
        }
        for seen in ["1", "\"1", "1\"", "w/\"1\"", "", "\"1\" \"2\"x", "\"1\",,"] {
            patch(seen, 0).await.invalid(&[("If-Match", "invalid_format")]);
        }
        let twice = service.admin.with("if-match", "\"1\"").with("if-match", &format!("\"{version}\""));
        twice.patch(&path, json!({ "name": "Twice" })).await.expect(200);
    }

    async fn of_sixteen_patches_of_one_version_one_wins(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let path = path_of(&made, "");
        let one = |place: usize| {
            let (admin, path) = (service.admin.with("if-match", "\"1\""), path.clone());
            async move { admin.patch(&path, json!({ "name": format!("Nr {place}") })).await }
        };
        let answers = futures_util::future::join_all((0..16).map(one)).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        for answer in lost {
            answer.problem(412, "version_mismatch");
        }
        assert_eq!(service.admin.get(&path).await.body, won[0].body);
    }

    async fn concurrent_changes_are_all_counted(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let one = |place: usize| {
            let (admin, path) = (service.admin.clone(), path_of(&made, ""));
            async move { admin.patch(&path, json!({ "metadata": { format!("k{place}"): "v" } })).await.expect(200) }
        };
        futures_util::future::join_all((0..16).map(one)).await;
        let after = service.admin.get(&path_of(&made, "")).await.body;
        assert_eq!((&after["version"], after["metadata"].as_object().unwrap().len()), (&json!(17), 16));
    }

    async fn an_absent_tenant_is_not_found_after_the_body_was_judged(service: Service) {
        for id in ["0192f0c1-2345-7abc-8def-0123456789ab", "beta", "%00", "%ff", "0192F0C123457ABC8DEF0123456789AB"] {
            let path = format!("/v1/tenants/{id}");
            service.admin.patch(&path, json!({ "name": "New" })).await.problem(404, "not_found");
            service.admin.patch(&path, json!({ "name": "" })).await.problem(422, "validation_failed");
            service.admin.send_bytes(Method::PATCH, &path, "application/json", b"{".to_vec()).await.problem(400, "malformed_json");
            service.admin.get(&path).await.problem(404, "not_found");
        }
    }
}
