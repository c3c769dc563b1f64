//! Migrations on both stores: up, down, up again, two at once, and what the tables themselves refuse.
//!
//! `sqlite_master` and PostgreSQL's catalogues say what exists. Invariant: a migration that failed leaves neither half a
//! schema nor a lock behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use store::migrate::{MigrationError, Target, create, down, up, version};
use store::sqlite::SqliteStore;
use store::testing::{Backend as _, Postgres, SqliteFile};

use crate::support::postgres_test;

/// A database on either store, and SQL on it with all power.
enum Db {
    Sqlite(PathBuf, #[expect(dead_code, reason = "the folder lives as long")] tempfile::TempDir),
    Postgres { owner: String, superuser: String },
}

impl Db {
    fn empty_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // In a folder that is not there yet.
        Self::Sqlite(folder.path().join("deep/registry.sqlite"), folder)
    }

    fn of(backend: &Postgres) -> Self {
        Self::Postgres { owner: backend.owner_url(), superuser: backend.superuser_url() }
    }

    fn target(&self) -> Target {
        match self {
            Self::Sqlite(path, _) => Target::Sqlite(path.clone()),
            Self::Postgres { owner, .. } => Target::Postgres(owner.clone().into()),
        }
    }

    async fn sqlite(path: &Path) -> SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(true);
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    async fn run(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(path, _) => {
                Ok(sqlx::raw_sql(sql).execute(&mut Self::sqlite(path).await).await?.rows_affected())
            }
            Self::Postgres { superuser, .. } => {
                let mut conn = PgConnection::connect(superuser).await.unwrap();
                Ok(sqlx::raw_sql(sql).execute(&mut conn).await?.rows_affected())
            }
        }
    }

    async fn count(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(path, _) => sqlx::query(sql).fetch_one(&mut Self::sqlite(path).await).await.unwrap().get(0),
            Self::Postgres { superuser, .. } => {
                let mut conn = PgConnection::connect(superuser).await.unwrap();
                sqlx::query(sql).fetch_one(&mut conn).await.unwrap().get(0)
            }
        }
    }

    /// Everything that exists, one line each.
    async fn everything(&self) -> BTreeSet<String> {
        const SQLITE: &str = "SELECT type || ' ' || name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'";
        const POSTGRES: &str = "SELECT 'relation ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace \
            UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
            UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace \
            UNION ALL SELECT 'policy ' || polname FROM pg_policy \
            UNION ALL SELECT 'default ' || defaclobjtype::text FROM pg_default_acl \
            UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_%' \
            UNION ALL SELECT 'grant ' || grantee || ' ' || privilege_type || ' ' || table_name \
                FROM information_schema.role_table_grants WHERE grantee LIKE 'tenant_registry_%'";
        match self {
            Self::Sqlite(path, _) => {
                let rows = sqlx::query(SQLITE).fetch_all(&mut Self::sqlite(path).await).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            Self::Postgres { superuser, .. } => {
                let mut conn = PgConnection::connect(superuser).await.unwrap();
                let rows = sqlx::query(POSTGRES).fetch_all(&mut conn).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }
}

const TABLES: [&str; 15] = [
    "installation",
    "tenants",
    "tenant_hosts",
    "tenant_metadata",
    "deleted_tenants",
    "audit_events",
    "audit_external_ids",
    "idempotency",
    "changes",
    "api_keys",
    "products",
    "entitlements",
    "trials",
    "catalog_requests",
    "provisioning",
];
const INDEXES: [&str; 14] = [
    "tenant_metadata_values",
    "api_keys_rotated_to",
    "tenants_running_trials",
    "tenant_hosts_of_tenant",
    "deleted_tenants_attached",
    "audit_events_by_tenant",
    "audit_events_by_former_tenant",
    "idempotency_by_end",
    "products_by_age",
    "entitlements_of_product",
    "catalog_requests_open",
    "provisioning_due",
    "provisioning_gone",
    "provisioning_of_account",
];

#[track_caller]
fn assert_has(all: &BTreeSet<String>, expected: impl IntoIterator<Item = String>) {
    for one in expected {
        assert!(all.contains(&one), "missing: {one}, of {all:#?}");
    }
}

/// From nothing to everything, back to nothing, and again.
async fn check_up_and_down(db: &Db, nothing: &BTreeSet<String>, has_everything: impl Fn(&BTreeSet<String>)) {
    let target = db.target();
    let state = version(&target).await.unwrap();
    assert_eq!(state.current, 0);
    for round in 0..2 {
        let state = up(&target).await.unwrap();
        assert!(state.current == state.wanted && state.wanted > 20_260_000_000_000, "{state:?}");
        assert_eq!(up(&target).await.unwrap(), state, "nothing left to do");
        assert_eq!(version(&target).await.unwrap(), state);
        has_everything(&db.everything().await);
        fill(db).await;
        // One step at a time, and all at once.
        let mut state = down(&target, round == 1).await.unwrap();
        while state.current > 0 {
            let before = state.current;
            state = down(&target, false).await.unwrap();
            assert!(state.current < before);
        }
        assert_eq!(&db.everything().await, nothing);
        assert_eq!(version(&target).await.unwrap().current, 0);
        assert_eq!(down(&target, false).await.unwrap().current, 0, "nothing left to take back");
    }
    up(&target).await.unwrap();
}

const ID: &str = "00000000-0000-7000-8000-00000000000";

/// A UUID's literal in this database's SQL.
fn id(db: &Db, number: u8) -> String {
    match db {
        Db::Sqlite(..) => format!("x'{}{number}'", ID.replace('-', "")),
        Db::Postgres { .. } => format!("'{ID}{number}'::uuid"),
    }
}

fn at(db: &Db) -> &'static str {
    if matches!(db, Db::Sqlite(..)) { "1790000000000000" } else { "'2026-09-21Z'" }
}

fn insert_tenant(db: &Db, number: u8, slug: &str) -> String {
    let (id, at) = (id(db, number), at(db));
    format!(
        "INSERT INTO tenants (id, slug, name, name_folded, plan, status, trial_ends_at, metadata, version, created_at, updated_at) \
         VALUES ({id}, '{slug}', 'N', 'n', 'starter', 'trial', {at}, '{{}}', 1, {at}, {at})"
    )
}

fn insert_event(db: &Db, number: u8, tenant: u8) -> String {
    let (id, tenant, at) = (id(db, number), id(db, tenant), at(db));
    let (yes, no) = if matches!(db, Db::Sqlite(..)) { ("1", "0") } else { ("true", "false") };
    format!(
        "INSERT INTO audit_events (id, tenant_id, former_tenant_id, group_name, action, crud, created, received, \
         is_anonymous, is_failure, fields, metadata) VALUES ({id}, {tenant}, {tenant}, 'N', 'a', 'c', {at}, {at}, {yes}, {no}, '{{}}', '{{}}')"
    )
}

fn insert_key(db: &Db, number: u8, tenant: u8) -> String {
    let (id, tenant, at) = (id(db, number), id(db, tenant), at(db));
    let hash = match db {
        Db::Sqlite(..) => format!("x'{}'", format!("{number:02}").repeat(32)),
        Db::Postgres { .. } => format!("decode('{}', 'hex')", format!("{number:02}").repeat(32)),
    };
    format!(
        "INSERT INTO api_keys (id, tenant_id, name, prefix, last_four, hash, scopes, created_at, created_by) \
         VALUES ({id}, {tenant}, 'N', 'trk_dev_', 'abcd', {hash}, '[]', {at}, 'me')"
    )
}

/// A row in every table.
async fn fill(db: &Db) {
    let (tenant, at) = (id(db, 1), at(db));
    let (yes, no) = if matches!(db, Db::Sqlite(..)) { ("1", "0") } else { ("true", "false") };
    let sql = [
        insert_tenant(db, 1, "acme"),
        insert_tenant(db, 2, "other"),
        format!(
            "INSERT INTO tenant_hosts (host, prefix, tenant_id, url, position) VALUES ('a.example', '/', {tenant}, 'u', 1)"
        ),
        format!(
            "INSERT INTO tenant_hosts (host, prefix, tenant_id, url, position) VALUES ('b.example', '/', {}, 'u', 1)",
            id(db, 2)
        ),
        insert_key(db, 5, 1),
        insert_key(db, 6, 2),
        insert_event(db, 3, 1),
        insert_event(db, 4, 2),
        format!("INSERT INTO audit_external_ids (tenant_id, external_id, event_id) VALUES ({tenant}, 'x', {tenant})"),
        format!("INSERT INTO idempotency VALUES ('c', 'k', 'f', {tenant}, {at}, {at}, NULL)"),
        "INSERT INTO installation VALUES ('n', 'v')".to_owned(),
        format!(
            "INSERT INTO changes (seq, kind, op, tenant_id, entity_id, value) VALUES (1, 'tenant', 'upsert', {tenant}, 'x', NULL)"
        ),
        format!("INSERT INTO deleted_tenants (id, slug, name, deleted_at) VALUES ({}, 'old', 'N', {at})", id(db, 9)),
        format!("INSERT INTO products VALUES ('crm', 'N', NULL, 14, {yes}, {at})"),
        format!(
            "INSERT INTO entitlements VALUES ({tenant}, {tenant}, 'crm', 'active', 'grant', NULL, NULL, '{{}}', {at}, {at})"
        ),
        format!("INSERT INTO trials VALUES ({tenant}, 'crm', {at})"),
        format!("INSERT INTO catalog_requests VALUES ({tenant}, {tenant}, 'crm', NULL, 'open', 'a', NULL, {at}, NULL)"),
        format!(
            "INSERT INTO provisioning (tenant_id, slug, email, gone, wanted, done, status, organization_meant, account_ours, \
             is_member, is_admin, mail_claimed, attempts, fence) VALUES ({tenant}, 'acme', 'a@b.example', {no}, 1, 0, \
             'pending', {no}, {no}, {no}, {no}, {no}, 0, 0)"
        ),
    ];
    for statement in sql {
        db.run(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// The tenant goes, its children with it; its events stay and lose it by the job's statement only.
async fn check_cascade(db: &Db) {
    fill(db).await;
    let (gone, at) = (id(db, 1), at(db));
    db.run(&format!("DELETE FROM tenants WHERE id = {gone}")).await.unwrap();
    assert_eq!(db.count("SELECT count(*) FROM tenant_hosts").await, 1);
    assert_eq!(db.count("SELECT count(*) FROM api_keys").await, 1);
    for table in ["entitlements", "trials", "catalog_requests"] {
        assert_eq!(db.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(db.count("SELECT count(*) FROM provisioning").await, 1, "it stays until all of it is removed");
    let with_tenant = format!("SELECT count(*) FROM audit_events WHERE tenant_id = {gone}");
    assert_eq!(db.count(&with_tenant).await, 1);
    db.run(&format!("INSERT INTO deleted_tenants (id, slug, name, deleted_at) VALUES ({gone}, 'acme', 'N', {at})"))
        .await
        .unwrap();
    let detach = match db {
        Db::Sqlite(..) => format!("UPDATE audit_events SET tenant_id = NULL WHERE tenant_id = {gone}"),
        Db::Postgres { .. } => format!("SELECT audit_detach({gone}, 10)"),
    };
    db.run(&detach).await.unwrap();
    assert_eq!(db.count(&with_tenant).await, 0);
    assert_eq!(db.count(&format!("SELECT count(*) FROM audit_events WHERE former_tenant_id = {gone}")).await, 1);
    assert_eq!(db.count("SELECT count(*) FROM audit_events WHERE tenant_id IS NOT NULL").await, 1);
    let orphan = "INSERT INTO tenant_hosts (host, prefix, tenant_id, url, position) VALUES ('c.example', '/', ";
    db.run(&format!("{orphan}{gone}, 'u', 1)")).await.unwrap_err();
}

/// The shape of a slug holds without the program too.
async fn check_slugs(db: &Db) {
    let longest = "a".repeat(63);
    for (number, slug) in (1..).zip(["abc", "a-1", "0a0", "a--b", &longest]) {
        db.run(&insert_tenant(db, number, slug)).await.unwrap_or_else(|error| panic!("{slug}: {error}"));
    }
    let too_long = "a".repeat(64);
    for slug in [
        "", "a", "ab", &too_long, "-abc", "abc-", "Abc", "aBc", "a_c", "a.c", "a c", "äbc", "abc\n", "\nabc", "abé",
        "a-",
    ] {
        let outcome = db.run(&insert_tenant(db, 9, slug)).await;
        assert!(outcome.is_err(), "{slug:?} is stored");
    }
    assert_eq!(db.count("SELECT count(*) FROM tenants").await, 5);
}

/// An edited migration is refused, one of a newer program too, and neither leaves a lock.
async fn check_tampering(db: &Db) {
    let target = db.target();
    let wanted = up(&target).await.unwrap().wanted;
    let tamper = match db {
        Db::Sqlite(..) => "UPDATE _sqlx_migrations SET checksum = x'00'",
        Db::Postgres { .. } => {
            "CREATE TABLE kept AS SELECT * FROM _sqlx_migrations; UPDATE _sqlx_migrations SET checksum = '\\x00'"
        }
    };
    if matches!(db, Db::Sqlite(..)) {
        db.run("CREATE TABLE kept AS SELECT * FROM _sqlx_migrations").await.unwrap();
    }
    db.run(tamper).await.unwrap();
    for _ in 0..2 {
        let outcome = up(&target).await;
        assert!(matches!(outcome, Err(MigrationError::Changed(_))), "{outcome:?}");
    }
    db.run("UPDATE _sqlx_migrations SET checksum = (SELECT k.checksum FROM kept k WHERE k.version = _sqlx_migrations.version)").await.unwrap();
    assert_eq!(up(&target).await.unwrap().current, wanted);

    let newer = "INSERT INTO _sqlx_migrations SELECT 99990101000000, 'newer', installed_on, success, checksum, execution_time \
        FROM kept ORDER BY version LIMIT 1";
    db.run(newer).await.unwrap();
    for outcome in [up(&target).await, down(&target, false).await] {
        assert!(matches!(outcome, Err(MigrationError::Ahead(99_990_101_000_000))), "{outcome:?}");
    }
    let state = version(&target).await.unwrap();
    assert_eq!((state.current, state.wanted), (99_990_101_000_000, wanted));
    db.run("DELETE FROM _sqlx_migrations WHERE version > 99990000000000").await.unwrap();
    assert_eq!(up(&target).await.unwrap().current, wanted);
}

/// Two processes start at one moment.
async fn two_at_once(target: &Target) {
    let run = |target: Target| tokio::spawn(async move { up(&target).await });
    let (one, two) = (run(target.clone()), run(target.clone()));
    for outcome in [one.await.unwrap(), two.await.unwrap()] {
        let state = outcome.unwrap();
        assert_eq!(state.current, state.wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_goes_up_and_down_and_up_again() {
    let db = Db::empty_file();
    check_up_and_down(&db, &BTreeSet::new(), |all| {
        assert_has(all, TABLES.map(|table| format!("table {table}")));
        assert_has(all, INDEXES.map(|index| format!("index {index}")));
        assert_has(all, ["trigger audit_events_no_delete".to_owned(), "trigger audit_events_no_change".to_owned()]);
    })
    .await;
}

postgres_test!(postgres_goes_up_and_down_and_up_again, async |backend: &Postgres| {
    let db = Db::of(backend);
    down(&db.target(), true).await.unwrap();
    let nothing = BTreeSet::from(["schema public".to_owned(), "schema information_schema".to_owned()]);
    assert_eq!(db.everything().await, nothing);
    check_up_and_down(&db, &nothing, |all| {
        assert_has(all, TABLES.iter().chain(&INDEXES).map(|name| format!("relation {name}")));
        assert_has(all, ["relation changes_seq".to_owned()]);
        assert_has(
            all,
            ["feed_append", "audit_detach", "audit_make_partition", "app_tenant"]
                .map(|name| format!("function {name}")),
        );
        let tables = [
            "tenants",
            "tenant_hosts",
            "tenant_metadata",
            "deleted_tenants",
            "products",
            "entitlements",
            "trials",
            "catalog_requests",
            "provisioning",
        ];
        for table in tables {
            assert_has(all, [format!("policy {table}_platform"), format!("policy {table}_tenant")]);
        }
        for policy in ["platform_read", "platform_append", "tenant_read", "tenant_append", "owner_read", "owner_detach"]
        {
            assert_has(all, [format!("policy audit_events_{policy}")]);
        }
        let mut grants: Vec<_> = all.iter().filter_map(|one| one.strip_prefix("grant tenant_registry_")).collect();
        grants.retain(|grant| {
            grant.starts_with("tenant ") || grant.ends_with("audit_events") || grant.ends_with("changes")
        });
        assert_eq!(
            grants,
            [
                "platform INSERT audit_events",
                "platform INSERT changes",
                "platform SELECT audit_events",
                "platform SELECT changes",
                "tenant INSERT audit_events",
                "tenant SELECT api_keys",
                "tenant SELECT audit_events",
                "tenant SELECT audit_external_ids",
                "tenant SELECT catalog_requests",
                "tenant SELECT deleted_tenants",
                "tenant SELECT entitlements",
                "tenant SELECT products",
                "tenant SELECT tenant_hosts",
                "tenant SELECT tenant_metadata",
                "tenant SELECT tenants",
                "tenant SELECT trials",
            ]
        );
    })
    .await;
    let forced = "SELECT count(*) FROM pg_class WHERE relname IN ('tenants', 'tenant_hosts', 'audit_events', \
        'audit_external_ids', 'products', 'entitlements', 'trials', 'catalog_requests', 'api_keys', 'provisioning') \
        AND relrowsecurity AND relforcerowsecurity";
    assert_eq!(db.count(forced).await, 10);
    let columns = "SELECT count(*) FROM information_schema.column_privileges WHERE table_name = 'provisioning' \
        AND grantee = 'tenant_registry_tenant' AND column_name IN ('tenant_id', 'status', 'step', 'organization_id', 'error')";
    let all = columns.split(" AND column_name").next().unwrap();
    assert_eq!((db.count(columns).await, db.count(all).await), (5, 5), "a tenant reads what is shown, and no more");
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tenant_registry_%' AND NOT rolcanlogin AND NOT rolsuper \
        AND NOT rolbypassrls AND NOT rolcreaterole AND NOT rolcreatedb";
    assert_eq!(db.count(roles).await, 2, "they stay, and can do nothing by themselves");
});

#[tokio::test]
async fn sqlite_children_go_and_events_stay() {
    let db = Db::empty_file();
    up(&db.target()).await.unwrap();
    check_cascade(&db).await;
}

postgres_test!(postgres_children_go_and_events_stay, async |backend: &Postgres| check_cascade(&Db::of(backend)).await);

#[tokio::test]
async fn sqlite_refuses_what_is_no_slug() {
    let db = Db::empty_file();
    up(&db.target()).await.unwrap();
    check_slugs(&db).await;
}

postgres_test!(postgres_refuses_what_is_no_slug, async |backend: &Postgres| check_slugs(&Db::of(backend)).await);

#[tokio::test]
async fn sqlite_refuses_an_edited_or_newer_migration_and_stays_unlocked() {
    check_tampering(&Db::empty_file()).await;
}

postgres_test!(postgres_refuses_an_edited_or_newer_migration_and_stays_unlocked, async |backend: &Postgres| {
    check_tampering(&Db::of(backend)).await
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_migrate_one_sqlite_file() {
    for _ in 0..10 {
        two_at_once(&Db::empty_file().target_kept().0).await;
    }
}

impl Db {
    /// The target, and the database that keeps its folder.
    fn target_kept(self) -> (Target, Self) {
        (self.target(), self)
    }
}

postgres_test!(two_processes_migrate_one_postgres_database, async |backend: &Postgres| {
    let target = Db::of(backend).target();
    for _ in 0..10 {
        down(&target, true).await.unwrap();
        two_at_once(&target).await;
    }
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_open_one_new_sqlite_file() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.sqlite");
        let open = |path: PathBuf| tokio::spawn(async move { SqliteStore::open(&path).await.map(drop) });
        for opened in [(); 6].map(|()| open(path.clone())) {
            opened.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_sqlite_file_of_a_newer_program_is_not_opened() {
    let backend = SqliteFile::open().await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations SELECT 99990101000000, 'newer', installed_on, success, checksum, execution_time FROM _sqlx_migrations LIMIT 1";
    backend.execute(newer).await.unwrap();
    let error = SqliteStore::open(&backend.path()).await.unwrap_err().to_string();
    assert!(error.contains("99990101000000") && error.contains("newer release"), "{error}");
}

#[test]
fn a_new_migration_is_four_files() {
    let folder = tempfile::tempdir().unwrap();
    for backend in ["postgres", "sqlite"] {
        std::fs::create_dir(folder.path().join(backend)).unwrap();
    }
    let files = create(folder.path(), "20261122000001", "add_keys").unwrap();
    let names: BTreeSet<_> =
        files.iter().map(|file| file.strip_prefix(folder.path()).unwrap().to_str().unwrap()).collect();
    let expected =
        ["postgres", "sqlite"].map(|b| ["up", "down"].map(|d| format!("{b}/20261122000001_add_keys.{d}.sql")));
    assert_eq!(names, expected.as_flattened().iter().map(String::as_str).collect());
    assert!(files.iter().all(|file| std::fs::read_to_string(file).unwrap().starts_with("-- ")));
    create(folder.path(), "20261122000001", "add_keys").unwrap_err();
    for bad in ["", "Add", "a b", "a-b", "../a", "a.b", "ä", "a/b", "a\0"] {
        let outcome = create(folder.path(), "20261122000002", bad);
        assert!(matches!(outcome, Err(MigrationError::Failed(_))), "{bad:?}: {outcome:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("postgres")).unwrap().count(), 2);
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_sqlite_file_and_its_companions_are_readable_by_nobody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let _store = store::sqlite::SqliteStore::open(&folder.path().join("registry.sqlite")).await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
        files += 1;
    }
    assert!(files >= 2, "the file and its log");
}
