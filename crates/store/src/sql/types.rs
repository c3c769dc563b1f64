//! How the domain's values stand in a column, and how rows become them again.
//!
//! Both backends read and write through these. Invariant: a time is a `timestamptz` in PostgreSQL and whole
//! microseconds in SQLite, where text of different precision would not sort; opaque JSON is text in both.

use std::collections::BTreeMap;

use domain::provisioning::{ProvisioningStatus, Step};
use domain::tenant::{Plan, Status, StatusReason};
use domain::time::from_micros;
use domain::{AuditEvent, Crud, EventId, HostRoute, KeyHash, Party, Provisioning, Slug, Tenant, TenantId, Timestamp};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{ColumnIndex, Database, Decode, Encode, Postgres, Row, Sqlite, Type};
use uuid::Uuid;

use crate::error::{Result, StoreError};

/// Microseconds from the Unix epoch to 2000-01-01, where PostgreSQL begins to count.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// An instant in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ts(pub(crate) Timestamp);

impl Type<Postgres> for Ts {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        sqlx::postgres::PgTypeInfo::with_name("timestamptz")
    }
}

impl sqlx::postgres::PgHasArrayType for Ts {
    fn array_type_info() -> sqlx::postgres::PgTypeInfo {
        sqlx::postgres::PgTypeInfo::array_of("timestamptz")
    }
}

impl Encode<'_, Postgres> for Ts {
    fn encode_by_ref(&self, buffer: &mut sqlx::postgres::PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let since = self.0.as_microsecond() - POSTGRES_EPOCH;
        buffer.extend_from_slice(&since.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Ts {
    fn decode(value: sqlx::postgres::PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let bytes: [u8; 8] = value.as_bytes()?.try_into().map_err(|_| "a timestamptz has eight bytes")?;
        Ok(Self(from_micros(i64::from_be_bytes(bytes).saturating_add(POSTGRES_EPOCH))))
    }
}

impl Type<Sqlite> for Ts {
    fn type_info() -> sqlx::sqlite::SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
    fn compatible(info: &sqlx::sqlite::SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(info)
    }
}

impl Encode<'_, Sqlite> for Ts {
    fn encode_by_ref(&self, buffer: &mut sqlx::sqlite::SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'_, Sqlite>>::encode_by_ref(&self.0.as_microsecond(), buffer)
    }
}

impl Decode<'_, Sqlite> for Ts {
    fn decode(value: sqlx::sqlite::SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(from_micros(<i64 as Decode<'_, Sqlite>>::decode(value)?)))
    }
}

/// What a row must be able to give: the bounds of the readers below, once.
pub(crate) trait Cells: Row {
    fn cell<'r, T>(&'r self, name: &'static str) -> Result<T>
    where
        T: Decode<'r, Self::Database> + Type<Self::Database>,
        &'static str: ColumnIndex<Self>,
    {
        self.try_get(name).map_err(|error| StoreError::Damaged(format!("column {name}: {error}")))
    }
}
impl<R: Row> Cells for R {}

/// Reads a word of a closed list.
pub(crate) fn word<T>(column: &str, word: &str, read: fn(&str) -> Option<T>) -> Result<T> {
    read(word).ok_or_else(|| StoreError::Damaged(format!("column {column} has the unknown word {word:?}")))
}

/// Reads what [`to_json`] wrote.
pub(crate) fn json<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(format!("column {column}: {error}")))
}

/// Reads the SHA-256 of a key.
pub(crate) fn key_hash(bytes: Vec<u8>) -> Result<KeyHash> {
    let whole: Result<[u8; 32], _> = bytes.try_into();
    whole.map(KeyHash).map_err(|_| StoreError::Damaged("column hash: not 32 bytes".to_owned()))
}

/// Writes a value that always can be written: maps of strings, parties.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Other(error.to_string()))
}

/// Reads tenants out of rows of `tenants LEFT JOIN tenant_hosts`, in which a tenant's rows stand together.
pub(crate) fn tenants_of<R>(rows: &[R]) -> Result<Vec<Tenant>>
where
    R: Cells,
    &'static str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Uuid: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Ts: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<Ts>: Decode<'r, R::Database> + Type<R::Database>,
    R::Database: Database,
{
    let mut tenants: Vec<Tenant> = Vec::new();
    for row in rows {
        let id = TenantId(row.cell("id")?);
        if tenants.last().is_none_or(|last| last.id != id) {
            let reason: Option<String> = row.cell("status_reason")?;
            tenants.push(Tenant {
                id,
                slug: Slug::stored(row.cell("slug")?),
                name: row.cell("name")?,
                plan: word("plan", &row.cell::<String>("plan")?, Plan::from_word)?,
                status: word("status", &row.cell::<String>("status")?, Status::from_word)?,
                status_reason: reason.map(|text| word("status_reason", &text, StatusReason::from_word)).transpose()?,
                trial_ends_at: row.cell::<Option<Ts>>("trial_ends_at")?.map(|at| at.0),
                metadata: json("metadata", &row.cell::<String>("metadata")?)?,
                hosts: Vec::new(),
                version: row.cell("version")?,
                created_at: row.cell::<Ts>("created_at")?.0,
                updated_at: row.cell::<Ts>("updated_at")?.0,
                frozen_at: row.cell::<Option<Ts>>("frozen_at")?.map(|at| at.0),
                admin_email: row.cell("admin_email")?,
                admin_name: row.cell("admin_name")?,
                provisioning: provisioning_of(row)?,
            });
        }
        let host: Option<String> = row.cell("host")?;
        if let (Some(host), Some(tenant)) = (host, tenants.last_mut()) {
            tenant.hosts.push(HostRoute { host, prefix: row.cell("prefix")?, url: row.cell("url")? });
        }
    }
    Ok(tenants)
}

/// Reads what is shown of a tenant's provisioning, of which there is none where nobody is to be invited.
fn provisioning_of<R>(row: &R) -> Result<Provisioning>
where
    R: Cells,
    &'static str: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    let text = |column: &'static str| row.cell::<Option<String>>(column);
    let Some(status) = text("provisioning_status")? else { return Ok(Provisioning::SKIPPED) };
    Ok(Provisioning {
        status: word("provisioning.status", &status, ProvisioningStatus::from_word)?,
        step: text("provisioning_step")?.map(|step| word("provisioning.step", &step, Step::from_word)).transpose()?,
        organization_id: text("organization_id")?,
        error: text("provisioning_error")?,
    })
}

/// Reads an audit event; the column `group_id` is null once the tenant is gone.
pub(crate) fn audit_event_of<R>(row: &R) -> Result<AuditEvent>
where
    R: Cells,
    &'static str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Uuid: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<Uuid>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> bool: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Ts: Decode<'r, R::Database> + Type<R::Database>,
    R::Database: Database,
{
    let party = |column: &'static str| -> Result<Option<Party>> {
        row.cell::<Option<String>>(column)?.map(|text| json(column, &text)).transpose()
    };
    let map = |column: &'static str| -> Result<BTreeMap<String, String>> { json(column, &row.cell::<String>(column)?) };
    let group = row.cell::<Option<Uuid>>("group_id")?.map(TenantId);
    let address: Option<String> = row.cell("source_ip")?;
    Ok(AuditEvent {
        id: EventId(row.cell("id")?),
        group,
        group_name: row.cell::<Option<String>>("group_name")?.filter(|_| group.is_some()),
        action: row.cell("action")?,
        crud: word("crud", &row.cell::<String>("crud")?, Crud::from_word)?,
        actor: party("actor")?,
        target: party("target")?,
        created: row.cell::<Ts>("created")?.0,
        received: row.cell::<Ts>("received")?.0,
        source_ip: address
            .map(|text| text.parse().map_err(|_| StoreError::Damaged(format!("column source_ip: {text:?}"))))
            .transpose()?,
        description: row.cell("description")?,
        is_anonymous: row.cell("is_anonymous")?,
        is_failure: row.cell("is_failure")?,
        fields: map("fields")?,
        component: row.cell("component")?,
        version: row.cell("version")?,
        external_id: row.cell("external_id")?,
        metadata: map("metadata")?,
    })
}

/// A pattern for `LIKE … ESCAPE '\'` that finds `text` anywhere, whatever its case, and in which no character is a
/// wildcard.
pub(crate) fn contains_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in domain::text::fold(text).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// The name under which all routes that could shadow each other are serialised: the host without its first label.
pub(crate) fn host_family(host: &str) -> &str {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return host;
    }
    host.split_once('.').map_or(host, |(_, parent)| parent)
}
