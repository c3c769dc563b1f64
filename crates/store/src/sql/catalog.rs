//! Products, entitlements, trials and requests: reads and writes, stamped onto both backends.
//!
//! Invariants: every write of an entitlement notes its change for the feed in the transaction; products and requests are
//! no part of the feed, since no follower decides by them. A page is read with the conditions that were asked for and no
//! others, since one that may be null makes SQLite walk the rows of all tenants.

/// The columns of an entitlement.
macro_rules! entitlement_columns {
    () => {
        "e.id, e.tenant_id, e.product, e.state, e.source, e.starts_at, e.expires_at, e.limits, e.created_at, e.updated_at"
    };
}
pub(crate) use entitlement_columns;

/// The columns of a product.
macro_rules! product_columns {
    () => {
        "p.key, p.name, p.description, p.trial_days, p.requestable, p.created_at"
    };
}
pub(crate) use product_columns;

/// The columns of a request.
macro_rules! request_columns {
    () => {
        "r.id, r.tenant_id, r.product, r.message, r.status, r.requested_by, r.decided_by, r.created_at, r.decided_at"
    };
}
pub(crate) use request_columns;

/// Stamps `CatalogReads`.
macro_rules! stamp_catalog_reads {
    ($tx:ty) => {
        #[async_trait]
        impl CatalogReads for $tx {
            async fn entitlements_of(&mut self, tenant: TenantId) -> Result<Vec<Entitlement>> {
                const SQL: &str = concat!(
                    "SELECT ", entitlement_columns!(), " FROM entitlements e ",
                    "WHERE ($1 IS NULL OR e.tenant_id = $1) AND e.tenant_id = $2 ORDER BY e.product"
                );
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, conn => {
                    let rows = sqlx::query(SQL).bind(own).bind(tenant.0).fetch_all(conn).await?;
                    rows.iter().map(entitlement_of).collect()
                })
            }

            async fn get_entitlement(&mut self, id: EntitlementId) -> Result<Option<Entitlement>> {
                const SQL: &str = concat!(
                    "SELECT ", entitlement_columns!(), " FROM entitlements e ",
                    "WHERE ($1 IS NULL OR e.tenant_id = $1) AND e.id = $2"
                );
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, conn => {
                    let row = sqlx::query(SQL).bind(own).bind(id.0).fetch_optional(conn).await?;
                    row.as_ref().map(entitlement_of).transpose()
                })
            }

            async fn get_entitlement_to(&mut self, tenant: TenantId, product: &str) -> Result<Option<Entitlement>> {
                const SQL: &str = concat!(
                    "SELECT ", entitlement_columns!(), " FROM entitlements e ",
                    "WHERE ($1 IS NULL OR e.tenant_id = $1) AND e.tenant_id = $2 AND e.product = $3"
                );
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, conn => {
                    let row = sqlx::query(SQL).bind(own).bind(tenant.0).bind(product).fetch_optional(conn).await?;
                    row.as_ref().map(entitlement_of).transpose()
                })
            }

            async fn list_entitlements(
                &mut self,
                filter: &EntitlementFilter,
                page: Page<EntitlementId>,
            ) -> Result<Vec<EntitlementRow>> {
                let own = self.scope.tenant();
                attempt!(self, conn => {
                    let mut query = sqlx::QueryBuilder::<Db>::new(concat!(
                        "SELECT ", entitlement_columns!(), ", CASE WHEN t.status = 'trial' AND t.trial_ends_at <= "
                    ));
                    query.push_bind(Ts(filter.now));
                    query.push(
                        " THEN 'frozen' ELSE t.status END AS tenant_status \
                         FROM entitlements e JOIN tenants t ON t.id = e.tenant_id WHERE 1 = 1",
                    );
                    for tenant in [own, filter.tenant].into_iter().flatten() {
                        query.push(" AND e.tenant_id = ").push_bind(tenant.0);
                    }
                    if let Some(after) = page.after {
                        query.push(" AND e.id < ").push_bind(after.0);
                    }
                    query.push(" ORDER BY e.id DESC LIMIT ");
                    query.push_bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
                    let rows = query.build().fetch_all(conn).await?;
                    let read = |row: &RowOf| {
                        let status = word("tenant_status", &row.cell::<String>("tenant_status")?, Status::from_word)?;
                        Ok(EntitlementRow { entitlement: entitlement_of(row)?, tenant_frozen: status == Status::Frozen })
                    };
                    rows.iter().map(read).collect()
                })
            }

            async fn get_product(&mut self, key: &str) -> Result<Option<Product>> {
                const SQL: &str = concat!("SELECT ", product_columns!(), " FROM products p WHERE p.key = $1");
                attempt!(self, conn => {
                    let row = sqlx::query(SQL).bind(key).fetch_optional(conn).await?;
                    row.as_ref().map(product_of).transpose()
                })
            }

            async fn list_products(&mut self, all: bool, page: Page<(Timestamp, ProductKey)>) -> Result<Vec<Product>> {
                const SQL: &str = concat!(
                    "SELECT ", product_columns!(), " FROM products p WHERE ($1 OR p.requestable) ",
                    "AND ($2 IS NULL OR (p.created_at, p.key) < ($2, $3)) ",
                    "ORDER BY p.created_at DESC, p.key DESC LIMIT $4"
                );
                let (at, key) = page.after.unzip();
                let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
                attempt!(self, conn => {
                    let rows = sqlx::query(SQL)
                        .bind(all)
                        .bind(at.map(Ts))
                        .bind(key.as_ref().map(ProductKey::as_str))
                        .bind(limit)
                        .fetch_all(conn)
                        .await?;
                    rows.iter().map(product_of).collect()
                })
            }

            async fn get_catalog_request(&mut self, id: CatalogRequestId) -> Result<Option<CatalogRequest>> {
                const SQL: &str = concat!(
                    "SELECT ", request_columns!(), " FROM catalog_requests r ",
                    "WHERE ($1 IS NULL OR r.tenant_id = $1) AND r.id = $2"
                );
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, conn => {
                    let row = sqlx::query(SQL).bind(own).bind(id.0).fetch_optional(conn).await?;
                    row.as_ref().map(request_of).transpose()
                })
            }

            async fn list_catalog_requests(
                &mut self,
                filter: &RequestFilter,
                page: Page<CatalogRequestId>,
            ) -> Result<Vec<CatalogRequest>> {
                let own = self.scope.tenant();
                attempt!(self, conn => {
                    let mut query = sqlx::QueryBuilder::<Db>::new(concat!(
                        "SELECT ", request_columns!(), " FROM catalog_requests r WHERE 1 = 1"
                    ));
                    for tenant in [own, filter.tenant].into_iter().flatten() {
                        query.push(" AND r.tenant_id = ").push_bind(tenant.0);
                    }
                    if let Some(status) = filter.status {
                        query.push(" AND r.status = ").push_bind(status.as_str());
                    }
                    if let Some(after) = page.after {
                        query.push(" AND r.id < ").push_bind(after.0);
                    }
                    query.push(" ORDER BY r.id DESC LIMIT ");
                    query.push_bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
                    let rows = query.build().fetch_all(conn).await?;
                    rows.iter().map(request_of).collect()
                })
            }
        }

        fn entitlement_of(row: &RowOf) -> Result<Entitlement> {
            Ok(Entitlement {
                id: EntitlementId(row.cell("id")?),
                tenant_id: TenantId(row.cell("tenant_id")?),
                product: row.cell("product")?,
                state: word("state", &row.cell::<String>("state")?, EntitlementState::from_word)?,
                source: word("source", &row.cell::<String>("source")?, Source::from_word)?,
                starts_at: row.cell::<Option<Ts>>("starts_at")?.map(|at| at.0),
                expires_at: row.cell::<Option<Ts>>("expires_at")?.map(|at| at.0),
                limits: json("limits", &row.cell::<String>("limits")?)?,
                created_at: row.cell::<Ts>("created_at")?.0,
                updated_at: row.cell::<Ts>("updated_at")?.0,
            })
        }

        fn product_of(row: &RowOf) -> Result<Product> {
            let days: i64 = row.cell("trial_days")?;
            Ok(Product {
                key: ProductKey::stored(row.cell("key")?),
                name: row.cell("name")?,
                description: row.cell("description")?,
                trial_days: u32::try_from(days).map_err(|_| StoreError::Damaged(format!("a trial of {days} days")))?,
                requestable: row.cell("requestable")?,
                created_at: row.cell::<Ts>("created_at")?.0,
            })
        }

        fn request_of(row: &RowOf) -> Result<CatalogRequest> {
            Ok(CatalogRequest {
                id: CatalogRequestId(row.cell("id")?),
                tenant_id: TenantId(row.cell("tenant_id")?),
                product: row.cell("product")?,
                message: row.cell("message")?,
                status: word("status", &row.cell::<String>("status")?, RequestStatus::from_word)?,
                requested_by: row.cell("requested_by")?,
                decided_by: row.cell("decided_by")?,
                created_at: row.cell::<Ts>("created_at")?.0,
                decided_at: row.cell::<Option<Ts>>("decided_at")?.map(|at| at.0),
            })
        }
    };
}
pub(crate) use stamp_catalog_reads;

/// Stamps `Entitlements` and `Catalog`. `for_update` and `key_share` are the backend's row locks: the one keeps every
/// other writer out, the other only those who would remove the row.
macro_rules! stamp_catalog {
    ($tx:ty, for_update = $for_update:literal, key_share = $key_share:literal) => {
        #[async_trait]
        impl Entitlements for $tx {
            async fn put_entitlement(&mut self, entitlement: &Entitlement) -> Result<()> {
                const SQL: &str = "INSERT INTO entitlements AS e (id, tenant_id, product, state, source, starts_at, \
                    expires_at, limits, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                    ON CONFLICT (tenant_id, product) DO UPDATE SET state = excluded.state, source = excluded.source, \
                    starts_at = excluded.starts_at, expires_at = excluded.expires_at, limits = excluded.limits, \
                    updated_at = excluded.updated_at WHERE e.id = excluded.id";
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL)
                        .bind(entitlement.id.0)
                        .bind(entitlement.tenant_id.0)
                        .bind(&entitlement.product)
                        .bind(entitlement.state.as_str())
                        .bind(entitlement.source.as_str())
                        .bind(entitlement.starts_at.map(Ts))
                        .bind(entitlement.expires_at.map(Ts))
                        .bind(to_json(&entitlement.limits)?)
                        .bind(Ts(entitlement.created_at))
                        .bind(Ts(entitlement.updated_at))
                        .execute(&mut *conn)
                        .await?;
                    if done.rows_affected() != 1 {
                        return Err(StoreError::Conflict(Conflict::Stale));
                    }
                    // What a tenant has stands at the identity provider too.
                    want(conn, entitlement.tenant_id, false).await
                })?;
                self.pending.push(NewChange::entitlement_upsert(entitlement));
                Ok(())
            }

            async fn use_trial(&mut self, tenant: TenantId, product: &str, at: Timestamp) -> Result<bool> {
                const SQL: &str = "INSERT INTO trials (tenant_id, product, used_at) VALUES ($1, $2, $3) \
                    ON CONFLICT (tenant_id, product) DO NOTHING";
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL).bind(tenant.0).bind(product).bind(Ts(at)).execute(conn).await?;
                    Ok(done.rows_affected() == 1)
                })
            }
        }

        #[async_trait]
        impl Catalog for $tx {
            async fn hold_product(&mut self, key: &str) -> Result<Option<Product>> {
                const SQL: &str =
                    concat!("SELECT ", product_columns!(), " FROM products p WHERE p.key = $1", $key_share);
                attempt!(self, platform conn => {
                    let row = sqlx::query(SQL).bind(key).fetch_optional(conn).await?;
                    row.as_ref().map(product_of).transpose()
                })
            }

            async fn lock_product(&mut self, key: &str) -> Result<Option<Product>> {
                const SQL: &str =
                    concat!("SELECT ", product_columns!(), " FROM products p WHERE p.key = $1", $for_update);
                attempt!(self, platform conn => {
                    let row = sqlx::query(SQL).bind(key).fetch_optional(conn).await?;
                    row.as_ref().map(product_of).transpose()
                })
            }

            async fn insert_product(&mut self, product: &Product) -> Result<bool> {
                const SQL: &str = "INSERT INTO products (key, name, description, trial_days, requestable, created_at) \
                    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING";
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL)
                        .bind(product.key.as_str())
                        .bind(&product.name)
                        .bind(&product.description)
                        .bind(i64::from(product.trial_days))
                        .bind(product.requestable)
                        .bind(Ts(product.created_at))
                        .execute(conn)
                        .await?;
                    Ok(done.rows_affected() == 1)
                })
            }

            async fn update_product(&mut self, product: &Product) -> Result<()> {
                const SQL: &str = "UPDATE products SET name = $2, description = $3, trial_days = $4, requestable = $5 \
                    WHERE key = $1";
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL)
                        .bind(product.key.as_str())
                        .bind(&product.name)
                        .bind(&product.description)
                        .bind(i64::from(product.trial_days))
                        .bind(product.requestable)
                        .execute(conn)
                        .await?;
                    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict(Conflict::Stale)) }
                })
            }

            async fn delete_product(&mut self, key: &str) -> Result<Removal> {
                const USED: &str = "SELECT 1 FROM entitlements e WHERE e.product = $1 LIMIT 1";
                const SQL: &str = "DELETE FROM products WHERE key = $1";
                // Whoever grants the product holds it: once it is locked here, what was granted is there to be seen.
                if self.lock_product(key).await?.is_none() {
                    return Ok(Removal::Absent);
                }
                attempt!(self, platform conn => {
                    if sqlx::query(USED).bind(key).fetch_optional(&mut *conn).await?.is_some() {
                        return Ok(Removal::InUse);
                    }
                    sqlx::query(SQL).bind(key).execute(conn).await?;
                    Ok(Removal::Removed)
                })
            }

            async fn insert_catalog_request(&mut self, request: &CatalogRequest) -> Result<bool> {
                const SQL: &str = "INSERT INTO catalog_requests (id, tenant_id, product, message, status, requested_by, \
                    decided_by, created_at, decided_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                    ON CONFLICT (tenant_id, product) WHERE status = 'open' DO NOTHING";
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL)
                        .bind(request.id.0)
                        .bind(request.tenant_id.0)
                        .bind(&request.product)
                        .bind(&request.message)
                        .bind(request.status.as_str())
                        .bind(&request.requested_by)
                        .bind(&request.decided_by)
                        .bind(Ts(request.created_at))
                        .bind(request.decided_at.map(Ts))
                        .execute(conn)
                        .await?;
                    Ok(done.rows_affected() == 1)
                })
            }

            async fn lock_catalog_request(&mut self, id: CatalogRequestId) -> Result<Option<CatalogRequest>> {
                const SQL: &str = concat!(
                    "SELECT ", request_columns!(), " FROM catalog_requests r ",
                    "WHERE ($1 IS NULL OR r.tenant_id = $1) AND r.id = $2", $for_update
                );
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, platform conn => {
                    let row = sqlx::query(SQL).bind(own).bind(id.0).fetch_optional(conn).await?;
                    row.as_ref().map(request_of).transpose()
                })
            }

            async fn decide_catalog_request(&mut self, request: &CatalogRequest) -> Result<()> {
                const SQL: &str = "UPDATE catalog_requests SET status = $3, decided_by = $4, decided_at = $5 \
                    WHERE ($1 IS NULL OR tenant_id = $1) AND id = $2 AND status = 'open'";
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL)
                        .bind(own)
                        .bind(request.id.0)
                        .bind(request.status.as_str())
                        .bind(&request.decided_by)
                        .bind(request.decided_at.map(Ts))
                        .execute(conn)
                        .await?;
                    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict(Conflict::Stale)) }
                })
            }
        }
    };
}
pub(crate) use stamp_catalog;
