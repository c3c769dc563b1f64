//! Identifiers: UUIDv7, made from a clock and a generator that are handed in.
//!
//! Every layer names things by these types. Invariant: ids made by one clock sort by the time they were made, to a
//! quarter of a microsecond, so that "newest first" is "by id, descending" in both stores.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::{Clock, Rng};

/// Makes a UUIDv7 (RFC 9562 §5.7) whose twelve bits after the version hold the fraction of the millisecond
/// (RFC 9562 §6.2, method 3) and whose last 62 bits are random.
#[must_use]
pub fn uuid_v7(clock: &dyn Clock, rng: &dyn Rng) -> Uuid {
    let micros = u64::try_from(clock.now().as_microsecond()).unwrap_or(0);
    let fraction = u16::try_from((micros % 1_000) * 4_096 / 1_000).unwrap_or(0);
    let mut random = [0_u8; 10];
    rng.fill(&mut random);
    random[0] = fraction.to_be_bytes()[0];
    random[1] = fraction.to_be_bytes()[1];
    uuid::Builder::from_unix_timestamp_millis(micros / 1_000, &random).into_uuid()
}

/// Reads a UUID in its hyphenated form, the only one that this service gives out.
///
/// # Errors
/// Says that the text is no UUID.
pub fn parse_uuid(text: &str) -> Result<Uuid, NotAnId> {
    if text.len() == 36 { Uuid::parse_str(text).map_err(|_| NotAnId) } else { Err(NotAnId) }
}

/// The text is not a UUID in its hyphenated form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a UUID")]
pub struct NotAnId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id.
            #[must_use]
            pub fn generate(clock: &dyn Clock, rng: &dyn Rng) -> Self {
                Self(uuid_v7(clock, rng))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_uuid(text).map(Self)
            }
        }
    };
}

id! {
    /// Names one tenant, for ever.
    TenantId
}
id! {
    /// Names one audit event.
    EventId
}
id! {
    /// Names what one tenant has of one product.
    EntitlementId
}
id! {
    /// Names one API key, and is no secret.
    ApiKeyId
}
id! {
    /// Names one tenant's request for a product.
    CatalogRequestId
}

/// The tenant that the in-memory store starts with.
pub const ACME: TenantId = TenantId(Uuid::from_u128(1));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[derive(Debug)]
    struct At(i64);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            crate::time::from_micros(self.0)
        }
    }
    #[derive(Debug)]
    struct Ones;
    impl Rng for Ones {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    #[test]
    fn ids_sort_by_the_microsecond_they_were_made_in() {
        let base = 1_790_000_000_123_000;
        let ids: Vec<Uuid> = (0..3_000).map(|n| uuid_v7(&At(base + n), &Ones)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        assert_eq!("00000000-0000-0000-0000-000000000001".parse(), Ok(ACME));
        for text in [
            "",
            "1",
            "00000000000000000000000000000001",
            "{00000000-0000-0000-0000-000000000001}",
            "zzzzzzzz-0000-0000-0000-000000000001",
        ] {
            assert_eq!(text.parse::<TenantId>(), Err(NotAnId), "{text}");
        }
    }
}
