//! Which addresses a server may be sent to by a URL that a stranger gave.
//!
//! `fetch.rs` asks [`is_public`] about every address before a connection is made to it: about those that stand in a URL
//! before the request, and about those that a name has through [`Resolver`], which hands out no others. Judging the
//! addresses that are connected to, instead of a look-up before, leaves no moment in which a name may change.
//! Invariant: an address that is in no block known to be public is not public.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether everybody on the internet means the same machine by this address: no block of the special-purpose
/// registries (RFC 6890) that is not globally reachable, and none of the clouds' metadata services.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    // Azure's agent and metadata, at an address that looks like any other.
    const WIRE_SERVER: [u8; 4] = [168, 63, 129, 16];
    let octets = address.octets();
    let special = match octets {
        // This network, private, loopback.
        [0 | 10 | 127, ..] => true,
        // Shared by carriers (RFC 6598), Alibaba's metadata among it.
        [100, second, ..] => second & 0xc0 == 64,
        // Link-local (RFC 3927), most clouds' metadata among it.
        [169, 254, ..] => true,
        [172, second, ..] => second & 0xf0 == 16,
        // IETF protocol assignments (Oracle's metadata among it), documentation, the former 6to4 relays.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] => true,
        [192, 168, ..] => true,
        // Benchmarks (RFC 2544), documentation (RFC 5737).
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => octets == WIRE_SERVER,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // IPv4-mapped (RFC 4291 §2.5.5.2), and NAT64 (RFC 6052 §2.1), by which networks without IPv4 reach it.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // IETF protocol assignments (Teredo among it), documentation, 6to4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast is 2000::/3 and nothing else (IANA): no ::1, no fc00::/7, fe80::/10, ff00::/8.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// The system's look-up of names, without the addresses that are not public.
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let any = !found.is_empty();
            let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() && any {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Where a request was to go is not public; `fetch.rs` finds it among the causes of a failed request.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is private or reserved")
    }
}

impl std::error::Error for NotPublic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(public: bool, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn addresses_just_inside_special_blocks_are_not_public() {
        check(
            false,
            &[
                "0.0.0.0",
                "0.255.255.255",
                "10.0.0.0",
                "10.255.255.255",
                "100.64.0.0",
                "100.100.100.200",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
                "169.254.0.0",
                "169.254.169.254",
                "172.16.0.0",
                "172.31.255.255",
                "192.0.0.0",
                "192.0.0.192",
                "192.0.2.1",
                "192.88.99.1",
                "192.168.0.0",
                "192.168.255.255",
                "198.18.0.0",
                "198.19.255.255",
                "198.51.100.7",
                "203.0.113.7",
                "224.0.0.0",
                "239.255.255.255",
                "240.0.0.0",
                "255.255.255.255",
                "168.63.129.16",
            ],
        );
        check(
            false,
            &[
                "::",
                "::1",
                "::7f00:1",
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "::ffff:169.254.169.254",
                "64:ff9b::127.0.0.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b:1::1",
                "100::1",
                "2001::1",
                "2001:1ff:ffff::1",
                "2001:db8::1",
                "2002:7f00:1::1",
                "2002:808:808::1",
                "3fff::1",
                "3fff:fff::1",
                "5f00::1",
                "fc00::1",
                "fd00:ec2::254",
                "fe80::1",
                "febf::1",
                "fec0::1",
                "ff02::1",
                "1fff::1",
                "4000::1",
            ],
        );
    }

    #[test]
    fn addresses_just_outside_special_blocks_are_public() {
        check(
            true,
            &[
                "1.0.0.0",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.0",
                "192.0.3.0",
                "192.88.98.255",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "198.51.99.255",
                "203.0.114.0",
                "223.255.255.255",
                "168.63.129.15",
            ],
        );
        check(
            true,
            &[
                "2000::1",
                "2001:200::1",
                "2001:db7::1",
                "2001:db9::1",
                "2003::1",
                "2606:4700::1111",
                "3ffe::1",
                "3fff:1000::1",
                "::ffff:8.8.8.8",
                "64:ff9b::8.8.8.8",
            ],
        );
    }
}
