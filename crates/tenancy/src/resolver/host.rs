//! The tenant that a request's host names.
//!
//! For servers that give every tenant a name of its own, in the simplest case `{tenant}.example.com`. It reads what the
//! request itself says; forwarded headers are for whoever knows which proxies to trust, who then sets `Host`.
//!
//! Invariant: a request has one host. Two, or one that is none, are refused before anybody maps them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{StatusCode, header};

use super::{RequestHead, Resolution, TenantResolver};
use crate::host::{HostError, normalize_host, normalize_host_cow};
use crate::id::TenantId;
use crate::pattern::HostPattern;

type Map = dyn Fn(&str) -> Option<TenantId> + Send + Sync;

/// Reads a tenant from the request's host, as a hint.
///
/// The host is the target's authority (`:authority` in HTTP/2, the absolute form in HTTP/1) or else the `Host` header, in
/// [normal form](crate::normalize_host): the port plays no part.
///
/// | the host | the answer |
/// |---|---|
/// | absent or empty | [`Resolution::NotMine`] |
/// | nobody's | [`Resolution::NotMine`] |
/// | a tenant's | that tenant |
/// | `Host` twice or with a comma, or another host than the authority | 403 `tenant_mismatch` |
/// | no host at all, such as `a b` | 400 `invalid_host` (RFC 9112 §3.2) |
///
/// ```
/// use tenancy::{HostResolver, RequestHead, Resolution, TenantResolver};
///
/// let resolver = HostResolver::subdomain_of("example.com")?;
/// let request = http::Request::get("/").header("host", "ACME.example.com:8443").body(())?;
/// assert_eq!(resolver.resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct HostResolver {
    map: Arc<Map>,
    /// In normal form.
    nobodys: Vec<String>,
}

impl HostResolver {
    /// Reads whose host it is by asking `map`, which is given hosts in normal form and must be quick: it is called on the
    /// path of every request. Of tenants in a database, a layer in front has to ask
    /// [`HostRouter::resolve`](crate::HostRouter::resolve) and refuse where it has no answer: a `map` that says none only because
    /// it forgot takes the host out of the comparison with other hints.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use tenancy::{HostResolver, RequestHead, Resolution, TenantId, TenantResolver};
    ///
    /// let hosts = HashMap::from([("shop.acme.example".to_owned(), TenantId::from("acme"))]);
    /// let resolver = HostResolver::new(move |host| hosts.get(host).cloned());
    /// let request = http::Request::get("https://shop.acme.example/cart").body(())?;
    /// assert_eq!(resolver.resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
    /// # Ok::<(), http::Error>(())
    /// ```
    #[must_use]
    pub fn new(map: impl Fn(&str) -> Option<TenantId> + Send + Sync + 'static) -> Self {
        Self { map: Arc::new(map), nobodys: Vec::new() }
    }

    /// Takes the one label below `parent` for the tenant's id. `parent` itself and what is two labels below are nobody's.
    /// The id is in lower case, and in punycode where it is not ASCII, as hosts are.
    ///
    /// # Errors
    ///
    /// A [`HostError`] where nothing is below `parent`: it is no host, or an address.
    ///
    /// ```
    /// use tenancy::{HostError, HostResolver};
    ///
    /// assert!(HostResolver::subdomain_of("example.com").is_ok());
    /// assert_eq!(HostResolver::subdomain_of("127.0.0.1").err(), Some(HostError::Wildcard));
    /// ```
    pub fn subdomain_of(parent: &str) -> Result<Self, HostError> {
        let pattern = HostPattern::parse(&format!("*.{}", normalize_host(parent)?))?;
        Ok(Self::new(move |host| {
            let (label, _) = host.split_once('.')?;
            pattern.matches(host).then(|| TenantId::from(label))
        }))
    }

    /// The same, with a host that is nobody's whatever the rule says: `www.example.com`, the host of all tenants' API.
    ///
    /// # Errors
    ///
    /// A [`HostError`] where `host` is none.
    ///
    /// ```
    /// use tenancy::{HostResolver, RequestHead, Resolution, TenantResolver};
    ///
    /// let resolver = HostResolver::subdomain_of("example.com")?.except("www.example.com")?;
    /// let request = http::Request::get("/").header("host", "www.example.com").body(())?;
    /// assert_eq!(resolver.resolve(&RequestHead::of(&request)), Resolution::NotMine);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn except(mut self, host: &str) -> Result<Self, HostError> {
        self.nobodys.push(normalize_host(host)?);
        Ok(self)
    }
}

impl fmt::Debug for HostResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostResolver").field("nobodys", &self.nobodys).finish_non_exhaustive()
    }
}

impl TenantResolver for HostResolver {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        let host = match host_of(request) {
            Ok(Some(host)) => host,
            Ok(None) => return Resolution::NotMine,
            Err(refusal) => return refusal,
        };
        if self.nobodys.iter().any(|nobodys| *nobodys == *host) {
            return Resolution::NotMine;
        }
        (self.map)(&host).map_or(Resolution::NotMine, Resolution::hint)
    }
}

/// The one host of a request in normal form, or the refusal of a request that has two.
fn host_of<'a>(request: &RequestHead<'a>) -> Result<Option<Cow<'a, str>>, Resolution> {
    let mut headers = request.headers.get_all(header::HOST).iter();
    let named = match (headers.next(), headers.next()) {
        (None, _) => None,
        (Some(value), None) => normal(value.as_bytes())?,
        (Some(_), Some(_)) => return Err(Resolution::mismatch()),
    };
    let authority = match request.uri.authority() {
        Some(authority) => normal(authority.as_str().as_bytes())?,
        None => None,
    };
    match (authority, named) {
        // RFC 9112 §3.2.2 has the authority win. To whoever read the other before us it was another tenant's request.
        (Some(authority), Some(named)) if authority != named => Err(Resolution::mismatch()),
        (authority, named) => Ok(authority.or(named)),
    }
}

fn normal(host: &[u8]) -> Result<Option<Cow<'_, str>>, Resolution> {
    let invalid = || Resolution::reject(StatusCode::BAD_REQUEST, "invalid_host");
    // Names outside ASCII travel as UTF-8 with some clients.
    let host = str::from_utf8(host).map_err(|_| invalid())?.trim();
    if host.is_empty() {
        return Ok(None);
    }
    if host.contains(',') {
        return Err(Resolution::mismatch());
    }
    normalize_host_cow(host).map(Some).map_err(|_| invalid())
}
