//! The whole server over real connections: both versions of HTTP, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tenancy::{AdminOptions, Register, ServeError, ServeOptions, TenantConfig, TenantRegistry, serve_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Answer, app, every_state, register, registry, tokens};

const DEADLINE: Duration = Duration::from_secs(20);

struct Server {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
}

async fn start(registry: TenantRegistry<Router>, options: ServeOptions) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = Some(Box::pin(async { drop(stopped.await) }) as _);
    let ended = tokio::spawn(serve_with(listener, registry, ServeOptions { shutdown, ..options }));
    Server { addr, stop, ended }
}

impl Server {
    async fn get(&self, host: &str, token: Option<&str>) -> (u16, String) {
        let request = reqwest::Client::new().get(format!("http://{}/", self.addr)).header("host", host);
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Bytes as they are, one answer's head and body back.
    async fn raw(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    async fn end(self) {
        drop(self.stop);
        timeout(DEADLINE, self.ended).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn every_state_is_served_or_refused_over_a_real_connection() {
    let server = start(every_state(|| app("shop")).await, ServeOptions::default()).await;
    for (host, status) in [
        ("healthy", 200),
        ("unverified", 200),
        ("pending", 503),
        ("disabled", 503),
        ("suspended", 503),
        ("nobody", 404),
    ] {
        assert_eq!(server.get(&format!("{host}.example.com"), None).await.0, status, "{host}");
    }
    server.end().await;
}

#[tokio::test]
async fn http_1_targets_and_hosts_are_read_as_the_standard_has_them() {
    let server = start(every_state(|| app("shop")).await, ServeOptions::default()).await;
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: healthy.example.com\r\n", "200"),
        ("GET http://healthy.example.com/x HTTP/1.1\r\nHost: healthy.example.com\r\n", "200"),
        ("GET http://healthy.example.com/x HTTP/1.1\r\nHost: nobody.example.com\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: healthy.example.com\r\nHost: healthy.example.com\r\n", "404"),
        ("GET / HTTP/1.1\r\n", "404"),
        ("GET / HTTP/1.0\r\n", "404"),
        ("GET / HTTP/1.1\r\nHost: nobody.example.com\r\nX-Forwarded-Host: healthy.example.com\r\n", "404"),
    ] {
        let answer = server.raw(&format!("{head}Connection: close\r\n\r\n")).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head:?}: {answer}");
        if status == "404" {
            assert!(answer.contains("content-length: 0\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
    server.end().await;
}

#[tokio::test]
async fn http_2_has_its_host_in_the_authority() {
    let server = start(every_state(|| app("shop")).await, ServeOptions::default()).await;
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (authority, host, status) in [
        ("healthy.example.com", None, StatusCode::OK),
        ("HEALTHY.example.com:443", Some("healthy.example.com"), StatusCode::OK),
        ("healthy.example.com", Some("pending.example.com"), StatusCode::BAD_REQUEST),
        ("pending.example.com", None, StatusCode::SERVICE_UNAVAILABLE),
        ("nobody.example.com", None, StatusCode::NOT_FOUND),
    ] {
        let request = Request::get(format!("http://{authority}/x"));
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        let response = client.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
        let answer = Answer::of(response.map(Body::new)).await;
        assert_eq!(answer.status, status, "{authority} {host:?}");
        if status == StatusCode::OK {
            assert_eq!(answer.text, "shop /x");
        }
    }
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn with_auth_a_token_comes_first_and_has_to_be_the_tenants() {
    let options = ServeOptions { auth: tokens(), ..ServeOptions::default() };
    let server = start(every_state(|| app("shop")).await, options).await;
    for (host, token, status) in [
        ("healthy.example.com", None, 401),
        ("nobody.example.com", None, 401),
        ("healthy.example.com", Some("invalid"), 401),
        ("healthy.example.com", Some("healthy"), 200),
        ("healthy.example.com", Some("operator"), 200),
        ("healthy.example.com", Some("globex"), 403),
        ("nobody.example.com", Some("operator"), 404),
    ] {
        assert_eq!(server.get(host, token).await.0, status, "{host} {token:?}");
    }
    server.end().await;
}

/// A tenant whose app says when it was entered and answers when it is told to.
async fn slow(registry: &TenantRegistry<Router>) -> (Arc<Notify>, Arc<Notify>) {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
        move || async move {
            entered.notify_one();
            go_on.notified().await;
            "done"
        }
    };
    register(registry, "slow", Router::new().route("/", get(handler))).await;
    (entered, go_on)
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_finish_and_takes_no_more() {
    let registry = registry();
    let (entered, go_on) = slow(&registry).await;
    let Server { addr, stop, mut ended } = start(registry, ServeOptions::default()).await;
    // Two connections that have nothing under way: one that spoke, one that never did.
    let _silent = TcpStream::connect(addr).await.unwrap();
    let client = reqwest::Client::new();
    let ask = |host| client.get(format!("http://{addr}/")).header("host", host).send();
    assert_eq!(ask("nobody.example.com").await.unwrap().status(), 404);

    let in_flight = tokio::spawn(ask("slow.example.com"));
    entered.notified().await;
    drop(stop);
    timeout(DEADLINE, async { while TcpStream::connect(addr).await.is_ok() {} }).await.unwrap();
    assert!(timeout(Duration::from_millis(50), &mut ended).await.is_err(), "it does not wait for what is in flight");
    go_on.notify_one();
    assert_eq!(in_flight.await.unwrap().unwrap().text().await.unwrap(), "done");
    timeout(DEADLINE, ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    let registry = registry();
    let (entered, _go_on) = slow(&registry).await;
    let options = ServeOptions { drain_limit: Duration::from_millis(50), ..ServeOptions::default() };
    let server = start(registry, options).await;
    let in_flight = tokio::spawn({
        let request = reqwest::Client::new().get(format!("http://{}/", server.addr)).header("host", "slow.example.com");
        request.send()
    });
    entered.notified().await;
    server.end().await;
    assert!(timeout(DEADLINE, in_flight).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_tenant_that_leaves_finishes_what_it_began() {
    let registry = registry();
    let (entered, go_on) = slow(&registry).await;
    let server = Arc::new(start(registry.clone(), ServeOptions::default()).await);
    let in_flight = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.get("slow.example.com", None).await }
    });
    entered.notified().await;
    assert!(registry.unregister("slow"));
    assert_eq!(server.get("slow.example.com", None).await.0, 404);
    go_on.notify_one();
    assert_eq!(in_flight.await.unwrap(), (200, "done".to_owned()));
}

#[tokio::test]
async fn fifty_connections_at_once_build_a_lazy_tenant_once() {
    let registry = registry();
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let config = TenantConfig::lazy("https://beta.example.com", {
        let runs = Arc::clone(&runs);
        move || {
            runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async {
                tokio::task::yield_now().await;
                Ok::<_, String>(app("beta"))
            }
        }
    });
    registry.register("beta", config, Register::InBackground).await.unwrap();
    let server = Arc::new(start(registry, ServeOptions::default()).await);
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { server.get("beta.example.com", None).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), (200, "beta /".to_owned()));
    }
    assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn admin_routes_are_on_their_own_address_or_nowhere() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = free.local_addr().unwrap();
    let admin = || Some(AdminOptions::new(addr, tokens()));
    let options = ServeOptions { admin: admin(), ..ServeOptions::default() };
    let refused = start(every_state(|| app("shop")).await, options).await;
    assert!(matches!(refused.ended.await.unwrap(), Err(ServeError::Bind { addr: taken, .. }) if taken == addr));

    drop(free);
    let server =
        start(every_state(|| app("shop")).await, ServeOptions { admin: admin(), ..ServeOptions::default() }).await;
    let list = reqwest::Client::new().get(format!("http://{addr}/tenants")).bearer_auth("operator");
    let answer = timeout(DEADLINE, async {
        loop {
            if let Ok(answer) = list.try_clone().unwrap().send().await {
                return answer;
            }
        }
    });
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(reqwest::get(format!("http://{addr}/tenants")).await.unwrap().status(), 401);
    let on_tenants = reqwest::Client::new().get(format!("http://{}/tenants", server.addr)).bearer_auth("operator");
    assert_eq!(on_tenants.send().await.unwrap().status(), 404);
    server.end().await;
}
