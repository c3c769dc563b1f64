//! The edges of every rule of a creation: the value just inside is taken, the one just outside is refused by name.
//!
//! Invariant: nothing of what is refused here is written; the test ends by counting.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::server::both_stores;
use crate::support::setup::traces;
use crate::support::{Answer, Service};

/// A creation with these members over the required ones.
async fn create(service: &Service, slug: &str, members: Value) -> Answer {
    let mut body = json!({ "slug": slug, "name": "Edge" });
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    service.admin.post("/v1/tenants", body).await
}

fn metadata(members: usize) -> Value {
    json!((0..members).map(|place| (format!("key-{place}"), "v")).collect::<BTreeMap<_, _>>())
}

fn hosts(count: usize) -> Value {
    json!((0..count).map(|place| format!("https://host-{place}.example")).collect::<Vec<_>>())
}

both_stores! {
    async fn slugs(service: Service) {
        let make = |slug: &str| json!({ "slug": slug });
        let longest = "a".repeat(63);
        for slug in ["abc", "a-b", "a--b", "0-9", "123", "acme-2", &longest, "www1", "0192f0c1-2345-7abc-8def-0123456789a"] {
            create(&service, slug, json!({})).await.expect(201);
        }
        let before = traces(&service).await;
        let too_long = "a".repeat(64);
        for (slug, code) in [
            ("ab", "too_short"), ("a", "too_short"), ("", "too_short"), (too_long.as_str(), "too_long"),
            ("-abc", "invalid_format"), ("abc-", "invalid_format"), ("---", "invalid_format"),
            ("Abc", "invalid_format"), ("a_b", "invalid_format"), ("a.b", "invalid_format"), ("a b", "invalid_format"),
            ("äbc", "invalid_format"), ("abc\n", "invalid_format"), ("аbc", "invalid_format"),
            ("0192f0c1-2345-7abc-8def-0123456789ab", "not_allowed"), ("00000000-0000-0000-0000-000000000000", "not_allowed"),
            ("www", "not_allowed"), ("admin", "not_allowed"), ("api", "not_allowed"), ("production", "not_allowed"),
        ] {
            create(&service, "unused", make(slug)).await.invalid(&[("slug", code)]);
        }
        for slug in [json!(null), json!(123), json!(["abc"]), json!({}), json!(true)] {
            create(&service, "unused", json!({ "slug": slug })).await.invalid(&[("slug", "wrong_type")]);
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn names(service: Service) {
        for (place, name) in ["a".to_owned(), "é".repeat(255), "😀".repeat(255), " a ".to_owned()].iter().enumerate() {
            let made = create(&service, &format!("name-{place}"), json!({ "name": name })).await.expect(201);
            assert_eq!(made.body["name"], *name);
        }
        let before = traces(&service).await;
        for (name, code) in [
            (String::new(), "too_short"), (" ".to_owned(), "too_short"), (" \u{a0}\u{2003} ".to_owned(), "too_short"),
            ("a".repeat(256), "too_long"), ("😀".repeat(256), "too_long"),
            ("a\u{7}b".to_owned(), "invalid_format"), ("a\nb".to_owned(), "invalid_format"),
            ("a\u{7f}".to_owned(), "invalid_format"), ("a\u{85}b".to_owned(), "invalid_format"),
        ] {
            create(&service, "unused", json!({ "name": name })).await.invalid(&[("name", code)]);
        }
        create(&service, "unused", json!({ "name": null })).await.invalid(&[("name", "wrong_type")]);
        create(&service, "unused", json!({ "name": 7 })).await.invalid(&[("name", "wrong_type")]);
        assert_eq!(traces(&service).await, before);
    }

    async fn trial_days_and_plans(service: Service) {
        for days in [1, 2, 364, 365] {
            create(&service, &format!("days-{days}"), json!({ "trial_days": days })).await.expect(201);
        }
        for plan in ["starter", "professional", "enterprise"] {
            assert_eq!(create(&service, plan, json!({ "plan": plan })).await.expect(201).body["plan"], plan);
        }
        let before = traces(&service).await;
        for (days, code) in [
            (json!(0), "out_of_range"), (json!(366), "out_of_range"), (json!(-1), "out_of_range"),
            (json!(4_294_967_297_u64), "out_of_range"), (json!("14"), "wrong_type"), (json!(14.5), "wrong_type"),
            (json!(true), "wrong_type"), (json!([14]), "wrong_type"),
        ] {
            create(&service, "unused", json!({ "trial_days": days })).await.invalid(&[("trial_days", code)]);
        }
        for (plan, code) in [
            (json!("Starter"), "not_allowed"), (json!("gold"), "not_allowed"), (json!(""), "not_allowed"),
            (json!("starter "), "not_allowed"), (json!(1), "wrong_type"), (json!({}), "wrong_type"),
        ] {
            create(&service, "unused", json!({ "plan": plan })).await.invalid(&[("plan", code)]);
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn administrators(service: Service) {
        let local = "l".repeat(64);
        let domain = |length: usize| {
            let labels = [&"d".repeat(63)[..], &"d".repeat(63), &"d".repeat(length - 128)].join(".");
            format!("{local}@{labels}")
        };
        let (longest, too_long) = (domain(189), domain(190));
        assert_eq!((longest.len(), too_long.len()), (254, 255));
        let good = ["a@b.co", "first.last+tag@sub.example.com", "o'brien@example.com", "A_B-C@xn--bcher-kva.example", &longest];
        for (place, email) in good.into_iter().enumerate() {
            create(&service, &format!("mail-{place}"), json!({ "admin_email": email })).await.expect(201);
        }
        for (place, name) in ["a".to_owned(), "é".repeat(255)].iter().enumerate() {
            create(&service, &format!("admin-{place}"), json!({ "admin_name": name })).await.expect(201);
        }
        let before = traces(&service).await;
        let long_local = format!("{local}l@b.co");
        for email in [
            "", "a", "a@", "@b.co", "a@b", "a@@b.co", "a@b@c.co", "a b@c.co", " a@b.co", "a@b.co ", ".a@b.co", "a.@b.co",
            "a..b@c.co", "a@b..co", "a@.b.co", "a@b.co.", "a@1.2.3.4", "a@[1.2.3.4]", "a@-b.co", "a@b-.co", "a@*.b.co",
            "Ada <a@b.co>", "a,b@c.co", "a@b.co,c@d.co", "a@b.co:25", "mailto:a@b.co", "a@b.co\n", "a@b.co\r\nBcc: c@d.co",
            "a@b_c.co/x", "\"a b\"@c.co", &long_local,
        ] {
            create(&service, "unused", json!({ "admin_email": email })).await.invalid(&[("admin_email", "invalid_format")]);
        }
        create(&service, "unused", json!({ "admin_email": too_long })).await.invalid(&[("admin_email", "too_long")]);
        create(&service, "unused", json!({ "admin_email": 1 })).await.invalid(&[("admin_email", "wrong_type")]);
        for (name, code) in [
            (String::new(), "too_short"), ("  ".to_owned(), "too_short"), ("a".repeat(256), "too_long"),
            ("a\tb".to_owned(), "invalid_format"),
        ] {
            create(&service, "unused", json!({ "admin_name": name })).await.invalid(&[("admin_name", code)]);
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn metadata_members(service: Service) {
        let key = |length: usize| "é".repeat(length);
        let value = |length: usize| "😀".repeat(length);
        for (place, good) in [
            metadata(0), metadata(50), json!({ key(1): "v" }), json!({ key(40): "v" }), json!({ "k": "" }),
            json!({ "k": value(500) }), json!({ "k": "two\nlines" }), json!({ "__proto__": "v", "a.b/c~d": "v" }),
        ].into_iter().enumerate() {
            let made = create(&service, &format!("meta-{place}"), json!({ "metadata": good })).await.expect(201);
            assert_eq!(made.body["metadata"], good);
        }
        let before = traces(&service).await;
        let long_key = format!("metadata.{}", key(41));
        for (bad, field, code) in [
            (metadata(51), "metadata", "too_long"), (json!({ "": "v" }), "metadata.", "too_short"),
            (json!({ key(41): "v" }), long_key.as_str(), "too_long"), (json!({ "k": value(501) }), "metadata.k", "too_long"),
            (json!({ "a\u{1}b": "v" }), "metadata.a\u{1}b", "invalid_format"), (json!({ "k": 1 }), "metadata.k", "wrong_type"),
            (json!({ "k": null }), "metadata.k", "wrong_type"), (json!({ "k": {} }), "metadata.k", "wrong_type"),
            (json!({ "k": ["v"] }), "metadata.k", "wrong_type"), (json!({ "k": true }), "metadata.k", "wrong_type"),
            (json!(["v"]), "metadata", "wrong_type"), (json!("v"), "metadata", "wrong_type"),
        ] {
            create(&service, "unused", json!({ "metadata": bad })).await.invalid(&[(field, code)]);
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn hosts_at_creation(service: Service) {
        let made = create(&service, "many", json!({ "hosts": hosts(100) })).await.expect(201).body;
        assert_eq!(made["hosts"], hosts(100));
        let before = traces(&service).await;
        create(&service, "unused", json!({ "hosts": hosts(101) })).await.invalid(&[("hosts", "too_long")]);
        let long = format!("https://h.example/{}", "p".repeat(2048));
        for url in [
            "", "h.example", "//h.example", "ftp://h.example", "https://", "https:///p", "https://h.example?q", "https://h.example#f",
            "https://h example", "https://h.example/a b", "https://h.example/ä", "https://h.example/%zz", "https://h.example/a//b",
            "https://h.example/../b", "https://h.example/%2e%2E/b", "https://h.example\\b", "https://h.example:0", "https://h.example:65536",
            "https://h.example:x", "https://::1", "https://1.2.3.256", "https://*", "https://a.*.example", "https://*.1.2.3.4",
            "https://a..example", "https://h.example/\n", "javascript:alert(1)", &long,
        ] {
            let sent = json!({ "hosts": ["https://fine.example", url] });
            create(&service, "unused", sent).await.invalid(&[("hosts.1", "invalid_format")]);
        }
        create(&service, "unused", json!({ "hosts": [1] })).await.invalid(&[("hosts.0", "wrong_type")]);
        create(&service, "unused", json!({ "hosts": "https://h.example" })).await.invalid(&[("hosts", "wrong_type")]);
        assert_eq!(traces(&service).await, before);
    }

    async fn every_broken_rule_is_named_at_once(service: Service) {
        let body = json!({ "slug": "A", "plan": "gold", "trial_days": 0, "colour": "red", "metadata": { "k": 1 } });
        service.admin.post("/v1/tenants", body).await.invalid(&[
            ("slug", "too_short"), ("name", "required"), ("plan", "not_allowed"), ("trial_days", "out_of_range"),
            ("colour", "unknown_field"), ("metadata.k", "wrong_type"),
        ]);
        service.admin.post_empty("/v1/tenants").await.invalid(&[("slug", "required"), ("name", "required")]);
        service.admin.post("/v1/tenants?dry_run=1", json!({ "slug": "abc", "name": "A" })).await.invalid(&[("dry_run", "unknown_field")]);
        assert_eq!(traces(&service).await, (0, 0, 0));
    }
}
