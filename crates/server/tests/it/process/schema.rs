//! The schema at the start of the service, and `migrate`: behind, ahead, from nothing by two replicas at once, and taken
//! back. Every message names the command that mends it.

use std::path::Path;

use store::testing::postgres::Cluster;

use crate::support::StoreKind;
use crate::support::issuer::TestIssuer;
use crate::support::process::{Program, free_port, source_root};
use crate::support::server::left_out;
use crate::support::sql::{run_postgres, run_sqlite, texts_of_postgres};

/// A row as a later release would leave it.
const LATER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
    SELECT 99991231000000, 'later', success, checksum, 0 FROM _sqlx_migrations LIMIT 1";

async fn empty_database() -> String {
    tokio::task::spawn_blocking(|| Cluster::shared().create_database()).await.unwrap()
}

fn migrate(url: &str, what: &str) -> Program {
    Program::new().set("DATABASE_URL", url).args(&["migrate", what])
}

async fn version(url: &str) -> String {
    migrate(url, "version").run().await.succeeded().stdout
}

#[tokio::test]
async fn a_schema_that_is_behind_stops_the_service_with_the_command_that_mends_it() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let url = empty_database().await;
    // In dev, since the test's login is a superuser; the schema is judged first in any case.
    let behind = || Program::new().set("DATABASE_URL", &url).set("MIGRATE_ON_START", "false");
    behind().run().await.refused(&["behind this program", "tenant-registry migrate up", "MIGRATE_ON_START=true"]);
    let issuer = "https://id.example.com/realms/main";
    Program::in_prod(issuer).set("DATABASE_URL", &url).run().await.refused(&["tenant-registry migrate up"]);
    assert!(texts_of_postgres(&url, "SELECT relname::text FROM pg_class WHERE relname = 'tenants'").await.is_empty());
    migrate(&url, "up").run().await.succeeded();
    behind().start().await;
}

#[tokio::test]
async fn a_schema_that_is_ahead_stops_the_service_on_postgres() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let url = empty_database().await;
    migrate(&url, "up").run().await.succeeded();
    run_postgres(&url, LATER).await;
    for migrate_on_start in ["true", "false"] {
        let program = Program::new().set("DATABASE_URL", &url).set("MIGRATE_ON_START", migrate_on_start);
        program.run().await.refused(&["99991231000000", "newer release"]);
    }
    assert!(version(&url).await.contains("ahead"));
}

#[tokio::test]
async fn a_schema_that_is_ahead_stops_the_service_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.sqlite");
    let url = format!("sqlite:{}", file.display());
    migrate(&url, "up").run().await.succeeded();
    run_sqlite(&file, LATER).await;
    Program::new().set("DATABASE_URL", &url).run().await.refused(&["99991231000000", "newer release"]);
    assert!(version(&url).await.contains("ahead"));
}

#[tokio::test]
async fn two_replicas_that_start_and_migrate_at_once_both_become_ready() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    for _ in 0..3 {
        let url = empty_database().await;
        let replica = || Program::new().set("DATABASE_URL", &url).set("MIGRATE_ON_START", "true").start();
        let (one, other) = tokio::join!(replica(), replica());
        let made = one.admin().make_tenant("seen-by-both").await;
        let seen = other.admin().get(&format!("/v1/tenants/{}", made["id"].as_str().unwrap())).await.expect(200);
        assert_eq!(seen.body, made);
    }
}

#[tokio::test]
async fn two_processes_that_open_one_new_sqlite_file_at_once_both_become_ready() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/registry.sqlite", folder.path().display());
    let replica = || Program::new().set("DATABASE_URL", &url).start();
    let (one, other) = tokio::join!(replica(), replica());
    one.admin().make_tenant("first-writer").await;
    other.admin().make_tenant("second-writer").await;
}

#[tokio::test]
async fn a_dead_host_before_the_living_one_is_passed_over() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let url = empty_database().await;
    let living = url.split(['@', '/']).nth(3).unwrap();
    let several = url.replace(living, &format!("127.0.0.1:{},{living}", free_port()));
    assert_ne!(several, url);
    Program::new().set("DATABASE_URL", &several).start().await.admin().make_tenant("over-several-hosts").await;
    let dead = url.replace(living, &format!("127.0.0.1:{}", free_port()));
    Program::new().set("DATABASE_URL", &dead).run().await.refused(&["no writable PostgreSQL host", "127.0.0.1"]);
}

/// Up, down, up, all down: what is said, and what is left.
async fn migrate_up_and_down(url: &str) {
    assert!(version(url).await.contains("at migration 0, this program wants"), "{}", version(url).await);
    let up = migrate(url, "up").run().await.succeeded().stdout;
    assert!(up.contains("as this program wants"), "{up}");
    assert_eq!(migrate(url, "up").run().await.succeeded().stdout, up, "again is nothing new");
    assert_eq!(version(url).await, up);
    migrate(url, "down").run().await.succeeded();
    assert!(version(url).await.contains("this program wants"), "{}", version(url).await);
    migrate(url, "up").run().await.succeeded();
    for env in ["stage", "prod"] {
        migrate(url, "down-all").set("APP_ENV", env).run().await.refused(&["down-all", &format!("APP_ENV={env}")]);
    }
    assert_eq!(version(url).await, up, "a refused down-all changes nothing");
    let down = migrate(url, "down-all").run().await.succeeded().stdout;
    assert!(down.contains("at migration 0"), "{down}");
}

#[tokio::test]
async fn migrate_goes_up_and_down_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    migrate_up_and_down(&format!("sqlite:{}/registry.sqlite", folder.path().display())).await;
}

#[tokio::test]
async fn migrate_goes_up_and_down_on_postgres() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let url = empty_database().await;
    migrate_up_and_down(&url).await;
    let left = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(texts_of_postgres(&url, left).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_store_in_memory_has_nothing_to_migrate() {
    for what in ["up", "down", "down-all", "version"] {
        migrate("", what).run().await.refused(&["nothing to migrate", "DATABASE_URL"]);
    }
}

#[tokio::test]
async fn migrate_works_with_the_login_that_owns_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let owner = format!("sqlite:{}/owner.sqlite", folder.path().display());
    let program = migrate("sqlite:/nowhere/at-all.sqlite", "up").set("MIGRATION_DATABASE_URL", &owner);
    program.run().await.succeeded();
    assert!(folder.path().join("owner.sqlite").exists() && !Path::new("/nowhere").exists());
}

#[tokio::test]
async fn migrate_create_writes_a_pair_for_each_store_in_the_source_tree_alone() {
    let folder = tempfile::tempdir().unwrap();
    let create = || Program::new().args(&["migrate", "create", "add_notes"]).current_dir(folder.path());
    create().run().await.refused(&["crates/store/migrations", "root of the source tree"]);
    for backend in ["postgres", "sqlite"] {
        std::fs::create_dir_all(folder.path().join("crates/store/migrations").join(backend)).unwrap();
    }
    let written = create().run().await.succeeded().stdout;
    assert_eq!(written.lines().count(), 4, "{written}");
    for line in written.lines() {
        assert!(line.ends_with("_add_notes.up.sql") || line.ends_with("_add_notes.down.sql"), "{line}");
        assert!(folder.path().join(line).is_file(), "{line}");
    }
    let bad = Program::new().args(&["migrate", "create", "../escape"]).current_dir(&source_root()).run().await;
    assert_eq!(bad.refused(&["a-z"]).code, Some(2));
}

/// A replica of the release before must go on over a schema that it finds as it left it.
#[tokio::test]
async fn a_schema_that_is_behind_is_not_touched_outside_dev_by_default() {
    if left_out(StoreKind::Postgres) {
        return;
    }
    let (url, issuer) = (empty_database().await, TestIssuer::start().await);
    Program::in_prod(issuer.url()).set("DATABASE_URL", &url).run().await.refused(&["behind"]);
    assert!(version(&url).await.contains("at migration 0"));
}
