//! What is drawn once for a database, at its first start, and shared by every process on it.
//!
//! The randomness comes from the operating system directly: this is a property of the database, not of a request, and
//! no test depends on its value.

use sqlx::{ColumnIndex, Decode, Type};
use uuid::Uuid;

use super::types::Cells;
use crate::error::{Result, StoreError};
use crate::port::Installation;

const EPOCH: &str = "epoch";
const CURSOR_KEY: &str = "cursor_key";

/// Values for a database that has none yet.
pub(crate) fn fresh() -> Result<[(&'static str, String); 2]> {
    let mut random = [0_u8; 48];
    getrandom::fill(&mut random).map_err(|error| StoreError::Other(format!("no randomness: {error}")))?;
    let (epoch, key) = random.split_at(16);
    let epoch = uuid::Builder::from_random_bytes(epoch.try_into().unwrap_or_default()).into_uuid();
    Ok([(EPOCH, epoch.to_string()), (CURSOR_KEY, key.iter().map(|byte| format!("{byte:02x}")).collect())])
}

/// Reads the rows of `installation`.
pub(crate) fn read<R>(rows: &[R]) -> Result<Installation>
where
    R: Cells,
    &'static str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    let find = |wanted: &str| -> Result<String> {
        for row in rows {
            if row.cell::<String>("name")? == wanted {
                return row.cell("value");
            }
        }
        Err(StoreError::Damaged(format!("installation has no {wanted}")))
    };
    let damaged = |name: &str| StoreError::Damaged(format!("installation.{name} is not what was written"));
    let epoch = Uuid::parse_str(&find(EPOCH)?).map_err(|_| damaged(EPOCH))?;
    let text = find(CURSOR_KEY)?;
    let mut cursor_key = [0_u8; 32];
    for (place, byte) in cursor_key.iter_mut().enumerate() {
        let digits = text.get(2 * place..2 * place + 2).ok_or_else(|| damaged(CURSOR_KEY))?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| damaged(CURSOR_KEY))?;
    }
    Ok(Installation { epoch, cursor_key })
}
