//! What operators read: JSON lines outside dev, readable ones in dev, and everything at a collector where one is named.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use crate::support::client::{Client, DEV_TOKEN};
use crate::support::issuer::TestIssuer;
use crate::support::process::{Program, http};
use crate::support::server::eventually;
use crate::support::sql::run_sqlite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_dev_every_line_is_one_json_object_and_a_requests_lines_carry_its_id() {
    let issuer = TestIssuer::start().await;
    let program = Program::in_prod(issuer.url()).set("LOG_FILTER", "debug");
    let file = format!("sqlite:{}/registry.sqlite", program.folder().display());
    let mut process = program.set("DATABASE_URL", &file).start().await;
    let bearer = issuer.token(issuer.claims("ada").role("PLATFORM_ADMIN"));
    let admin = Client::new(&process.url).bearer(&bearer).with("x-request-id", "asked-for-by-me");
    admin.make_tenant("logged-tenant").await;
    admin.get("/v1/tenants/by-slug/nobody-has-it").await.expect(404);
    process.signal("TERM");
    process.ended(Duration::from_secs(20)).await;
    let stderr = process.stderr();
    let mut requests = Vec::new();
    for line in stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for member in ["timestamp", "level", "target"] {
            assert!(line[member].is_string(), "no {member}: {line}");
        }
        let is_ours = line["target"].as_str().unwrap().starts_with("server");
        assert!(!is_ours || line["message"].is_string(), "no message: {line}");
        if line["spans"][0]["request_id"] == "asked-for-by-me" && line["message"] == "request" {
            requests.push((
                line["spans"][0]["method"].clone(),
                line["status"].clone(),
                line["spans"][0]["route"].clone(),
            ));
        }
    }
    let expected = [("POST", 201, "/v1/tenants"), ("GET", 404, "/v1/tenants/by-slug/{slug}")];
    let expected: Vec<_> = expected.map(|(method, status, route)| (method.into(), status.into(), route.into())).into();
    assert_eq!(requests, expected, "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_breaks_off_is_logged_with_the_requests_id() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.sqlite");
    let program = Program::new().set("DATABASE_URL", &format!("sqlite:{}", file.display())).set("LOG_FORMAT", "json");
    let process = program.start().await;
    let event = json!({ "action": "a", "crud": "c", "actor": { "id": "ada" }, "description": "d".repeat(5_000) });
    for _ in 0..4 {
        process.admin().post("/v1/audit", json!(vec![&event; 1_000])).await.expect(201);
    }
    // Twenty megabytes do not fit between here and there: the first page is on its way when the log goes.
    let asked = http().get(format!("{}/v1/audit/export", process.url)).header("x-request-id", "asked-for-by-me");
    let mut answer = asked.bearer_auth(DEV_TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    run_sqlite(&file, "DROP TABLE audit_events").await;
    while let Ok(Some(_)) = answer.chunk().await {}
    eventually("the line", async || process.stderr().contains("an export broke off")).await;
    let stderr = process.stderr();
    let line = stderr.lines().find(|line| line.contains("an export broke off")).unwrap();
    assert!(line.contains("asked-for-by-me"), "{line}");
}

#[tokio::test]
async fn in_dev_lines_are_for_people() {
    let process = Program::new().start().await;
    process.admin().with("x-request-id", "asked-for-by-me").make_tenant("logged-tenant").await;
    eventually("the request's line", async || process.stderr().contains("asked-for-by-me")).await;
    let stderr = process.stderr();
    let line = stderr.lines().find(|line| line.contains("asked-for-by-me")).unwrap();
    assert!(line.contains("INFO") && line.contains("status=201") && line.contains("request{"), "{line}");
    assert!(serde_json::from_str::<Value>(line).is_err() && !stderr.contains('\u{1b}'), "{stderr}");
}

#[tokio::test]
async fn the_format_follows_the_setting_in_dev_too() {
    let process = Program::new().set("LOG_FORMAT", "json").start().await;
    for line in process.stderr().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// Path and body of each request to the collector.
type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

async fn collector() -> (String, Received) {
    let received = Received::default();
    let take = async |State(received): State<Received>, uri: Uri, body: Bytes| {
        received.lock().unwrap().push((uri.path().to_owned(), body.to_vec()));
    };
    let router = axum::Router::new().fallback(take).with_state(Arc::clone(&received));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_traces_metrics_and_logs_of_service_tenant_registry() {
    let (endpoint, received) = collector().await;
    let mut process = Program::new().set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    process.admin().with("traceparent", trace).make_tenant("traced-tenant").await;
    process.signal("TERM");
    assert_eq!(process.ended(Duration::from_secs(20)).await.code(), Some(0), "{}", process.stderr());
    let received = received.lock().unwrap();
    let contains = |body: &[u8], bytes: &[u8]| body.windows(bytes.len()).any(|window| window == bytes);
    for (path, holds) in
        [("/v1/traces", "/v1/tenants"), ("/v1/metrics", "http.server.request.duration"), ("/v1/logs", "listening")]
    {
        let bodies: Vec<u8> = received.iter().filter(|(at, _)| at == path).flat_map(|(_, body)| body.clone()).collect();
        for text in ["service.name", "tenant-registry", "deployment.environment.name", "dev", holds] {
            assert!(contains(&bodies, text.as_bytes()), "no {text} at {path} ({} bytes)", bodies.len());
        }
        if path == "/v1/traces" {
            let id = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
            assert!(contains(&bodies, &id), "the caller's trace goes on");
        }
    }
}

/// A collector that is away costs neither the start nor the end.
#[tokio::test]
async fn without_the_collector_the_service_runs_and_ends_all_the_same() {
    let endpoint = format!("http://127.0.0.1:{}", crate::support::process::free_port());
    let mut process = Program::new().set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).start().await;
    process.admin().make_tenant("nobody-listens").await;
    process.signal("TERM");
    assert_eq!(process.ended(Duration::from_secs(10)).await.code(), Some(0), "{}", process.stderr());
}
