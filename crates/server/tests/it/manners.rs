//! What every answer has, whatever happened inside: ids, headers, problems, limits of time, an orderly end.
//!
//! Invariant: what a driver or a panic said is in no body.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::faulty::{DRIVER_TEXT, PANIC_TEXT};
use crate::support::raw::raw;
use crate::support::server::{both_stores, eventually};
use crate::support::setup::{each_store, events, faulty, off, on, traces};
use crate::support::{Answer, Client, Options, Service};

const HEADERS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

#[track_caller]
fn has_manners(answer: &Answer) {
    for (name, value) in HEADERS {
        assert_eq!(answer.header(name), value, "{name}: {}", answer.text);
    }
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
}

async fn send(client: &Client, method: Method, path: &str) -> Answer {
    client.send(method, path, None).await
}

both_stores! {
    async fn request_ids_are_taken_or_made(service: Service) {
        let longest = "r".repeat(128);
        for id in ["a", "abc.DEF_123-x", "....", &longest] {
            for path in ["/v1/tenants", "/v1/none", "/healthz"] {
                assert_eq!(service.admin.with("x-request-id", id).get(path).await.header("x-request-id"), id);
            }
        }
        let too_long = "r".repeat(129);
        for id in ["", " ", "a b", "a/b", "ä", "a:b", "<script>", "a,b", &too_long] {
            let answer = service.admin.with("x-request-id", id).get("/v1/tenants").await.expect(200);
            let made = answer.header("x-request-id");
            assert_ne!(made, id);
            assert_eq!(uuid::Uuid::parse_str(made).unwrap().get_version_num(), 7, "{id}");
        }
        let body = json!({ "slug": "beta", "name": "Beta" });
        service.admin.with("x-request-id", "of-the-audit").post("/v1/tenants", body).await.expect(201);
        assert_eq!(events(&service).await[0].metadata["request_id"], "of-the-audit");
    }

    async fn every_answer_has_its_headers_and_every_error_is_a_problem(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        let tenant = crate::support::setup::path_of(&made, "");
        for (method, path, status, code) in [
            (Method::GET, "/v1/tenants", 200, ""), (Method::GET, "/healthz", 200, ""), (Method::GET, "/metrics", 200, ""),
            (Method::GET, "/openapi.json", 200, ""), (Method::GET, "/nowhere", 404, "not_found"), (Method::POST, "/", 404, "not_found"),
            (Method::DELETE, "/v1/tenants", 405, "method_not_allowed"), (Method::POST, "/healthz", 405, "method_not_allowed"),
            (Method::PUT, tenant.as_str(), 405, "method_not_allowed"), (Method::PATCH, "/metrics", 405, "method_not_allowed"),
            (Method::GET, "/v1/tenants?x=1", 422, "validation_failed"), (Method::DELETE, tenant.as_str(), 409, "invalid_transition"),
        ] {
            let answer = send(&service.admin, method.clone(), path).await;
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
            has_manners(&answer);
            if status >= 400 {
                let problem = answer.problem(status, code);
                assert_eq!(problem.body["type"], format!("urn:tenant-registry:problem:{code}"));
                assert_eq!(problem.body["instance"], path.split('?').next().unwrap());
            }
        }
        let anonymous = service.admin.anonymous().get("/v1/tenants").await.problem(401, "unauthenticated");
        assert!(anonymous.header("www-authenticate").starts_with("Bearer"));
        has_manners(&anonymous);
    }

    async fn a_wrong_method_is_told_the_right_ones(service: Service) {
        for (path, allowed) in [("/v1/tenants", vec!["GET", "HEAD", "POST"]), ("/healthz", vec!["GET", "HEAD"]), ("/v1/tenants/x/activate", vec!["POST"])] {
            let answer = send(&service.admin, Method::PUT, path).await.problem(405, "method_not_allowed");
            let mut found: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
            found.sort_unstable();
            assert_eq!(found, allowed, "{path}");
        }
    }

    async fn head_is_get_without_the_body(service: Service) {
        service.admin.make_tenant("beta").await;
        for path in ["/v1/tenants/by-slug/beta", "/v1/tenants", "/healthz", "/docs"] {
            let (get, head) = (service.admin.get(path).await.expect(200), send(&service.admin, Method::HEAD, path).await.expect(200));
            assert_eq!(head.text, "");
            for name in ["etag", "content-type", "content-length"] {
                assert_eq!(head.header(name), get.header(name), "{path}: {name}");
            }
        }
        let absent = raw(&service, "HEAD /v1/tenants/by-slug/absent", b"", b"").await;
        assert_eq!((absent.status, absent.body.as_str()), (404, ""));
    }

    async fn the_document_is_served_and_needs_no_other_host(service: Service) {
        let json_form = service.admin.anonymous().get("/openapi.json").await.expect(200);
        assert_eq!(json_form.header("content-type"), "application/json");
        assert!(json_form.body["openapi"].as_str().unwrap().starts_with("3.1"));
        let yaml = service.admin.anonymous().get("/openapi.yaml").await.expect(200);
        assert_eq!(yaml.header("content-type"), "application/yaml");
        assert_eq!(yaml_serde::from_str::<Value>(&yaml.text).unwrap(), json_form.body);
        let docs = service.admin.anonymous().get("/docs").await.expect(200);
        assert!(docs.header("content-type").starts_with("text/html"));
        assert!(docs.text.contains("/v1/tenants/by-slug/{slug}"));
        for reference in ["src=\"http", "src=\"//", "href=\"http", "href=\"//", "url(http", "url(//", "@import", "<script", "<iframe", "<link"] {
            assert!(!docs.text.contains(reference), "{reference}");
        }
        assert!(!docs.header("content-security-policy").contains("http"));
    }

    async fn metrics_count_what_was_asked(service: Service) {
        let made = service.admin.make_tenant("beta").await;
        for _ in 0..3 {
            service.admin.get(&crate::support::setup::path_of(&made, "")).await.expect(200);
        }
        service.admin.get("/v1/tenants/by-slug/absent").await.problem(404, "not_found");
        service.admin.get("/no/such/route").await.problem(404, "not_found");
        send(&service.admin, Method::from_bytes(b"BREW").unwrap(), "/v1/tenants").await.problem(405, "method_not_allowed");
        let metrics = service.admin.anonymous().get("/metrics").await.expect(200).text;
        let count = |wanted: &[&str]| {
            let line = metrics.lines().find(|line| line.contains("_count{") && wanted.iter().all(|label| line.contains(label)));
            line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
        };
        let ok = "http_response_status_code=\"200\"";
        assert_eq!(count(&["http_route=\"/v1/tenants/{id}\"", "http_request_method=\"GET\"", ok]).as_deref(), Some("3"), "{metrics}");
        assert_eq!(count(&["http_route=\"/v1/tenants/by-slug/{slug}\"", "http_response_status_code=\"404\""]).as_deref(), Some("1"));
        assert_eq!(count(&["http_route=\"/v1/tenants\"", "http_request_method=\"POST\"", "\"201\""]).as_deref(), Some("1"));
        assert!(metrics.contains("http_server_request_duration_seconds_bucket"), "{metrics}");
        assert!(!metrics.contains("/no/such/route") && !metrics.contains("BREW") && !metrics.contains("absent"));
    }

    async fn cors_is_off_unless_configured(service: Service) {
        let browser = service.admin.with("origin", "https://portal.example");
        let answer = browser.get("/v1/tenants").await.expect(200);
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
        let preflight = send(&browser.with("access-control-request-method", "POST"), Method::OPTIONS, "/v1/tenants").await;
        preflight.problem(405, "method_not_allowed");
    }
}

each_store! {
    async fn cors_admits_the_named_origin_alone(kind: StoreKind) {
        let options = Options::default().set("CORS_ALLOWED_ORIGINS", "https://portal.example");
        let service = Service::start_with(kind, options).await;
        let named = service.admin.with("origin", "https://portal.example");
        let answer = named.get("/v1/tenants").await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), "https://portal.example");
        assert!(answer.header("access-control-expose-headers").contains("etag"));
        let other = service.admin.with("origin", "https://evil.example").get("/v1/tenants").await.expect(200);
        assert_eq!(other.header("access-control-allow-origin"), "");
        let preflight = "origin: https://portal.example\r\naccess-control-request-method: PATCH\r\n";
        let answer = raw(&service, "OPTIONS /v1/tenants", preflight.as_bytes(), b"").await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("access-control-allow-methods") && answer.head.contains("patch"), "{}", answer.head);
    }

    async fn a_panic_is_an_internal_problem_without_its_text(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        on(&faults.panics);
        for path in ["/v1/tenants", "/v1/tenants/by-host/a.example"] {
            let answer = service.admin.with("x-request-id", "of-the-panic").get(path).await.problem(500, "internal");
            assert!(!answer.text.contains(PANIC_TEXT), "{}", answer.text);
            assert_eq!(answer.header("x-request-id"), "of-the-panic");
            has_manners(&answer);
        }
        off(&faults.panics);
        service.admin.get("/v1/tenants").await.expect(200);
    }

    async fn what_takes_too_long_is_given_up(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default().set("REQUEST_TIMEOUT_SECONDS", "1")).await;
        faults.before_insert.close();
        let client = service.admin.with("idempotency-key", "k");
        let body = json!({ "slug": "beta", "name": "Beta" });
        let answer = client.post("/v1/tenants", body.clone()).await;
        assert_eq!(answer.body["code"], "timeout", "{}", answer.text);
        has_manners(&answer);
        // What was begun is finished, and the repetition is told of it.
        faults.before_insert.open();
        eventually("the tenant comes to be", async || traces(&service).await.0 == 1).await;
        assert_eq!(client.post("/v1/tenants", body).await.expect(201).header("idempotent-replayed"), "true");
    }

    async fn a_store_that_is_away_is_said_without_its_drivers_words(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let made = service.admin.make_tenant("beta").await;
        let tenant = crate::support::setup::path_of(&made, "");
        service.admin.get("/readyz").await.expect(200);
        on(&faults.away);
        for answer in [
            service.admin.get("/v1/tenants").await, service.admin.get("/v1/tenants/by-host/a.example").await,
            service.admin.post("/v1/tenants", json!({ "slug": "gamma", "name": "G" })).await,
            service.admin.patch(&tenant, json!({ "name": "G" })).await, service.admin.get("/readyz").await,
        ] {
            let answer = answer.problem(503, "unavailable");
            for word in [DRIVER_TEXT, "hunter2", "db-7", "database", "refused"] {
                assert!(!answer.text.contains(word), "{}", answer.text);
            }
            has_manners(&answer);
        }
        assert_eq!(service.admin.get("/v1/tenants").await.header("retry-after"), "1");
        service.admin.anonymous().get("/healthz").await.expect(200);
        service.admin.anonymous().get("/health").await.expect(200);
        off(&faults.away);
        service.admin.get("/readyz").await.expect(200);
        service.admin.get("/v1/tenants").await.expect(200);
    }

    async fn a_stop_lets_requests_in_flight_finish(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default().set("SHUTDOWN_TIMEOUT_SECONDS", "10")).await;
        faults.before_insert.close();
        let client = service.admin.clone();
        let running = tokio::spawn(async move { client.post("/v1/tenants", json!({ "slug": "beta", "name": "Beta" })).await });
        eventually("the request runs", async || faults.before_insert.waiting() == 1).await;
        service.begin_stop();
        let probe = format!("{}/readyz", service.url);
        eventually("readiness is refused", async || match reqwest::get(&probe).await {
            Ok(answer) => answer.status() == 503,
            Err(_) => true,
        })
        .await;
        assert!(!running.is_finished());
        faults.before_insert.open();
        running.await.unwrap().expect(201);
        tokio::time::timeout(Duration::from_secs(10), service.stop()).await.expect("it stops once nothing runs");
    }

    async fn a_stop_does_not_wait_beyond_its_deadline(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default().set("SHUTDOWN_TIMEOUT_SECONDS", "1")).await;
        faults.after_look_up.close();
        let client = service.admin.clone();
        let running = tokio::spawn(async move { reqwest::Client::new().get(format!("{}/v1/tenants/by-slug/beta", client.base())).bearer_auth(crate::support::client::DEV_TOKEN).send().await.is_ok() });
        eventually("the request runs", async || faults.after_look_up.waiting() == 1).await;
        let begun = tokio::time::Instant::now();
        let stopped = tokio::spawn(service.stop());
        eventually("the deadline passed", async || begun.elapsed() > Duration::from_secs(1)).await;
        let within = tokio::time::timeout(Duration::from_secs(5), stopped).await;
        faults.after_look_up.open();
        within.expect("it stops at its deadline").unwrap();
        let _ = running.await;
    }

    async fn forwarded_addresses_are_believed_from_trusted_proxies_only(kind: StoreKind) {
        for (trusted, header, value, expected) in [
            ("", "x-forwarded-for", "203.0.113.9", "127.0.0.1"),
            ("10.0.0.0/8", "x-forwarded-for", "203.0.113.9", "127.0.0.1"),
            ("127.0.0.0/8", "x-forwarded-for", "203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "x-forwarded-for", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
            ("127.0.0.0/8,10.0.0.0/8", "x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("127.0.0.0/8", "forwarded", "for=\"[2001:db8::7]:4711\";proto=https", "2001:db8::7"),
            ("127.0.0.0/8", "x-forwarded-for", "nonsense", "127.0.0.1"),
        ] {
            let service = Service::start_with(kind, Options::default().set("TRUSTED_PROXIES", trusted)).await;
            service.admin.with(header, value).make_tenant("beta").await;
            let event = events(&service).await.remove(0);
            assert_eq!(event.source_ip.unwrap().to_string(), expected, "{trusted} {header}: {value}");
        }
    }
}

/// A connection that says nothing, or never more than how HTTP/2 begins, costs a file descriptor only for so long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_asks_nothing_is_ended() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let service = Service::start(crate::support::StoreKind::Sqlite).await;
    let address = service.url.trim_start_matches("http://").to_owned();
    let silent = async |first: &'static str| {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        connection.write_all(first.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = tokio::time::timeout(std::time::Duration::from_secs(60), connection.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "{first:?} is still connected");
    };
    tokio::join!(silent(""), silent("PRI * HTT"), silent("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), silent("GET /hea"));
}
