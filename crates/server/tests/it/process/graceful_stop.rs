//! The end: SIGTERM and SIGINT let requests in flight finish, new ones are not taken, and a request that never ends does
//! not keep the process. The client speaks HTTP by hand, since what matters is when its bytes arrive.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::DEV_TOKEN;
use crate::support::process::{Process, Program};
use crate::support::server::eventually;

/// A POST of a tenant of which the body's last byte has not been sent.
struct SlowRequest {
    stream: TcpStream,
    last: u8,
}

impl SlowRequest {
    async fn begin(process: &Process, slug: &str) -> Self {
        let body = json!({ "slug": slug, "name": "Slow" }).to_string();
        let mut stream = TcpStream::connect(process.address()).await.unwrap();
        let head = format!(
            "POST /v1/tenants HTTP/1.1\r\nhost: registry\r\nauthorization: Bearer {DEV_TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let (last, first) = body.as_bytes().split_last().unwrap();
        stream.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
        eventually("the request in flight", async || in_flight(process).await == 1.0).await;
        Self { stream, last: *last }
    }

    /// Sends the rest, and gives status line and body.
    async fn finish(mut self) -> (String, Value) {
        self.stream.write_all(&[self.last]).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.lines().next().unwrap_or_default().to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

/// POSTs in flight, by the service's own count.
async fn in_flight(process: &Process) -> f64 {
    let text = process.admin().get("/metrics").await.text;
    let line = text.lines().find(|line| line.starts_with("http_server_active_requests{") && line.contains("POST"));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |number| number.parse().unwrap())
}

/// No new connection is taken any more.
async fn closed(process: &Process) {
    eventually("a closed port", async || TcpStream::connect(process.address()).await.is_err()).await;
}

async fn finishes_what_is_in_flight(signal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}/registry.sqlite", folder.path().display());
    let mut process = Program::new().set("DATABASE_URL", &file).start().await;
    let slow = SlowRequest::begin(&process, "slow-one").await;
    process.signal(signal);
    closed(&process).await;
    let (status, made) = slow.finish().await;
    assert_eq!((status.as_str(), &made["slug"]), ("HTTP/1.1 201 Created", &json!("slow-one")));
    let end = process.ended(Duration::from_secs(10)).await;
    assert_eq!(end.code(), Some(0), "{}", process.stderr());
    assert!(process.stderr().contains("stopped"), "{}", process.stderr());
    let again = Program::new().set("DATABASE_URL", &file).start().await;
    assert_eq!(again.admin().get("/v1/tenants/by-slug/slow-one").await.expect(200).body["id"], made["id"]);
}

async fn does_not_wait_for_ever(signal: &str) {
    let mut process = Program::new().set("SHUTDOWN_TIMEOUT_SECONDS", "2").start().await;
    let _never_ends = SlowRequest::begin(&process, "never-ends").await;
    let begin = Instant::now();
    process.signal(signal);
    let end = process.ended(Duration::from_secs(30)).await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(1_900), "it did not wait for the request: {took:?}");
    assert!(took < Duration::from_secs(3), "it took {took:?} with a limit of 2 s");
    assert_eq!(end.code(), Some(0), "{}", process.stderr());
    assert!(process.stderr().contains("did not end in time"), "{}", process.stderr());
}

#[tokio::test]
async fn sigterm_lets_a_request_in_flight_finish() {
    finishes_what_is_in_flight("TERM").await;
}

#[tokio::test]
async fn sigint_lets_a_request_in_flight_finish() {
    finishes_what_is_in_flight("INT").await;
}

#[tokio::test]
async fn sigterm_does_not_wait_for_a_request_that_never_ends() {
    does_not_wait_for_ever("TERM").await;
}

#[tokio::test]
async fn sigint_does_not_wait_for_a_request_that_never_ends() {
    does_not_wait_for_ever("INT").await;
}

/// A connection that is kept alive without a request is closed, not waited for.
#[tokio::test]
async fn an_idle_connection_does_not_hold_the_end_up() {
    let mut process = Program::new().start().await;
    let mut idle = TcpStream::connect(process.address()).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: registry\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let silent = TcpStream::connect(process.address()).await.unwrap();
    process.signal("TERM");
    let begin = Instant::now();
    let end = process.ended(Duration::from_secs(10)).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(end.code(), Some(0), "{}", process.stderr());
    drop(silent);
}
