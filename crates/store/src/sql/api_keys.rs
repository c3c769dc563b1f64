//! API keys: reads and writes, stamped onto both backends.
//!
//! Invariant: a write notes its change for the feed in the transaction; noting when keys were used is no change, and
//! never moves a time backwards.

/// Stamps the reads of keys as inherent methods, which `ReadTx` delegates to, and `ApiKeys`. `for_update` is the
/// backend's row lock on `k`; `for_note` the lock of the note of their use, which passes over what somebody else holds and
/// leaves foreign keys alone.
macro_rules! stamp_api_keys {
    ($tx:ty, for_update = $for_update:literal, for_note = $for_note:literal) => {
        impl $tx {
            async fn api_key_where(
                &mut self,
                sql: &'static str,
                bind: impl for<'q> FnOnce(Query<'q, Db, Arguments>) -> Query<'q, Db, Arguments> + Send,
            ) -> Result<Vec<ApiKey>> {
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, conn => {
                    let rows = bind(sqlx::query(sql).bind(own)).fetch_all(conn).await?;
                    rows.iter().map(api_key_of).collect()
                })
            }

            async fn api_key_by_id(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>> {
                const SQL: &str = concat!(
                    "SELECT ", api_key_columns!(), " FROM api_keys k WHERE ($1 IS NULL OR k.tenant_id = $1) AND k.id = $2"
                );
                Ok(self.api_key_where(SQL, |query| query.bind(id.0)).await?.pop())
            }

            async fn api_key_by_hash(&mut self, hash: &KeyHash) -> Result<Option<ApiKey>> {
                const SQL: &str = concat!(
                    "SELECT ", api_key_columns!(), " FROM api_keys k WHERE ($1 IS NULL OR k.tenant_id = $1) AND k.hash = $2"
                );
                let hash = hash.0.to_vec();
                Ok(self.api_key_where(SQL, |query| query.bind(hash)).await?.pop())
            }

            async fn api_keys_page(&mut self, tenant: Option<TenantId>, page: Page<ApiKeyId>) -> Result<Vec<ApiKey>> {
                // Only what was asked for: a condition that may be null would make SQLite walk the keys of all tenants.
                let own = self.scope.tenant();
                attempt!(self, conn => {
                    let mut query = sqlx::QueryBuilder::<Db>::new(concat!(
                        "SELECT ", api_key_columns!(), " FROM api_keys k WHERE 1 = 1"
                    ));
                    for tenant in [own, tenant].into_iter().flatten() {
                        query.push(" AND k.tenant_id = ").push_bind(tenant.0);
                    }
                    if let Some(after) = page.after {
                        query.push(" AND k.id < ").push_bind(after.0);
                    }
                    query.push(" ORDER BY k.id DESC LIMIT ");
                    query.push_bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
                    query.build().fetch_all(conn).await?.iter().map(api_key_of).collect()
                })
            }
        }

        #[async_trait]
        impl ApiKeys for $tx {
            async fn lock_api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>> {
                const SQL: &str = concat!(
                    "SELECT ", api_key_columns!(), " FROM api_keys k WHERE ($1 IS NULL OR k.tenant_id = $1) AND k.id = $2",
                    $for_update
                );
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, platform conn => {
                    let row = sqlx::query(SQL).bind(own).bind(id.0).fetch_optional(conn).await?;
                    row.as_ref().map(api_key_of).transpose()
                })
            }

            async fn insert_api_key(&mut self, key: &ApiKey) -> Result<()> {
                const SQL: &str = "INSERT INTO api_keys (id, tenant_id, name, prefix, last_four, hash, scopes, expires_at, \
                    created_at, created_by, last_used_at, revoked_at, rotated_to) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
                attempt!(self, platform conn => {
                    sqlx::query(SQL)
                        .bind(key.id.0)
                        .bind(key.tenant_id.map(|id| id.0))
                        .bind(&key.name)
                        .bind(&key.prefix)
                        .bind(&key.last_four)
                        .bind(key.hash.0.to_vec())
                        .bind(to_json(&key.scopes)?)
                        .bind(key.expires_at.map(Ts))
                        .bind(Ts(key.created_at))
                        .bind(&key.created_by)
                        .bind(key.last_used_at.map(Ts))
                        .bind(key.revoked_at.map(Ts))
                        .bind(key.rotated_to.map(|id| id.0))
                        .execute(conn)
                        .await?;
                    Ok(())
                })?;
                self.pending.push(NewChange::api_key_upsert(key));
                Ok(())
            }

            async fn update_api_key(&mut self, key: &ApiKey) -> Result<()> {
                const SQL: &str = "UPDATE api_keys SET expires_at = $3, revoked_at = $4, rotated_to = $5 \
                    WHERE ($1 IS NULL OR tenant_id = $1) AND id = $2";
                let own = self.scope.tenant().map(|id| id.0);
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL)
                        .bind(own)
                        .bind(key.id.0)
                        .bind(key.expires_at.map(Ts))
                        .bind(key.revoked_at.map(Ts))
                        .bind(key.rotated_to.map(|id| id.0))
                        .execute(conn)
                        .await?;
                    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict(Conflict::Stale)) }
                })?;
                self.pending.push(NewChange::api_key_upsert(key));
                Ok(())
            }

            async fn note_api_key_use(&mut self, used: &[(ApiKeyId, Timestamp)]) -> Result<u64> {
                // Who deletes a tenant or ends a key is not waited for: its locks may be taken in another order. What is
                // passed over is noted with the key's next use.
                const TAIL: &str = concat!(
                    "), held AS (SELECT k.id FROM api_keys k WHERE k.id IN (SELECT id FROM used) ORDER BY k.id", $for_note,
                    ") UPDATE api_keys SET last_used_at = used.used_at FROM used, held \
                     WHERE held.id = used.id AND api_keys.id = used.id \
                     AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at < used.used_at)"
                );
                attempt!(self, platform conn => {
                    if used.is_empty() {
                        return Ok(0);
                    }
                    let mut sql = sqlx::QueryBuilder::<Db>::new("WITH used (id, used_at) AS (");
                    sql.push_values(used, |mut row, (id, at)| {
                        row.push_bind(id.0).push_bind(Ts(*at));
                    });
                    sql.push(TAIL);
                    Ok(sql.build().execute(conn).await?.rows_affected())
                })
            }
        }

        /// Every key of a tenant, for the feed: they go with it.
        async fn api_keys_going(conn: &mut Connection, tenant: TenantId) -> Result<Vec<NewChange>> {
            const SQL: &str = "SELECT id, hash FROM api_keys WHERE tenant_id = $1 ORDER BY id";
            let rows = sqlx::query(SQL).bind(tenant.0).fetch_all(conn).await?;
            let going = rows.iter().map(|row| {
                Ok(NewChange::api_key_delete(ApiKeyId(row.cell("id")?), Some(tenant), &key_hash(row.cell("hash")?)?))
            });
            going.collect()
        }

        fn api_key_of(row: &RowOf) -> Result<ApiKey> {
            let instant = |column: &'static str| -> Result<Option<Timestamp>> {
                Ok(row.cell::<Option<Ts>>(column)?.map(|at| at.0))
            };
            Ok(ApiKey {
                id: ApiKeyId(row.cell("id")?),
                tenant_id: row.cell::<Option<Uuid>>("tenant_id")?.map(TenantId),
                name: row.cell("name")?,
                prefix: row.cell("prefix")?,
                last_four: row.cell("last_four")?,
                hash: key_hash(row.cell("hash")?)?,
                scopes: json("scopes", &row.cell::<String>("scopes")?)?,
                expires_at: instant("expires_at")?,
                created_at: row.cell::<Ts>("created_at")?.0,
                created_by: row.cell("created_by")?,
                last_used_at: instant("last_used_at")?,
                revoked_at: instant("revoked_at")?,
                rotated_to: row.cell::<Option<Uuid>>("rotated_to")?.map(ApiKeyId),
            })
        }
    };
}
pub(crate) use stamp_api_keys;

/// The columns of a key.
macro_rules! api_key_columns {
    () => {
        "k.id, k.tenant_id, k.name, k.prefix, k.last_four, k.hash, k.scopes, k.expires_at, k.created_at, k.created_by, \
         k.last_used_at, k.revoked_at, k.rotated_to"
    };
}
pub(crate) use api_key_columns;
