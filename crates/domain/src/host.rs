//! How a tenant is reached: a route is (host, path prefix), and no two tenants have the same one.
//!
//! `app` parses URLs with it, the stores keep its three texts. Normalisation is the runtime's (crate `tenancy`), so that
//! what is registered here is found there. Invariant: `host` and `prefix` are in normal form.

use serde::{Deserialize, Serialize};
use tenancy::RouteUrl;

use crate::error::{FieldCode, Violation};

/// The most routes of one tenant.
pub const HOSTS_MAX: usize = 100;

/// One route, and the spelling in which it was first given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    /// Host in normal form, or `*.` and one.
    pub host: String,
    /// Path prefix in normal form; `/` is the whole host.
    pub prefix: String,
    /// What people see: scheme, host, port, prefix.
    pub url: String,
}

impl HostRoute {
    /// Reads a URL.
    ///
    /// # Errors
    /// A violation of `field`, with what is wrong with the URL.
    pub fn parse(field: &str, url: &str) -> Result<Self, Violation> {
        let parsed = RouteUrl::parse(url)
            .map_err(|problem| Violation::new(field, FieldCode::InvalidFormat, problem.to_string()))?;
        let (host, prefix) = parsed.key();
        Ok(Self { host: host.to_owned(), prefix: prefix.to_owned(), url: parsed.to_string() })
    }

    /// Whether two spellings are one route: scheme and port do not count.
    #[must_use]
    pub fn same_route(&self, other: &Self) -> bool {
        self.host == other.host && self.prefix == other.prefix
    }

    /// Whether the host is a wildcard.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.starts_with("*.")
    }
}

/// Who may take which routes beside those of other tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// Platform admins: only the very route of another tenant is out of reach.
    Allowed,
    /// Everybody else: neither a prefix inside another tenant's, nor around it, nor a host under its wildcard.
    Refused,
}

/// The violation of having too many routes.
#[must_use]
pub fn too_many_hosts(field: &str, count: usize) -> Violation {
    Violation::new(
        field,
        FieldCode::TooLong,
        format!("a tenant may have at most {HOSTS_MAX} hosts, would have {count}"),
    )
}
