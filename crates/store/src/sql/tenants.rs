//! Tenants and their host routes: reads and writes, stamped onto both backends.
//!
//! Invariant: a write notes its change for the feed in the transaction, and `commit` writes it down.

/// The columns of a tenant and of one of its routes.
macro_rules! tenant_columns {
    () => {
        "t.id, t.slug, t.name, t.plan, t.status, t.status_reason, t.trial_ends_at, t.metadata, t.version, \
         t.created_at, t.updated_at, t.frozen_at, t.admin_email, t.admin_name, h.host, h.prefix, h.url"
    };
}
pub(crate) use tenant_columns;

/// Stamps the reads of tenants as inherent methods, which `ReadTx` delegates to.
macro_rules! stamp_tenant_reads {
    ($tx:ty) => {
        impl $tx {
            async fn tenants_where(
                &mut self,
                sql: &'static str,
                bind: impl for<'q> FnOnce(Query<'q, Db, Arguments>) -> Query<'q, Db, Arguments> + Send,
            ) -> Result<Vec<Tenant>> {
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, conn => {
                    let rows = bind(sqlx::query(sql).bind(own)).fetch_all(conn).await?;
                    tenants_of(&rows)
                })
            }

            async fn tenant_by_id(&mut self, id: TenantId, sql: &'static str) -> Result<Option<Tenant>> {
                Ok(self.tenants_where(sql, |query| query.bind(id.0)).await?.pop())
            }

            async fn tenant_by_slug(&mut self, slug: &str) -> Result<Option<Tenant>> {
                let slug = slug.to_owned();
                const SQL: &str = concat!(
                    "SELECT ", tenant_columns!(), " FROM tenants t LEFT JOIN tenant_hosts h ON h.tenant_id = t.id ",
                    "WHERE ($1 IS NULL OR t.id = $1) AND t.slug = $2 ORDER BY h.position"
                );
                Ok(self.tenants_where(SQL, |query| query.bind(slug)).await?.pop())
            }

            async fn tenants_page(&mut self, filter: &TenantFilter, page: Page<TenantId>) -> Result<Vec<Tenant>> {
                const SQL: &str = concat!(
                    "SELECT ", tenant_columns!(), " FROM (SELECT * FROM tenants t ",
                    "WHERE ($1 IS NULL OR t.id = $1) AND ($2 IS NULL OR t.id = $2) AND ($3 IS NULL OR t.id < $3) ",
                    "AND ($4 IS NULL OR t.plan = $4) ",
                    "AND ($5 IS NULL OR CASE WHEN t.status = 'trial' AND t.trial_ends_at <= $6 THEN 'frozen' ELSE t.status END = $5) ",
                    "AND ($7 IS NULL OR t.slug LIKE $7 ESCAPE '\\' OR t.name_folded LIKE $7 ESCAPE '\\') ",
                    "ORDER BY t.id DESC LIMIT $8) t ",
                    "LEFT JOIN tenant_hosts h ON h.tenant_id = t.id ORDER BY t.id DESC, h.position"
                );
                let id = filter.id.map(|id| id.0);
                let after = page.after.map(|id| id.0);
                let plan = filter.plan.map(|plan| plan.as_str());
                let status = filter.status.map(|status| status.as_str());
                let pattern = filter.text.as_deref().map(contains_pattern);
                let now = Ts(filter.now);
                let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
                self.tenants_where(SQL, |query| {
                    query.bind(id).bind(after).bind(plan).bind(status).bind(now).bind(pattern).bind(limit)
                })
                .await
            }

            async fn tenants_by_metadata(&mut self, key: &str, value: &str, limit: usize) -> Result<Vec<TenantId>> {
                const SQL: &str = "SELECT tenant_id FROM tenant_metadata WHERE ($1 IS NULL OR tenant_id = $1) \
                    AND key = $2 AND value = $3 ORDER BY tenant_id LIMIT $4";
                let own = self.scope.tenant().map(|id| id.0);
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                attempt!(self, conn => {
                    let rows = sqlx::query(SQL).bind(own).bind(key).bind(value).bind(limit).fetch_all(conn).await?;
                    rows.iter().map(|row| Ok(TenantId(row.cell("tenant_id")?))).collect()
                })
            }

            async fn host_routes(&mut self, host: &str) -> Result<Vec<TenantRoute>> {
                const SQL: &str = "SELECT tenant_id, host, prefix, url FROM tenant_hosts \
                    WHERE ($1 IS NULL OR tenant_id = $1) AND host = $2 ORDER BY prefix";
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, conn => {
                    let rows = sqlx::query(SQL).bind(own).bind(host).fetch_all(conn).await?;
                    rows.iter().map(route_of).collect()
                })
            }

            async fn routes_page(&mut self, after: Option<(String, String)>, limit: usize) -> Result<Vec<TenantRoute>> {
                const SQL: &str = "SELECT tenant_id, host, prefix, url FROM tenant_hosts \
                    WHERE ($1 IS NULL OR tenant_id = $1) AND ($2 IS NULL OR (host, prefix) > ($2, $3)) \
                    ORDER BY host, prefix LIMIT $4";
                let own = self.scope.tenant().map(|id| id.0);
                let (host, prefix) = after.unzip();
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                attempt!(self, conn => {
                    let rows = sqlx::query(SQL).bind(own).bind(host).bind(prefix).bind(limit).fetch_all(conn).await?;
                    rows.iter().map(route_of).collect()
                })
            }
        }

        fn route_of(row: &RowOf) -> Result<TenantRoute> {
            Ok(TenantRoute {
                tenant_id: TenantId(row.cell("tenant_id")?),
                route: HostRoute { host: row.cell("host")?, prefix: row.cell("prefix")?, url: row.cell("url")? },
            })
        }
    };
}
pub(crate) use stamp_tenant_reads;

/// Stamps `Tenants`. `for_update` and `skip_locked` are the backend's row locks; `lock_family` holds back everybody else
/// who writes a route that could shadow this one, where the backend has more than one writer; `patience` gives the rest of
/// the transaction time for what goes with a tenant, where the backend bounds its statements.
macro_rules! stamp_tenants {
    (
        $tx:ty,
        for_update = $for_update:literal,
        skip_locked = $skip_locked:literal,
        lock_family = $lock_family:expr,
        patience = $patience:expr
    ) => {
        #[async_trait]
        impl Tenants for $tx {
            async fn lock_tenant(&mut self, id: TenantId) -> Result<Option<Tenant>> {
                // Two statements: one that waits for the lock sees the tenant as it became, but its hosts as they were.
                const LOCK: &str =
                    concat!("SELECT t.id FROM tenants t WHERE ($1 IS NULL OR t.id = $1) AND t.id = $2", $for_update);
                let own = self.scope.tenant().map(|id| id.0);
                let locked = attempt!(self, platform conn => {
                    Ok(sqlx::query(LOCK).bind(own).bind(id.0).fetch_optional(conn).await?.is_some())
                })?;
                if locked { self.get_tenant(id).await } else { Ok(None) }
            }

            async fn insert_tenant(&mut self, tenant: &Tenant, nesting: Nesting) -> Result<()> {
                const SQL: &str = "INSERT INTO tenants (id, slug, name, name_folded, plan, status, status_reason, \
                    trial_ends_at, metadata, version, created_at, updated_at, frozen_at, admin_email, admin_name) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
                attempt!(self, platform conn => {
                    sqlx::query(SQL)
                        .bind(tenant.id.0)
                        .bind(tenant.slug.as_str())
                        .bind(&tenant.name)
                        .bind(fold(&tenant.name))
                        .bind(tenant.plan.as_str())
                        .bind(tenant.status.as_str())
                        .bind(tenant.status_reason.map(|reason| reason.as_str()))
                        .bind(tenant.trial_ends_at.map(Ts))
                        .bind(to_json(&tenant.metadata)?)
                        .bind(tenant.version)
                        .bind(Ts(tenant.created_at))
                        .bind(Ts(tenant.updated_at))
                        .bind(tenant.frozen_at.map(Ts))
                        .bind(&tenant.admin_email)
                        .bind(&tenant.admin_name)
                        .execute(&mut *conn)
                        .await?;
                    insert_metadata(&mut *conn, tenant).await?;
                    // One order for everybody: two tenants that want the same routes must not wait for each other.
                    let mut routes: Vec<(i64, &HostRoute)> = (1..).zip(&tenant.hosts).collect();
                    routes.sort_by_key(|(_, route)| (host_family(&route.host), &route.host, &route.prefix));
                    for (position, route) in routes {
                        insert_route(conn, tenant.id, route, Some(position), nesting).await?;
                    }
                    Ok(())
                })?;
                self.pending.push(NewChange::tenant_upsert(tenant));
                self.pending.extend(tenant.hosts.iter().map(|route| NewChange::host_upsert(tenant.id, route)));
                Ok(())
            }

            async fn update_tenant(&mut self, tenant: &Tenant) -> Result<()> {
                const SQL: &str = "UPDATE tenants SET name = $3, name_folded = $4, plan = $5, status = $6, \
                    status_reason = $7, trial_ends_at = $8, metadata = $9, version = $10, updated_at = $11, \
                    frozen_at = $12 WHERE ($1 IS NULL OR id = $1) AND id = $2 AND version < $10";
                const FORGET: &str = "DELETE FROM tenant_metadata WHERE ($1 IS NULL OR tenant_id = $1) AND tenant_id = $2";
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL)
                        .bind(own)
                        .bind(tenant.id.0)
                        .bind(&tenant.name)
                        .bind(fold(&tenant.name))
                        .bind(tenant.plan.as_str())
                        .bind(tenant.status.as_str())
                        .bind(tenant.status_reason.map(|reason| reason.as_str()))
                        .bind(tenant.trial_ends_at.map(Ts))
                        .bind(to_json(&tenant.metadata)?)
                        .bind(tenant.version)
                        .bind(Ts(tenant.updated_at))
                        .bind(tenant.frozen_at.map(Ts))
                        .execute(&mut *conn)
                        .await?;
                    if done.rows_affected() != 1 {
                        return Err(StoreError::Conflict(Conflict::Stale));
                    }
                    sqlx::query(FORGET).bind(own).bind(tenant.id.0).execute(&mut *conn).await?;
                    insert_metadata(conn, tenant).await
                })?;
                self.pending.push(NewChange::tenant_upsert(tenant));
                Ok(())
            }

            async fn delete_tenant(&mut self, tenant: &Tenant, at: Timestamp) -> Result<()> {
                const TOMBSTONE: &str = "INSERT INTO deleted_tenants (id, slug, name, deleted_at) VALUES ($1, $2, $3, $4)";
                const SQL: &str = "DELETE FROM tenants WHERE ($1 IS NULL OR id = $1) AND id = $2";
                let patience: Option<&'static str> = $patience;
                let own = self.scope.tenant().map(|id| id.0);
                if let Some(patience) = patience {
                    attempt!(self, platform conn => {
                        sqlx::query(patience).execute(conn).await?;
                        Ok(())
                    })?;
                }
                // They go with the tenant, and the feed is told of each.
                let entitlements = self.entitlements_of(tenant.id).await?;
                let keys = attempt!(self, platform conn => {
                    let keys = api_keys_going(conn, tenant.id).await?;
                    sqlx::query(TOMBSTONE)
                        .bind(tenant.id.0)
                        .bind(tenant.slug.as_str())
                        .bind(&tenant.name)
                        .bind(Ts(at))
                        .execute(&mut *conn)
                        .await?;
                    let done = sqlx::query(SQL).bind(own).bind(tenant.id.0).execute(conn).await?;
                    if done.rows_affected() == 1 { Ok(keys) } else { Err(StoreError::Conflict(Conflict::Stale)) }
                })?;
                self.pending.extend(keys);
                let routes = tenant.hosts.iter();
                self.pending.extend(routes.map(|route| NewChange::host_delete(tenant.id, &route.host, &route.prefix)));
                self.pending.extend(entitlements.iter().map(NewChange::entitlement_delete));
                self.pending.push(NewChange::tenant_delete(tenant.id, tenant.slug.as_str()));
                Ok(())
            }

            async fn add_host(&mut self, tenant: TenantId, route: &HostRoute, nesting: Nesting) -> Result<()> {
                attempt!(self, platform conn => { insert_route(conn, tenant, route, None, nesting).await })?;
                self.pending.push(NewChange::host_upsert(tenant, route));
                Ok(())
            }

            async fn remove_host(&mut self, tenant: TenantId, route: &HostRoute) -> Result<bool> {
                const SQL: &str = "DELETE FROM tenant_hosts WHERE ($1 IS NULL OR tenant_id = $1) \
                    AND tenant_id = $2 AND host = $3 AND prefix = $4";
                let own = self.scope.tenant().map(|id| id.0);
                let removed = attempt!(self, platform conn => {
                    let done =
                        sqlx::query(SQL).bind(own).bind(tenant.0).bind(&route.host).bind(&route.prefix).execute(conn).await?;
                    Ok(done.rows_affected() == 1)
                })?;
                if removed {
                    self.pending.push(NewChange::host_delete(tenant, &route.host, &route.prefix));
                }
                Ok(removed)
            }

            async fn lock_ended_trials(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Tenant>> {
                const ENDED: &str = concat!(
                    "SELECT t.id FROM tenants t WHERE ($1 IS NULL OR t.id = $1) AND t.status = 'trial' ",
                    "AND t.trial_ends_at <= $2 ORDER BY t.trial_ends_at LIMIT $3", $skip_locked
                );
                let own = self.scope.tenant().map(|id| id.0);
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let ended = attempt!(self, platform conn => {
                    let rows = sqlx::query(ENDED).bind(own).bind(Ts(now)).bind(limit).fetch_all(conn).await?;
                    rows.iter().map(|row| Ok(TenantId(row.cell("id")?))).collect::<Result<Vec<_>>>()
                })?;
                let mut tenants = Vec::with_capacity(ended.len());
                for id in ended {
                    tenants.extend(self.lock_tenant(id).await?);
                }
                Ok(tenants)
            }
        }

        async fn insert_metadata(conn: &mut Connection, tenant: &Tenant) -> Result<()> {
            if tenant.metadata.is_empty() {
                return Ok(());
            }
            let mut sql = sqlx::QueryBuilder::<Db>::new("INSERT INTO tenant_metadata (tenant_id, key, value) ");
            sql.push_values(&tenant.metadata, |mut row, (key, value)| {
                row.push_bind(tenant.id.0).push_bind(key).push_bind(value);
            });
            sql.build().execute(conn).await?;
            Ok(())
        }

        /// Adds a route at a place among the tenant's, or behind them.
        async fn insert_route(
            conn: &mut Connection,
            tenant: TenantId,
            route: &HostRoute,
            position: Option<i64>,
            nesting: Nesting,
        ) -> Result<()> {
            // The route itself, and the wildcard that the host would shadow.
            const RIVALS: &str = "SELECT host, prefix FROM tenant_hosts WHERE (host = $1 OR host = $2) AND tenant_id <> $3";
            const SQL: &str = "INSERT INTO tenant_hosts (host, prefix, tenant_id, url, position) VALUES ($1, $2, $3, $4, \
                COALESCE($5, (SELECT COALESCE(MAX(position), 0) + 1 FROM tenant_hosts WHERE tenant_id = $3)))";
            let lock: Option<&'static str> = $lock_family;
            if let Some(lock) = lock {
                sqlx::query(lock).bind(host_family(&route.host)).execute(&mut *conn).await?;
            }
            let taken = || {
                StoreError::Conflict(Conflict::HostTaken { host: route.host.clone(), prefix: route.prefix.clone() })
            };
            let wildcard = tenancy::HostPattern::wildcard_of(&route.host);
            for rival in sqlx::query(RIVALS).bind(&route.host).bind(wildcard).bind(tenant.0).fetch_all(&mut *conn).await? {
                let (host, prefix): (String, String) = (rival.cell("host")?, rival.cell("prefix")?);
                let same = host == route.host && prefix == route.prefix;
                let overlaps = host != route.host || tenancy::prefixes_overlap(&prefix, &route.prefix);
                if same || (nesting == Nesting::Refused && overlaps) {
                    return Err(taken());
                }
            }
            sqlx::query(SQL)
                .bind(&route.host)
                .bind(&route.prefix)
                .bind(tenant.0)
                .bind(&route.url)
                .bind(position)
                .execute(conn)
                .await
                .map_err(|error| match StoreError::from(error) {
                    StoreError::Conflict(Conflict::HostTaken { .. }) => taken(),
                    other => other,
                })?;
            Ok(())
        }
    };
}
pub(crate) use stamp_tenants;
