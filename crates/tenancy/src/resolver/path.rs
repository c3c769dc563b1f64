//! The tenant that a request's path names: `/t/{tenant}/…`.
//!
//! For servers whose tenants share one host. Invariant: a path is read as it stands, as the registry's routes are. What
//! another reader could take for another segment once it is decoded or folded is refused, and never decoded here.

use http::StatusCode;

use super::{RequestHead, Resolution, TenantResolver};

/// Reads a tenant's id from the segment of the path that follows a prefix, as a hint.
///
/// | the path, with the prefix `/t` | the answer |
/// |---|---|
/// | `/t/acme`, `/t/acme/orders` | `acme` |
/// | `/orders`, `/team/acme`, `/T/acme`, `/%74/acme` | [`Resolution::NotMine`]: another path |
/// | `/t`, `/t/` | [`Resolution::NotMine`]: it names nobody |
/// | `/t/ac%6De/x`, `/t/../x`, `/t//x`, `/t/a\b` | 400 `invalid_tenant` |
///
/// ```
/// use tenancy::{PathResolver, RequestHead, Resolution, TenantResolver};
///
/// let resolver = PathResolver::below("/t");
/// let request = http::Request::get("/t/acme/orders?page=2").body(())?;
/// assert_eq!(resolver.resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PathResolver {
    /// Empty, or it begins with a slash; it never ends with one.
    prefix: String,
}

impl PathResolver {
    /// Reads the segment below this prefix. Slashes at its ends make no difference; `/` or nothing is the first segment.
    ///
    /// ```
    /// use tenancy::{PathResolver, RequestHead, Resolution, TenantResolver};
    ///
    /// let request = http::Request::get("/acme/orders").body(())?;
    /// assert_eq!(PathResolver::below("/").resolve(&RequestHead::of(&request)), Resolution::hint("acme"));
    /// # Ok::<(), http::Error>(())
    /// ```
    #[must_use]
    pub fn below(prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self { prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") } }
    }
}

impl TenantResolver for PathResolver {
    fn resolve(&self, request: &RequestHead<'_>) -> Resolution {
        let below = request.uri.path().strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('/'));
        // No segment, as opposed to an empty one with something behind it.
        let Some(below) = below.filter(|below| !below.is_empty()) else {
            return Resolution::NotMine;
        };
        let segment = below.split_once('/').map_or(below, |(segment, _)| segment);
        if matches!(segment, "" | "." | "..") || segment.contains(['%', '\\']) {
            return Resolution::reject(StatusCode::BAD_REQUEST, "invalid_tenant");
        }
        Resolution::hint(segment)
    }
}
