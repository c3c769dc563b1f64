//! The audit log: appended by `commit` and by publishers, read back by page, stamped onto both backends.
//!
//! What appends and claims in few statements is the backend's own (`<backend>/audit.rs`). Invariants: nothing here changes
//! an event; a page is read with the predicates that were asked for and no others, since one that may be null keeps a
//! database from its index.

use std::collections::BTreeMap;

use domain::audit::search::text_of;
use domain::{AuditEvent, EventId};
use uuid::Uuid;

use crate::error::{Result, StoreError};
use crate::sql::types::to_json;

/// The columns of an event, in the order in which both backends write them.
macro_rules! event_columns {
    () => {
        "id, tenant_id, former_tenant_id, group_name, action, crud, actor_id, actor, target_id, target, created, received, \
         source_ip, description, is_anonymous, is_failure, fields, component, version, external_id, metadata, search"
    };
}
pub(crate) use event_columns;

/// An event, and the columns that are made of it.
pub(crate) struct EventRow<'a> {
    pub(crate) event: &'a AuditEvent,
    pub(crate) actor: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) source_ip: Option<String>,
    pub(crate) fields: String,
    pub(crate) metadata: String,
    pub(crate) search: String,
}

impl<'a> EventRow<'a> {
    pub(crate) fn of(event: &'a AuditEvent) -> Result<Self> {
        Ok(Self {
            event,
            actor: event.actor.as_ref().map(to_json).transpose()?,
            target: event.target.as_ref().map(to_json).transpose()?,
            source_ip: event.source_ip.map(|address| address.to_string()),
            fields: to_json(&event.fields)?,
            metadata: to_json(&event.metadata)?,
            search: text_of(event),
        })
    }
}

/// Tenants' external ids, and the event that each is to name. In one order for everybody: two publishers of the same ids
/// must not wait for each other.
pub(crate) type Claims<'a> = BTreeMap<(Uuid, &'a str), EventId>;

/// What is claimed for these events: of several with one external id, for the first.
pub(crate) fn claims_of(events: &[AuditEvent]) -> Claims<'_> {
    let mut claims = Claims::new();
    for event in events {
        if let (Some(tenant), Some(external)) = (event.group, &event.external_id) {
            claims.entry((tenant.0, external.as_str())).or_insert(event.id);
        }
    }
    claims
}

/// The rows of events that are appended without a look at external ids; none may claim one.
pub(crate) fn unclaimed(events: &[AuditEvent]) -> Result<Vec<EventRow<'_>>> {
    if claims_of(events).is_empty() {
        events.iter().map(EventRow::of).collect()
    } else {
        Err(StoreError::Refused("an event that claims an external id needs a transaction".to_owned()))
    }
}

/// Stamps appending, publishing and listing as inherent methods.
macro_rules! stamp_audit {
    ($tx:ty) => {
        impl $tx {
            async fn append_audit(&mut self, batch: &AuditBatch) -> Result<()> {
                let own = self.scope.tenant();
                attempt!(self, conn => {
                    if own.is_some() && batch.events().iter().any(|event| event.group != own) {
                        return Err(StoreError::Refused("an audit event of another tenant".to_owned()));
                    }
                    let rows = batch.events().iter().map(EventRow::of).collect::<Result<Vec<_>>>()?;
                    audit::append(conn, &rows).await
                })
            }

            async fn publish(&mut self, events: &[AuditEvent]) -> Result<Vec<EventId>> {
                attempt!(self, platform conn => {
                    let mut named = claims_of(events);
                    if !named.is_empty() {
                        audit::claim(&mut *conn, &mut named).await?;
                    }
                    let mut ids = Vec::with_capacity(events.len());
                    let mut rows = Vec::with_capacity(events.len());
                    for event in events {
                        let external = event.group.zip(event.external_id.as_deref());
                        let id = external.and_then(|(tenant, external)| named.get(&(tenant.0, external)));
                        let id = *id.unwrap_or(&event.id);
                        if id == event.id {
                            rows.push(EventRow::of(event)?);
                        }
                        ids.push(id);
                    }
                    if !rows.is_empty() {
                        audit::append(conn, &rows).await?;
                    }
                    Ok(ids)
                })
            }

            async fn former_tenant(&mut self, id: TenantId) -> Result<bool> {
                const SQL: &str = "SELECT d.id FROM deleted_tenants d WHERE ($1 IS NULL OR d.id = $1) AND d.id = $2";
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, conn => { Ok(sqlx::query(SQL).bind(own).bind(id.0).fetch_optional(conn).await?.is_some()) })
            }

            async fn audit_page(
                &mut self,
                filter: &AuditFilter,
                page: Page<(Timestamp, EventId)>,
            ) -> Result<Vec<AuditEvent>> {
                let own = self.scope.tenant();
                attempt!(self, conn => {
                    let mut query = sqlx::QueryBuilder::<Db>::new("");
                    if filter.former_tenant.is_some() {
                        // A deleted tenant's events are found by what they are while they are being detached, and by what
                        // they were afterwards: two walks along an index, where one condition for both would be none.
                        query.push("SELECT * FROM (");
                        push_events(&mut query, own, filter, page, "a.tenant_id = ");
                        query.push(") AS attached UNION ALL SELECT * FROM (");
                        push_events(&mut query, own, filter, page, "a.tenant_id IS NULL AND a.former_tenant_id = ");
                        query.push(") AS detached ORDER BY received DESC, id DESC LIMIT ");
                        query.push_bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
                    } else {
                        push_events(&mut query, own, filter, page, "a.tenant_id = ");
                    }
                    let rows = query.build().fetch_all(conn).await?;
                    rows.iter().map(audit_event_of).collect()
                })
            }
        }

        /// One walk along an index. `whose` compares the tenant that the filter names, if it names one.
        fn push_events(
            query: &mut sqlx::QueryBuilder<Db>,
            own: Option<TenantId>,
            filter: &AuditFilter,
            page: Page<(Timestamp, EventId)>,
            whose: &'static str,
        ) {
            query.push(
                "SELECT a.id, CASE WHEN EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = a.tenant_id) THEN NULL \
                 ELSE a.tenant_id END AS group_id, a.group_name, a.action, a.crud, a.actor, a.target, a.created, a.received, \
                 a.source_ip, a.description, a.is_anonymous, a.is_failure, a.fields, a.component, a.version, a.external_id, \
                 a.metadata FROM audit_events a WHERE ",
            );
            let mut conditions = query.separated(" AND ");
            conditions.push("1 = 1");
            if let Some(own) = own {
                conditions.push("a.tenant_id = ").push_bind_unseparated(own.0);
            }
            if let Some(tenant) = filter.tenant {
                conditions.push(whose).push_bind_unseparated(tenant.0);
                conditions.push("NOT EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = ").push_bind_unseparated(tenant.0);
                conditions.push_unseparated(")");
            }
            if let Some(former) = filter.former_tenant {
                conditions.push(whose).push_bind_unseparated(former.0);
                conditions.push("EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.id = ").push_bind_unseparated(former.0);
                conditions.push_unseparated(")");
            }
            match &filter.action {
                Some(ActionPattern::Exact(action)) => {
                    conditions.push("a.action = ").push_bind_unseparated(action.clone());
                }
                Some(ActionPattern::Prefix(start)) => {
                    let length = i32::try_from(start.chars().count()).unwrap_or(i32::MAX);
                    conditions.push("substr(a.action, 1, ").push_bind_unseparated(length).push_unseparated(") = ");
                    conditions.push_bind_unseparated(start.clone());
                }
                None => {}
            }
            if let Some(crud) = filter.crud {
                conditions.push("a.crud = ").push_bind_unseparated(crud.as_str());
            }
            if let Some(actor) = &filter.actor_id {
                conditions.push("a.actor_id = ").push_bind_unseparated(actor.clone());
            }
            if let Some(target) = &filter.target_id {
                conditions.push("a.target_id = ").push_bind_unseparated(target.clone());
            }
            if let Some(from) = filter.from {
                conditions.push("a.received >= ").push_bind_unseparated(Ts(from));
            }
            if let Some(to) = filter.to {
                conditions.push("a.received < ").push_bind_unseparated(Ts(to));
            }
            if let Some(text) = &filter.text {
                conditions.push("a.search LIKE ").push_bind_unseparated(contains_pattern(text));
                conditions.push_unseparated(" ESCAPE '\\'");
            }
            if let Some((received, id)) = page.after {
                // The first says nothing new, but passes over whole months.
                conditions.push("a.received <= ").push_bind_unseparated(Ts(received));
                conditions.push("(a.received, a.id) < (").push_bind_unseparated(Ts(received)).push_unseparated(", ");
                conditions.push_bind_unseparated(id.0).push_unseparated(")");
            }
            query.push(" ORDER BY a.received DESC, a.id DESC LIMIT ");
            query.push_bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
        }
    };
}
pub(crate) use stamp_audit;
