//! The audit log: appended by `commit`, read back by page, stamped onto both backends.
//!
//! Invariant: nothing here changes an event; taking the group from a deleted tenant's events is the backend's own.

/// Stamps appending and listing as inherent methods.
macro_rules! stamp_audit {
    ($tx:ty) => {
        impl $tx {
            async fn append_audit(&mut self, batch: &AuditBatch) -> Result<()> {
                // A statement has at most 32,766 parameters on SQLite, 65,535 on PostgreSQL, and a row has 21.
                const ROWS: usize = 1_000;
                let own = self.scope.tenant();
                attempt!(self, conn => {
                    if own.is_some() && batch.events().iter().any(|event| event.group != own) {
                        return Err(StoreError::Refused("an audit event of another tenant".to_owned()));
                    }
                    for events in batch.events().chunks(ROWS) {
                        let mut insert = sqlx::QueryBuilder::<Db>::new(
                            "INSERT INTO audit_events (id, tenant_id, former_tenant_id, group_name, action, crud, actor_id, \
                             actor, target_id, target, created, received, source_ip, description, is_anonymous, is_failure, \
                             fields, component, version, external_id, metadata) ",
                        );
                        let mut rows = Vec::with_capacity(events.len());
                        for event in events {
                            let actor = event.actor.as_ref().map(to_json).transpose()?;
                            let target = event.target.as_ref().map(to_json).transpose()?;
                            rows.push((event, actor, target, to_json(&event.fields)?, to_json(&event.metadata)?));
                        }
                        insert.push_values(rows, |mut row, (event, actor, target, fields, metadata)| {
                            row.push_bind(event.id.0)
                                .push_bind(event.group.map(|id| id.0))
                                .push_bind(event.group.map(|id| id.0))
                                .push_bind(&event.group_name)
                                .push_bind(&event.action)
                                .push_bind(event.crud.as_str())
                                .push_bind(event.actor.as_ref().map(|actor| actor.id.as_str()))
                                .push_bind(actor)
                                .push_bind(event.target.as_ref().map(|target| target.id.as_str()))
                                .push_bind(target)
                                .push_bind(Ts(event.created))
                                .push_bind(Ts(event.received))
                                .push_bind(event.source_ip.map(|address| address.to_string()))
                                .push_bind(&event.description)
                                .push_bind(event.is_anonymous)
                                .push_bind(event.is_failure)
                                .push_bind(fields)
                                .push_bind(&event.component)
                                .push_bind(&event.version)
                                .push_bind(&event.external_id)
                                .push_bind(metadata);
                        });
                        insert.build().execute(&mut *conn).await?;
                    }
                    Ok(())
                })
            }

            async fn audit_page(
                &mut self,
                filter: &AuditFilter,
                page: Page<(Timestamp, EventId)>,
            ) -> Result<Vec<AuditEvent>> {
                const SQL: &str = "SELECT a.id, CASE WHEN d.id IS NULL THEN a.tenant_id END AS group_id, a.group_name, \
                    a.action, a.crud, a.actor, a.target, a.created, a.received, a.source_ip, a.description, \
                    a.is_anonymous, a.is_failure, a.fields, a.component, a.version, a.external_id, a.metadata \
                    FROM audit_events a LEFT JOIN deleted_tenants d ON d.id = a.former_tenant_id \
                    WHERE ($1 IS NULL OR a.tenant_id = $1) \
                    AND ($2 IS NULL OR (a.tenant_id = $2 AND d.id IS NULL)) \
                    AND ($3 IS NULL OR (a.former_tenant_id = $3 AND d.id IS NOT NULL)) \
                    AND ($4 IS NULL OR a.action = $4) \
                    AND ($5 IS NULL OR (a.received, a.id) < ($5, $6)) \
                    ORDER BY a.received DESC, a.id DESC LIMIT $7";
                let own = self.scope.tenant().map(|id| id.0);
                let (received, id) = page.after.unzip();
                let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
                attempt!(self, conn => {
                    let rows = sqlx::query(SQL)
                        .bind(own)
                        .bind(filter.tenant.map(|id| id.0))
                        .bind(filter.former_tenant.map(|id| id.0))
                        .bind(&filter.action)
                        .bind(received.map(Ts))
                        .bind(id.map(|id| id.0))
                        .bind(limit)
                        .fetch_all(conn)
                        .await?;
                    rows.iter().map(audit_event_of).collect()
                })
            }
        }
    };
}
pub(crate) use stamp_audit;
