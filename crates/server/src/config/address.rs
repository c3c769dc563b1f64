//! The listen address, in the spelling of `ADDR`.
//!
//! `serve` binds it and `healthcheck` asks it.
//! Invariant: port and host are separated here and nowhere else, since IPv6 addresses make that easy to get wrong.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Where to listen: a port on all interfaces, or on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddr {
    /// Name or address without brackets; none is all interfaces.
    host: Option<String>,
    port: u16,
}

impl Default for ListenAddr {
    fn default() -> Self {
        Self { host: None, port: 8090 }
    }
}

impl ListenAddr {
    /// Reads `:port`, `host:port` or `[v6]:port`.
    ///
    /// # Errors
    /// What is demanded, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let demand = || "must be `:8090`, `host:8090` or `[::1]:8090`".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(demand)?;
        // `u16` would take `+80` too.
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = Some(port).filter(|_| digits).and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| format!("{}, with a port from 0 to 65535", demand()))?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(v6) => {
                v6.parse::<Ipv6Addr>().map_err(|_| format!("{}; in brackets stands an IPv6 address", demand()))?;
                Some(v6.to_owned())
            }
            None if host.is_empty() => None,
            None if host.contains(':') => return Err(format!("{}; an IPv6 address needs brackets", demand())),
            None if host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) => Some(host.to_owned()),
            None => return Err(demand()),
        };
        Ok(Self { host, port })
    }

    /// The port; 0 lets the system choose.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to bind, in order, until one succeeds: all interfaces are `[::]` where the machine has IPv6 (it takes IPv4
    /// connections as well), and `0.0.0.0` where it has not, as in many containers.
    #[must_use]
    pub fn candidates(&self) -> Vec<(String, u16)> {
        match &self.host {
            Some(host) => vec![(host.clone(), self.port)],
            None => {
                vec![(Ipv6Addr::UNSPECIFIED.to_string(), self.port), (Ipv4Addr::UNSPECIFIED.to_string(), self.port)]
            }
        }
    }

    /// The base URL under which a process on this machine reaches the service.
    #[must_use]
    pub fn local_url(&self) -> String {
        let host = match self.host.as_deref() {
            None | Some("0.0.0.0") => "127.0.0.1".to_owned(),
            Some("::") => "[::1]".to_owned(),
            Some(v6) if v6.contains(':') => format!("[{v6}]"),
            Some(host) => host.to_owned(),
        };
        format!("http://{host}:{}", self.port)
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            None => write!(f, ":{}", self.port),
            Some(v6) if v6.contains(':') => write!(f, "[{v6}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, first: &str, local_url: &str) {
        let addr = ListenAddr::parse(text).unwrap();
        assert_eq!((addr.candidates()[0].0.as_str(), addr.local_url().as_str()), (first, local_url));
        assert_eq!(addr.to_string(), text);
    }

    #[test]
    fn addresses_in_every_spelling() {
        check(":8090", "::", "http://127.0.0.1:8090");
        check(":0", "::", "http://127.0.0.1:0");
        check("0.0.0.0:80", "0.0.0.0", "http://127.0.0.1:80");
        check("[::]:80", "::", "http://[::1]:80");
        check("[::1]:65535", "::1", "http://[::1]:65535");
        check("registry.local:80", "registry.local", "http://registry.local:80");
        assert_eq!(ListenAddr::parse(":80").unwrap().candidates()[1].0, "0.0.0.0");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["8090", "host", "host:", ":65536", ":-1", ":+1", "::1:80", "[::g]:80", "http://h:80", "a b:80", ""]
        {
            assert!(ListenAddr::parse(text).is_err(), "{text}");
        }
    }
}
