//! How requests are treated before they reach a route.
//!
//! The HTTP layers and the forward-auth route read it.
//! Invariant: nobody's forwarding headers are believed, and no foreign origin is allowed, unless named here.

use std::net::IpAddr;
use std::time::Duration;

use domain::Secret;
use ipnet::IpNet;
use url::{Origin, Url};

use super::reader::Reader;

/// Browser origins that may call the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// CORS is off.
    None,
    /// `*`.
    Any,
    /// These, as browsers write them in `Origin`.
    Listed(Vec<String>),
}

/// Requests and who may reach what.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `REQUEST_TIMEOUT_SECONDS`.
    pub request_timeout: Duration,
    /// `TRUSTED_PROXIES`; a single address is a network of one.
    pub trusted_proxies: Vec<IpNet>,
    /// `GATEWAY_TOKEN`.
    pub gateway_token: Option<Secret>,
    /// `CORS_ALLOWED_ORIGINS`.
    pub allowed_origins: AllowedOrigins,
}

impl HttpConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            request_timeout: reader.seconds("REQUEST_TIMEOUT_SECONDS", 1..=3600),
            trusted_proxies: reader.list("TRUSTED_PROXIES", network),
            gateway_token: reader.optional_token("GATEWAY_TOKEN"),
            allowed_origins: allowed_origins(reader),
        }
    }
}

/// A network or an address. Bits behind the prefix are refused: `10.1.2.3/8` is more often a slip than a wish.
fn network(text: &str) -> Result<IpNet, String> {
    let demand = "must hold networks or addresses like `10.0.0.0/8` or `192.0.2.7`";
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| demand.to_owned())?;
    if network.trunc() == network { Ok(network) } else { Err(format!("{demand}; did you mean `{}`?", network.trunc())) }
}

fn allowed_origins(reader: &mut Reader<'_>) -> AllowedOrigins {
    let origins =
        reader.list("CORS_ALLOWED_ORIGINS", |text| if text == "*" { Ok(text.to_owned()) } else { origin(text) });
    match origins.as_slice() {
        [] => AllowedOrigins::None,
        [any] if any == "*" => AllowedOrigins::Any,
        several if several.iter().any(|origin| origin == "*") => {
            reader.refuse("CORS_ALLOWED_ORIGINS", "`*` must stand alone");
            AllowedOrigins::None
        }
        _ => AllowedOrigins::Listed(origins),
    }
}

/// The origin's one spelling (RFC 6454, section 6.2): what a browser sends is compared with it letter by letter.
fn origin(text: &str) -> Result<String, String> {
    let demand = || "must hold origins like `https://portal.example.com`, without a path".to_owned();
    let url = Url::parse(text).map_err(|_| demand())?;
    let bare = url.path() == "/" && !text.ends_with('/') && url.query().is_none() && url.fragment().is_none();
    match url.origin() {
        origin @ Origin::Tuple(..) if bare && url.username().is_empty() && url.password().is_none() => {
            Ok(origin.ascii_serialization())
        }
        Origin::Tuple(..) | Origin::Opaque(_) => Err(demand()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_networks_or_addresses() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(network("fd00::1").unwrap().to_string(), "fd00::1/128");
        assert!(network("10.1.2.3/8").unwrap_err().contains("did you mean `10.0.0.0/8`?"));
        for text in ["10.0.0.0/33", "proxy.local", "10.0.0"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_have_the_spelling_of_browsers() {
        assert_eq!(origin("https://Portal.Example.com:443").unwrap(), "https://portal.example.com");
        assert_eq!(origin("http://localhost:5173").unwrap(), "http://localhost:5173");
        for text in ["portal.example.com", "https://h/", "https://h/path", "https://u@h", "file:///x", "null"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
