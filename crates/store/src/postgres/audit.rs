//! The audit log on PostgreSQL: written in arrays, kept by month, detached through a function with the owner's power.
//!
//! Invariant: the text of a statement does not depend on how many events there are, so that each is prepared once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{AuditEvent, EventId, Timestamp};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::error::is_lost;
use super::{Connection, PgTx, Shared};
use crate::error::{Result, StoreError};
use crate::port::{AuditLog, Publisher};
use crate::sql::attempt;
use crate::sql::audit::{Claims, EventRow, event_columns, unclaimed};
use crate::sql::types::{Cells, Ts};

/// How long a publisher keeps a connection: others may be waiting for one, and the pool has limits of age to keep.
const HELD_FOR: Duration = Duration::from_millis(100);

/// The statement that writes events. The end says what becomes of those that are there already.
macro_rules! insert_events {
    ($end:literal) => {
        concat!(
            "INSERT INTO audit_events (",
            event_columns!(),
            ") SELECT e.id, e.tenant_id, e.tenant_id, e.group_name, e.action, e.crud, e.actor_id, e.actor, e.target_id, \
             e.target, e.created, e.received, e.source_ip, e.description, e.is_anonymous, e.is_failure, e.fields, \
             e.component, e.version, e.external_id, e.metadata, e.search FROM unnest($1::uuid[], $2::uuid[], $3::text[], \
             $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], \
             $11::timestamptz[], $12::text[], $13::text[], $14::bool[], $15::bool[], $16::text[], $17::text[], \
             $18::text[], $19::text[], $20::text[], $21::text[]) \
             AS e (id, tenant_id, group_name, action, crud, actor_id, actor, target_id, target, created, received, \
             source_ip, description, is_anonymous, is_failure, fields, component, version, external_id, metadata, search)",
            $end
        )
    };
}

/// All, or none where one is there already.
const INSERT: &str = insert_events!("");
/// Those that are not there yet.
const INSERT_AGAIN: &str = insert_events!(" ON CONFLICT DO NOTHING");

/// Appends events.
pub(super) async fn append(conn: &mut Connection, rows: &[EventRow<'_>]) -> Result<()> {
    Ok(insert(conn, INSERT, rows).await?)
}

async fn insert(conn: &mut Connection, sql: &'static str, rows: &[EventRow<'_>]) -> Result<(), sqlx::Error> {
    fn all<'a, T>(rows: &'a [EventRow<'_>], value: impl Fn(&'a EventRow<'_>) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    sqlx::query(sql)
        .bind(all(rows, |row| row.event.id.0))
        .bind(all(rows, |row| row.event.group.map(|id| id.0)))
        .bind(all(rows, |row| row.event.group_name.as_deref()))
        .bind(all(rows, |row| row.event.action.as_str()))
        .bind(all(rows, |row| row.event.crud.as_str()))
        .bind(all(rows, |row| row.event.actor.as_ref().map(|actor| actor.id.as_str())))
        .bind(all(rows, |row| row.actor.as_deref()))
        .bind(all(rows, |row| row.event.target.as_ref().map(|target| target.id.as_str())))
        .bind(all(rows, |row| row.target.as_deref()))
        .bind(all(rows, |row| Ts(row.event.created)))
        .bind(all(rows, |row| Ts(row.event.received)))
        .bind(all(rows, |row| row.source_ip.as_deref()))
        .bind(all(rows, |row| row.event.description.as_deref()))
        .bind(all(rows, |row| row.event.is_anonymous))
        .bind(all(rows, |row| row.event.is_failure))
        .bind(all(rows, |row| row.fields.as_str()))
        .bind(all(rows, |row| row.event.component.as_deref()))
        .bind(all(rows, |row| row.event.version.as_deref()))
        .bind(all(rows, |row| row.event.external_id.as_deref()))
        .bind(all(rows, |row| row.metadata.as_str()))
        .bind(all(rows, |row| row.search.as_str()))
        .execute(conn)
        .await?;
    Ok(())
}

/// Appends events that claim nothing, each batch by one statement, which commits by itself.
#[derive(Debug)]
pub(super) struct PgPublisher {
    shared: Arc<Shared>,
    /// A connection, and since when it is away from the pool. The pool asks the server for a sign of life whenever one comes
    /// back, which costs as much as another statement.
    held: Option<(PoolConnection<Postgres>, Instant)>,
}

impl PgPublisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, held: None }
    }

    async fn connection(&mut self) -> Result<(PoolConnection<Postgres>, Instant), sqlx::Error> {
        match self.held.take() {
            Some(held) if held.1.elapsed() < HELD_FOR => Ok(held),
            expired => {
                drop(expired);
                let pool = self.shared.pools.load().platform.clone();
                Ok((pool.acquire().await?, Instant::now()))
            }
        }
    }
}

#[async_trait]
impl Publisher for PgPublisher {
    /// A connection that a restart of the database broke fails here at its first use, and nobody can say whether that was
    /// the first use or the loss of an answer. The statement is sent again on the next one: what it stored is kept by its
    /// key, and where it still runs, its end is waited for.
    async fn publish(&mut self, events: &[AuditEvent]) -> Result<()> {
        let rows = unclaimed(events)?;
        let mut lost = None;
        // At most once for each connection that the pool can hold, and once on a new one.
        for _ in 0..=self.shared.settings.max_connections {
            let (mut conn, since) = match self.connection().await {
                Ok(held) => held,
                Err(_) if lost.is_some() => break,
                Err(error) => return Err(self.shared.note(error.into())),
            };
            let sql = if lost.is_none() { INSERT } else { INSERT_AGAIN };
            match insert(&mut conn, sql, &rows).await {
                Ok(()) => {
                    self.held = Some((conn, since));
                    return Ok(());
                }
                Err(error) if is_lost(&error) => lost = Some(error),
                Err(error) => return Err(self.shared.note(error.into())),
            }
        }
        let why = lost.map_or_else(String::new, |error| error.to_string());
        Err(self.shared.note(StoreError::Unavailable(why)))
    }
}

/// Claims external ids; those that were taken before name the earlier event afterwards. Whoever claims one at the same
/// moment is waited for.
pub(super) async fn claim(conn: &mut Connection, claims: &mut Claims<'_>) -> Result<()> {
    const TAKE: &str = "INSERT INTO audit_external_ids (tenant_id, external_id, event_id) \
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[]) ON CONFLICT DO NOTHING";
    const LOOK: &str = "SELECT c.place, i.event_id FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY \
        AS c (tenant_id, external_id, place) JOIN audit_external_ids i \
        ON i.tenant_id = c.tenant_id AND i.external_id = c.external_id";
    let tenants: Vec<Uuid> = claims.keys().map(|(tenant, _)| *tenant).collect();
    let externals: Vec<&str> = claims.keys().map(|(_, external)| *external).collect();
    let events: Vec<Uuid> = claims.values().map(|id| id.0).collect();
    let taken =
        sqlx::query(TAKE).bind(&tenants).bind(&externals).bind(events).execute(&mut *conn).await?.rows_affected();
    if usize::try_from(taken).is_ok_and(|taken| taken == claims.len()) {
        return Ok(());
    }
    let rows = sqlx::query(LOOK).bind(&tenants).bind(&externals).fetch_all(conn).await?;
    let mut named: Vec<&mut EventId> = claims.values_mut().collect();
    for row in &rows {
        let place = usize::try_from(row.cell::<i64>("place")?).unwrap_or_default();
        if let Some(id) = place.checked_sub(1).and_then(|place| named.get_mut(place)) {
            **id = EventId(row.cell("event_id")?);
        }
    }
    Ok(())
}

#[async_trait]
impl AuditLog for PgTx {
    async fn publish_audit_events(&mut self, events: &[AuditEvent]) -> Result<Vec<EventId>> {
        self.publish(events).await
    }

    async fn detach_audit_events(&mut self, batch: usize, now: Timestamp) -> Result<u64> {
        const GONE: &str = "SELECT id FROM deleted_tenants WHERE audit_detached_at IS NULL \
            ORDER BY deleted_at, id LIMIT 1 FOR UPDATE SKIP LOCKED";
        const SQL: &str = "SELECT audit_detach($1, $2) AS detached";
        const FORGET: &str = "DELETE FROM audit_external_ids WHERE tenant_id = $1 AND external_id IN \
            (SELECT external_id FROM audit_external_ids WHERE tenant_id = $1 LIMIT $2)";
        const DONE: &str = "UPDATE deleted_tenants SET audit_detached_at = $2 WHERE id = $1";
        let limit = i64::try_from(batch).unwrap_or(i64::MAX);
        attempt!(self, platform conn => {
            let Some(row) = sqlx::query(GONE).fetch_optional(&mut *conn).await? else { return Ok(0) };
            let gone: Uuid = row.cell("id")?;
            let detached: i64 = sqlx::query(SQL).bind(gone).bind(limit).fetch_one(&mut *conn).await?.cell("detached")?;
            let mut done = u64::try_from(detached).unwrap_or(0);
            if done == 0 {
                done = sqlx::query(FORGET).bind(gone).bind(limit).execute(&mut *conn).await?.rows_affected();
            }
            if done == 0 {
                sqlx::query(DONE).bind(gone).bind(Ts(now)).execute(conn).await?;
            }
            // A tenant without events is work done too: 0 would say that no tenant is left.
            Ok(done.max(1))
        })
    }

    async fn ensure_audit_partitions(&mut self, now: Timestamp) -> Result<()> {
        // The function refuses months far from the database's clock. A service whose clock runs years ahead (in dev) does
        // without: its events go to the default partition.
        const SQL: &str = "SELECT audit_make_partition(m.month) FROM \
            (SELECT (date_trunc('month', $1::timestamptz AT TIME ZONE 'UTC') + n * interval '1 month')::date AS month \
            FROM generate_series(0, 2) AS n) AS m \
            WHERE m.month BETWEEN date '2000-01-01' AND now() + interval '23 months'";
        attempt!(self, platform conn => {
            sqlx::query(SQL).bind(Ts(now)).execute(conn).await?;
            Ok(())
        })
    }
}
