//! `keys create`, what it refuses, and that a key's text stands in one answer and nowhere else: not in a log, a metric,
//! the database or what is kept for repetitions.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use store::testing::postgres::Cluster;

use crate::support::StoreKind;
use crate::support::client::Client;
use crate::support::process::{Finished, Program};
use crate::support::server::{fresh_database, left_out};
use crate::support::sql::{run_sqlite, texts_of_postgres, texts_of_sqlite};

const VERIFY: &str = "/v1/internal/api-keys/verify";

/// The key alone, in one line.
#[track_caller]
fn key_of(finished: &Finished) -> String {
    let key = finished.stdout.strip_suffix('\n').unwrap();
    assert!(domain::api_key::format::read(key).is_ok(), "{:?}", finished.stdout);
    assert!(!finished.stderr.contains(&key[8..30]), "{}", finished.stderr);
    key.to_owned()
}

async fn create(url: &str, words: &[&str]) -> Finished {
    Program::new().set("DATABASE_URL", url).args(&["keys", "create"]).args(words).run().await
}

async fn keys_work_on(url: &str) {
    let mut process = Program::new().set("DATABASE_URL", url).start().await;
    let admin = process.admin();
    let acme = admin.make_tenant("acme").await;
    // While the service runs, too.
    let made = create(url, &["--name", "portal", "--scope", "registry:internal", "--scope", "x"]).await.succeeded();
    let internal = key_of(&made);
    assert!(made.stderr.contains("the platform: registry:internal x; does not expire"), "{}", made.stderr);
    let words = ["--name", "CI", "--tenant", "acme", "--expires-at", "2999-01-01T00:00:00Z"];
    let by_slug = key_of(&create(url, &words).await.succeeded());
    let by_id = key_of(&create(url, &["--name", "CI", "--tenant", acme["id"].as_str().unwrap()]).await.succeeded());
    let service = Client::new(&process.url).bearer(&internal);
    for (text, end) in [(&by_slug, json!("2999-01-01T00:00:00Z")), (&by_id, Value::Null)] {
        let answer = service.post(VERIFY, json!({ "key": text })).await.expect(200).body;
        assert_eq!((&answer["code"], &answer["tenant"]["id"]), (&json!("valid"), &acme["id"]));
        assert_eq!(answer["key"]["expires_at"], end);
    }
    let listed = admin.get("/v1/api-keys").await.expect(200).body;
    assert!(listed["items"].as_array().unwrap().iter().all(|key| key["created_by"] == "system:cli"), "{listed}");
    for (words, said) in [
        (&["--name", " "][..], "name"),
        (&["--name", "x", "--scope", "A*"], "scopes.0"),
        (&["--name", "x", "--tenant", "nobody"], "not found"),
        (&["--name", "x", "--expires-at", "2001-01-01T00:00:00Z"], "expires_at"),
        (&["--name", "x", "--expires-at", "tomorrow"], "RFC 3339"),
        (&["--name", "x", "--expires-at", "2999-01-01 00:00Z"], "RFC 3339"),
        (&["--name", "x", "--expires-at", "2999-01-01T00:00:00+01:00[Europe/Berlin]"], "RFC 3339"),
        (&["--scope", "x"], "--name"),
    ] {
        let refused = create(url, words).await.refused(&[said]);
        assert_eq!(refused.stdout, "");
    }
    process.signal("TERM");
    assert_eq!(process.ended(Duration::from_secs(20)).await.code(), Some(0));
}

fn file_in(folder: &Path) -> String {
    format!("sqlite:{}/registry.sqlite", folder.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_key_is_made_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = file_in(folder.path());
    keys_work_on(&url).await;
    let path = folder.path().join("registry.sqlite");
    // The service stopped less than ten seconds after the keys were used: what it remembered is written.
    let used = "SELECT name FROM api_keys WHERE last_used_at IS NOT NULL ORDER BY name";
    assert_eq!(texts_of_sqlite(&path, used).await, ["CI", "CI", "portal"]);
    let actors =
        texts_of_sqlite(&path, "SELECT DISTINCT actor_id FROM audit_events WHERE action = 'api_key.created'").await;
    assert_eq!(actors, ["system:cli"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_text_went_nowhere_is_told_to_be_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let url = file_in(folder.path());
    Program::new().set("DATABASE_URL", &url).args(&["migrate", "up"]).run().await.succeeded();
    let to_a_full_disk =
        ["sh", "-c", r#""$0" keys create --name lost > /dev/full"#, env!("CARGO_BIN_EXE_tenant-registry")];
    let made = Program::of(&to_a_full_disk.map(str::to_owned)).set("DATABASE_URL", &url).run().await;
    let ids = "SELECT lower(hex(id)) FROM api_keys WHERE name = 'lost'";
    let ids = texts_of_sqlite(&folder.path().join("registry.sqlite"), ids).await;
    let id: uuid::Uuid = ids[0].parse().unwrap();
    let told = format!("made key {id}, but its text could not be written: revoke it");
    let made = made.refused(&[&told]);
    assert_eq!(
        (made.code, made.stdout.as_str(), made.stderr.contains("trk_")),
        (Some(1), "", false),
        "{}",
        made.stderr
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_key_is_made_on_postgres() {
    if !left_out(StoreKind::Postgres) {
        keys_work_on(&fresh_database().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_for_the_environment_of_the_installation() {
    let folder = tempfile::tempdir().unwrap();
    let url = file_in(folder.path());
    Program::new().set("DATABASE_URL", &url).args(&["migrate", "up"]).run().await.succeeded();
    for (env, prefix) in [("dev", "trk_dev_"), ("stage", "trk_stage_"), ("prod", "trk_live_")] {
        let program = Program::new().set("DATABASE_URL", &url).set("APP_ENV", env).unset("DEV_TOKEN");
        let made = program.args(&["keys", "create", "--name", "first"]).run().await.succeeded();
        assert!(key_of(&made).starts_with(prefix), "{}", made.stdout);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_that_is_ready_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    create("", &["--name", "x"]).await.refused(&["DATABASE_URL"]);
    let url = file_in(folder.path());
    create(&url, &["--name", "x"]).await.refused(&["no database", "migrate up"]);
    assert!(!folder.path().join("registry.sqlite").exists());
    let older = "DROP TABLE api_keys; DELETE FROM _sqlx_migrations WHERE version >= 20261121000003";
    Program::new().set("DATABASE_URL", &url).args(&["migrate", "up"]).run().await.succeeded();
    run_sqlite(&folder.path().join("registry.sqlite"), older).await;
    create(&url, &["--name", "x"]).await.refused(&["behind this program", "tenant-registry migrate up"]);
    if !left_out(StoreKind::Postgres) {
        let empty = tokio::task::spawn_blocking(|| Cluster::shared().create_database()).await.unwrap();
        create(&empty, &["--name", "x"]).await.refused(&["behind this program", "tenant-registry migrate up"]);
    }
}

/// Makes, repeats, rotates, uses and misuses keys. Gives their texts, and what was answered beside them.
async fn everything(admin: &Client, url: &str) -> (Vec<String>, Vec<String>) {
    let acme = admin.make_tenant("acme").await;
    let keyed = admin.with("idempotency-key", "planted");
    let body = json!({ "tenant_id": acme["id"], "name": "Key", "scopes": ["tenant:read", "api_keys:write"] });
    let made = keyed.post("/v1/api-keys", body.clone()).await.expect(201).body;
    let text = made["plaintext"].as_str().unwrap().to_owned();
    let rotate = format!("/v1/api-keys/{}/rotate", made["api_key"]["id"].as_str().unwrap());
    let rotated = keyed.with("x-request-id", "rotation");
    let rotated = rotated.post(&rotate, json!({ "overlap_seconds": 600 })).await.problem(422, "idempotency_key_reused");
    let keyed_again = admin.with("idempotency-key", "planted-2");
    let new = keyed_again.post(&rotate, json!({ "overlap_seconds": 600 })).await.expect(201).body;
    let new_text = new["plaintext"].as_str().unwrap().to_owned();
    let (caller, typo) = (Client::new(url).bearer(&text), text.replace("trk_dev_", "trk_dev_0"));
    let answers = [
        rotated,
        keyed.post("/v1/api-keys", body).await.expect(201),
        keyed_again.post(&rotate, json!({ "overlap_seconds": 600 })).await.expect(201),
        admin.post(&rotate, json!({})).await.problem(409, "key_not_rotatable"),
        admin.get("/v1/api-keys").await.expect(200),
        admin.post(VERIFY, json!({ "key": text, "scope": "tenant:read" })).await.expect(200),
        admin.post(VERIFY, json!({ "key": new_text, "scope": "A" })).await.problem(422, "validation_failed"),
        admin.post(VERIFY, json!({ "key": [new_text] })).await.problem(422, "validation_failed"),
        admin.post(VERIFY, json!({ "key": text, "other": text })).await.problem(422, "validation_failed"),
        caller.get("/v1/tenants").await.expect(200),
        caller.with("x-api-key", &text).get("/v1/tenants").await.expect(200),
        caller.post("/v1/tenants", json!({})).await.problem(403, "forbidden"),
        Client::new(url).bearer(&typo).get("/v1/tenants").await.problem(401, "unauthenticated"),
        Client::new(url).with("x-api-key", &new_text).get("/v1/tenants").await.expect(200),
        admin.delete(rotate.trim_end_matches("/rotate")).await.expect(204),
        Client::new(url).bearer(&text).get("/v1/tenants").await.problem(401, "unauthenticated"),
        admin.anonymous().get("/metrics").await,
    ];
    let answers = answers.into_iter().map(|answer| format!("{}{:?}", answer.text, answer.headers)).collect();
    (vec![text, new_text], answers)
}

#[track_caller]
fn search(texts: &[String], place: &str, found: &str) {
    for text in texts {
        for part in [text.as_str(), &text[8..30], &text[8..20]] {
            assert!(!found.contains(part), "{place} has a key's text");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keys_text_stands_nowhere_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new().set("LOG_FILTER", "trace").set("DATABASE_URL", &file_in(folder.path()));
    let mut process = program.start().await;
    let (texts, answers) = everything(&process.admin(), &process.url).await;
    search(&texts, "an answer", &answers.join("\n"));
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        search(&texts, "the database", &String::from_utf8_lossy(&bytes));
        files += 1;
    }
    assert!(files >= 2, "the log of writes among them");
    process.signal("TERM");
    assert_eq!(process.ended(Duration::from_secs(20)).await.code(), Some(0));
    assert!(process.stderr().contains("DEBUG"), "the search would prove little");
    search(&texts, "standard error", &process.stderr());
    search(&texts, "standard output", &process.stdout());
    let hashes = texts_of_sqlite(&folder.path().join("registry.sqlite"), "SELECT lower(hex(hash)) FROM api_keys").await;
    for text in &texts {
        assert!(hashes.contains(&domain::api_key::format::hash(text).to_hex()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keys_text_stands_nowhere_on_postgres() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let url = fresh_database().await;
    let mut process = Program::new().set("LOG_FILTER", "trace").set("DATABASE_URL", &url).start().await;
    let (texts, answers) = everything(&process.admin(), &process.url).await;
    search(&texts, "an answer", &answers.join("\n"));
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    for table in texts_of_postgres(&url, tables).await {
        let rows = texts_of_postgres(&url, &format!("SELECT t::text FROM {table} t")).await;
        search(&texts, &table, &rows.join("\n"));
    }
    process.signal("TERM");
    assert_eq!(process.ended(Duration::from_secs(20)).await.code(), Some(0));
    assert!(process.stderr().contains("DEBUG"), "the search would prove little");
    search(&texts, "standard error", &process.stderr());
    search(&texts, "standard output", &process.stdout());
}
