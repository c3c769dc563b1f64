//! The list of tenants: order, filters, pages, and cursors that nobody can make.
//!
//! Invariant: walking the pages shows each tenant that was there at the beginning exactly once.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::Service;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, escaped, path_of, tenant_admin, with_issuer};

async fn slugs(service: &Service, query: &str) -> Vec<String> {
    let page = service.admin.get(&format!("/v1/tenants?{query}")).await.expect(200).body;
    items(&page)
}

fn items(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|tenant| tenant["slug"].as_str().unwrap().to_owned()).collect()
}

async fn cursor(service: &Service, query: &str) -> String {
    let page = service.admin.get(&format!("/v1/tenants?{query}")).await.expect(200).body;
    page["next_cursor"].as_str().unwrap_or_else(|| panic!("{query} has one page: {page}")).to_owned()
}

async fn make(service: &Service, slug: &str, name: &str, plan: &str) -> Value {
    service.admin.post("/v1/tenants", json!({ "slug": slug, "name": name, "plan": plan })).await.expect(201).body
}

both_stores! {
    async fn the_newest_stand_first_and_whole(service: Service) {
        assert_eq!(service.admin.get("/v1/tenants").await.expect(200).body, json!({ "items": [], "next_cursor": null }));
        let mut made = Vec::new();
        for slug in ["one", "two", "three"] {
            made.insert(0, service.admin.make_tenant(slug).await);
        }
        assert_eq!(service.admin.get("/v1/tenants").await.body, json!({ "items": made, "next_cursor": null }));
    }

    async fn filters_work_alone_and_together(service: Service) {
        let a = make(&service, "alpha", "First Alpha", "starter").await;
        let b = make(&service, "beta", "Second", "professional").await;
        make(&service, "alpha-two", "Third", "professional").await;
        make(&service, "delta", "ALPHA centauri", "enterprise").await;
        service.admin.post_empty(&path_of(&a, "/activate")).await.expect(200);
        service.admin.post_empty(&path_of(&b, "/cancel")).await.expect(200);
        for (query, expected) in [
            ("status=trial", vec!["delta", "alpha-two"]), ("status=active", vec!["alpha"]), ("status=frozen", vec!["beta"]),
            ("plan=professional", vec!["alpha-two", "beta"]), ("plan=starter", vec!["alpha"]),
            ("q=alpha", vec!["delta", "alpha-two", "alpha"]), ("q=LPHA", vec!["delta", "alpha-two", "alpha"]),
            ("q=second", vec!["beta"]), ("q=nobody", vec![]), ("q=%20", vec!["delta", "alpha"]),
            ("status=trial&plan=professional", vec!["alpha-two"]), ("status=trial&q=alpha", vec!["delta", "alpha-two"]),
            ("plan=professional&q=alpha", vec!["alpha-two"]), ("status=frozen&plan=starter", vec![]),
            ("status=trial&plan=enterprise&q=centauri", vec!["delta"]), ("status=active&plan=enterprise&q=alpha", vec![]),
        ] {
            assert_eq!(slugs(&service, query).await, expected, "{query}");
        }
    }

    async fn no_character_of_q_is_a_wildcard_and_case_does_not_count(service: Service) {
        for (place, name) in [
            "100% sure", "under_score", "back\\slash", "it's \"quoted\"", "STRASSE", "Straße", "ΟΔΟΣ", "İstanbul", "Café", "[a-z]*", "null", "x.y",
        ].iter().enumerate() {
            make(&service, &format!("t-{place}"), name, "starter").await;
        }
        for (q, expected) in [
            ("%", vec!["t-0"]), ("_", vec!["t-1"]), ("\\", vec!["t-2"]), ("'", vec!["t-3"]), ("\"", vec!["t-3"]),
            ("strasse", vec!["t-5", "t-4"]), ("STRAßE", vec!["t-5", "t-4"]), ("οδος", vec!["t-6"]), ("οδοσ", vec!["t-6"]),
            ("CAFÉ", vec!["t-8"]), ("[a", vec!["t-9"]), ("*", vec!["t-9"]), ("null", vec!["t-10"]), (".", vec!["t-11"]),
            ("%%", vec![]), ("a%z", vec![]), ("0_", vec![]), ("cafe", vec![]), ("T-1", vec!["t-11", "t-10", "t-1"]),
        ] {
            assert_eq!(slugs(&service, &format!("q={}", escaped(q))).await, expected, "{q}");
        }
    }

    async fn the_limit_has_its_range(service: Service) {
        for place in 0..53 {
            service.admin.make_tenant(&format!("t-{place}")).await;
        }
        assert_eq!(slugs(&service, "").await.len(), 50);
        assert_eq!(slugs(&service, "limit=1").await, ["t-52"]);
        assert_eq!(slugs(&service, "limit=200").await.len(), 53);
        assert_eq!(service.admin.get("/v1/tenants?limit=53").await.body["next_cursor"], Value::Null);
        assert!(service.admin.get("/v1/tenants?limit=52").await.body["next_cursor"].is_string());
        for limit in ["0", "201", "-1", "99999999999999999999", "9223372036854775807"] {
            service.admin.get(&format!("/v1/tenants?limit={limit}")).await.problem(422, "validation_failed");
        }
        service.admin.get("/v1/tenants?limit=0").await.invalid(&[("limit", "out_of_range")]);
        service.admin.get("/v1/tenants?limit=201").await.invalid(&[("limit", "out_of_range")]);
        for limit in ["abc", "", "1.5", "1e2", "%31%00", "0x10", "%D9%A1"] {
            service.admin.get(&format!("/v1/tenants?limit={limit}")).await.problem(422, "validation_failed");
        }
        service.admin.get("/v1/tenants?limit=abc").await.invalid(&[("limit", "wrong_type")]);
    }

    async fn bad_filters_are_named(service: Service) {
        let longest = "q".repeat(255);
        assert_eq!(slugs(&service, &format!("q={longest}")).await.len(), 0);
        for (query, field, code) in [
            ("status=gone", "status", "not_allowed"), ("status=", "status", "not_allowed"), ("status=Trial", "status", "not_allowed"),
            ("plan=gold", "plan", "not_allowed"), ("q=", "q", "too_short"), (&format!("q={longest}q"), "q", "too_long"),
            ("colour=red", "colour", "unknown_field"), ("q=a&q=b", "q", "not_allowed"), ("q=%00", "q", "not_allowed"),
            ("tenant_id=1", "tenant_id", "unknown_field"), ("Limit=1", "Limit", "unknown_field"),
        ] {
            service.admin.get(&format!("/v1/tenants?{query}")).await.invalid(&[(field, code)]);
        }
    }

    async fn pages_neither_repeat_nor_skip_while_rows_are_added(service: Service) {
        for place in 0..25 {
            service.admin.make_tenant(&format!("old-{place}")).await;
        }
        let (mut seen, mut query, mut added) = (Vec::new(), "limit=4".to_owned(), 0);
        loop {
            let page = service.admin.get(&format!("/v1/tenants?{query}")).await.expect(200).body;
            seen.extend(items(&page));
            service.admin.make_tenant(&format!("new-{added}")).await;
            added += 1;
            let Some(next) = page["next_cursor"].as_str() else { break };
            query = format!("limit=4&cursor={next}");
        }
        let expected: Vec<String> = (0..25).rev().map(|place| format!("old-{place}")).collect();
        assert_eq!(seen, expected);
        assert_eq!(added, 7);
    }

    async fn pages_of_a_filtered_list_are_whole_while_tenants_leave_it(service: Service) {
        let mut tenants = Vec::new();
        for place in 0..12 {
            tenants.push(make(&service, &format!("t-{place}"), "Paged", "professional").await);
        }
        let first = service.admin.get("/v1/tenants?plan=professional&limit=5").await.body;
        // The very tenant that the cursor stands behind leaves the list.
        service.admin.patch(&path_of(&tenants[7], ""), json!({ "plan": "starter" })).await.expect(200);
        let next = first["next_cursor"].as_str().unwrap();
        let rest = service.admin.get(&format!("/v1/tenants?plan=professional&cursor={next}")).await.expect(200).body;
        let all: Vec<String> = items(&first).into_iter().chain(items(&rest)).collect();
        assert_eq!(all, (0..12).rev().map(|place| format!("t-{place}")).collect::<Vec<_>>());
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 12);
    }

    async fn a_cursor_that_is_not_ours_is_refused(service: Service) {
        for place in 0..4 {
            service.admin.make_tenant(&format!("t-{place}")).await;
        }
        let genuine = cursor(&service, "limit=1").await;
        let mut changed = genuine.clone().into_bytes();
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let truncated = &genuine[..genuine.len() - 2];
        let id = "MDE5MmYwYzEtMjM0NS03YWJjLThkZWYtMDEyMzQ1Njc4OWFi";
        for bad in ["", "x", "null", "0", id, &changed, truncated, &format!("{genuine}AA"), &format!("{genuine}="), "%FF", "%20", &"A".repeat(5_000)] {
            service.admin.get(&format!("/v1/tenants?cursor={bad}")).await.problem(400, "invalid_cursor");
        }
        for other in ["status=trial", "plan=starter", "q=t", "status=trial&plan=starter&q=t-"] {
            service.admin.get(&format!("/v1/tenants?{other}&cursor={genuine}")).await.problem(400, "invalid_cursor");
            let of_other = cursor(&service, &format!("{other}&limit=1")).await;
            service.admin.get(&format!("/v1/tenants?cursor={of_other}")).await.problem(400, "invalid_cursor");
            service.admin.get(&format!("/v1/tenants?{other}&cursor={of_other}")).await.expect(200);
        }
        // Filters of one length, so that it is their text that is sealed.
        let of_t = cursor(&service, "q=t&limit=1").await;
        service.admin.get(&format!("/v1/tenants?q=-&cursor={of_t}")).await.problem(400, "invalid_cursor");
        // The limit is no filter.
        assert_eq!(slugs(&service, &format!("limit=2&cursor={genuine}")).await, ["t-2", "t-1"]);
        assert_eq!(slugs(&service, &format!("limit=200&cursor={genuine}")).await, ["t-2", "t-1", "t-0"]);
    }
}

each_store! {
    async fn a_cursor_of_another_caller_is_refused(kind: StoreKind) {
        let (service, issuer) = with_issuer(kind).await;
        service.admin.make_tenant("beta").await;
        service.admin.make_tenant("gamma").await;
        let admins = cursor(&service, "limit=1").await;
        let tenant = tenant_admin(&service, &issuer, "beta");
        tenant.get(&format!("/v1/tenants?cursor={admins}")).await.problem(400, "invalid_cursor");
        let page = tenant.get("/v1/tenants?limit=1").await.expect(200).body;
        assert_eq!((items(&page), &page["next_cursor"]), (vec!["beta".to_owned()], &Value::Null));
    }
}
