//! The audit log on PostgreSQL: written in arrays, kept by month, detached through a function with the owner's power.
//!
//! Invariant: the text of a statement does not depend on how many events there are, so that each is prepared once.

use async_trait::async_trait;
use domain::{AuditEvent, EventId, Timestamp};
use uuid::Uuid;

use super::{Connection, PgTx};
use crate::error::Result;
use crate::port::AuditLog;
use crate::sql::attempt;
use crate::sql::audit::{Claims, EventRow, event_columns};
use crate::sql::types::{Cells, Ts};

/// Appends events.
pub(super) async fn append(conn: &mut Connection, rows: &[EventRow<'_>]) -> Result<()> {
    const SQL: &str = concat!(
        "INSERT INTO audit_events (",
        event_columns!(),
        ") SELECT e.id, e.tenant_id, e.tenant_id, e.group_name, e.action, e.crud, e.actor_id, e.actor, e.target_id, \
         e.target, e.created, e.received, e.source_ip, e.description, e.is_anonymous, e.is_failure, e.fields, e.component, \
         e.version, e.external_id, e.metadata, e.search FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], \
         $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::text[], \
         $13::text[], $14::bool[], $15::bool[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[]) \
         AS e (id, tenant_id, group_name, action, crud, actor_id, actor, target_id, target, created, received, source_ip, \
         description, is_anonymous, is_failure, fields, component, version, external_id, metadata, search)"
    );
    fn all<'a, T>(rows: &'a [EventRow<'_>], value: impl Fn(&'a EventRow<'_>) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    sqlx::query(SQL)
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
