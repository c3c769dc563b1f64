//! No secret is ever logged: everything secret or personal is planted, every level of every log is written, requests good
//! and bad are made, and then all that came out is searched. The only place where the dev token may stand is the greeting
//! on standard output, in dev.

use std::path::Path;

use reqwest::Method;
use serde_json::json;
use store::testing::postgres::Cluster;

use crate::support::StoreKind;
use crate::support::client::Client;
use crate::support::issuer::TestIssuer;
use crate::support::process::{Process, Program};
use crate::support::server::left_out;
use crate::support::sql::run_postgres;

/// All begin with this, so that one search finds any; the numbers say which it was.
const PLANTED: &str = "pLaNtEd";
const DEV: &str = "pLaNtEd-1-dev-token";
const CLIENT_SECRET: &str = "pLaNtEd-2-client-secret";
const GATEWAY: &str = "pLaNtEd-3-gateway-token";
const PASSWORD: &str = "pLaNtEd-4-password";
const API_KEY: &str = "pLaNtEd-5-api-key";
const IDEMPOTENCY: &str = "pLaNtEd-6-idempotency-key";
const EMAIL: &str = "pLaNtEd-7@example.com";
const ADMIN_NAME: &str = "pLaNtEd-8 Lovelace";
const COOKIE: &str = "session=pLaNtEd-9-cookie";
const QUERY: &str = "pLaNtEd-10-query";
const METADATA: &str = "pLaNtEd-11-metadata";
const BASIC: &str = "Basic pLaNtEd-12-basic";

fn planted(program: Program) -> Program {
    program.set("LOG_FILTER", "trace").set("GATEWAY_TOKEN", GATEWAY).set("KEYCLOAK_CLIENT_SECRET", CLIENT_SECRET)
}

/// Requests good and bad that carry everything planted. Gives the bodies of all problems.
async fn requests(process: &Process, admin: &Client, bearer: &str) -> Vec<String> {
    let body = json!({
        "slug": "secretive", "name": "Secretive", "admin_email": EMAIL, "admin_name": ADMIN_NAME,
        "metadata": { "note": METADATA },
    });
    let keyed = admin.with("idempotency-key", IDEMPOTENCY).with("x-gateway-token", GATEWAY).with("cookie", COOKIE);
    let made = keyed.post("/v1/tenants", body.clone()).await.expect(201).body;
    let id = made["id"].as_str().unwrap();
    keyed.post("/v1/tenants", body.clone()).await.expect(201);
    admin.get(&format!("/v1/tenants/{id}")).await.expect(200);
    admin.get("/v1/tenants?limit=1").await.expect(200);
    admin.patch(&format!("/v1/tenants/{id}"), json!({ "metadata": { "note": METADATA } })).await.expect(200);

    let nobody = Client::new(&process.url);
    let mut other = body.clone();
    other["slug"] = json!("other-slug");
    let broken = format!("{{\"admin_email\": \"{EMAIL}\", ");
    let problems = [
        keyed.post("/v1/tenants", other).await,
        admin.post("/v1/tenants", body.clone()).await,
        nobody.with("x-api-key", API_KEY).get("/v1/tenants").await,
        nobody.with("authorization", BASIC).get("/v1/tenants").await,
        nobody.bearer(&format!("{bearer}x")).get("/v1/tenants").await,
        nobody.bearer(bearer).with("x-api-key", API_KEY).get("/v1/tenants").await,
        nobody.bearer(&format!("{PLANTED}-13.{PLANTED}-13.{PLANTED}-13")).get("/v1/tenants").await,
        nobody.bearer(&format!("{DEV}-and-more")).get("/v1/tenants").await,
        admin.send_bytes(Method::POST, "/v1/tenants", "application/json", broken.into_bytes()).await,
        admin.post("/v1/tenants", json!({ "slug": "third-slug", "name": "x", "admin_email": [EMAIL] })).await,
        admin.with("idempotency-key", &IDEMPOTENCY.repeat(20)).post("/v1/tenants", body).await,
        admin.get(&format!("/v1/tenants?cursor={QUERY}")).await,
        admin.get(&format!("/v1/nowhere?token={QUERY}")).await,
        admin.post_empty(&format!("/v1/tenants/{id}/activate?token={QUERY}")).await,
    ];
    problems
        .into_iter()
        .map(|answer| {
            assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text);
            answer.text
        })
        .collect()
}

/// Nothing planted stands in any of these texts, nor a part of the bearer token that is worth anything.
fn search(texts: &[(&str, &str)], bearer: &str) {
    let (signed, signature) = bearer.rsplit_once('.').unwrap_or((bearer, bearer));
    let mut found = Vec::new();
    for (place, text) in texts {
        for line in text.lines() {
            if line.contains(PLANTED) || line.contains(signature) || line.contains(signed) {
                found.push(format!("{place}: {line}"));
            }
        }
    }
    let shown: String =
        found.iter().take(20).map(|line| format!("{}\n", line.chars().take(600).collect::<String>())).collect();
    assert!(found.is_empty(), "{} lines hold a secret, among them:\n{shown}", found.len());
}

/// Makes the requests, stops the process in order, and searches everything that came out.
async fn leaves_nothing(mut process: Process, admin: Client, bearer: &str, greeting: bool) {
    let problems = requests(&process, &admin, bearer).await;
    let metrics = admin.anonymous().get("/metrics").await.expect(200).text;
    process.signal("TERM");
    assert_eq!(process.ended(std::time::Duration::from_secs(20)).await.code(), Some(0));
    let (stdout, stderr) = (process.stdout(), process.stderr());
    for level in ["TRACE", "DEBUG", "INFO"] {
        assert!(stderr.contains(level), "no {level} line: the search would prove little");
    }
    let stdout = match greeting {
        true => {
            let (greeting, rest): (Vec<&str>, Vec<&str>) = stdout.lines().partition(|line| line.contains("curl "));
            assert_eq!(greeting.len(), 1, "{stdout}");
            rest.join("\n")
        }
        false => {
            assert_eq!(stdout, "", "outside dev nothing is greeted");
            stdout
        }
    };
    search(
        &[("stdout", &stdout), ("stderr", &stderr), ("metrics", &metrics), ("problems", &problems.join("\n"))],
        bearer,
    );
}

fn file_in(folder: &Path) -> String {
    format!("sqlite:{}/registry.sqlite", folder.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_dev_over_sqlite_the_dev_token_stands_in_the_greeting_and_nowhere_else() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), TestIssuer::start().await);
    let program = planted(Program::new()).set("DEV_TOKEN", DEV).set("KEYCLOAK_ISSUER", issuer.url());
    let process = program.set("DATABASE_URL", &file_in(folder.path())).start().await;
    let admin = Client::new(&process.url).bearer(DEV);
    let bearer = issuer.token(issuer.claims("ada").role("PLATFORM_ADMIN"));
    admin.bearer(&bearer).get("/v1/tenants").await.expect(200);
    leaves_nothing(process, admin, &bearer, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_prod_over_sqlite_a_bearer_token_stands_nowhere() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), TestIssuer::start().await);
    let program = planted(Program::in_prod(issuer.url())).set("DATABASE_URL", &file_in(folder.path()));
    let process = program.start().await;
    let bearer = issuer.token(issuer.claims("ada").role("PLATFORM_ADMIN"));
    let admin = Client::new(&process.url).bearer(&bearer);
    leaves_nothing(process, admin, &bearer, false).await;
}

/// With a login whose password the server really asks for, in clear text as far as the driver is concerned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_postgres_neither_the_password_nor_a_statements_values_stand_anywhere() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let issuer = TestIssuer::start().await;
    let superuser = tokio::task::spawn_blocking(|| Cluster::shared().create_database()).await.unwrap();
    let login = format!("secret_login_{}", std::process::id());
    run_postgres(&superuser, &format!("CREATE ROLE {login} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")).await;
    let url = superuser.replacen("postgres://postgres@", &format!("postgres://{login}:{PASSWORD}@"), 1);
    assert_ne!(url, superuser);
    let program = planted(Program::new()).set("DEV_TOKEN", DEV).set("KEYCLOAK_ISSUER", issuer.url());
    let process = program.set("DATABASE_URL", &url).start().await;
    let admin = Client::new(&process.url).bearer(DEV);
    let bearer = issuer.token(issuer.claims("ada").role("PLATFORM_ADMIN"));
    admin.bearer(&bearer).get("/v1/tenants").await.expect(200);
    leaves_nothing(process, admin, &bearer, true).await;
    run_postgres(&superuser, &format!("ALTER ROLE {login} NOLOGIN")).await;
}

/// A database that refuses or is away: the message of the failed start holds no password.
#[tokio::test]
async fn a_start_that_fails_at_the_database_does_not_repeat_its_password() {
    let port = crate::support::process::free_port();
    for host in [format!("127.0.0.1:{port}"), "no-such-host.invalid".to_owned()] {
        let url = format!("postgres://app:{PASSWORD}@{host}/registry");
        let refusal = planted(Program::new()).set("DATABASE_URL", &url).run().await.refused(&["database"]);
        search(&[("stderr", &refusal.stderr), ("stdout", &refusal.stdout)], "no.bearer.token");
    }
}
