//! Which registered path prefix a request's path falls under.
//!
//! Called by whoever looks a route up, after its host is found, and by whoever registers one, to find overlaps.
//! Prefixes come from [`RouteUrl::prefix`](crate::RouteUrl::prefix): `/`, or segments without a trailing slash.
//!
//! Invariant: a path is compared byte by byte as it stands, never decoded or folded, and only on segment boundaries.

/// Whether a route with `prefix` owns `path`: the same path, or one below it.
///
/// `/` (or an empty prefix) covers everything; a trailing slash of a prefix is of no account.
///
/// ```
/// use tenancy::prefix_covers;
///
/// assert!(prefix_covers("/a", "/a") && prefix_covers("/a", "/a/") && prefix_covers("/a", "/a/b"));
/// assert!(!prefix_covers("/a", "/ab") && !prefix_covers("/a", "/A") && !prefix_covers("/a", "/%61"));
/// assert!(prefix_covers("/", "/anything"));
/// ```
#[must_use]
pub fn prefix_covers(prefix: &str, path: &str) -> bool {
    let prefix = without_trailing_slash(prefix);
    prefix.is_empty() || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The candidate with the longest prefix that covers `path`, if any does; of equal ones, the first.
///
/// ```
/// use tenancy::longest_prefix;
///
/// let routes = [("/", 1), ("/api", 2), ("/api/v2", 3)];
/// assert_eq!(longest_prefix(routes, "/api/v2/orders"), Some(("/api/v2", 3)));
/// assert_eq!(longest_prefix(routes, "/api/v20"), Some(("/api", 2)));
/// assert_eq!(longest_prefix([("/api", 2)], "/"), None);
/// ```
pub fn longest_prefix<'a, T>(candidates: impl IntoIterator<Item = (&'a str, T)>, path: &str) -> Option<(&'a str, T)> {
    let mut best: Option<(&'a str, T)> = None;
    for (prefix, value) in candidates {
        let longer = best
            .as_ref()
            .is_none_or(|(held, _)| without_trailing_slash(prefix).len() > without_trailing_slash(held).len());
        if longer && prefix_covers(prefix, path) {
            best = Some((prefix, value));
        }
    }
    best
}

/// Whether some path falls under both prefixes, which means that one of them covers the other.
///
/// ```
/// use tenancy::prefixes_overlap;
///
/// assert!(prefixes_overlap("/a", "/a/b") && prefixes_overlap("/a/b", "/a") && prefixes_overlap("/", "/a"));
/// assert!(!prefixes_overlap("/a", "/ab"));
/// ```
#[must_use]
pub fn prefixes_overlap(a: &str, b: &str) -> bool {
    prefix_covers(a, without_trailing_slash(b)) || prefix_covers(b, without_trailing_slash(a))
}

/// The path of a request target in origin form (RFC 9112 §3.2.1): everything before `?` or `#`.
///
/// An empty path is `/` (RFC 9110 §4.2.3).
///
/// ```
/// use tenancy::path_of;
///
/// assert_eq!(path_of("/api/orders?page=/2"), "/api/orders");
/// assert_eq!(path_of("?page=2"), "/");
/// ```
#[must_use]
pub fn path_of(path_and_query: &str) -> &str {
    match path_and_query.split(['?', '#']).next() {
        None | Some("") => "/",
        Some(path) => path,
    }
}

/// `/` becomes empty, which makes the root a prefix like any other.
fn without_trailing_slash(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}
