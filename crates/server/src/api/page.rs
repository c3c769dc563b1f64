//! Lists: the envelope, the limit, and cursors that cannot be forged or carried to another list.
//!
//! Invariant: a cursor is sealed over the list's name and its filters with the installation's key, which all replicas
//! share; only a cursor of the same list with the same filters opens.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Error, Result};
use schemars::JsonSchema;
use serde::Serialize;

/// The fewest items of a page.
pub const LIMIT_MIN: usize = 1;
/// The most items of a page.
pub const LIMIT_MAX: usize = 200;
/// How many items a page has when nobody says.
pub const LIMIT_DEFAULT: usize = 50;
const SEAL: usize = 16;

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct PageView<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
}

/// Seals and opens cursors.
#[derive(Debug)]
pub struct Cursors(hmac::Key);

impl Cursors {
    /// With the installation's key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A cursor behind `last` in `list`, which names the list and its filters.
    #[must_use]
    pub fn seal(&self, list: &str, last: &str) -> String {
        let mut bytes = self.tag(list, last.as_bytes()).as_ref().get(..SEAL).unwrap_or_default().to_vec();
        bytes.extend_from_slice(last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What was sealed.
    ///
    /// # Errors
    /// `InvalidCursor` for anything that [`Cursors::seal`] did not make for this list.
    pub fn open(&self, list: &str, cursor: &str) -> Result<String> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Error::InvalidCursor)?;
        let (seal, last) = bytes.split_at_checked(SEAL).ok_or(Error::InvalidCursor)?;
        let tag = self.tag(list, last);
        let genuine =
            aws_lc_rs::constant_time::verify_slices_are_equal(tag.as_ref().get(..SEAL).unwrap_or_default(), seal);
        genuine.map_err(|_| Error::InvalidCursor)?;
        String::from_utf8(last.to_vec()).map_err(|_| Error::InvalidCursor)
    }

    fn tag(&self, list: &str, last: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&list.len().to_be_bytes());
        context.update(list.as_bytes());
        context.update(last);
        context.sign()
    }
}

/// Cuts a page out of one item more than was asked for, and seals the cursor to the next.
pub fn cut<T>(mut items: Vec<T>, limit: usize, seal: impl FnOnce(&T) -> String) -> (Vec<T>, Option<String>) {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(seal);
    (items, next)
}
