//! The delegation of the port's reads and of `commit` to the stamped inherent methods, for both backends.
//!
//! Invariant: `commit` writes audit events, then feed rows, then ends the transaction; there is no other way out.

/// Stamps `ReadTx` and `Tx`.
macro_rules! stamp_port {
    ($tx:ty) => {
        #[async_trait]
        impl ReadTx for $tx {
            async fn get_tenant(&mut self, id: TenantId) -> Result<Option<Tenant>> {
                const SQL: &str = concat!(
                    "SELECT ",
                    tenant_columns!(),
                    " FROM tenants t LEFT JOIN tenant_hosts h ON h.tenant_id = t.id ",
                    "WHERE ($1 IS NULL OR t.id = $1) AND t.id = $2 ORDER BY h.position"
                );
                self.tenant_by_id(id, SQL).await
            }

            async fn get_tenant_by_slug(&mut self, slug: &str) -> Result<Option<Tenant>> {
                self.tenant_by_slug(slug).await
            }

            async fn list_tenants(&mut self, filter: &TenantFilter, page: Page<TenantId>) -> Result<Vec<Tenant>> {
                self.tenants_page(filter, page).await
            }

            async fn tenants_with_metadata(&mut self, key: &str, value: &str, limit: usize) -> Result<Vec<TenantId>> {
                self.tenants_by_metadata(key, value, limit).await
            }

            async fn routes_of_host(&mut self, host: &str) -> Result<Vec<TenantRoute>> {
                self.host_routes(host).await
            }

            async fn list_routes(&mut self, after: Option<(String, String)>, limit: usize) -> Result<Vec<TenantRoute>> {
                self.routes_page(after, limit).await
            }

            async fn get_api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>> {
                self.api_key_by_id(id).await
            }

            async fn get_api_key_by_hash(&mut self, hash: &KeyHash) -> Result<Option<ApiKey>> {
                self.api_key_by_hash(hash).await
            }

            async fn list_api_keys(&mut self, tenant: Option<TenantId>, page: Page<ApiKeyId>) -> Result<Vec<ApiKey>> {
                self.api_keys_page(tenant, page).await
            }

            async fn list_audit_events(
                &mut self,
                filter: &AuditFilter,
                page: Page<(Timestamp, EventId)>,
            ) -> Result<Vec<AuditEvent>> {
                self.audit_page(filter, page).await
            }

            async fn is_former_tenant(&mut self, id: TenantId) -> Result<bool> {
                self.former_tenant(id).await
            }
        }

        #[async_trait]
        impl Tx for $tx {
            async fn commit(mut self: Box<Self>, audit: AuditBatch) -> Result<()> {
                self.append_audit(&audit).await?;
                self.finish().await
            }

            async fn commit_unaudited(mut self: Box<Self>, why: Unaudited) -> Result<()> {
                self.live()?;
                if !self.pending.is_empty() && why != Unaudited::Installation {
                    return Err(StoreError::Other(format!("a change cannot be committed without audit, as {why:?}")));
                }
                self.finish().await
            }
        }
    };
}
pub(crate) use stamp_port;
