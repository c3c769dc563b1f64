//! Lists: the envelope, the limit, and cursors that cannot be forged or carried to another list.
//!
//! Invariant: a cursor is sealed over the list's name and its filters with the installation's key, which all replicas
//! share; only a cursor of the same list with the same filters opens.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::time::from_micros;
use domain::{ApiKeyId, CatalogRequestId, EntitlementId, Error, EventId, ProductKey, Result, TenantId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use store::Page;

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

/// Where an item stands in a list: what a cursor keeps of the last one of a page.
pub trait Place: Sized {
    /// As it is sealed.
    fn write(&self) -> String;
    /// What was sealed.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! places {
    ($($id:ident),+ $(,)?) => {$(
        impl Place for $id {
            fn write(&self) -> String {
                self.to_string()
            }

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}
places!(TenantId, EntitlementId, ApiKeyId, CatalogRequestId, EventId);

impl Place for ProductKey {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        Some(Self::stored(text.to_owned()))
    }
}

/// Of a list that is sorted by time, and within one instant by something else.
impl<T: Place> Place for (Timestamp, T) {
    fn write(&self) -> String {
        format!("{} {}", self.0.as_microsecond(), self.1.write())
    }

    fn read(text: &str) -> Option<Self> {
        let (micros, rest) = text.split_once(' ')?;
        Some((from_micros(micros.parse().ok()?), T::read(rest)?))
    }
}

/// One page of one list.
#[derive(Debug)]
pub struct Listing<'a> {
    cursors: &'a Cursors,
    /// The list, with its filters and whose it is.
    list: String,
    limit: usize,
}

impl Cursors {
    /// A page of a list, which is named with everything that decides what is in it.
    #[must_use]
    pub fn listing(&self, list: String, limit: Option<usize>) -> Listing<'_> {
        Listing { cursors: self, list, limit: limit.unwrap_or(LIMIT_DEFAULT) }
    }
}

impl Listing<'_> {
    /// What is to be read. One item more than was asked for tells whether there is a next page.
    ///
    /// # Errors
    /// `InvalidCursor` for a cursor that is none of this list.
    pub fn page<K: Place>(&self, cursor: Option<&str>) -> Result<Page<K>> {
        let after = cursor.map(|cursor| {
            let last = self.cursors.open(&self.list, cursor)?;
            K::read(&last).ok_or(Error::InvalidCursor)
        });
        Ok(Page { after: after.transpose()?, limit: self.limit + 1 })
    }

    /// Cuts the page out of what was read, and seals the cursor to the next.
    pub fn cut<T, K: Place>(&self, mut items: Vec<T>, place: impl FnOnce(&T) -> K) -> (Vec<T>, Option<String>) {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = items.last().filter(|_| more).map(|last| self.cursors.seal(&self.list, &place(last).write()));
        (items, next)
    }
}
