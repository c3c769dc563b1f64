//! What the service's login may do, and why it must not be more.
//!
//! The migrations make two roles that own nothing; the service works as them. Row security holds only for a login that
//! cannot step around it, so the server looks at its own power when it starts, and refuses too much outside dev.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Row};

use super::Hosts;
use crate::error::{Result, StoreError};

/// Sees and writes the registry's rows of all tenants, and none of the agent plane's.
pub const PLATFORM: &str = "tenant_registry_platform";
/// Sees the rows of the tenant that the transaction names.
pub const TENANT: &str = "tenant_registry_tenant";

/// What is wrong with a login, in words for the operator. Empty: nothing.
///
/// # Errors
/// When the database cannot be asked.
pub async fn excess_power(url: &str) -> Result<Vec<String>> {
    // Roles that the login is, or may become.
    const REACH: &str = "SELECT r.rolname, r.rolsuper, r.rolbypassrls, r.rolname = session_user AS itself \
        FROM pg_roles r WHERE pg_has_role(session_user, r.oid, 'MEMBER') \
        AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole) \
        ORDER BY itself DESC, r.rolname";
    const OWNED: &str = "SELECT DISTINCT pg_get_userbyid(c.relowner) AS owner FROM pg_class c \
        WHERE c.oid IN (to_regclass('tenants'), to_regclass('tenant_hosts'), to_regclass('audit_events')) \
        AND pg_has_role(session_user, c.relowner, 'MEMBER')";
    // The whole log, and each of its parts: a grant on a part is not seen at the whole.
    const APPEND_ONLY: &str = "SELECT bool_or(has_table_privilege($1, c.oid, 'UPDATE') \
        OR has_any_column_privilege($1, c.oid, 'UPDATE') \
        OR has_table_privilege($1, c.oid, 'DELETE') \
        OR has_table_privilege($1, c.oid, 'TRUNCATE')) AS mighty \
        FROM pg_class c WHERE c.oid = 'audit_events'::regclass \
        OR c.oid IN (SELECT relid FROM pg_partition_tree('audit_events'))";
    let hosts = Hosts::parse(url)?;
    let options = hosts.options(hosts.writable().await?);
    let mut conn = sqlx::PgConnection::connect_with(&options).await?;
    let mut problems = Vec::new();
    for row in sqlx::query(REACH).fetch_all(&mut conn).await? {
        let (name, superuser): (String, bool) = (row.try_get("rolname")?, row.try_get("rolsuper")?);
        let power = match (superuser, row.try_get("rolbypassrls")?) {
            (true, _) => "a superuser",
            (false, true) => "exempt from row security (BYPASSRLS)",
            // Up to PostgreSQL 15 such a role may grant itself the owner's.
            (false, false) => "allowed to make and grant roles (CREATEROLE)",
        };
        let itself: bool = row.try_get("itself")?;
        if itself && superuser {
            // It may become everybody and owns everything: nothing else needs saying.
            conn.close().await?;
            return Ok(vec![format!("the login `{name}` is {power}")]);
        }
        problems.push(if itself {
            format!("the login `{name}` is {power}")
        } else {
            format!("the login may become `{name}`, which is {power}")
        });
    }
    for row in sqlx::query(OWNED).fetch_all(&mut conn).await? {
        let owner: String = row.try_get("owner")?;
        problems.push(format!(
            "the login is, or may become, `{owner}`, which owns the tables and could switch row security off"
        ));
    }
    for role in [PLATFORM, TENANT] {
        let known =
            sqlx::query("SELECT 1 FROM pg_roles WHERE rolname = $1").bind(role).fetch_optional(&mut conn).await?;
        if known.is_none() {
            problems.push(format!("the role `{role}` is missing"));
        } else if sqlx::query(APPEND_ONLY).bind(role).fetch_one(&mut conn).await?.try_get("mighty")? {
            problems.push(format!("the role `{role}` may change or delete audit events"));
        }
    }
    conn.close().await?;
    Ok(problems)
}

/// Whether the login may work as both roles.
///
/// Asked on a connection of its own: a pool whose connections cannot take their role says no more than that it timed out.
///
/// # Errors
/// What the database answered; [`explain`] knows it.
pub(super) async fn check_membership(options: &PgConnectOptions) -> Result<()> {
    let mut conn = sqlx::PgConnection::connect_with(options).await?;
    for role in [PLATFORM, TENANT] {
        sqlx::raw_sql(AssertSqlSafe(format!("SET ROLE {role}"))).execute(&mut conn).await?;
    }
    conn.close().await?;
    Ok(())
}

/// Explains why a connection could not take its role.
#[must_use]
pub fn explain(error: &StoreError) -> Option<String> {
    let text = error.to_string();
    text.contains("set role").then(|| {
        format!("the login may not work as the service's roles; as an administrator run: GRANT {PLATFORM}, {TENANT} TO <login>")
    })
}
