//! One normal form for hosts, so that two spellings of one host are one text.
//!
//! Registration, look-up and every embedder call this and nothing else before they compare hosts; what a request
//! carries in `Host` or `:authority` goes through [`normalize_host_cow`], which is built for that path.
//!
//! The rules are those of the WHATWG URL Standard's host parser (§3.5) with three differences: percent-escapes are
//! refused instead of decoded, DNS lengths count (RFC 1035 §2.3.4), and a trailing root dot is folded.
//!
//! Invariant: the normal form of a normal form is itself, and nothing here panics.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use url::Host;

/// More than any host with userinfo and port needs, and little enough that IDNA's work on it is bounded.
pub(crate) const MAX_INPUT: usize = 2_048;

/// RFC 1035 §2.3.4: 255 octets on the wire, which leave 253 for the text without its root dot.
pub(crate) const MAX_NAME: usize = 253;

/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

/// Why a text is not a host.
///
/// The messages are for the person who typed the host, and repeat at most a short, escaped piece of it; userinfo is
/// never repeated.
///
/// ```
/// use tenancy::{HostError, normalize_host};
///
/// assert_eq!(normalize_host("127.0.0.256"), Err(HostError::Ipv4("127.0.0.256".to_owned())));
/// assert_eq!(normalize_host("a/b").unwrap_err().to_string(), "'/' is not allowed in a host");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is no host: an empty text, only userinfo or a port, or only the root dot.
    #[error("the host is empty")]
    Empty,
    /// The whole input, or the name in it, is longer than `limit` bytes.
    #[error("the host is longer than {limit} bytes")]
    TooLong {
        /// The limit that was passed, in bytes.
        limit: usize,
    },
    /// What follows the host's colon is no port (RFC 3986 §3.2.3).
    #[error("the port is not a number up to 65535")]
    Port,
    /// The last label is a number, so that this is an IPv4 address or nothing (WHATWG URL §3.5).
    #[error("`{0}` ends in a number and is no IPv4 address")]
    Ipv4(String),
    /// Brackets, or more than one colon, without an IPv6 address (RFC 4291 §2.2); zone identifiers are none.
    #[error("`{0}` is no IPv6 address")]
    Ipv6(String),
    /// Two dots follow each other, or the name begins with one.
    #[error("the host has an empty label (two dots in a row, or one in front)")]
    EmptyLabel,
    /// A label has more than 63 bytes in its ASCII form (RFC 1035 §2.3.4).
    #[error("the label `{0}` is longer than 63 bytes in its ASCII form")]
    LabelTooLong(String),
    /// IDNA has no ASCII form for this name (UTS 46 §4).
    #[error("`{0}` is no valid internationalised name")]
    Idna(String),
    /// This character never stands in a host.
    #[error("{0:?} is not allowed in a host")]
    Character(char),
    /// `*` stands where no wildcard is allowed.
    #[error("`*` is only allowed as the whole first label of a registered name, as in `*.example.com`")]
    Wildcard,
}

/// The normal form of a host: what hosts are stored and compared as.
///
/// Lower case; international names in their ASCII form (UTS 46, non-transitional, STD3 rules off, so that `_` is
/// allowed); userinfo and port dropped; IPv6 without brackets and compressed as WHATWG URLs write it; IPv4 in four
/// decimal parts, also where it came as octal, hexadecimal or in fewer parts; one trailing root dot folded. IPv6 may
/// come with brackets or bare.
///
/// # Errors
///
/// A [`HostError`] that says what is wrong. Wildcards are no hosts; [`HostPattern`](crate::HostPattern) reads them.
///
/// ```
/// use tenancy::{HostError, normalize_host};
///
/// assert_eq!(normalize_host("user@Straße.Example.:8080")?, "xn--strae-oqa.example");
/// assert_eq!(normalize_host("[2001:DB8:0::1]:443")?, "2001:db8::1");
/// assert_eq!(normalize_host("0x7f.1")?, "127.0.0.1");
/// assert_eq!(normalize_host("example.com:99999"), Err(HostError::Port));
/// # Ok::<(), HostError>(())
/// ```
pub fn normalize_host(input: &str) -> Result<String, HostError> {
    normalize_host_cow(input).map(Cow::into_owned)
}

/// [`normalize_host`] for the path of every request: borrows from `input` whenever the normal form stands in it.
///
/// Addresses and ASCII names that are in normal form, also with userinfo, port, brackets or root dot around them, cost
/// no allocation. A name with a punycode label is borrowed too, but has to be decoded to be verified.
///
/// # Errors
///
/// As [`normalize_host`].
///
/// ```
/// use std::borrow::Cow;
/// use tenancy::normalize_host_cow;
///
/// assert!(matches!(normalize_host_cow("acme.example.com:8443"), Ok(Cow::Borrowed("acme.example.com"))));
/// assert!(matches!(normalize_host_cow("ACME.example.com"), Ok(Cow::Owned(_))));
/// ```
pub fn normalize_host_cow(input: &str) -> Result<Cow<'_, str>, HostError> {
    match plain_host(input) {
        Some(host) => Ok(Cow::Borrowed(host)),
        None => split_authority(input)?.host.normal_form(),
    }
}

/// The host of `name`, `name.` or `name:port` where the name is plain and in normal form, as in most requests.
fn plain_host(input: &str) -> Option<&str> {
    if input.len() > MAX_INPUT {
        return None;
    }
    let name = match input.rsplit_once(':') {
        Some((name, port)) => read_port(port).ok().map(|_| name)?,
        None => input,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    is_plain_normal(name).then_some(name)
}

/// [`normalize_host`], with the port kept: for embedders that tell tenants apart by port, in maps of their own.
///
/// IPv6 is bracketed where a port follows (RFC 3986 §3.2.2). An empty port is none, and a port is kept also where it is a
/// scheme's default, since no scheme is known here. The [`TenantRegistry`](crate::TenantRegistry) keeps none.
///
/// # Errors
///
/// As [`normalize_host`].
///
/// ```
/// use tenancy::{HostError, normalize_host_keeping_port};
///
/// assert_eq!(normalize_host_keeping_port("ACME.example.com.:08443")?, "acme.example.com:8443");
/// assert_eq!(normalize_host_keeping_port("[0::1]:443")?, "[::1]:443");
/// assert_eq!(normalize_host_keeping_port("acme.example.com:")?, "acme.example.com");
/// assert_eq!(normalize_host_keeping_port("acme.example.com:70000"), Err(HostError::Port));
/// # Ok::<(), HostError>(())
/// ```
pub fn normalize_host_keeping_port(input: &str) -> Result<String, HostError> {
    let authority = split_authority(input)?;
    let host = authority.host.normal_form()?;
    Ok(match authority.port {
        None => host.into_owned(),
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
    })
}

/// Whether `host` is already what [`normalize_host`] would make of it.
///
/// ```
/// use tenancy::is_normal_host;
///
/// assert!(is_normal_host("acme.example.com") && is_normal_host("::1"));
/// assert!(!is_normal_host("acme.example.com.") && !is_normal_host("[::1]") && !is_normal_host(""));
/// ```
#[must_use]
pub fn is_normal_host(host: &str) -> bool {
    normalize_host_cow(host).is_ok_and(|normal| normal == host)
}

/// `[userinfo@]host[:port]`, cut apart and not yet normalised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authority<'a> {
    pub(crate) host: RawHost<'a>,
    pub(crate) port: Option<u16>,
}

/// The host of an authority as it was written, by what its punctuation says it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RawHost<'a> {
    /// A name or an IPv4 address: which of them shows only after IDNA has mapped the digits.
    Name(&'a str),
    /// What stood between brackets.
    BracketedIpv6(&'a str),
    /// More than one colon and no brackets: right in a host, ambiguous in a URL.
    BareIpv6(&'a str),
}

impl<'a> RawHost<'a> {
    pub(crate) fn normal_form(self) -> Result<Cow<'a, str>, HostError> {
        match self {
            Self::Name(text) => normal_name(text),
            Self::BracketedIpv6(text) | Self::BareIpv6(text) => normal_ipv6(text),
        }
    }
}

/// Cuts userinfo and port off. The characters that end an authority (RFC 3986 §3.2), and `\`, which browsers take for
/// `/`, are refused before that: otherwise `evil.example/@good.example` would be a host to us and a path to others.
pub(crate) fn split_authority(input: &str) -> Result<Authority<'_>, HostError> {
    if input.len() > MAX_INPUT {
        return Err(HostError::TooLong { limit: MAX_INPUT });
    }
    if let Some(bad) = input.chars().find(|c| c.is_control() || matches!(c, ' ' | '/' | '\\' | '?' | '#')) {
        return Err(HostError::Character(bad));
    }
    // The last `@` counts (WHATWG URL §4.4, authority state): userinfo may hold others.
    let rest = input.rsplit_once('@').map_or(input, |(_, rest)| rest);

    if let Some(inner) = rest.strip_prefix('[') {
        let refusal = || HostError::Ipv6(excerpt(rest));
        let (address, after) = inner.split_once(']').ok_or_else(refusal)?;
        let port = match after.strip_prefix(':') {
            Some(port) => read_port(port)?,
            None if after.is_empty() => None,
            None => return Err(refusal()),
        };
        return Ok(Authority { host: RawHost::BracketedIpv6(address), port });
    }
    let (host, port) = match rest.split_once(':') {
        Some((_, more)) if more.contains(':') => (RawHost::BareIpv6(rest), None),
        Some((name, port)) => (RawHost::Name(name), read_port(port)?),
        None => (RawHost::Name(rest), None),
    };
    Ok(Authority { host, port })
}

/// An empty port is no port, and leading zeros are harmless (WHATWG URL §4.4, port state).
fn read_port(text: &str) -> Result<Option<u16>, HostError> {
    if text.is_empty() {
        return Ok(None);
    }
    // `u16::from_str` reads a sign too.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HostError::Port);
    }
    text.parse().map(Some).map_err(|_| HostError::Port)
}

fn normal_name(text: &str) -> Result<Cow<'_, str>, HostError> {
    let folded = text.strip_suffix('.').unwrap_or(text);
    if is_plain_normal(folded) {
        return Ok(Cow::Borrowed(folded));
    }
    // Upper case is all that UTS 46 changes about an ASCII name; what becomes plain by folding it needs no tables.
    if folded.len() <= MAX_NAME && folded.bytes().any(|b| b.is_ascii_uppercase()) {
        let lower = folded.to_ascii_lowercase();
        if is_plain_normal(&lower) {
            return Ok(Cow::Owned(lower));
        }
    }
    let normal = name_by_uts46(text)?;
    Ok(if normal == folded { Cow::Borrowed(folded) } else { normal })
}

/// Whether a name is in normal form for reasons that need no Unicode tables. Says no to normal forms that need them:
/// punycode, and the rare punctuation that STD3 would forbid.
fn is_plain_normal(name: &str) -> bool {
    if name.len() > MAX_NAME {
        return false;
    }
    let bytes = name.as_bytes();
    let (mut label, mut letters) = (0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'-' | b'_' => letters += 1,
            b'0'..=b'9' => {}
            b'.' if is_plain_label(&bytes[label..at]) => (label, letters) = (at + 1, 0),
            _ => return false,
        }
    }
    let last = &bytes[label..];
    // Nothing else is a number, in decimal or in hexadecimal digits. The standard library reads only four decimal parts without leading zeros, which is the normal form.
    let number = letters == 0 || last.starts_with(b"0x");
    is_plain_label(last) && (!number || !ends_in_a_number(name) || name.parse::<Ipv4Addr>().is_ok())
}

fn is_plain_label(label: &[u8]) -> bool {
    (1..=MAX_LABEL).contains(&label.len()) && !label.starts_with(b"xn--")
}

fn name_by_uts46(text: &str) -> Result<Cow<'_, str>, HostError> {
    let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL).map_err(|_| why_not(text))?;
    // After the mapping, as UTS 46 makes dots of ideographic full stops, and nothing of a soft hyphen.
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    // No forbidden code point of WHATWG's, but an exact host must never look like a pattern.
    if name.contains('*') {
        return Err(HostError::Wildcard);
    }
    if name.len() > MAX_NAME {
        return Err(HostError::TooLong { limit: MAX_NAME });
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(HostError::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(HostError::LabelTooLong(excerpt(label)));
        }
    }
    if !ends_in_a_number(name) {
        let length = name.len();
        return Ok(match ascii {
            Cow::Borrowed(ascii) => Cow::Borrowed(&ascii[..length]),
            Cow::Owned(mut ascii) => {
                ascii.truncate(length);
                Cow::Owned(ascii)
            }
        });
    }
    match Host::parse(name) {
        Ok(Host::Ipv4(address)) => Ok(Cow::Owned(address.to_string())),
        Ok(Host::Domain(_) | Host::Ipv6(_)) | Err(_) => Err(HostError::Ipv4(excerpt(name))),
    }
}

/// IDNA does not say what it refused; where it was a character of WHATWG's forbidden ones, this does.
fn why_not(text: &str) -> HostError {
    match text.chars().find(|c| "%:<>@[]^|".contains(*c)) {
        Some(bad) => HostError::Character(bad),
        None => HostError::Idna(excerpt(text)),
    }
}

/// WHATWG URL §3.5, "ends in a number checker", of a lower-case name without a root dot.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// WHATWG URL §3.6: as RFC 5952, but an IPv4-mapped address is written like any other (`::ffff:102:304`).
fn normal_ipv6(text: &str) -> Result<Cow<'_, str>, HostError> {
    let address: Ipv6Addr = text.parse().map_err(|_| HostError::Ipv6(excerpt(text)))?;
    let shown = Host::<&str>::Ipv6(address);
    let mut comparison = SameText { rest: text };
    if write!(comparison, "{shown}").is_ok() && comparison.rest.is_empty() {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(shown.to_string().trim_matches(['[', ']']).to_owned()))
}

/// Compares what is written with a text, brackets aside, so that a request for an IPv6 host allocates nothing.
struct SameText<'a> {
    rest: &'a str,
}

impl Write for SameText<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.rest = self.rest.strip_prefix(piece.trim_matches(['[', ']'])).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// Enough of a text to recognise it by, and nothing in it that could disturb a log or a terminal.
pub(crate) fn excerpt(text: &str) -> String {
    const LENGTH: usize = 32;
    let mut piece: String = text.chars().take(LENGTH).flat_map(char::escape_debug).collect();
    if text.chars().nth(LENGTH).is_some() {
        piece.push('…');
    }
    piece
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_plain_normal, name_by_uts46};

    #[test]
    fn ordinary_hosts_take_the_plain_path() {
        for host in ["acme.example.com", "localhost", "a-b.c_d.9x", "3com.example", "127.0.0.1", "r3---sn.example"] {
            assert!(is_plain_normal(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn plain_path_agrees_with_uts46(host in r"(xn--|0x|[a-cA-C0-9_*-]|ß|1|0){0,6}(\.(xn--|0x|[a-f0-9_-]|1|0){0,4}){0,4}") {
            if is_plain_normal(&host) {
                prop_assert_eq!(name_by_uts46(&host).map(std::borrow::Cow::into_owned), Ok(host));
            }
        }
    }
}
