//! Tenants with what they bought and very many keys, written by SQL, for what is measured on a full database.
//!
//! Key number `n` (from 0) is [`keys::key`], of tenant `n` modulo the number of tenants, with two scopes; every tenant has
//! three products. Invariant: what is written is what the registry would have written, but for the feed and the audit log.

use std::path::Path;

use sqlx::{Connection as _, PgConnection, SqliteConnection};
use store::migrate::{self, Target};

use crate::keys;
use crate::seed::migrate_postgres;
use crate::{Outcome, seed};

/// A scope of the platform's own that every key has, beside `tenant:read`.
pub(crate) const SCOPE: &str = "orders:read";

/// What of the keys cannot be made by SQL: their hashes and last characters, one after the other.
struct Parts {
    hashes: Vec<u8>,
    last_fours: Vec<u8>,
}

impl Parts {
    fn of(count: u64) -> Self {
        let mut parts = Self { hashes: Vec::new(), last_fours: Vec::new() };
        for number in 0..count {
            let key = keys::key(number);
            parts.hashes.extend(keys::hash(&key));
            parts.last_fours.extend(&key.as_bytes()[keys::WIDTH - 4..]);
        }
        parts
    }
}

/// Makes a SQLite file and fills it.
pub(crate) async fn fill_sqlite(path: &Path, tenants: u64, keys: u64) -> Outcome {
    const PRODUCTS: &str = "INSERT INTO products (key, name, trial_days, requestable, created_at) VALUES \
        ('billing', 'Billing', 14, 1, 1790000000000000), ('orders', 'Orders', 14, 1, 1790000000000001), \
        ('reports', 'Reports', 14, 1, 1790000000000002)";
    const ENTITLEMENTS: &str = "INSERT INTO entitlements \
        (id, tenant_id, product, state, source, limits, created_at, updated_at) \
        SELECT unhex(printf('%02x', p.rowid) || substr(hex(t.id), 3)), t.id, p.key, 'active', 'grant', \
        '{\"seats\":25}', 1790000000000000, 1790000000000000 FROM tenants t CROSS JOIN products p";
    const KEYS: &str = "INSERT INTO api_keys \
        (id, tenant_id, name, prefix, last_four, hash, scopes, created_at, created_by) \
        WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $1) \
        SELECT unhex(printf('%032x', n + 1)), unhex(printf('%032x', n % $2 + 1)), printf('Key %09d', n), 'trk_dev_', \
        CAST(substr($4, 4 * n + 1, 4) AS TEXT), substr($3, 32 * n + 1, 32), '[\"tenant:read\",\"orders:read\"]', \
        1790000000000000, 'dev-token' FROM numbers";
    migrate::up(&Target::Sqlite(path.to_owned())).await?;
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await?;
    seed::tenants_in_sqlite(&mut connection, tenants).await?;
    for sql in [PRODUCTS, ENTITLEMENTS] {
        sqlx::raw_sql(sql).execute(&mut connection).await?;
    }
    let parts = Parts::of(keys);
    sqlx::query(KEYS)
        .bind(i64::try_from(keys)?)
        .bind(i64::try_from(tenants)?)
        .bind(parts.hashes)
        .bind(parts.last_fours)
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

/// Migrates a database of PostgreSQL and fills it.
pub(crate) async fn fill_postgres(url: &str, tenants: u64, keys: u64) -> Outcome {
    const PRODUCTS: &str = "INSERT INTO products (key, name, trial_days, requestable, created_at) VALUES \
        ('billing', 'Billing', 14, true, now()), ('orders', 'Orders', 14, true, now()), \
        ('reports', 'Reports', 14, true, now())";
    const ENTITLEMENTS: &str = "INSERT INTO entitlements \
        (id, tenant_id, product, state, source, limits, created_at, updated_at) \
        SELECT (lpad(to_hex(p.place), 2, '0') || substr(t.id::text, 3))::uuid, t.id, p.key, 'active', 'grant', \
        '{\"seats\":25}', now(), now() \
        FROM tenants t CROSS JOIN (SELECT key, row_number() OVER (ORDER BY key) AS place FROM products) p";
    const KEYS: &str = "INSERT INTO api_keys \
        (id, tenant_id, name, prefix, last_four, hash, scopes, created_at, created_by) \
        SELECT lpad(to_hex(n + 1), 32, '0')::uuid, lpad(to_hex(n % $2 + 1), 32, '0')::uuid, \
        'Key ' || lpad(n::text, 9, '0'), 'trk_dev_', convert_from(substr($4::bytea, (4 * n + 1)::int, 4), 'UTF8'), \
        substr($3::bytea, (32 * n + 1)::int, 32), '[\"tenant:read\",\"orders:read\"]', now(), 'dev-token' \
        FROM generate_series(0::bigint, $1::bigint - 1) n";
    migrate_postgres(url).await?;
    let mut connection = PgConnection::connect(url).await?;
    seed::tenants_in_postgres(&mut connection, tenants).await?;
    for sql in [PRODUCTS, ENTITLEMENTS] {
        sqlx::raw_sql(sql).execute(&mut connection).await?;
    }
    let parts = Parts::of(keys);
    sqlx::query(KEYS)
        .bind(i64::try_from(keys)?)
        .bind(i64::try_from(tenants)?)
        .bind(parts.hashes)
        .bind(parts.last_fours)
        .execute(&mut connection)
        .await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await?;
    Ok(connection.close().await?)
}
