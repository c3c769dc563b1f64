//! Which host a request was made for.
//!
//! `decide.rs` asks it before the registry is asked. The host is the target's authority (`:authority` in HTTP/2, the
//! absolute form in HTTP/1) or else `Host`; from proxies that were named as trusted, it is what they forward
//! (`forwarded.rs`). Invariant: a request that names two hosts names none: nobody decides here which of them counts, since
//! whoever read the request before us may have decided otherwise.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderMap, Request, Uri, header};
use ipnet::IpNet;

use super::forwarded;
use crate::host::normalize_host_cow;

/// The address that a request's connection came from: whoever accepts connections leaves it in the extensions, for
/// [`trusted_proxies`](crate::TenantLayer::trusted_proxies) and for resolvers.
///
/// With feature `axum`, `ConnectInfo<SocketAddr>` says the same, and nothing needs to be done. Where both are there, this
/// one counts.
///
/// ```
/// use std::net::SocketAddr;
/// use tenancy::PeerAddr;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr(SocketAddr::from(([192, 0, 2, 7], 4711))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

pub(super) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let said = extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum")]
    let said = said.or_else(|| extensions.get::<axum::extract::ConnectInfo<SocketAddr>>().map(|info| info.0));
    // A socket for both families shows IPv4 peers as `::ffff:192.0.2.7`.
    said.map(|peer| peer.ip().to_canonical())
}

/// Why there is no host to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHost {
    /// None is named, or one that is none.
    Missing,
    /// Two are named, in places that have to agree.
    Conflict,
}

/// The host as it was asked for, not normalised.
#[inline]
pub(super) fn asked<'r, B>(request: &'r Request<B>, trusted: &[IpNet]) -> Result<Cow<'r, str>, NoHost> {
    if !trusted.is_empty()
        && let Some(host) = forwarded_host(request, trusted)?
    {
        return Ok(host);
    }
    named(request.uri(), request.headers()).map(Cow::Borrowed)
}

/// What a trusted proxy says was asked for, if one is behind the request and says so.
pub(super) fn forwarded_host<'r, B>(
    request: &'r Request<B>,
    trusted: &[IpNet],
) -> Result<Option<Cow<'r, str>>, NoHost> {
    let Some(peer) = peer(request.extensions()) else {
        tracing::debug!("proxies are trusted, but the request has no peer address: see PeerAddr");
        return Ok(None);
    };
    if trusted.iter().any(|net| net.contains(&peer)) { forwarded::host(request.headers()) } else { Ok(None) }
}

/// What the request itself names.
#[inline]
fn named<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Result<&'r str, NoHost> {
    let mut values = headers.get_all(header::HOST).iter();
    let host = match (values.next(), values.next()) {
        (None, _) => None,
        // Names outside ASCII travel as UTF-8 with some clients.
        (Some(value), None) => Some(str::from_utf8(value.as_bytes()).map_err(|_| NoHost::Missing)?.trim()),
        // RFC 9112 §3.2: more than one is an error whatever they say.
        (Some(_), Some(_)) => return Err(NoHost::Missing),
    };
    match (uri.authority(), host) {
        (None, None) => Err(NoHost::Missing),
        (None, Some(host)) => one(host),
        (Some(authority), None) => one(authority.as_str()),
        // RFC 9113 §8.3.1 calls it malformed when they differ. RFC 9112 §3.2.2 has the authority win.
        (Some(authority), Some(host)) => agree(authority.as_str(), host).and_then(|()| one(authority.as_str())),
    }
}

/// Commas are what joins two values into one, and no host has them.
#[inline]
fn one(host: &str) -> Result<&str, NoHost> {
    if host.is_empty() || host.as_bytes().contains(&b',') { Err(NoHost::Missing) } else { Ok(host) }
}

pub(super) fn agree(one: &str, other: &str) -> Result<(), NoHost> {
    if one == other {
        return Ok(());
    }
    match (normalize_host_cow(one), normalize_host_cow(other)) {
        (Ok(one), Ok(other)) if one == other => Ok(()),
        (Ok(_), Ok(_)) => Err(NoHost::Conflict),
        (Err(_), _) | (_, Err(_)) => Err(NoHost::Missing),
    }
}
