//! Installation-wide rules about tenants.
//!
//! The tenant service and the claims route read it.
//! Invariant: reserved words are in the shape of slugs, in lower case, since that is how slugs are compared with them.

use std::collections::BTreeSet;

use super::reader::Reader;

/// Rules about tenants.
#[derive(Debug, Clone)]
pub struct TenantsConfig {
    /// `RESERVED_SLUGS`.
    pub reserved_slugs: BTreeSet<String>,
    /// `CLAIMS_LOOKUP_KEYS`.
    pub claims_lookup_keys: BTreeSet<String>,
}

impl TenantsConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let word = |text: &str| {
            let fits = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if fits { Ok(text.to_owned()) } else { Err("must hold words of `a-z`, `0-9` and `-`".to_owned()) }
        };
        Self {
            reserved_slugs: reader.list("RESERVED_SLUGS", word).into_iter().collect(),
            claims_lookup_keys: reader.list("CLAIMS_LOOKUP_KEYS", |text| Ok(text.to_owned())).into_iter().collect(),
        }
    }
}
