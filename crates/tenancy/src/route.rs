//! The URL that a tenant registers, reduced to what routing needs.
//!
//! Registration calls [`RouteUrl::parse`] and stores [`RouteUrl::key`], which is what look-ups find; people are shown
//! its `Display`. It does not use a general URL parser for the path, as those decode, fold and re-encode it, while a
//! request's path is matched as it stands: what would match nothing, or more than it seems to, is refused instead.
//!
//! Invariant: parsing what is shown gives the same route URL.

use std::fmt;
use std::str::FromStr;

use crate::host::{HostError, MAX_INPUT, RawHost, excerpt, split_authority};
use crate::pattern::HostPattern;

/// Why a text is not the URL of a route.
///
/// As with [`HostError`], the messages repeat at most a short, escaped piece of the input, and no userinfo.
///
/// ```
/// use tenancy::{RouteUrl, UrlError};
///
/// assert_eq!(RouteUrl::parse("https://acme.example.com/?a=1"), Err(UrlError::Query));
/// assert_eq!(
///     RouteUrl::parse("https://a..b/").unwrap_err().to_string(),
///     "the host has an empty label (two dots in a row, or one in front)",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The URL is longer than `limit` bytes.
    #[error("the URL is longer than {limit} bytes")]
    TooLong {
        /// The limit that was passed, in bytes.
        limit: usize,
    },
    /// No `http://` or `https://` in front.
    #[error("the URL does not begin with `https://` or `http://`")]
    MissingScheme,
    /// A scheme that is neither `http` nor `https`.
    #[error("the scheme `{0}` is neither `https` nor `http`")]
    OtherScheme(String),
    /// Nothing stands where the host belongs.
    #[error("the URL has no host")]
    MissingHost,
    /// The host is none.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An IPv6 address without brackets, whose last group cannot be told from a port (RFC 3986 §3.2.2).
    #[error("an IPv6 address in a URL needs brackets, as in `https://[::1]`")]
    UnbracketedIpv6,
    /// The port is not a number, or outside 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// A `?`, which no route has.
    #[error("a route has no query")]
    Query,
    /// A `#`, which no route has.
    #[error("a route has no fragment")]
    Fragment,
    /// A `\`, which browsers take for `/` (WHATWG URL §4.4).
    #[error("a backslash is not allowed in the URL")]
    Backslash,
    /// Whitespace, a control character, or one that a path may not hold unescaped (RFC 3986 §3.3).
    #[error("{0:?} is not allowed in the URL")]
    Character(char),
    /// A character outside ASCII in the path, where it travels percent-encoded (RFC 3986 §2.5).
    #[error("{0:?} has to be percent-encoded in the path")]
    NonAsciiPath(char),
    /// A `%` that is not followed by two hexadecimal digits (RFC 3986 §2.1).
    #[error("a `%` in the path is not followed by two hexadecimal digits")]
    PercentEscape,
    /// A segment `.` or `..`, also percent-encoded, which clients resolve before they send it (RFC 3986 §5.2.4).
    #[error("the path has a segment `.` or `..`")]
    DotSegment,
    /// Two slashes in a row.
    #[error("the path has an empty segment (two slashes in a row)")]
    EmptySegment,
}

/// Where a tenant is reached: `scheme://host[:port][/prefix]`, the host possibly a wildcard.
///
/// A route is its (host, prefix), see [`RouteUrl::key`]; scheme and port are only shown. `Display` shows the normal
/// form, without default port and trailing slash. Equality compares all four; [`RouteUrl::same_route`] compares routes.
///
/// ```
/// use tenancy::RouteUrl;
///
/// let url = RouteUrl::parse("HTTPS://user:secret@ACME.example.com:443/api/")?;
/// assert_eq!(url.to_string(), "https://acme.example.com/api");
/// assert_eq!(RouteUrl::parse("http://[0::1]:8443/app")?.to_string(), "http://[::1]:8443/app");
/// # Ok::<(), tenancy::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteUrl {
    scheme: Scheme,
    host: HostPattern,
    /// Never the scheme's default.
    port: Option<u16>,
    /// Empty for the whole host, which most routes own.
    prefix: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

impl RouteUrl {
    /// Reads a URL that a tenant registers. Userinfo is dropped, the path is kept as it stands.
    ///
    /// Wildcard hosts are read too: whoever may not register them is for the caller to decide, by
    /// [`RouteUrl::is_wildcard`].
    ///
    /// # Errors
    ///
    /// A [`UrlError`] that says what is wrong: everything but an `http` or `https` URL of at most 2,048 bytes, with a
    /// host that [`HostPattern::parse`] reads, and a path without empty, dot or badly escaped segments.
    ///
    /// ```
    /// use tenancy::{RouteUrl, UrlError};
    ///
    /// assert_eq!(RouteUrl::parse("https://acme.example.com/a%2Fb/")?.prefix(), "/a%2Fb");
    /// assert_eq!(RouteUrl::parse("https://acme.example.com/a/%2e%2E/b"), Err(UrlError::DotSegment));
    /// # Ok::<(), UrlError>(())
    /// ```
    pub fn parse(input: &str) -> Result<Self, UrlError> {
        if input.len() > MAX_INPUT {
            return Err(UrlError::TooLong { limit: MAX_INPUT });
        }
        for c in input.chars() {
            match c {
                '\\' => return Err(UrlError::Backslash),
                '?' => return Err(UrlError::Query),
                '#' => return Err(UrlError::Fragment),
                c if c.is_control() || c.is_whitespace() => return Err(UrlError::Character(c)),
                _ => {}
            }
        }
        let (scheme, rest) = input.split_once("://").ok_or(UrlError::MissingScheme)?;
        let scheme = Scheme::read(scheme)?;
        let path_at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);

        let (host, port) = read_authority(authority)?;
        let port = port.filter(|port| *port != scheme.default_port());
        Ok(Self { scheme, host, port, prefix: read_prefix(path)?.into() })
    }

    /// `http` or `https`.
    ///
    /// ```
    /// assert_eq!(tenancy::RouteUrl::parse("HTTP://acme.example.com")?.scheme(), "http");
    /// # Ok::<(), tenancy::UrlError>(())
    /// ```
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme.as_str()
    }

    /// The host, or the wildcard that stands for many.
    ///
    /// ```
    /// assert_eq!(tenancy::RouteUrl::parse("https://[::1]:8443")?.host().as_str(), "::1");
    /// # Ok::<(), tenancy::UrlError>(())
    /// ```
    #[must_use]
    pub fn host(&self) -> &HostPattern {
        &self.host
    }

    /// The port, if one was given that is not the scheme's default.
    ///
    /// ```
    /// use tenancy::RouteUrl;
    ///
    /// assert_eq!(RouteUrl::parse("http://acme.example.com:443")?.port(), Some(443));
    /// assert_eq!(RouteUrl::parse("https://acme.example.com:443")?.port(), None);
    /// # Ok::<(), tenancy::UrlError>(())
    /// ```
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The path prefix as registered, without a trailing slash; `/` if the route owns its whole host.
    ///
    /// ```
    /// use tenancy::RouteUrl;
    ///
    /// assert_eq!(RouteUrl::parse("https://acme.example.com/api/")?.prefix(), "/api");
    /// assert_eq!(RouteUrl::parse("https://acme.example.com")?.prefix(), "/");
    /// # Ok::<(), tenancy::UrlError>(())
    /// ```
    #[must_use]
    pub fn prefix(&self) -> &str {
        if self.prefix.is_empty() { "/" } else { &self.prefix }
    }

    /// Whether the host is a wildcard.
    ///
    /// ```
    /// assert!(tenancy::RouteUrl::parse("https://*.example.com")?.is_wildcard());
    /// # Ok::<(), tenancy::UrlError>(())
    /// ```
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.is_wildcard()
    }

    /// The route itself, (host text, prefix): what must be unique among tenants, and what a look-up finds.
    ///
    /// ```
    /// assert_eq!(tenancy::RouteUrl::parse("https://Acme.example.com:8443/api/")?.key(), ("acme.example.com", "/api"));
    /// # Ok::<(), tenancy::UrlError>(())
    /// ```
    #[must_use]
    pub fn key(&self) -> (&str, &str) {
        (self.host.as_str(), self.prefix())
    }

    /// Whether both are one route: host and prefix count, scheme and port do not.
    ///
    /// ```
    /// use tenancy::RouteUrl;
    ///
    /// let shown = RouteUrl::parse("https://acme.example.com/api")?;
    /// assert!(shown.same_route(&RouteUrl::parse("http://ACME.example.com:8080/api/")?));
    /// assert!(!shown.same_route(&RouteUrl::parse("https://acme.example.com/API")?));
    /// # Ok::<(), tenancy::UrlError>(())
    /// ```
    #[must_use]
    pub fn same_route(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl fmt::Display for RouteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_str();
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{}://{open}{host}{close}", self.scheme())?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.prefix)
    }
}

impl FromStr for RouteUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Scheme {
    /// Schemes are case-insensitive (RFC 3986 §3.1).
    fn read(text: &str) -> Result<Self, UrlError> {
        if text.eq_ignore_ascii_case("https") {
            Ok(Self::Https)
        } else if text.eq_ignore_ascii_case("http") {
            Ok(Self::Http)
        } else if text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        {
            Err(UrlError::OtherScheme(excerpt(text)))
        } else {
            // Not even a scheme, and so not repeated: it may be userinfo.
            Err(UrlError::MissingScheme)
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

fn read_authority(text: &str) -> Result<(HostPattern, Option<u16>), UrlError> {
    let precise = |error| {
        if error == HostError::Empty {
            UrlError::MissingHost
        } else if error == HostError::Port {
            UrlError::Port
        } else {
            UrlError::Host(error)
        }
    };
    let authority = split_authority(text).map_err(precise)?;
    if authority.port == Some(0) {
        return Err(UrlError::Port);
    }
    let host = HostPattern::from_raw(authority.host).map_err(precise)?;
    if matches!(authority.host, RawHost::BareIpv6(_)) {
        return Err(UrlError::UnbracketedIpv6);
    }
    Ok((host, authority.port))
}

fn read_prefix(path: &str) -> Result<&str, UrlError> {
    if path.is_empty() || path == "/" {
        return Ok("");
    }
    if let Some(bad) = path.chars().find(|c| !is_path_character(*c)) {
        return Err(if bad.is_ascii() { UrlError::Character(bad) } else { UrlError::NonAsciiPath(bad) });
    }
    let prefix = path.strip_suffix('/').unwrap_or(path);
    for segment in prefix.split('/').skip(1) {
        if segment.is_empty() {
            return Err(UrlError::EmptySegment);
        }
        let escaped = |tail: &str| tail.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if !segment.split('%').skip(1).all(escaped) {
            return Err(UrlError::PercentEscape);
        }
        if matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..") {
            return Err(UrlError::DotSegment);
        }
    }
    Ok(prefix)
}

/// RFC 3986 §3.3: `pchar`, with `%` for its escapes, and `/`.
fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/".contains(c)
}
