//! Input that is no good, everywhere: broken, huge, deep, of other types, in other encodings.
//!
//! Invariant: it is always a 4xx with a stable code, and what is written stays as it was, which every test counts.

use std::panic::Location;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::raw::{raw, raw_bytes};
use crate::support::server::both_stores;
use crate::support::setup::{path_of, traces};
use crate::support::{Answer, Service};

const JSON: &str = "application/json";

/// Every call with a body, on a tenant, with a body that would be taken.
fn calls(tenant: &Value) -> Vec<(Method, String, Value)> {
    vec![
        (
            Method::POST,
            "/v1/tenants".to_owned(),
            json!({ "slug": "fine", "name": "Fine", "trial_days": 7, "metadata": { "k": "v" }, "hosts": ["https://fine.example"] }),
        ),
        (Method::PATCH, path_of(tenant, ""), json!({ "name": "Other", "metadata": { "a": "b", "k": null } })),
        (Method::POST, path_of(tenant, "/cancel"), json!({ "reason": "why" })),
        (Method::POST, path_of(tenant, "/extend-trial"), json!({ "days": 7 })),
        (Method::POST, path_of(tenant, "/activate"), json!({})),
        (Method::PUT, path_of(tenant, "/hosts"), json!({ "url": "https://put.example/app" })),
    ]
}

async fn send(service: &Service, method: &Method, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    service.admin.send_bytes(method.clone(), path, JSON, body.into()).await
}

/// Sends a body to every call, and asserts status and code.
#[track_caller]
fn everywhere(
    service: &Service,
    tenant: &Value,
    body: impl Into<Vec<u8>>,
    status: u16,
    code: &'static str,
) -> impl Future<Output = ()> {
    let (at, body) = (Location::caller(), body.into());
    async move {
        for (method, path, _) in calls(tenant) {
            let answer = send(service, &method, &path, body.clone()).await;
            let found = (answer.status, answer.body["code"].as_str());
            assert_eq!(found, (status, Some(code)), "{at}: {method} {path}: {}", answer.text);
        }
    }
}

fn nested(open: &str, middle: &str, close: &str, levels: usize) -> String {
    [open.repeat(levels), middle.to_owned(), close.repeat(levels)].concat()
}

/// A generator with a seed (splitmix64), so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    }
}

const ODD_BYTES: &[u8] = b"{}[]\",:\\0-.eE\xff\x00u\n";

/// Breaks a body somewhere.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.roll(3) {
        let place = dice.roll(bytes.len().max(1));
        match dice.roll(6) {
            0 if place < bytes.len() => bytes[place] ^= 1 << dice.roll(8),
            1 if place < bytes.len() => {
                bytes.remove(place);
            }
            2 => bytes.insert(place, ODD_BYTES[dice.roll(ODD_BYTES.len())]),
            3 => bytes.truncate(place),
            4 => {
                let piece = bytes[place..(place + dice.roll(12)).min(bytes.len())].to_vec();
                let target = dice.roll(bytes.len().max(1));
                bytes.splice(target..target, piece);
            }
            _ => {
                let odd: [&[u8]; 6] =
                    [b"\\ud800", b"\\u0000", b"1e400", b"null", "\u{202e}".as_bytes(), b"\"a\":1,\"a\":2"];
                bytes.splice(place..place, odd[dice.roll(6)].iter().copied());
            }
        }
    }
}

/// A value that nobody expects.
fn odd_value(dice: &mut Dice) -> Value {
    let odd = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e20),
        json!(-0.0),
        json!(14.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("\0"),
        json!("a".repeat(3_000)),
        json!("\u{202e}\u{feff}"),
        json!("'; DROP TABLE tenants; --"),
        json!([]),
        json!([[]]),
        json!({}),
        json!({ "": {} }),
        json!([null]),
        json!("%00"),
        json!("${jndi:ldap://x}"),
        json!("0192f0c1-2345-7abc-8def-0123456789ab"),
    ];
    odd[dice.roll(odd.len())].clone()
}

both_stores! {
    async fn what_is_no_json_is_malformed(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        let before = traces(&service).await;
        for body in [
            "{", "[", "}", "nul", "nulll", "{\"a\":}", "{\"a\":1,}", "{'a':1}", "{} {}", "{}x", "\u{feff}{}", "{\"a\":NaN}", "{\"a\":Infinity}",
            "{a:1}", "{\"a\" 1}", "\"open", "{\"name\":\"\u{1}\"}", "{\"name\":\"\\x\"}", "// {}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}", " ",
            "{\"name\":\"\\ud800\"}", "{\"name\":\"\\udc00\\ud800\"}", "{\"\\ud800\":1}", "{\"metadata\":{\"k\":\"\\udfff\"}}", "{\"name\":\"\\u12\"}",
            "{\"days\":1e400}", "{\"days\":-1e400}", "{\"name\":1e999999999}",
        ] {
            everywhere(&service, &tenant, body, 400, "malformed_json").await;
        }
        for body in [&b"\xff\xfe{\x00}\x00"[..], b"{\"name\":\"\xff\"}", b"{\"name\":\"\xc0\xaf\"}", b"{\"name\":\"\xed\xa0\x80\"}", b"\x00", b"\x1f\x8b\x08\x00"] {
            everywhere(&service, &tenant, body, 400, "malformed_json").await;
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn members_that_stand_twice_are_refused_at_every_level(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        let before = traces(&service).await;
        for body in [
            r#"{"slug":"aaa","slug":"bbb","name":"A"}"#, r#"{"name":"A","name":"A"}"#, r#"{"days":1,"days":1}"#, r#"{"url":"https://a.example","\u0075rl":"https://b.example"}"#,
            r#"{"metadata":{"k":"1","k":"2"}}"#, r#"{"metadata":{"k":{"x":1,"x":2}}}"#, r#"{"hosts":[{"x":1,"x":2}]}"#, r#"[{"a":1,"a":1}]"#, r#"{"":1,"":1}"#,
        ] {
            everywhere(&service, &tenant, body, 400, "malformed_json").await;
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn depth_is_bounded(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        let before = traces(&service).await;
        for levels in [200, 5_000, 100_000] {
            everywhere(&service, &tenant, nested("[", "", "]", levels), 400, "malformed_json").await;
            everywhere(&service, &tenant, nested("{\"a\":", "1", "}", levels), 400, "malformed_json").await;
            everywhere(&service, &tenant, "[".repeat(levels), 400, "malformed_json").await;
        }
        everywhere(&service, &tenant, nested("[", "", "]", 100), 422, "validation_failed").await;
        everywhere(&service, &tenant, nested("{\"metadata\":", "1", "}", 100), 422, "validation_failed").await;
        assert_eq!(traces(&service).await, before);
    }

    async fn other_types_and_nul_break_a_rule(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        let before = traces(&service).await;
        for body in ["[]", "null", "1", "\"x\"", "true", "[{}]", "0.5"] {
            everywhere(&service, &tenant, body, 422, "validation_failed").await;
        }
        for body in [r#"{"name":"a\u0000"}"#, r#"{"reason":"\u0000"}"#, r#"{"a\u0000b":1}"#, r#"{"metadata":{"k":"\u0000"}}"#, r#"{"metadata":{"\u0000":"v"}}"#, r#"{"hosts":["\u0000"]}"#, r#"["\u0000"]"#] {
            everywhere(&service, &tenant, body, 422, "validation_failed").await;
        }
        let post = async |body: &str| send(&service, &Method::POST, "/v1/tenants", body).await;
        post(r#"{"slug":"aaa","name":"a\u0000"}"#).await.invalid(&[("name", "not_allowed")]);
        post(r#"{"slug":"aaa","name":"A","metadata":{"a\u0000b":"v"}}"#).await.invalid(&[("metadata.a\u{fffd}b", "not_allowed")]);
        post(r#"{"slug":"aaa","name":"A","hosts":["https://a.example","\u0000"]}"#).await.invalid(&[("hosts.1", "not_allowed")]);
        assert_eq!(traces(&service).await, before);
    }

    async fn numbers_stay_in_their_range(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        let before = traces(&service).await;
        let extend = path_of(&tenant, "/extend-trial");
        for (number, code) in [
            ("1e20", "out_of_range"), ("-0", "out_of_range"), ("-0.0", "out_of_range"), ("0", "out_of_range"), ("366", "out_of_range"),
            ("4294967297", "out_of_range"), ("18446744073709551617", "out_of_range"), ("-9223372036854775809", "out_of_range"), ("1e308", "out_of_range"),
            ("14.5", "wrong_type"), ("14.0", "wrong_type"), ("1.4e1", "wrong_type"), ("1e-400", "out_of_range"), ("\"14\"", "wrong_type"),
        ] {
            let answer = send(&service, &Method::POST, &extend, format!("{{\"days\":{number}}}")).await;
            let errors = answer.problem(422, "validation_failed").body["errors"].clone();
            assert_eq!((&errors[0]["field"], &errors[0]["code"]), (&json!("days"), &json!(code)), "{number}");
            let body = format!("{{\"slug\":\"aaa\",\"name\":\"A\",\"trial_days\":{number}}}");
            send(&service, &Method::POST, "/v1/tenants", body).await.invalid(&[("trial_days", code)]);
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn media_types(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        let url = json!({ "url": "https://a.example" }).to_string();
        for (media, status) in [
            ("application/json", 200), ("application/json; charset=utf-8", 200), ("application/json;charset=UTF-8", 200), ("APPLICATION/JSON", 200),
            ("application/json; charset=\"utf-8\"", 200), ("application/json; profile=x", 200), ("application/json; charset=latin1", 415),
            ("application/json; charset=utf-16", 415), ("text/plain", 415), ("text/json", 415), ("application/xml", 415), ("application/jsonx", 415),
            ("application/json-patch+json", 415), ("application/x-www-form-urlencoded", 415), ("multipart/form-data; boundary=x", 415), ("json", 415), ("*/*", 415),
        ] {
            let answer = service.admin.send_bytes(Method::PUT, &path_of(&tenant, "/hosts"), media, url.clone().into_bytes()).await;
            assert_eq!(answer.status, status, "{media}: {}", answer.text);
            if status == 415 {
                answer.problem(415, "unsupported_media_type");
            }
        }
        let none = raw(&service, &format!("PUT {}", path_of(&tenant, "/hosts")), b"", url.as_bytes()).await;
        assert_eq!(none.status, 415, "{}", none.body);
        // The media type is judged before the text.
        let broken = service.admin.send_bytes(Method::POST, "/v1/tenants", "text/plain", b"{".to_vec()).await;
        broken.problem(415, "unsupported_media_type");
    }

    async fn an_empty_body_is_an_object_without_members(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        for media in ["", JSON, "text/plain"] {
            let empty = async |method: Method, path: String| service.admin.send_bytes(method, &path, media, Vec::new()).await;
            empty(Method::POST, "/v1/tenants".to_owned()).await.invalid(&[("slug", "required"), ("name", "required")]);
            empty(Method::POST, path_of(&tenant, "/extend-trial")).await.invalid(&[("days", "required")]);
            empty(Method::PUT, path_of(&tenant, "/hosts")).await.invalid(&[("url", "required")]);
            assert_eq!(empty(Method::PATCH, path_of(&tenant, "")).await.expect(200).body, tenant);
        }
    }

    async fn size_is_bounded_to_the_byte(service: Service) {
        let padded = |length: usize| {
            let body = json!({ "slug": "padded", "name": "Padded" }).to_string();
            format!("{body}{}", " ".repeat(length - body.len())).into_bytes()
        };
        let before = traces(&service).await;
        for length in [(1 << 20) + 1, 3 << 20] {
            let answer = raw(&service, "POST /v1/tenants", b"content-type: application/json\r\n", &padded(length)).await;
            assert_eq!(answer.status, 413, "{}", answer.head);
            assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["code"], "body_too_large");
        }
        // The same without an announced length.
        let body = padded((1 << 20) + 1);
        let mut chunked = format!(
            "POST /v1/tenants HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n",
            crate::support::client::DEV_TOKEN, body.len()
        ).into_bytes();
        chunked.extend_from_slice(&body);
        chunked.extend_from_slice(b"\r\n0\r\n\r\n");
        let answer = raw_bytes(&service, &chunked).await;
        assert_eq!(answer.status, 413, "{}", answer.head);
        assert_eq!(traces(&service).await, before);
        send(&service, &Method::POST, "/v1/tenants", padded(1 << 20)).await.expect(201);
    }

    async fn a_body_that_breaks_off_writes_nothing(service: Service) {
        let before = traces(&service).await;
        let head = "POST /v1/tenants HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
        let auth = format!("authorization: Bearer {}\r\n", crate::support::client::DEV_TOKEN);
        let cut = format!("{head}{auth}transfer-encoding: chunked\r\n\r\n10\r\n{{\"slug\":\"cut\",\"n\r\nzz\r\n");
        let answer = raw_bytes(&service, cut.as_bytes()).await;
        assert_eq!(answer.status, 400, "{}", answer.head);
        let bad_length = format!("{head}{auth}content-length: -5\r\n\r\n{{}}");
        assert_eq!(raw_bytes(&service, bad_length.as_bytes()).await.status, 400);
        assert_eq!(traces(&service).await, before);
    }

    async fn odd_paths_are_absent(service: Service) {
        service.admin.make_tenant("beta").await;
        let before = traces(&service).await;
        let long = "a".repeat(50_000);
        for path in [
            "/v1/tenants/%", "/v1/tenants/%zz", "/v1/tenants/%ff%fe", "/v1/tenants/%00", "/v1/tenants/%2e%2e", "/v1/tenants/..%2f..%2fetc%2fpasswd",
            "/v1/tenants/'%20or%201=1", "/v1/tenants/by-slug/%", "/v1/tenants/by-slug/%00", "/v1/tenants/by-slug/beta%00", "/v1/tenants/by-slug/%ff",
            "/v1/tenants/by-slug/BETA", "/v1/tenants/by-slug/beta/", "/v1/tenants/by-slug/", "/v1/tenants/", "/v1//tenants", "//v1/tenants", "/V1/tenants",
            "/v1/tenants/by-host/%", "/v1/tenants/by-host/%00", "/v1/tenants/by-host/", "/v1/tenants/by-slug/%F0%9F%98%80", "/", "/v1", "/%00", "/.env",
            "/v1/tenants/00000000-0000-0000-0000-00000000000g", "/v1/tenants/{0192f0c1-2345-7abc-8def-0123456789ab}",
            "/v1/tenants/urn:uuid:0192f0c1-2345-7abc-8def-0123456789ab", &format!("/v1/tenants/{long}"), &format!("/v1/tenants/by-slug/{long}"),
            &format!("/v1/tenants/by-host/{long}"), &format!("/{}", "a/".repeat(20_000)),
        ] {
            let answer = raw(&service, &format!("GET {path}"), b"", b"").await;
            assert_eq!(answer.status, 404, "{path:.80}: {}", answer.body);
            let problem: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(problem["code"], "not_found", "{path:.80}");
        }
        for path in ["/v1/tenants?%00=1", "/v1/tenants?q=%00", "/v1/tenants?=", "/v1/tenants?%ff=1", "/v1/tenants?a[]=1"] {
            let answer = raw(&service, &format!("GET {path}"), b"", b"").await;
            assert_eq!(answer.status, 422, "{path}: {}", answer.body);
        }
        assert_eq!(traces(&service).await, before);
    }

    async fn odd_heads_are_refused_and_survived(service: Service) {
        let many: String = (0..300).map(|place| format!("x-{place}: 1\r\n")).collect();
        let long = format!("x-long: {}\r\n", "a".repeat(1_000_000));
        for (line, head) in [
            ("GET /v1/tenants", many.as_bytes()), ("GET /v1/tenants", long.as_bytes()), ("GET /v1/tenants", b"no-colon\r\n"),
            ("GET /v1/tenants", b"bad name: 1\r\n"), ("GET /v1/tenants\x00", b""), ("GET v1/tenants", b""), ("G@T /v1/tenants", b""),
            (&format!("GET /{}", "a".repeat(70_000)), b""),
        ] {
            let answer = raw(&service, line, head, b"").await;
            assert!((400..500).contains(&answer.status), "{line:.80}: {}", answer.head);
        }
        for head in [&b"if-match: \xff\r\n"[..], b"idempotency-key: \xff\r\n"] {
            let answer = raw(&service, "POST /v1/tenants/0192f0c1-2345-7abc-8def-0123456789ab/activate", head, b"").await;
            assert_eq!(answer.status, 422, "{}", answer.body);
        }
        let fine = raw(&service, "GET /v1/tenants", b"x-request-id: \xff\r\ntraceparent: \xff\r\nx-forwarded-for: \xff\r\nx-tenant-id: \xff\r\n", b"").await;
        assert_eq!(fine.status, 200, "{}", fine.body);
        service.admin.get("/healthz").await.expect(200);
    }

    async fn mutated_bodies_never_break_the_service(service: Service) {
        let tenant = service.admin.make_tenant("beta").await;
        let mut dice = Dice(0x7e6a_2026);
        let mut refused = 0;
        for round in 0..240 {
            let (method, path, body) = calls(&tenant).swap_remove(dice.roll(6));
            let bytes = if dice.roll(2) == 0 {
                let mut bytes = body.to_string().into_bytes();
                mutate(&mut dice, &mut bytes);
                bytes
            } else {
                let mut body = body;
                let names: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
                let name = if names.is_empty() { "odd".to_owned() } else { names[dice.roll(names.len())].clone() };
                body[name] = odd_value(&mut dice);
                body.to_string().into_bytes()
            };
            let before = traces(&service).await;
            let answer = send(&service, &method, &path, bytes.clone()).await;
            let sent = String::from_utf8_lossy(&bytes);
            assert!(answer.status < 500, "round {round}: {method} {path} {sent}: {}", answer.text);
            if answer.status >= 400 {
                refused += 1;
                assert_eq!(traces(&service).await, before, "round {round}: {method} {path} {sent}");
            }
        }
        assert!(refused > 100, "the bodies are not bad enough: {refused}");
    }
}
