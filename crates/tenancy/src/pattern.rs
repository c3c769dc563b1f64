//! The host of a registered route: one host, or every host one label below a name.
//!
//! Registration reads patterns; a look-up never does: it has a host in normal form, and asks for that text first and
//! for [`HostPattern::wildcard_of`] it second, so that an exact host wins over a wildcard.
//!
//! Invariant: a pattern's text begins with `*.` exactly if it is a wildcard, and parses to the same pattern.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::host::{HostError, MAX_NAME, RawHost, split_authority};

/// An exact host in normal form, or a wildcard such as `*.example.com`.
///
/// A wildcard matches exactly one label: not `example.com` itself, and not `a.b.example.com`. It is never an address
/// and never a bare `*`.
///
/// ```
/// use tenancy::HostPattern;
///
/// let pattern = HostPattern::parse("*.Example.com")?;
/// assert!(pattern.is_wildcard());
/// assert!(pattern.matches("acme.example.com"));
/// assert!(!pattern.matches("example.com") && !pattern.matches("a.b.example.com"));
/// # Ok::<(), tenancy::HostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    text: Box<str>,
}

impl HostPattern {
    /// Reads a host as [`normalize_host`](crate::normalize_host) does, or `*.` and the name below which it matches.
    ///
    /// # Errors
    ///
    /// [`HostError::Wildcard`] where `*` is not the whole first label, or stands before an address or nothing; and
    /// everything that `normalize_host` refuses.
    ///
    /// ```
    /// use tenancy::{HostError, HostPattern};
    ///
    /// assert_eq!(HostPattern::parse("ACME.example.com:443")?.as_str(), "acme.example.com");
    /// assert_eq!(HostPattern::parse("*.127.0.0.1"), Err(HostError::Wildcard));
    /// # Ok::<(), HostError>(())
    /// ```
    pub fn parse(input: &str) -> Result<Self, HostError> {
        Self::from_raw(split_authority(input)?.host)
    }

    pub(crate) fn from_raw(raw: RawHost<'_>) -> Result<Self, HostError> {
        let RawHost::Name(text) = raw else {
            return Ok(Self { text: raw.normal_form()?.into() });
        };
        let Some(parent) = text.strip_prefix("*.") else {
            return Ok(Self { text: raw.normal_form()?.into() });
        };
        let bare = |error| if error == HostError::Empty { HostError::Wildcard } else { error };
        let parent = RawHost::Name(parent).normal_form().map_err(bare)?;
        if is_address(&parent) {
            return Err(HostError::Wildcard);
        }
        let text = format!("*.{parent}");
        // Any host that it matches is at least as long.
        if text.len() > MAX_NAME {
            return Err(HostError::TooLong { limit: MAX_NAME });
        }
        Ok(Self { text: text.into_boxed_str() })
    }

    /// The pattern's text: a host in normal form, with `*.` in front of a wildcard's parent. IPv6 has no brackets.
    ///
    /// ```
    /// assert_eq!(tenancy::HostPattern::parse("[::1]")?.as_str(), "::1");
    /// # Ok::<(), tenancy::HostError>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this stands for many hosts.
    ///
    /// ```
    /// assert!(!tenancy::HostPattern::parse("acme.example.com")?.is_wildcard());
    /// # Ok::<(), tenancy::HostError>(())
    /// ```
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.text.starts_with("*.")
    }

    /// Whether the pattern stands for `host`, which has to be in normal form.
    ///
    /// ```
    /// assert!(tenancy::HostPattern::parse("acme.example.com.")?.matches("acme.example.com"));
    /// # Ok::<(), tenancy::HostError>(())
    /// ```
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self.text.strip_prefix("*.") {
            // No address gets through: a parent is never an IPv4 address' tail, and IPv6 is written without dots.
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => *host == *self.text,
        }
    }

    /// The text of the one wildcard that matches `host`, which has to be in normal form: what to look up when the exact
    /// host is not registered. None for addresses and for names of one label.
    ///
    /// ```
    /// use tenancy::HostPattern;
    ///
    /// assert_eq!(HostPattern::wildcard_of("acme.example.com").as_deref(), Some("*.example.com"));
    /// assert_eq!(HostPattern::wildcard_of("127.0.0.1"), None);
    /// assert_eq!(HostPattern::wildcard_of("localhost"), None);
    /// ```
    #[must_use]
    pub fn wildcard_of(host: &str) -> Option<String> {
        if is_address(host) {
            return None;
        }
        let (_, parent) = host.split_once('.')?;
        Some(format!("*.{parent}"))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Of a host in normal form.
pub(crate) fn is_address(host: &str) -> bool {
    host.contains(':') || host.parse::<Ipv4Addr>().is_ok()
}
