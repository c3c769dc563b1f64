//! The tenant that a header names.
//!
//! The default of servers whose callers say for whom they call. Invariant: a header that has two values, in two lines or
//! joined into one, names nobody and is refused: which of them counts would be ours to guess, and another's to exploit.

use http::{HeaderName, HeaderValue, StatusCode};

use super::{RequestHead, Resolution, TenantResolver};

/// Reads a tenant's id from a header, as a hint. The header is `X-Tenant-Id`, unless another is named.
///
/// | the header | the answer |
/// |---|---|
/// | absent, empty or only blanks | [`Resolution::NotMine`] |
/// | one value | that tenant, blanks around it cut off |
/// | twice, also with the same value, or with a comma | 403 `tenant_mismatch` |
/// | bytes that are no visible ASCII | 400 `invalid_tenant` |
///
/// A comma is how proxies join a header that came twice (RFC 9110 §5.3); an id that holds one cannot be named by header.
///
/// ```
/// use tenancy::{HeaderResolver, RequestHead, Resolution, TenantResolver};
///
/// let request = http::Request::get("/").header("x-tenant-id", " acme ").body(())?;
/// assert_eq!(HeaderResolver::default().resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
///
/// let request = http::Request::get("/").header("x-tenant-id", "acme, globex").body(())?;
/// assert_eq!(HeaderResolver::default().resolve(&RequestHead::of(&request)), Resolution::mismatch());
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeaderResolver {
    name: HeaderName,
}

impl HeaderResolver {
    /// Reads `X-Tenant-Id`.
    ///
    /// ```
    /// let resolver = tenancy::HeaderResolver::new();
    /// # drop(resolver);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::named(HeaderName::from_static("x-tenant-id"))
    }

    /// Reads this header.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tenancy::{HeaderResolver, RequestHead, Resolution, TenantResolver};
    ///
    /// let resolver = HeaderResolver::named(HeaderName::from_static("x-org"));
    /// let request = http::Request::get("/").header("X-Org", "acme").body(())?;
    /// assert_eq!(resolver.resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
    /// # Ok::<(), http::Error>(())
    /// ```
    #[must_use]
    pub fn named(name: HeaderName) -> Self {
        Self { name }
    }
}

impl Default for HeaderResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl TenantResolver for HeaderResolver {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        let mut values = request.headers.get_all(&self.name).iter();
        match (values.next(), values.next()) {
            (None, _) => Resolution::NotMine,
            (Some(value), None) => read(value),
            (Some(_), Some(_)) => Resolution::mismatch(),
        }
    }
}

fn read(value: &HeaderValue) -> Resolution {
    match value.to_str().map(str::trim) {
        Ok("") => Resolution::NotMine,
        Ok(ids) if ids.contains(',') => Resolution::mismatch(),
        // RFC 9110 §5.5 leaves a tab as the one control character in a value; no id holds one.
        Ok(id) if !id.contains('\t') => Resolution::hint(id),
        Ok(_) | Err(_) => Resolution::reject(StatusCode::BAD_REQUEST, "invalid_tenant"),
    }
}
