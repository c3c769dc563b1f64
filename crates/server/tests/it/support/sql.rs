//! Statements beside the API, for what it neither makes nor shows: roles, a migration of another release, and the rows
//! that a crash left behind. Tests of processes use it; everything else goes through the public API.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use std::path::Path;

/// Runs statements on PostgreSQL.
pub(crate) async fn run_postgres(url: &str, sql: &str) {
    let mut conn = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// The first column, a text, of every row on PostgreSQL.
pub(crate) async fn texts_of_postgres(url: &str, sql: &str) -> Vec<String> {
    let mut conn = PgConnection::connect(url).await.unwrap();
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Runs statements on a SQLite file.
pub(crate) async fn run_sqlite(path: &Path, sql: &str) {
    let mut conn = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// The first column, a text, of every row of a SQLite file.
pub(crate) async fn texts_of_sqlite(path: &Path, sql: &str) -> Vec<String> {
    let mut conn = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap();
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
