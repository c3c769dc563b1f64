//! Very many tenants, written by SQL in one statement, for what is measured on a full database.
//!
//! Invariant: the rows pass the constraints of the schema, and tenant number `n` has the slug `bench-` and nine digits.

use std::path::Path;

use domain::Secret;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use store::migrate::{self, Target};

use crate::Outcome;
use crate::load::NUMBER;

pub(crate) const TENANTS: u64 = 100_000;

/// The slug of every tenant, with the generator's place for its number.
pub(crate) fn slug() -> String {
    format!("bench-{NUMBER}")
}

/// Migrates a database of PostgreSQL.
pub(crate) async fn migrate_postgres(url: &str) -> Outcome {
    migrate::up(&Target::Postgres(Secret::from(url))).await?;
    Ok(())
}

/// Migrates a database of PostgreSQL and fills it.
pub(crate) async fn fill_postgres(url: &str) -> Outcome {
    migrate_postgres(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    tenants_in_postgres(&mut connection, TENANTS).await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Makes a SQLite file and fills it.
pub(crate) async fn fill_sqlite(path: &Path) -> Outcome {
    migrate::up(&Target::Sqlite(path.to_owned())).await?;
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await?;
    tenants_in_sqlite(&mut connection, TENANTS).await?;
    Ok(connection.close().await?)
}

/// The tenants with the numbers from 1 to `count`.
pub(crate) async fn tenants_in_postgres(connection: &mut PgConnection, count: u64) -> Outcome {
    const SQL: &str = "INSERT INTO tenants (id, slug, name, name_folded, plan, status, metadata, version, created_at, updated_at) \
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'bench-' || lpad(n::text, 9, '0'), 'Bench ' || n, 'bench ' || n, \
        'professional', 'active', '{\"region\":\"eu\"}', 1, now(), now() FROM generate_series(1, $1::bigint) n";
    sqlx::query(SQL).bind(i64::try_from(count)?).execute(connection).await?;
    Ok(())
}

/// The same in SQLite.
pub(crate) async fn tenants_in_sqlite(connection: &mut SqliteConnection, count: u64) -> Outcome {
    const SQL: &str = "INSERT INTO tenants (id, slug, name, name_folded, plan, status, metadata, version, created_at, updated_at) \
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1) \
        SELECT unhex(printf('%032x', n)), printf('bench-%09d', n), 'Bench ' || n, 'bench ' || n, \
        'professional', 'active', '{\"region\":\"eu\"}', 1, 1790000000000000, 1790000000000000 FROM numbers";
    sqlx::query(SQL).bind(i64::try_from(count)?).execute(connection).await?;
    Ok(())
}
