//! `make dev-full` from outside: what it prints is there, and nothing is there any more when it has ended.
//!
//! `cargo test` of the package builds the example that it runs; a run of this binary alone (`--test it`) takes the one of
//! before, or none. Invariant: it uses no port that somebody else may want.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::keycloak::real::left_out;
use crate::support::process::{Process, Program, free_port, http};

/// Two servers start, each of which may take a while on a loaded machine.
const START_MAX: Duration = Duration::from_secs(900);
const END_MAX: Duration = Duration::from_secs(30);

/// What a person would have in the environment, as far as the scripts read it.
const HANDED_ON: [&str; 8] = [
    "HOME",
    "JAVA_HOME",
    "XDG_CACHE_HOME",
    "TEST_KEYCLOAK_CACHE",
    "TEST_KEYCLOAK_HOME",
    "TEST_INSTALL",
    "TEST_POSTGRES_BIN",
    "TEST_POSTGRES_URL",
];

/// Starts it, and waits for what it says last. None where it was not built.
async fn start() -> Option<Process> {
    let example = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/dev-full");
    if !example.is_file() {
        eprintln!("left out: {} is not built (cargo build -p server --example dev-full)", example.display());
        return None;
    }
    let address = format!("127.0.0.1:{}", free_port());
    let mut program = Program::of(&[example.to_str().unwrap().to_owned()]).set("ADDR", &address);
    for name in ["KEYCLOAK_PORT", "MAIL_SMTP_PORT", "MAIL_HTTP_PORT"] {
        program = program.set(name, "0");
    }
    for name in HANDED_ON {
        if let Ok(value) = std::env::var(name) {
            program = program.set(name, &value);
        }
    }
    let mut process = program.spawn();
    let begin = Instant::now();
    while !process.stderr().contains("Ctrl-C ends all of it") {
        if process.has_ended() || begin.elapsed() > START_MAX {
            panic!("it does not start:\n{}", process.stderr());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Some(process)
}

/// The first word behind a title in what it printed.
fn told(process: &Process, title: &str) -> String {
    let text = process.stderr();
    let line = text.lines().find(|line| line.starts_with(title)).unwrap_or_else(|| panic!("no {title} in\n{text}"));
    line[title.len()..].split_whitespace().next().unwrap().to_owned()
}

async fn json_of(url: &str) -> Value {
    let answer = http().get(url).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.json().await.unwrap()
}

async fn is_open(url: &str) -> bool {
    let url = url::Url::parse(url).unwrap();
    tokio::net::TcpStream::connect((url.host_str().unwrap(), url.port_or_known_default().unwrap())).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_full_has_everything_and_leaves_nothing() {
    if left_out() {
        return;
    }
    for signal in ["TERM", "KILL"] {
        let Some(mut process) = start().await else { return };
        let (service, realm) = (told(&process, "service"), told(&process, "realm"));
        let discovery = json_of(&format!("{realm}/.well-known/openid-configuration")).await;
        assert_eq!(discovery["issuer"], realm);
        assert_eq!(json_of(&told(&process, "mails")).await["total"], 0);
        let mine = http().get(format!("{service}/v1/tenants")).bearer_auth(told(&process, "dev token")).send().await;
        assert_eq!(mine.unwrap().status(), 200);
        let mut all = vec![service, realm, told(&process, "mails")];
        // A server that was there before is not its own to end.
        if std::env::var("TEST_POSTGRES_URL").unwrap_or_default().is_empty() {
            all.push(told(&process, "PostgreSQL"));
        }

        if signal == "KILL" {
            process.kill_9();
        } else {
            process.signal(signal);
            assert_eq!(process.ended(END_MAX).await.code(), Some(0), "{}", process.stderr());
        }
        let begin = Instant::now();
        for url in &all {
            while is_open(url).await {
                assert!(begin.elapsed() < END_MAX, "{signal}: {url} is still open");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
