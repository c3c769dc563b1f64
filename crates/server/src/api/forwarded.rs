//! The client's address behind proxies that were named as trusted.
//!
//! Invariant: a header is believed only as far as an unbroken chain of trusted proxies vouches for it; everything beyond
//! the first address that is not one of them may be invented by the client.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;

/// The address of the client: the nearest one to us that is no trusted proxy.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let mut hops = hops(headers);
    let mut nearest = peer;
    while let Some(hop) = hops.pop() {
        // A hop that cannot be read breaks the chain: the proxy that passed it on is the last thing known.
        let Some(address) = hop else { return nearest };
        nearest = address;
        if !is_trusted(address) {
            return address;
        }
    }
    nearest
}

/// The addresses that proxies wrote down, farthest first. RFC 7239 where there is one, else `X-Forwarded-For`.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let list = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
        values.flat_map(|value| value.split(',')).map(|part| part.trim().to_owned()).collect()
    };
    let forwarded = list(FORWARDED.as_str());
    if forwarded.is_empty() {
        return list("x-forwarded-for").iter().map(|text| address(text)).collect();
    }
    let of_element = |element: &String| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"'))).flatten()
        })
    };
    forwarded.iter().map(of_element).collect()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inner, _)| inner);
    let text = bare.unwrap_or(text);
    let parsed = text.parse().ok().or_else(|| text.rsplit_once(':').and_then(|(host, _)| host.parse().ok()));
    parsed.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[track_caller]
    fn check(peer: &str, header: (&'static str, &str), expected: &str) {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header.0, HeaderValue::from_str(header.1).unwrap());
        assert_eq!(client(peer.parse().unwrap(), &headers, &trusted).to_string(), expected, "{header:?}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("192.0.2.9", ("x-forwarded-for", "1.1.1.1"), "192.0.2.9");
        check("10.0.0.1", ("x-forwarded-for", "1.1.1.1"), "1.1.1.1");
        check("::ffff:10.0.0.1", ("x-forwarded-for", "1.1.1.1"), "1.1.1.1");
        check("10.0.0.1", ("x-forwarded-for", "6.6.6.6, 1.1.1.1"), "1.1.1.1");
        check("10.0.0.1", ("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.0.0.2"), "1.1.1.1");
        check("10.0.0.1", ("x-forwarded-for", "10.0.0.3, 10.0.0.2"), "10.0.0.3");
        check("10.0.0.1", ("x-forwarded-for", "1.1.1.1, nonsense"), "10.0.0.1");
        check("::1", ("forwarded", r#"for="[2001:db8::7]:4711";proto=https, for=10.0.0.2"#), "2001:db8::7");
        check("10.0.0.1", ("forwarded", "for=unknown"), "10.0.0.1");
        check("10.0.0.1", ("forwarded", "for=1.1.1.1:80"), "1.1.1.1");
    }
}
