//! What the rest of this folder stands on: the server of the tests, the realm file, the scripts around them.
//!
//! Invariant: a script is run as its users run it, and looked at from outside.

use std::process::{Command, Output};

use serde_json::json;

use super::http::Http;
use super::real::{RealKeycloak, Start, left_out, root};
use super::realm::{MAPPER, RealmOptions, realm_file};

#[tokio::test]
async fn the_server_of_the_tests_is_ready_and_makes_realms() {
    if left_out() {
        return;
    }
    let keycloak = RealKeycloak::shared().await;
    let realm = keycloak.realm(RealmOptions::default()).await;
    let other = keycloak.realm(RealmOptions::default()).await;
    assert_ne!(realm.name, other.name);
    let reply = Http::new().get(&format!("{}/.well-known/openid-configuration", realm.issuer)).await.expect(200);
    assert_eq!(reply.body["issuer"], realm.issuer);
    // The service account of the realm's file may make organizations, and nothing but what it was given.
    let token = realm.service_token().await;
    let made =
        realm.as_bearer(&token, "POST", "/organizations", Some(json!({ "name": "Acme", "alias": "acme" }))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(made.header("location").starts_with(&format!("{}/admin/realms/{}/", realm.base_url, realm.name)));
    assert_eq!(realm.as_bearer(&token, "GET", "/clients", None).await.status, 403);
}

#[tokio::test]
async fn the_realm_file_is_imported_as_operators_do_and_a_server_that_is_ended_is_gone() {
    if left_out() {
        return;
    }
    let start = Start {
        port: 0,
        admin: Some(("admin".to_owned(), "password".to_owned())),
        import: vec![("KEYCLOAK_CLIENT_SECRET", "a-secret".to_owned()), ("REALM_SMTP_PORT", "2525".to_owned())],
    };
    let keycloak = tokio::task::spawn_blocking(move || RealKeycloak::start(&start)).await.unwrap();
    let address = keycloak.base_url.strip_prefix("http://").unwrap().to_owned();

    let realm = keycloak.admin("GET", "/admin/realms/breakpilot-dev", None).await.expect(200).body;
    assert_eq!((&realm["smtpServer"]["host"], &realm["smtpServer"]["port"]), (&json!("localhost"), &json!("2525")));
    assert_eq!(realm["organizationsEnabled"], true);
    let token = format!("{}/realms/breakpilot-dev/protocol/openid-connect/token", keycloak.base_url);
    for (secret, status) in [("a-secret", 200), ("${KEYCLOAK_CLIENT_SECRET}", 401)] {
        let form =
            [("grant_type", "client_credentials"), ("client_id", "breakpilot-provisioner"), ("client_secret", secret)];
        Http::new().post_form(&token, &form).await.expect(status);
    }
    let path = "/admin/realms/breakpilot-dev/clients?clientId=breakpilot-console";
    let console = keycloak.admin("GET", path, None).await.expect(200).body[0].clone();
    assert_eq!(console["redirectUris"], json!(["http://localhost:8090/*"]));
    let mappers = console["protocolMappers"].as_array().unwrap();
    let mapper = mappers.iter().find(|mapper| mapper["protocolMapper"] == MAPPER).unwrap();
    // Without an address the mapper does nothing: an empty default must not become a text of its own.
    let url = mapper["config"]["registry.url"].as_str().unwrap_or_default();
    assert_eq!(url, "");

    assert!(keycloak.is_running() && tokio::net::TcpStream::connect(&address).await.is_ok());
    let ended = tokio::task::spawn_blocking(move || {
        keycloak.end();
        keycloak
    });
    assert!(!ended.await.unwrap().is_running());
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

/// Runs a script of the repository with nothing but `PATH` and these variables.
fn script(words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new("sh");
    command.current_dir(root()).args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn a_realm_whose_secret_is_not_set_is_not_imported() {
    const FILE: &str = "deploy/keycloak/breakpilot-dev-realm.json";
    let check = |variables: &[(&str, &str)]| script(&["scripts/check-realm.sh", FILE], variables);
    for variables in [&[][..], &[("KEYCLOAK_CLIENT_SECRET", "")]] {
        let refused = check(variables);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("KEYCLOAK_CLIENT_SECRET"), "{refused:?}");
    }
    let passed = check(&[("KEYCLOAK_CLIENT_SECRET", "a secret; $(of) 'odd' \"letters\"")]);
    assert!(passed.status.success(), "{passed:?}");
    assert!(passed.stdout.is_empty() && passed.stderr.is_empty(), "{passed:?}");
    // No secret stands in the file itself.
    let realm: serde_json::Value = serde_json::from_str(&realm_file()).unwrap();
    for client in realm["clients"].as_array().unwrap() {
        let secret = client["secret"].as_str().unwrap_or("${");
        assert!(secret.starts_with("${"), "{}", client["clientId"]);
    }
    assert_eq!(realm["users"].as_array().unwrap().len(), 1, "no account but the service's");
}

#[test]
fn a_keycloak_that_is_not_there_is_said_and_not_downloaded() {
    let empty = tempfile::tempdir().unwrap();
    let home = empty.path().to_str().unwrap();
    let found = script(&["scripts/ensure-keycloak.sh", "--find"], &[("HOME", home), ("TEST_INSTALL", "0")]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(String::from_utf8_lossy(&found.stderr).contains("scripts/ensure-keycloak.sh"), "{found:?}");
    let named = script(&["scripts/ensure-keycloak.sh", "true"], &[("HOME", home), ("TEST_KEYCLOAK_HOME", home)]);
    assert_eq!(named.status.code(), Some(1), "{named:?}");
    assert!(String::from_utf8_lossy(&named.stderr).contains("TEST_KEYCLOAK_HOME"), "{named:?}");
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 0, "something was downloaded");
}
