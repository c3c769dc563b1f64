//! What every validator that fetches is held to: which failures pass, and limits in time, size, hops and addresses.

use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tenancy::{HttpProbe, JwksValidator, ValidationTarget, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::server::{Server, nobody, redirect};
use super::{lasting, passing, target, verdict};

fn http_probe() -> HttpProbe {
    tenancy::http_probe("/up").allow_private_addresses(true)
}

fn jwks() -> JwksValidator {
    tenancy::jwks().allow_private_addresses(true)
}

const DOCUMENT: &str = r#"{"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"AQ"}]}}"#;

fn signed(url: &str) -> ValidationTarget {
    target(&[url]).with_signing_key(json!({"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": "AQ"}))
}

#[tokio::test]
async fn statuses_pass_or_last() {
    for (status, passes) in [
        (300, false),
        (304, false),
        (400, false),
        (401, false),
        (403, false),
        (404, false),
        (407, false),
        (408, false),
        (409, false),
        (410, false),
        (425, false),
        (428, false),
        (429, false),
        (430, false),
        (499, false),
        (500, true),
        (501, true),
        (502, true),
        (503, true),
        (504, true),
        (599, true),
    ] {
        let server = Server::of_status(status).await;
        let check = if passes { passing } else { lasting };
        let beginning = format!("{}/up answered {status}", server.url());
        let reason = check(verdict(&http_probe(), &target(&[&server.url()])).await);
        assert!(reason.starts_with(&beginning), "{reason}");
        check(verdict(&jwks(), &signed(&server.url())).await);
    }
}

#[tokio::test]
async fn a_refused_connection_passes() {
    let url = nobody().await;
    let reason = passing(verdict(&jwks(), &signed(&url)).await);
    assert!(reason.starts_with(&format!("cannot fetch {url}/.well-known/brand.json: ")), "{reason}");
    assert!(reason.to_lowercase().contains("connection refused"), "{reason}");
    passing(verdict(&http_probe(), &target(&[&url])).await);
}

#[tokio::test]
async fn a_name_that_is_not_known_passes() {
    // RFC 6761 §6.4: never in the DNS.
    passing(verdict(&tenancy::jwks(), &signed("http://acme.invalid")).await);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let limit = Duration::from_millis(300);
    let silent = Server::start(|_| std::future::pending()).await;
    let endless = Server::start(|_| async {
        let first = stream::once(async { Ok::<_, Infallible>(Bytes::from("{")) });
        Body::from_stream(first.chain(stream::pending())).into_response()
    })
    .await;
    let in_circles = Server::start(|_| async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        redirect(302, "/again")
    })
    .await;
    for server in [&silent, &endless, &in_circles] {
        let started = Instant::now();
        let reason = passing(verdict(&jwks().timeout(limit), &signed(&server.url())).await);
        assert_eq!(reason, format!("no answer from {}/.well-known/brand.json within 300 ms", server.url()));
        assert!(started.elapsed() >= limit && started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_hanging_host_does_not_hide_the_lasting_failure_of_another() {
    let silent = Server::start(|_| std::future::pending()).await;
    let gone = Server::of_status(410).await;
    let urls = [silent.url(), gone.url()];
    let started = Instant::now();
    let probe = http_probe().timeout(Duration::from_secs(60));
    assert!(lasting(verdict(&probe, &target(&[&urls[0], &urls[1]])).await).contains("410"));
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// A body of this many bytes in chunks, without a declared length.
fn chunked(bytes: usize) -> Response {
    let mut text = DOCUMENT.to_owned();
    text.push_str(&" ".repeat(bytes - text.len()));
    let chunks: Vec<_> =
        text.as_bytes().chunks(1_000).map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk))).collect();
    Body::from_stream(stream::iter(chunks)).into_response()
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_no_further() {
    let at_limit = Server::start(|_| async { chunked(1 << 20) }).await;
    assert_eq!(verdict(&jwks(), &signed(&at_limit.url())).await, Verdict::Valid);
    let above = Server::start(|_| async { chunked((1 << 20) + 1) }).await;
    let reason = lasting(verdict(&jwks(), &signed(&above.url())).await);
    assert!(reason.ends_with("/.well-known/brand.json answered more than 1048576 bytes"), "{reason}");

    let declared = Server::of_text(format!("{DOCUMENT}{}", " ".repeat(100))).await;
    let length = DOCUMENT.len() + 100;
    assert_eq!(verdict(&jwks().max_body(length), &signed(&declared.url())).await, Verdict::Valid);
    lasting(verdict(&jwks().max_body(length - 1), &signed(&declared.url())).await);
}

#[tokio::test]
async fn a_body_without_an_end_ends_at_the_limit() {
    let server = Server::start(|_| async {
        let spaces = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b' '; 1 << 16])));
        Body::from_stream(spaces).into_response()
    })
    .await;
    let reason = lasting(verdict(&jwks().timeout(Duration::from_secs(60)), &signed(&server.url())).await);
    assert!(reason.ends_with("answered more than 1048576 bytes"), "{reason}");
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_the_body_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 1_024]).await.unwrap();
        // All of a document, and less than was announced.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{DOCUMENT}", DOCUMENT.len() + 1);
        socket.write_all(head.as_bytes()).await.unwrap();
    });
    passing(verdict(&jwks(), &signed(&url)).await);
    server.await.unwrap();
}

/// Nobody has chosen a provider of cryptography for this process, so that the client has to bring its own.
#[tokio::test]
async fn what_is_no_tls_passes() {
    let server = Server::of_text(DOCUMENT).await;
    let url = server.url().replace("http:", "https:");
    let reason = passing(verdict(&jwks(), &signed(&url)).await);
    assert!(reason.starts_with(&format!("cannot fetch {url}/.well-known/brand.json: ")), "{reason}");
    assert_eq!(server.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_http_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await.unwrap();
    });
    passing(verdict(&jwks(), &signed(&url)).await);
    server.await.unwrap();
}

#[tokio::test]
async fn three_redirects_on_one_host_are_followed_and_a_fourth_is_not() {
    let server = Server::start(|path| async move {
        match path.as_str() {
            "/3/up" => redirect(301, "/2"),
            "/2" => redirect(307, "1"),
            "/1" => redirect(308, "./0?x=1"),
            "/0?x=1" => StatusCode::OK.into_response(),
            "/4/up" => redirect(302, "/3/up"),
            other => panic!("{other} was asked"),
        }
    })
    .await;
    let three = format!("{}/3", server.url());
    assert_eq!(verdict(&http_probe(), &target(&[&three])).await, Verdict::Valid);
    let four = format!("{}/4", server.url());
    let reason = lasting(verdict(&http_probe(), &target(&[&four])).await);
    assert_eq!(reason, format!("{four}/up redirects more than 3 times"));
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = Server::start(|path| async move { redirect(302, &path) }).await;
    lasting(verdict(&http_probe(), &target(&[&server.url()])).await);
    assert_eq!(server.paths().len(), 4);
}

#[tokio::test]
async fn a_redirect_to_another_host_or_port_is_not_followed() {
    let other = Server::of_text(DOCUMENT).await;
    for (to, why) in [
        (other.url(), "redirects to another port"),
        (format!("http://localhost:{}", other.port()), "redirects to another host"),
        (format!("//localhost:{}/", other.port()), "redirects to another host"),
        ("https://127.0.0.1/".to_owned(), "redirects to another port"),
        ("ftp://127.0.0.1/".to_owned(), "redirects to another host"),
        ("http://[".to_owned(), "redirects to what is no URL"),
    ] {
        let answer = to.clone();
        let server = Server::start(move |_| std::future::ready(redirect(302, &answer))).await;
        let reason = lasting(verdict(&jwks(), &signed(&server.url())).await);
        assert!(reason.ends_with(why), "{to}: {reason}");
    }
    let nowhere = Server::of_status(302).await;
    assert!(lasting(verdict(&jwks(), &signed(&nowhere.url())).await).ends_with("redirects nowhere"));
    assert_eq!(other.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn private_addresses_are_not_asked_unless_allowed() {
    let server = Server::of_text(DOCUMENT).await;
    let port = server.port();
    for host in
        ["127.0.0.1", "localhost", "LOCALHOST", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"]
    {
        let url = format!("http://{host}:{port}");
        let reason = lasting(verdict(&tenancy::jwks(), &signed(&url)).await);
        assert!(reason.ends_with("is at a private or reserved address, which is not allowed"), "{url}: {reason}");
        lasting(verdict(&tenancy::http_probe("/"), &target(&[&url])).await);
        lasting(verdict(&tenancy::jwks().at(&url).unwrap(), &signed("https://acme.example.com")).await);
    }
    assert_eq!(server.paths(), Vec::<String>::new());
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(verdict(&jwks(), &signed(&format!("http://{host}:{port}"))).await, Verdict::Valid);
    }
    // The last word counts, also of a validator that has been at work.
    let by_name = signed(&format!("http://localhost:{port}"));
    let validator = jwks();
    assert_eq!(verdict(&validator, &by_name).await, Verdict::Valid);
    lasting(verdict(&validator.allow_private_addresses(false), &by_name).await);
}

#[tokio::test]
async fn plain_http_is_refused_by_option() {
    let server = Server::of_text(DOCUMENT).await;
    let reason = lasting(verdict(&jwks().https_only(true), &signed(&server.url())).await);
    assert!(reason.ends_with("is not encrypted, and only HTTPS is allowed"), "{reason}");
    assert_eq!(server.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_says_who_asks_and_carries_nothing_over() {
    let server = Server::start(|path| async move {
        if path == "/up" {
            // A location without a redirect is none.
            [("set-cookie", "sid=1"), ("location", "/nowhere")].into_response()
        } else {
            let mut answer = redirect(302, "/up");
            answer.headers_mut().insert("set-cookie", "sid=1; Path=/".parse().unwrap());
            answer
        }
    })
    .await;
    let probe = tenancy::http_probe("/first").allow_private_addresses(true);
    assert_eq!(verdict(&probe, &target(&[&server.url()])).await, Verdict::Valid);
    assert_eq!(verdict(&probe, &target(&[&server.url()])).await, Verdict::Valid);
    for request in 0..4 {
        let headers = server.headers(request);
        assert_eq!(headers["user-agent"], concat!("tenancy/", env!("CARGO_PKG_VERSION")));
        for name in ["cookie", "referer", "authorization", "accept-encoding"] {
            assert!(!headers.contains_key(name), "{name}: {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_tenants_url_that_cannot_be_asked_is_a_lasting_failure() {
    for url in ["", "acme.example.com", "ftp://acme.example.com", "https://"] {
        assert!(
            lasting(verdict(&http_probe(), &target(&[url])).await).ends_with("is no URL that can be asked"),
            "{url}"
        );
    }
}

/// In a process of its own, as the environment belongs to all tests of this one.
#[test]
fn a_proxy_in_the_environment_is_not_asked() {
    let test = "validators::jwks::a_tenant_that_publishes_its_key_is_valid";
    let nobody = "http://127.0.0.1:9";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .envs(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, nobody)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// A connection that is kept would go round the judgement of addresses, and would belong to a runtime that is gone.
#[tokio::test]
async fn every_fetch_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let server = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            // Answers for as long as it is asked.
            tokio::spawn(async move {
                while socket.read(&mut [0; 4_096]).await.is_ok_and(|read| read > 0) {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{DOCUMENT}", DOCUMENT.len());
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let validator = jwks();
    for fetches in 1..=3 {
        assert_eq!(verdict(&validator, &signed(&url)).await, Verdict::Valid);
        assert_eq!(accepted.load(Ordering::SeqCst), fetches);
    }
    server.abort();
}

/// A validator is made once and used by whatever runtime is there.
#[test]
fn a_validator_works_in_one_runtime_after_another() {
    let validator = jwks();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::of_text(DOCUMENT).await;
            assert_eq!(verdict(&validator, &signed(&server.url())).await, Verdict::Valid);
        });
    }
}
