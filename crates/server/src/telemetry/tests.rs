//! Telemetry as a whole: the shape of log lines, the text of metrics, and a collector that listens, or does not.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing::dispatcher::with_default;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::config::Config;

/// Collects what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn telemetry(pairs: &[(&str, &str)]) -> (Telemetry, Lines) {
    let lines = Lines::default();
    (build(&Config::from_pairs(pairs).unwrap().telemetry, lines.clone()).unwrap(), lines)
}

/// Path and body of each request.
type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// An OTLP collector: keeps the path and body of every request, and answers 200.
async fn collector() -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let received = Received::default();
    let seen = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take_posts(stream, seen.clone()));
        }
    });
    (endpoint, received)
}

/// Reads requests off one connection, by content length.
async fn take_posts(mut stream: TcpStream, seen: Received) {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).to_ascii_lowercase();
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap().trim().parse().unwrap();
        while buffer.len() < head_end + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = buffer[head_end..head_end + length].to_vec();
        buffer.drain(..head_end + length);
        seen.lock().unwrap().push((head.split_whitespace().nth(1).unwrap().to_owned(), body));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn outside_dev_a_log_line_is_one_json_object_with_the_spans_fields() {
    let (telemetry, lines) = telemetry(&[("APP_ENV", "prod")]);
    with_default(telemetry.dispatch(), || {
        let _outer = tracing::info_span!("request", request_id = "r-1").entered();
        let _inner = tracing::info_span!("store").entered();
        tracing::warn!(tenant = "acme", "two\nlines");
    });
    let text = lines.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&line["level"], &line["message"], &line["tenant"]),
        (&"WARN".into(), &"two\nlines".into(), &"acme".into())
    );
    assert_eq!(line["spans"][0]["request_id"], "r-1");
    assert_eq!(line["target"], module_path!());
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn in_dev_a_log_line_is_readable() {
    let (telemetry, lines) = telemetry(&[]);
    with_default(telemetry.dispatch(), || tracing::info!(tenant = "acme", "made a tenant"));
    let text = lines.text();
    assert!(
        text.contains("INFO") && text.contains("made a tenant tenant=\"acme\"") && !text.starts_with('{'),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_filter_decides_which_lines_are_written() {
    let (telemetry, lines) = telemetry(&[("LOG_FILTER", "warn,wanted=debug")]);
    with_default(telemetry.dispatch(), || {
        tracing::info!("unwanted");
        tracing::debug!(target: "wanted", "debug line");
        tracing::info!(target: "opentelemetry_sdk", "chatter");
    });
    let text = lines.text();
    assert!(text.contains("debug line") && !text.contains("unwanted") && !text.contains("chatter"), "{text}");
}

#[test]
fn what_is_recorded_shows_in_the_metrics_text() {
    let (telemetry, _) = telemetry(&[]);
    let metrics = telemetry.metrics().clone();
    metrics.record_request("GET", Some("/v1/tenants/{id}"), 200, Duration::from_millis(2));
    metrics.record_request("BREW", None, 404, Duration::from_millis(2));
    let active = metrics.request_started("GET");
    telemetry.meter().u64_counter("registry.jobs.runs").build().add(3, &[KeyValue::new("job", "trials")]);
    let text = telemetry.metrics_text();
    let labels = "http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"/v1/tenants/{id}\"";
    for line in [
        format!("http_server_request_duration_seconds_count{{{labels}}} 1"),
        format!("http_server_request_duration_seconds_sum{{{labels}}} 0.002"),
        format!("http_server_request_duration_seconds_bucket{{{labels},le=\"0.001\"}} 0"),
        format!("http_server_request_duration_seconds_bucket{{{labels},le=\"0.0025\"}} 1"),
        "http_server_request_duration_seconds_count{http_request_method=\"_OTHER\",http_response_status_code=\"404\"} 1"
            .to_owned(),
        "http_server_active_requests{http_request_method=\"GET\"} 1".to_owned(),
        "registry_jobs_runs_total{job=\"trials\"} 3".to_owned(),
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n---\n{text}");
    }
    assert!(text.contains("service_name=\"tenant-registry\""));
    drop(active);
    assert!(telemetry.metrics_reader().text().contains("http_server_active_requests{http_request_method=\"GET\"} 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_metrics_and_logs_reach_the_collector() {
    let (endpoint, received) = collector().await;
    let (telemetry, _) = telemetry(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("{endpoint}/"))]);
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
    with_default(telemetry.dispatch(), || {
        let span = tracing::info_span!("planted-span");
        assert_eq!(continue_trace(&span, &headers).unwrap(), "0af7651916cd43dd8448eb211c80319c");
        span.in_scope(|| tracing::info!("planted-line"));
        tracing::info!(target: "hyper::client", "own-traffic");
        tracing::info_span!(target: "reqwest::connect", "own-span").in_scope(|| ());
    });
    telemetry.metrics().record_request("GET", Some("/planted-route"), 200, Duration::from_millis(1));
    assert!(tokio::task::spawn_blocking(move || telemetry.shutdown()).await.unwrap());

    let received = received.lock().unwrap();
    let body = |path: &str| {
        received.iter().filter(|(at, _)| at == path).flat_map(|(_, body)| body.clone()).collect::<Vec<u8>>()
    };
    let (traces, metrics, logs) = (body("/v1/traces"), body("/v1/metrics"), body("/v1/logs"));
    assert!(
        contains(&traces, "planted-span") && contains(&metrics, "/planted-route") && contains(&logs, "planted-line")
    );
    for body in [&traces, &metrics, &logs] {
        assert!(contains(body, "service.name") && contains(body, "tenant-registry"));
        assert!(!contains(body, "own-traffic") && !contains(body, "own-span"));
    }
    let trace_id = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(traces.windows(16).any(|window| window == trace_id) && logs.windows(16).any(|window| window == trace_id));
}

#[test]
fn traces_do_not_follow_the_log_filter() {
    let (telemetry, _) = telemetry(&[("LOG_FILTER", "error"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")]);
    with_default(telemetry.dispatch(), || {
        assert!(trace_id(&tracing::info_span!("request")).is_some());
        assert!(trace_id(&tracing::debug_span!("detail")).is_none());
    });
}

#[test]
fn without_a_collector_the_callers_trace_is_still_named() {
    let (telemetry, _) = telemetry(&[]);
    let trace = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("traceparent", value.parse().unwrap());
        }
        with_default(telemetry.dispatch(), || continue_trace(&tracing::info_span!("request"), &headers))
    };
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(trace(&[good]).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    for bad in [&[][..], &["nonsense"], &["00-00000000000000000000000000000000-b7ad6b7169203331-01"], &[good, good]] {
        assert_eq!(trace(bad), None, "{bad:?}");
    }
}

/// A collector that takes connections and never answers is worse than one that refuses them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_gone_or_silent_delays_neither_work_nor_exit() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_endpoint = format!("http://{}", silent.local_addr().unwrap());
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing_endpoint = format!("http://{}", refusing.local_addr().unwrap());
    drop(refusing);
    for endpoint in [silent_endpoint, refusing_endpoint] {
        let (telemetry, _) = telemetry(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
        let working = Instant::now();
        with_default(telemetry.dispatch(), || {
            // More than the queues hold (2,048): what does not fit is dropped, not waited for.
            for number in 0..5_000 {
                tracing::info_span!("request", number).in_scope(|| tracing::info!("line"));
            }
        });
        telemetry.metrics().record_request("GET", None, 200, Duration::from_millis(1));
        assert!(working.elapsed() < Duration::from_secs(5), "{:?}", working.elapsed());
        let ending = Instant::now();
        assert!(!tokio::task::spawn_blocking(move || telemetry.shutdown()).await.unwrap());
        // The bound, and half a second for a busy machine to wake the waiting thread.
        assert!(ending.elapsed() < SHUTDOWN_BOUND + Duration::from_millis(500), "{:?}", ending.elapsed());
    }
    drop(silent);
}

#[test]
fn a_flush_that_hangs_is_not_waited_for() {
    let bound = Duration::from_millis(50);
    let starting = Instant::now();
    let (keep_open, hangs) = mpsc::channel::<()>();
    let hanging: Flush = Box::new(move || {
        let _ = hangs.recv_timeout(Duration::from_secs(20));
        Ok(())
    });
    assert!(!flush_all(vec![hanging, Box::new(|| Ok(()))], bound));
    assert!(starting.elapsed() < Duration::from_secs(10), "{:?}", starting.elapsed());
    drop(keep_open);
    let failing: Flush = Box::new(|| Err(opentelemetry_sdk::error::OTelSdkError::AlreadyShutdown));
    assert!(!flush_all(vec![failing, Box::new(|| Ok(()))], Duration::from_secs(10)));
    assert!(flush_all(vec![Box::new(|| Ok(())), Box::new(|| Ok(()))], Duration::from_secs(10)));
}
