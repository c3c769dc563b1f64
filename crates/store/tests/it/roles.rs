//! What a login may do on PostgreSQL, and that the service's roles can do no more than they should.
//!
//! Invariant: the database itself keeps tenants apart and the audit log whole, whatever SQL the service would send.

use domain::{AuditBatch, Tenant};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use store::postgres::{PgSettings, PgStore, roles};
use store::testing::fixtures::{api_key, create, delete, event, frozen, next_uuid, tenant_at};
use store::testing::{Backend as _, Postgres};
use store::{Scope, StoreError, Unaudited};

use crate::support::postgres_test;

/// A login of this test's own, since logins are the cluster's: its name.
async fn login(backend: &Postgres, power: &str, member_of: &[&str]) -> String {
    let name = format!("login_{}", next_uuid().simple());
    let name = format!("{name}_{}", std::process::id());
    let mut superuser = backend.superuser().await;
    run(&mut superuser, &format!("CREATE ROLE {name} LOGIN {power} PASSWORD 'secret'")).await.unwrap();
    for role in member_of {
        run(&mut superuser, &format!("GRANT {role} TO {name}")).await.unwrap();
    }
    name
}

fn url(backend: &Postgres, login: &str) -> String {
    let mut url = url::Url::parse(&backend.superuser_url()).unwrap();
    url.set_username(login).unwrap();
    url.set_password(Some("secret")).unwrap();
    url.into()
}

async fn run(conn: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?.rows_affected())
}

async fn count(conn: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap().get(0)
}

#[track_caller]
fn denied(outcome: Result<u64, sqlx::Error>) {
    let code =
        outcome.as_ref().err().and_then(|e| e.as_database_error()).and_then(|e| e.code().map(|c| c.into_owned()));
    assert_eq!(code.as_deref(), Some("42501"), "{outcome:?}");
}

async fn check_power(backend: &Postgres, power: &str, member_of: &[&str], expected: &[&str]) {
    let login = login(backend, power, member_of).await;
    let problems = roles::excess_power(&url(backend, &login)).await.unwrap();
    assert_eq!(problems.len(), expected.len(), "{power} {member_of:?}: {problems:?}");
    for (problem, part) in problems.iter().zip(expected) {
        assert!(problem.contains(part), "{problem:?} does not say {part:?}");
    }
    // Logins are the cluster's: one that owns nothing can go at once.
    run(&mut backend.superuser().await, &format!("DROP ROLE {login}")).await.unwrap();
}

postgres_test!(a_login_with_too_much_power_is_told_of_all_of_it, async |backend: &Postgres| {
    let both = [roles::PLATFORM, roles::TENANT];
    check_power(backend, "", &both, &[]).await;
    check_power(backend, "NOINHERIT", &both, &[]).await;
    check_power(backend, "CREATEDB", &both, &[]).await;
    check_power(backend, "SUPERUSER", &both, &["is a superuser"]).await
});

postgres_test!(a_login_that_bypasses_row_security_is_too_mighty, async |backend: &Postgres| {
    check_power(backend, "BYPASSRLS", &[roles::PLATFORM, roles::TENANT], &["exempt from row security (BYPASSRLS)"])
        .await;
    let mighty = login(backend, "BYPASSRLS", &[]).await;
    let expected = format!("may become `{mighty}`, which is exempt from row security");
    check_power(backend, "NOINHERIT", &[roles::PLATFORM, roles::TENANT, &mighty], &[&expected]).await;
});

postgres_test!(the_owner_of_the_tables_is_too_mighty, async |backend: &Postgres| {
    let problems = roles::excess_power(&backend.owner_url()).await.unwrap();
    assert!(problems.iter().any(|problem| problem.contains("`registry_owner`, which owns the tables")), "{problems:?}");
    // The owner of these tests may make roles.
    let expected = ["may become `registry_owner`, which is allowed to make", "may become, `registry_owner`"];
    check_power(backend, "", &[roles::PLATFORM, roles::TENANT, "registry_owner"], &expected).await;
});

postgres_test!(a_login_that_may_make_roles_is_too_mighty, async |backend: &Postgres| {
    check_power(backend, "CREATEROLE", &[roles::PLATFORM, roles::TENANT], &["CREATEROLE"]).await;
});

postgres_test!(the_login_of_these_tests_is_a_proper_one, async |backend: &Postgres| {
    assert_eq!(roles::excess_power(&backend.service_url()).await.unwrap(), Vec::<String>::new());
});

postgres_test!(a_role_that_may_change_events_is_too_mighty, async |backend: &Postgres| {
    let mut owner = PgConnection::connect(&backend.owner_url()).await.unwrap();
    for grant in ["UPDATE", "UPDATE (action)", "DELETE", "TRUNCATE"] {
        run(&mut owner, &format!("GRANT {grant} ON audit_events TO {}", roles::PLATFORM)).await.unwrap();
        let problems = roles::excess_power(&backend.service_url()).await.unwrap();
        assert!(
            problems.len() == 1 && problems[0].contains("may change or delete audit events"),
            "{grant}: {problems:?}"
        );
        run(&mut owner, &format!("REVOKE {grant} ON audit_events FROM {}", roles::PLATFORM)).await.unwrap();
    }
});

postgres_test!(a_login_that_is_no_member_is_told_what_to_grant, async |backend: &Postgres| {
    for member_of in [&[][..], &[roles::PLATFORM], &[roles::TENANT]] {
        let login = login(backend, "", member_of).await;
        let error = PgStore::connect(PgSettings::new(url(backend, &login))).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
        let explained = roles::explain(&error).unwrap_or_else(|| panic!("{member_of:?}: {error}"));
        assert!(explained.contains("GRANT tenant_registry_platform, tenant_registry_tenant TO"), "{explained}");
    }
    assert_eq!(roles::explain(&StoreError::Unavailable("no".to_owned())), None);
});

async fn two(backend: &Postgres) -> (Tenant, Tenant) {
    let (mine, other) = (tenant_at("mine", &["https://mine.example"]), tenant_at("other", &["https://other.example"]));
    create(&backend.store(), &mine).await.unwrap();
    create(&backend.store(), &other).await.unwrap();
    backend.store().begin(Scope::Platform).await.unwrap().commit(AuditBatch::of(event("of.nobody"))).await.unwrap();
    for owner in [Some(mine.id), Some(other.id), None] {
        let key = api_key(owner, &[]);
        let mut tx = backend.store().begin(Scope::Platform).await.unwrap();
        tx.insert_api_key(&key).await.unwrap();
        // Without an event, so that the counts of events stay what they are.
        tx.commit_unaudited(Unaudited::Installation).await.unwrap();
    }
    (mine, other)
}

postgres_test!(the_tenant_role_sees_its_own_rows_whatever_the_sql, async |backend: &Postgres| {
    let (mine, _) = two(backend).await;
    let mut conn = backend.service(roles::TENANT).await;
    for table in ["tenants", "tenant_hosts", "audit_events", "api_keys"] {
        let all = format!("SELECT count(*) FROM {table}");
        for nothing in
            ["RESET app.tenant", "SET app.tenant = ''", "SET app.tenant = '00000000-0000-0000-0000-000000000000'"]
        {
            run(&mut conn, nothing).await.unwrap();
            assert_eq!(count(&mut conn, &all).await, 0, "{table} after {nothing}");
        }
        run(&mut conn, &format!("SET app.tenant = '{}'", mine.id)).await.unwrap();
        assert_eq!(count(&mut conn, &all).await, 1, "{table}");
    }
    assert_eq!(count(&mut conn, "SELECT count(*) FROM tenants WHERE slug = 'other' OR true").await, 1);
});

postgres_test!(the_tenant_role_writes_its_own_events_and_nothing_else, async |backend: &Postgres| {
    let (mine, other) = two(backend).await;
    let mut conn = backend.service(roles::TENANT).await;
    run(&mut conn, &format!("SET app.tenant = '{}'", mine.id)).await.unwrap();
    for sql in [
        "UPDATE tenants SET name = 'x'",
        "DELETE FROM tenants",
        "DELETE FROM tenant_hosts",
        "UPDATE api_keys SET revoked_at = NULL",
        "DELETE FROM api_keys",
        "UPDATE audit_events SET action = 'x'",
        "DELETE FROM audit_events",
        "SELECT * FROM idempotency",
        "SELECT * FROM changes",
        "SELECT * FROM installation",
        "INSERT INTO deleted_tenants VALUES (gen_random_uuid(), 'abc', 'x', now(), NULL)",
        "TRUNCATE tenants",
        "SELECT audit_detach(gen_random_uuid(), 1)",
        "SELECT nextval('changes_seq')",
        "SELECT feed_append(ARRAY['tenant'], ARRAY['delete'], ARRAY[NULL]::uuid[], ARRAY['x'], ARRAY[NULL]::text[])",
    ] {
        denied(run(&mut conn, sql).await);
    }
    let insert = |tenant: &str| {
        format!(
            "INSERT INTO audit_events (id, tenant_id, former_tenant_id, action, crud, created, received, is_anonymous, \
             is_failure, fields, metadata) VALUES (gen_random_uuid(), {tenant}, {tenant}, 'x', 'c', now(), now(), true, \
             false, '{{}}', '{{}}')"
        )
    };
    denied(run(&mut conn, &insert(&format!("'{}'", other.id))).await);
    denied(run(&mut conn, &insert("NULL")).await);
    assert_eq!(run(&mut conn, &insert(&format!("'{}'", mine.id))).await.unwrap(), 1);
});

postgres_test!(the_platform_role_appends_events_and_changes_none, async |backend: &Postgres| {
    two(backend).await;
    let mut conn = backend.service(roles::PLATFORM).await;
    assert_eq!(count(&mut conn, "SELECT count(*) FROM audit_events").await, 3);
    for sql in [
        "UPDATE audit_events SET action = 'x'",
        "UPDATE audit_events SET tenant_id = NULL",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "UPDATE changes SET op = 'delete'",
        "DELETE FROM changes",
        "DELETE FROM api_keys",
        "DELETE FROM deleted_tenants",
        "UPDATE installation SET value = 'x'",
        "DELETE FROM installation",
    ] {
        denied(run(&mut conn, sql).await);
    }
    for sql in
        ["ALTER TABLE audit_events DISABLE ROW LEVEL SECURITY", "DROP TABLE tenants", "CREATE TABLE mine (id int)"]
    {
        denied(run(&mut conn, sql).await);
    }
});

postgres_test!(a_living_tenants_events_cannot_be_detached, async |backend: &Postgres| {
    let gone = frozen("gone", &[]);
    create(&backend.store(), &gone).await.unwrap();
    let (mine, _) = two(backend).await;
    let mut conn = backend.service(roles::PLATFORM).await;
    let detach = |id| format!("SELECT audit_detach('{id}', 100)");
    assert_eq!(count(&mut conn, &detach(mine.id)).await, 0);
    assert_eq!(count(&mut conn, &detach(gone.id)).await, 0, "it lives still");
    delete(&backend.store(), &gone).await.unwrap();
    let before = "SELECT count(*) FROM audit_events WHERE tenant_id IS NOT NULL";
    let mut superuser = backend.superuser().await;
    assert_eq!(count(&mut superuser, before).await, 4);
    assert_eq!(count(&mut conn, &format!("SELECT audit_detach('{}', 1)", gone.id)).await, 1);
    assert_eq!(count(&mut superuser, before).await, 3, "a batch at a time");
    assert_eq!(count(&mut conn, &detach(gone.id)).await, 1);
    assert_eq!(count(&mut superuser, before).await, 2);
    let former = format!("SELECT count(*) FROM audit_events WHERE former_tenant_id = '{}'", gone.id);
    assert_eq!(count(&mut superuser, &former).await, 2, "what it was stays");
});

postgres_test!(a_caller_lends_no_table_of_its_own_to_the_owners_power, async |backend: &Postgres| {
    // A function with its owner's power that looked up names when it runs would find the caller's temporary tables first,
    // and run their triggers as the owner.
    let gone = frozen("gone", &[]);
    create(&backend.store(), &gone).await.unwrap();
    delete(&backend.store(), &gone).await.unwrap();
    let mut conn = backend.service(roles::PLATFORM).await;
    for sql in [
        "CREATE TEMP TABLE audit_events (id uuid, tenant_id uuid)",
        "CREATE TEMP TABLE deleted_tenants (id uuid)",
        "CREATE TEMP TABLE caught (who text)",
        "GRANT ALL ON audit_events, deleted_tenants, caught TO PUBLIC",
        "CREATE FUNCTION pg_temp.spy() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO pg_temp.caught VALUES (current_user); RETURN NEW; END'",
        "CREATE TRIGGER spy BEFORE UPDATE ON audit_events FOR EACH ROW EXECUTE FUNCTION pg_temp.spy()",
    ] {
        run(&mut conn, sql).await.unwrap();
    }
    run(&mut conn, &format!("INSERT INTO pg_temp.audit_events VALUES (gen_random_uuid(), '{}')", gone.id))
        .await
        .unwrap();
    run(&mut conn, &format!("INSERT INTO pg_temp.deleted_tenants VALUES ('{}')", gone.id)).await.unwrap();
    assert_eq!(
        count(&mut conn, &format!("SELECT audit_detach('{}', 100)", gone.id)).await,
        2,
        "the registry's own events"
    );
    assert_eq!(count(&mut conn, "SELECT count(*) FROM pg_temp.caught").await, 0);
});
