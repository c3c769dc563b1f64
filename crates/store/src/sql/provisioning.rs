//! Identity work, stamped onto both backends.
//!
//! Invariant: who has the lease is told by the fence, which only claiming raises; every other write names it. `wanted` is
//! raised by the writes of tenants and entitlements ([`stamp_provisioning!`]'s `want`), and never by a worker.

/// The columns of the work.
macro_rules! work_columns {
    () => {
        "w.tenant_id, w.slug, w.email, w.admin_name, w.gone, w.wanted, w.done, w.asked_at, w.status, w.step, \
         w.organization_id, w.error, w.organization_meant, w.pushed, w.organization_switched, w.account_id, w.account_ours, \
         w.account_meant_at, w.is_member, w.is_admin, w.mail_claimed, w.mail_settled_at, w.account_switched, \
         w.provisioned_at, w.told_step, w.told_error, w.attempts, w.due_at, w.lease_until, w.fence"
    };
}
pub(crate) use work_columns;

/// Whose work is due and nobody at.
pub(crate) const DUE: &str = "SELECT w.tenant_id FROM provisioning w WHERE w.due_at <= $1 \
    AND (w.lease_until IS NULL OR w.lease_until <= $1) ORDER BY w.due_at, w.tenant_id LIMIT $2";

/// Stamps `ProvisioningReads` and `ProvisioningWork`. `for_update` is the backend's row lock.
macro_rules! stamp_provisioning {
    ($tx:ty, for_update = $for_update:literal) => {
        #[async_trait]
        impl ProvisioningReads for $tx {
            async fn get_identity_work(&mut self, tenant: TenantId) -> Result<Option<IdentityWork>> {
                const SQL: &str = concat!("SELECT ", work_columns!(), " FROM provisioning w WHERE w.tenant_id = $1");
                attempt!(self, platform conn => {
                    let row = sqlx::query(SQL).bind(tenant.0).fetch_optional(conn).await?;
                    row.as_ref().map(work_of).transpose()
                })
            }

            async fn former_holders_of_slug(&mut self, slug: &str) -> Result<Vec<TenantId>> {
                const SQL: &str = "SELECT w.tenant_id FROM provisioning w WHERE w.slug = $1 AND w.gone ORDER BY w.tenant_id";
                attempt!(self, platform conn => {
                    let rows = sqlx::query(SQL).bind(slug).fetch_all(conn).await?;
                    rows.iter().map(|row| Ok(TenantId(row.cell("tenant_id")?))).collect()
                })
            }
        }

        #[async_trait]
        impl ProvisioningWork for $tx {
            async fn ask_for_provisioning(
                &mut self,
                tenant: &Tenant,
                at: Timestamp,
                due_at: Timestamp,
            ) -> Result<bool> {
                const SQL: &str = "UPDATE provisioning SET wanted = wanted + 1, due_at = $3, attempts = 0, \
                    asked_at = CASE WHEN asked_at > $2 THEN asked_at ELSE $2 END WHERE tenant_id = $1 AND NOT gone";
                let Some(mut work) = IdentityWork::of(tenant) else { return Ok(false) };
                work.due_at = Some(due_at);
                let begun = attempt!(self, platform conn => {
                    let asked = sqlx::query(SQL)
                        .bind(tenant.id.0)
                        .bind(Ts(at))
                        .bind(Ts(due_at))
                        .execute(&mut *conn)
                        .await?;
                    if asked.rows_affected() == 0 {
                        begin_work(conn, &work).await?;
                    }
                    Ok(asked.rows_affected() == 0)
                })?;
                if begun {
                    self.pending.push(NewChange::tenant_upsert(tenant));
                }
                Ok(true)
            }

            async fn claim_identity_work(
                &mut self,
                tenant: TenantId,
                now: Timestamp,
                due_by: Timestamp,
                lease_until: Timestamp,
            ) -> Result<Option<IdentityWork>> {
                const SQL: &str = "UPDATE provisioning SET fence = fence + 1, lease_until = $3 WHERE tenant_id = $1 \
                    AND due_at <= $4 AND (lease_until IS NULL OR lease_until <= $2)";
                let claimed = attempt!(self, platform conn => {
                    let query = sqlx::query(SQL).bind(tenant.0).bind(Ts(now)).bind(Ts(lease_until)).bind(Ts(due_by));
                    Ok(query.execute(conn).await?.rows_affected() == 1)
                })?;
                if claimed { self.get_identity_work(tenant).await } else { Ok(None) }
            }

            async fn save_identity_work(&mut self, work: &IdentityWork, told: Option<&Tenant>) -> Result<Saved> {
                const SQL: &str = "UPDATE provisioning SET done = $3, status = $4, step = $5, organization_id = $6, \
                    error = $7, organization_meant = $8, pushed = $9, organization_switched = $10, account_id = $11, \
                    account_ours = $12, account_meant_at = $13, is_member = $14, is_admin = $15, mail_claimed = $16, \
                    mail_settled_at = $17, account_switched = $18, provisioned_at = $19, told_step = $20, told_error = $21, \
                    attempts = $22, due_at = CASE WHEN wanted > $23 THEN $24 ELSE $25 END, lease_until = $26 \
                    WHERE tenant_id = $1 AND fence = $2 RETURNING wanted";
                let (told_step, told_error) = work.told.clone().unzip();
                let row = attempt!(self, platform conn => {
                    let row = sqlx::query(SQL)
                        .bind(work.tenant_id.0)
                        .bind(work.fence)
                        .bind(work.done)
                        .bind(work.shown.status.as_str())
                        .bind(work.shown.step.map(|step| step.as_str()))
                        .bind(&work.shown.organization_id)
                        .bind(&work.shown.error)
                        .bind(work.organization_meant)
                        .bind(&work.pushed)
                        .bind(work.organization_switched.map(|switched| switched.as_str()))
                        .bind(&work.account_id)
                        .bind(work.account_ours)
                        .bind(work.account_meant_at.map(Ts))
                        .bind(work.is_member)
                        .bind(work.is_admin)
                        .bind(work.mail_claimed)
                        .bind(work.mail_settled_at.map(Ts))
                        .bind(work.account_switched.map(|switched| switched.as_str()))
                        .bind(work.provisioned_at.map(Ts))
                        .bind(told_step.map(|step| step.as_str()))
                        .bind(told_error)
                        .bind(work.attempts)
                        .bind(work.wanted)
                        .bind(Ts(Timestamp::UNIX_EPOCH))
                        .bind(work.due_at.map(Ts))
                        .bind(work.lease_until.map(Ts))
                        .fetch_optional(conn)
                        .await?;
                    row.map(|row| row.cell::<i64>("wanted")).transpose()
                })?;
                let Some(wanted) = row else { return Ok(Saved::Lost) };
                self.pending.extend(told.map(NewChange::tenant_upsert));
                Ok(if wanted > work.wanted { Saved::More } else { Saved::Written })
            }

            async fn remove_identity_work(&mut self, work: &IdentityWork) -> Result<bool> {
                const SQL: &str = "DELETE FROM provisioning WHERE tenant_id = $1 AND fence = $2 AND gone";
                attempt!(self, platform conn => {
                    let done = sqlx::query(SQL).bind(work.tenant_id.0).bind(work.fence).execute(conn).await?;
                    Ok(done.rows_affected() == 1)
                })
            }

            async fn lock_identity_work_of_account(&mut self, account: &str) -> Result<Vec<IdentityWork>> {
                const SQL: &str = concat!(
                    "SELECT ", work_columns!(), " FROM provisioning w WHERE w.account_id = $1 ORDER BY w.tenant_id", $for_update
                );
                attempt!(self, platform conn => {
                    let rows = sqlx::query(SQL).bind(account).fetch_all(conn).await?;
                    rows.iter().map(work_of).collect()
                })
            }
        }

        /// Asks for the work of a tenant, because it or what it has changed; one without work has nothing to ask for.
        async fn want(conn: &mut Connection, tenant: TenantId, gone: bool) -> Result<()> {
            const SQL: &str = "UPDATE provisioning SET wanted = wanted + 1, due_at = $2, gone = $3 WHERE tenant_id = $1";
            sqlx::query(SQL).bind(tenant.0).bind(Ts(Timestamp::UNIX_EPOCH)).bind(gone).execute(conn).await?;
            Ok(())
        }

        /// The work of a tenant that has none yet.
        async fn begin_work(conn: &mut Connection, work: &IdentityWork) -> Result<()> {
            const SQL: &str = "INSERT INTO provisioning (tenant_id, slug, email, admin_name, gone, wanted, done, status, \
                step, organization_meant, account_ours, is_member, is_admin, mail_claimed, attempts, due_at, fence) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10, $10, $10, 0, $11, 0)";
            sqlx::query(SQL)
                .bind(work.tenant_id.0)
                .bind(&work.slug)
                .bind(&work.email)
                .bind(&work.admin_name)
                .bind(work.gone)
                .bind(work.wanted)
                .bind(work.done)
                .bind(work.shown.status.as_str())
                .bind(work.shown.step.map(|step| step.as_str()))
                .bind(false)
                .bind(work.due_at.map(Ts))
                .execute(conn)
                .await?;
            Ok(())
        }

        fn work_of(row: &RowOf) -> Result<IdentityWork> {
            let instant = |column: &'static str| -> Result<Option<Timestamp>> {
                Ok(row.cell::<Option<Ts>>(column)?.map(|at| at.0))
            };
            let step = |column: &'static str| -> Result<Option<Step>> {
                row.cell::<Option<String>>(column)?.map(|text| word(column, &text, Step::from_word)).transpose()
            };
            let switched = |column: &'static str| -> Result<Option<Switched>> {
                row.cell::<Option<String>>(column)?.map(|text| word(column, &text, Switched::from_word)).transpose()
            };
            Ok(IdentityWork {
                tenant_id: TenantId(row.cell("tenant_id")?),
                slug: row.cell("slug")?,
                email: row.cell("email")?,
                admin_name: row.cell("admin_name")?,
                gone: row.cell("gone")?,
                wanted: row.cell("wanted")?,
                done: row.cell("done")?,
                asked_at: instant("asked_at")?,
                shown: Provisioning {
                    status: word("status", &row.cell::<String>("status")?, ProvisioningStatus::from_word)?,
                    step: step("step")?,
                    organization_id: row.cell("organization_id")?,
                    error: row.cell("error")?,
                },
                organization_meant: row.cell("organization_meant")?,
                pushed: row.cell("pushed")?,
                organization_switched: switched("organization_switched")?,
                account_id: row.cell("account_id")?,
                account_ours: row.cell("account_ours")?,
                account_meant_at: instant("account_meant_at")?,
                is_member: row.cell("is_member")?,
                is_admin: row.cell("is_admin")?,
                mail_claimed: row.cell("mail_claimed")?,
                mail_settled_at: instant("mail_settled_at")?,
                account_switched: switched("account_switched")?,
                provisioned_at: instant("provisioned_at")?,
                told: step("told_step")?.zip(row.cell("told_error")?),
                attempts: row.cell("attempts")?,
                due_at: instant("due_at")?,
                lease_until: instant("lease_until")?,
                fence: row.cell("fence")?,
            })
        }
    };
}
pub(crate) use stamp_provisioning;
