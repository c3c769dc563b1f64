//! The audit log on SQLite: written in chunks, detached by an update that triggers keep to what it is.
//!
//! Invariant: no statement has more parameters than SQLite takes.

use async_trait::async_trait;
use domain::{AuditEvent, EventId, Timestamp};
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use super::{Connection, Db, SqliteTx};
use crate::error::Result;
use crate::port::{AuditLog, Publisher};
use crate::sql::attempt;
use crate::sql::audit::{Claims, EventRow, event_columns, unclaimed};
use crate::sql::types::{Cells, Ts};

/// A statement has at most 32,766 parameters, and a row has 22.
const ROWS: usize = 1_000;

/// Appends events.
pub(super) async fn append(conn: &mut Connection, rows: &[EventRow<'_>]) -> Result<()> {
    for rows in rows.chunks(ROWS) {
        let mut insert = sqlx::QueryBuilder::<Db>::new(concat!("INSERT INTO audit_events (", event_columns!(), ") "));
        insert.push_values(rows, |mut columns, row| {
            let event = row.event;
            columns
                .push_bind(event.id.0)
                .push_bind(event.group.map(|id| id.0))
                .push_bind(event.group.map(|id| id.0))
                .push_bind(&event.group_name)
                .push_bind(&event.action)
                .push_bind(event.crud.as_str())
                .push_bind(event.actor.as_ref().map(|actor| actor.id.as_str()))
                .push_bind(&row.actor)
                .push_bind(event.target.as_ref().map(|target| target.id.as_str()))
                .push_bind(&row.target)
                .push_bind(Ts(event.created))
                .push_bind(Ts(event.received))
                .push_bind(&row.source_ip)
                .push_bind(&event.description)
                .push_bind(event.is_anonymous)
                .push_bind(event.is_failure)
                .push_bind(&row.fields)
                .push_bind(&event.component)
                .push_bind(&event.version)
                .push_bind(&event.external_id)
                .push_bind(&row.metadata)
                .push_bind(&row.search);
        });
        insert.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Appends events that claim nothing, each batch in a transaction of its own on the one connection that writes.
#[derive(Debug)]
pub(super) struct SqlitePublisher(pub(super) SqlitePool);

#[async_trait]
impl Publisher for SqlitePublisher {
    async fn publish(&mut self, events: &[AuditEvent]) -> Result<()> {
        let rows = unclaimed(events)?;
        let mut tx = self.0.begin_with("BEGIN IMMEDIATE").await?;
        append(&mut tx, &rows).await?;
        Ok(tx.commit().await?)
    }
}

/// Claims external ids; those that were taken before name the earlier event afterwards.
pub(super) async fn claim(conn: &mut Connection, claims: &mut Claims<'_>) -> Result<()> {
    const TAKE: &str = "INSERT INTO audit_external_ids (tenant_id, external_id, event_id) VALUES ($1, $2, $3) \
        ON CONFLICT DO NOTHING";
    const LOOK: &str = "SELECT event_id FROM audit_external_ids WHERE tenant_id = $1 AND external_id = $2";
    for ((tenant, external), id) in claims {
        let taken =
            sqlx::query(TAKE).bind(*tenant).bind(*external).bind(id.0).execute(&mut *conn).await?.rows_affected();
        if taken == 0 {
            let row = sqlx::query(LOOK).bind(*tenant).bind(*external).fetch_one(&mut *conn).await?;
            *id = EventId(row.cell("event_id")?);
        }
    }
    Ok(())
}

#[async_trait]
impl AuditLog for SqliteTx {
    async fn publish_audit_events(&mut self, events: &[AuditEvent]) -> Result<Vec<EventId>> {
        self.publish(events).await
    }

    async fn detach_audit_events(&mut self, batch: usize, now: Timestamp) -> Result<u64> {
        const GONE: &str =
            "SELECT id FROM deleted_tenants WHERE audit_detached_at IS NULL ORDER BY deleted_at, id LIMIT 1";
        const SQL: &str = "UPDATE audit_events SET tenant_id = NULL WHERE id IN \
            (SELECT id FROM audit_events WHERE tenant_id = $1 LIMIT $2)";
        const FORGET: &str = "DELETE FROM audit_external_ids WHERE tenant_id = $1 AND external_id IN \
            (SELECT external_id FROM audit_external_ids WHERE tenant_id = $1 LIMIT $2)";
        const DONE: &str = "UPDATE deleted_tenants SET audit_detached_at = $2 WHERE id = $1";
        let limit = i64::try_from(batch).unwrap_or(i64::MAX);
        attempt!(self, platform conn => {
            let Some(row) = sqlx::query(GONE).fetch_optional(&mut *conn).await? else { return Ok(0) };
            let gone: Uuid = row.cell("id")?;
            let mut done = sqlx::query(SQL).bind(gone).bind(limit).execute(&mut *conn).await?.rows_affected();
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

    async fn ensure_audit_partitions(&mut self, _now: Timestamp) -> Result<()> {
        // One table for all months; and, as on the other backend, nothing for a tenant's transaction.
        attempt!(self, platform _conn => { Ok(()) })
    }
}
