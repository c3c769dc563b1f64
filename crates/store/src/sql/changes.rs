//! Rows of the feed.

use domain::{Change, ChangeKind, ChangeOp, ChangeSeq, NewChange, TenantId};
use sqlx::{ColumnIndex, Decode, Type};
use uuid::Uuid;

use super::types::Cells;
use crate::error::{Result, StoreError};

/// Reads one row of `changes`.
pub(crate) fn change_of<R>(row: &R) -> Result<Change>
where
    R: Cells,
    &'static str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<Uuid>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
{
    let unknown = |column: &str, word: &str| StoreError::Damaged(format!("changes.{column} is {word:?}"));
    let (kind, op): (String, String) = (row.cell("kind")?, row.cell("op")?);
    Ok(Change {
        seq: ChangeSeq(row.cell("seq")?),
        change: NewChange {
            kind: ChangeKind::from_word(&kind).ok_or_else(|| unknown("kind", &kind))?,
            op: ChangeOp::from_word(&op).ok_or_else(|| unknown("op", &op))?,
            tenant_id: row.cell::<Option<Uuid>>("tenant_id")?.map(TenantId),
            id: row.cell("entity_id")?,
            value: row.cell("value")?,
        },
    })
}
