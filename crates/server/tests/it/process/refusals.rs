//! What must not run outside dev does not: each with a message of its own, an exit code that is not 0, and before the
//! port is taken. What the database itself forbids is in `schema` and `postgres_login`.

use crate::support::process::{Finished, Program, free_port};

const ISSUER: &str = "https://id.example.com/realms/main";

/// Outside dev with everything as it should be, over a file that does not exist yet.
fn proper(env: &str) -> Program {
    let program = Program::in_prod(ISSUER).set("APP_ENV", env);
    let file = program.folder().join("registry.sqlite");
    program.set("DATABASE_URL", &format!("sqlite:{}", file.display()))
}

/// In stage and in prod it is refused, and the message names the setting and says this.
async fn check(change: impl Fn(Program) -> Program, setting: &str, says: &str) {
    for env in ["stage", "prod"] {
        let refusal = change(proper(env)).run().await.refused(&[setting, says, &format!("APP_ENV={env}")]);
        assert_eq!(lines_about_settings(&refusal), 1, "one reason, one line:\n{}", refusal.stderr);
        assert_eq!(refusal.code, Some(2), "nothing was started: {}", refusal.stderr);
        assert_eq!(refusal.stdout, "");
    }
}

fn lines_about_settings(refusal: &Finished) -> usize {
    refusal.stderr.lines().filter(|line| line.starts_with("  ")).count()
}

#[tokio::test]
async fn a_store_in_memory_is_refused() {
    check(|program| program.unset("DATABASE_URL"), "DATABASE_URL", "in-memory").await;
}

#[tokio::test]
async fn the_mock_identity_provider_is_refused() {
    check(|program| program.unset("KEYCLOAK_ADMIN_URL"), "KEYCLOAK_ADMIN_URL", "mock identity provider").await;
}

#[tokio::test]
async fn no_issuer_is_refused() {
    check(|program| program.unset("KEYCLOAK_ISSUER"), "KEYCLOAK_ISSUER", "no issuer").await;
    check(|program| program.set("KEYCLOAK_ISSUER", ""), "KEYCLOAK_ISSUER", "no issuer").await;
}

#[tokio::test]
async fn a_dev_token_is_refused_and_not_repeated() {
    check(|program| program.set("DEV_TOKEN", "planted-token-of-dev"), "DEV_TOKEN", "platform admin").await;
    let refusal = proper("prod").set("DEV_TOKEN", "planted-token-of-dev").run().await;
    assert!(!refusal.stderr.contains("planted"), "{}", refusal.stderr);
}

#[tokio::test]
async fn a_shifted_clock_is_refused() {
    check(|program| program.set("DEV_CLOCK_OFFSET_SECONDS", "-1"), "DEV_CLOCK_OFFSET_SECONDS", "shifted clock").await;
}

#[tokio::test]
async fn a_mail_sink_is_refused() {
    check(|program| program.set("MAIL_SINK_URL", "http://mailpit:8025"), "MAIL_SINK_URL", "mails").await;
}

#[tokio::test]
async fn an_admin_api_without_a_service_account_is_refused() {
    check(|program| program.unset("KEYCLOAK_CLIENT_ID"), "KEYCLOAK_CLIENT_ID", "client id").await;
    check(|program| program.unset("KEYCLOAK_CLIENT_SECRET"), "KEYCLOAK_CLIENT_SECRET", "secret").await;
}

#[tokio::test]
async fn all_reasons_are_told_at_once() {
    let program = Program::new().set("APP_ENV", "prod").set("DEV_CLOCK_OFFSET_SECONDS", "5");
    let refusal = program.run().await.refused(&["DATABASE_URL", "KEYCLOAK_ISSUER", "KEYCLOAK_ADMIN_URL", "DEV_TOKEN"]);
    assert_eq!(lines_about_settings(&refusal), 5, "{}", refusal.stderr);
}

#[tokio::test]
async fn with_nothing_to_refuse_it_starts_in_prod() {
    let process = proper("prod").start().await;
    assert_eq!(process.stdout(), "", "the greeting with its token is for dev alone");
    process.admin().get("/v1/tenants").await.problem(401, "unauthenticated");
}

/// A refusal is said before the port is looked at: it does not change when somebody else has the port.
#[tokio::test]
async fn a_refusal_comes_before_the_port_is_taken() {
    let port = free_port();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let address = format!("127.0.0.1:{port}");
    let refusal = proper("prod").set("ADDR", &address).set("DEV_TOKEN", "planted-token-of-dev").run().await;
    let refusal = refusal.refused(&["DEV_TOKEN"]);
    assert!(!refusal.stderr.contains(&address), "{}", refusal.stderr);
    proper("prod").set("ADDR", &address).run().await.refused(&["cannot listen", &address]);
}
