//! One GET to a host that is not trusted, with every limit that it takes.
//!
//! The validators call [`Fetcher::get`] and get either what they asked for or a failure that already says whether it is
//! a passing one. No proxy, no cookies, no decompression, no connection kept: what a request may do depends on nothing
//! that another one left. Invariant: whatever the other side does, a fetch ends in time, in memory, and at addresses
//! that were allowed.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{ACCEPT, LOCATION};
use reqwest::{Client, Response, StatusCode};
use url::{Host, Url};

use super::address::{NotPublic, Resolver, is_public};
use crate::validate::Verdict;

/// Below the registry's 10 seconds, so that a slow host is named as such before the validation is given up.
const TIMEOUT: Duration = Duration::from_secs(5);

/// 1 MiB: brand documents are some kilobytes.
const MAX_BODY: usize = 1 << 20;

/// Enough for a trailing slash, a canonical path and a move to HTTPS.
const MAX_REDIRECTS: usize = 3;

const USER_AGENT: &str = concat!("tenancy/", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) allow_private_addresses: bool,
    pub(super) https_only: bool,
    pub(super) timeout: Duration,
    pub(super) max_body: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { allow_private_addresses: false, https_only: false, timeout: TIMEOUT, max_body: MAX_BODY }
    }
}

/// What is wanted of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// The whole body, which is JSON.
    Json,
    /// That it is an answer of 2xx.
    Success,
}

/// Why there is no answer to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may be otherwise next time.
    Passing(String),
    /// It stays so until somebody changes something.
    Lasting(String),
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing(reason) => Self::Transient(reason.into()),
            Failure::Lasting(reason) => Self::Permanent(reason.into()),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Fetcher {
    options: Options,
    /// Made by the first fetch: reading the system's root certificates may fail, and a constructor need not.
    client: OnceLock<Client>,
}

impl Fetcher {
    pub(super) fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        // A client that was made before has the old options.
        self.client = OnceLock::new();
        self
    }

    /// The body of the answer to a GET of `url`; an empty one for [`Want::Success`].
    pub(super) async fn get(&self, url: &Url, want: Want) -> Result<Vec<u8>, Failure> {
        let within = self.options.timeout;
        tokio::time::timeout(within, self.get_unhurried(url, want))
            .await
            .unwrap_or_else(|_| Err(Failure::Passing(format!("no answer from {url} within {} ms", within.as_millis()))))
    }

    async fn get_unhurried(&self, url: &Url, want: Want) -> Result<Vec<u8>, Failure> {
        let client = self.client()?;
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            self.check(&at)?;
            let mut request = client.get(at.clone());
            if want == Want::Json {
                request = request.header(ACCEPT, "application/json");
            }
            let response = request.send().await.map_err(|error| of_transport(&at, error))?;
            if !is_redirect(response.status()) {
                return self.read(&at, response, want).await;
            }
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            at = redirected(&at, location).map_err(Failure::Lasting)?;
        }
        Err(Failure::Lasting(format!("{url} redirects more than {MAX_REDIRECTS} times")))
    }

    /// What can be said of a URL before anybody is asked. Addresses that stand in a URL are never looked up, so that the
    /// resolver does not see them.
    fn check(&self, url: &Url) -> Result<(), Failure> {
        if self.options.https_only && url.scheme() != "https" {
            return Err(Failure::Lasting(format!("{url} is not encrypted, and only HTTPS is allowed")));
        }
        let public = self.options.allow_private_addresses
            || match url.host() {
                Some(Host::Ipv4(v4)) => is_public(v4.into()),
                Some(Host::Ipv6(v6)) => is_public(v6.into()),
                Some(Host::Domain(_)) | None => true,
            };
        if public { Ok(()) } else { Err(not_public(url)) }
    }

    async fn read(&self, url: &Url, mut response: Response, want: Want) -> Result<Vec<u8>, Failure> {
        let status = response.status();
        if !status.is_success() {
            let reason = format!("{url} answered {status}");
            return Err(if is_passing(status) { Failure::Passing(reason) } else { Failure::Lasting(reason) });
        }
        let mut body = Vec::new();
        if want == Want::Success {
            return Ok(body);
        }
        // Counted as it arrives: a declared length may be missing or wrong.
        while let Some(chunk) = response.chunk().await.map_err(|error| of_transport(url, error))? {
            if body.len() + chunk.len() > self.options.max_body {
                return Err(Failure::Lasting(format!("{url} answered more than {} bytes", self.options.max_body)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.options.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // Another crate's features may have switched them on.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            // A connection that is kept has been judged by a look-up that may be old, and belongs to one runtime.
            .pool_max_idle_per_host(0);
        if !self.options.allow_private_addresses {
            builder = builder.dns_resolver(Resolver);
        }
        // Not the fault of the tenant: the machine has no root certificates, for instance.
        let client = builder
            .build()
            .map_err(|error| Failure::Passing(format!("cannot prepare for HTTPS: {}", root_cause(&error))))?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// What may pass by itself: the server's own trouble (RFC 9110 §15.6). All of 4xx says that the request is wrong.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect from `from` leads, if it may be followed: to the same host and port, or from HTTP to HTTPS of the
/// same host on their usual ports.
fn redirected(from: &Url, location: Option<&str>) -> Result<Url, String> {
    let location = location.ok_or_else(|| format!("{from} redirects nowhere"))?;
    let mut to = from.join(location).map_err(|_| format!("{from} redirects to what is no URL"))?;
    if !matches!(to.scheme(), "http" | "https") || to.host() != from.host() {
        return Err(format!("{from} redirects to another host"));
    }
    let (before, after) = (from.port_or_known_default(), to.port_or_known_default());
    match (from.scheme(), to.scheme()) {
        ("https", "http") => return Err(format!("{from} redirects from HTTPS to HTTP")),
        ("http", "https") if (before, after) == (Some(80), Some(443)) => {}
        _ if before != after => return Err(format!("{from} redirects to another port")),
        _ => {}
    }
    // Userinfo would be sent as a password that nobody here knows of.
    let _ = to.set_username("").and_then(|()| to.set_password(None));
    Ok(to)
}

fn of_transport(url: &Url, error: reqwest::Error) -> Failure {
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.is::<NotPublic>() {
            return not_public(url);
        }
        cause = source.source();
    }
    Failure::Passing(format!("cannot fetch {url}: {}", root_cause(&error.without_url())))
}

fn not_public(url: &Url) -> Failure {
    Failure::Lasting(format!("{url} is at a private or reserved address, which is not allowed"))
}

/// The innermost cause: the layers above say "error sending request" and the like.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, location: &str, to: Result<&str, &str>) {
        let got = redirected(&Url::parse(from).unwrap(), Some(location));
        match to {
            Ok(to) => assert_eq!(got.as_ref().map(Url::as_str), Ok(to), "{from} to {location}"),
            Err(why) => {
                assert!(got.as_ref().is_err_and(|reason| reason.contains(why)), "{from} to {location}: {got:?}")
            }
        }
    }

    #[test]
    fn redirects_stay_with_the_host_and_never_leave_encryption() {
        check("https://a.example/x", "/y?z=1", Ok("https://a.example/y?z=1"));
        check("https://a.example/x/", "y", Ok("https://a.example/x/y"));
        check("https://a.example/x", "//A.example./y", Err("another host"));
        check("https://a.example/x", "https://A.EXAMPLE:443/y", Ok("https://a.example/y"));
        check("https://a.example/x", "https://u:p@a.example/y", Ok("https://a.example/y"));
        check("http://a.example/x", "https://a.example/x", Ok("https://a.example/x"));
        check("http://a.example:8080/x", "/y", Ok("http://a.example:8080/y"));

        check("https://a.example/x", "http://a.example/x", Err("from HTTPS to HTTP"));
        check("https://a.example:8080/x", "http://a.example:8080/x", Err("from HTTPS to HTTP"));
        check("https://a.example/x", "https://b.example/x", Err("another host"));
        check("https://a.example/x", "https://a.example.evil.example/x", Err("another host"));
        check("https://a.example/x", "https://a.example@evil.example/x", Err("another host"));
        check("https://a.example/x", "//127.0.0.1/x", Err("another host"));
        check("https://a.example/x", "https://a.example:8443/x", Err("another port"));
        check("http://a.example:8080/x", "https://a.example/x", Err("another port"));
        check("http://a.example/x", "https://a.example:8443/x", Err("another port"));
        check("http://a.example/x", "https://a.example:80/x", Ok("https://a.example:80/x"));
        check("https://a.example/x", "file:///etc/passwd", Err("another host"));
        check("https://a.example/x", "ftp://a.example/x", Err("another host"));
        check("https://a.example/x", "http://[::1", Err("no URL"));
    }

    #[test]
    fn a_redirect_without_a_location_leads_nowhere() {
        let from = Url::parse("https://a.example/").unwrap();
        assert_eq!(redirected(&from, None), Err("https://a.example/ redirects nowhere".to_owned()));
    }

    #[test]
    fn the_statuses_that_pass_are_the_servers_own() {
        let passing: Vec<u16> = (400..600).filter(|code| is_passing(StatusCode::from_u16(*code).unwrap())).collect();
        assert_eq!(passing, (500..600).collect::<Vec<_>>());
    }
}
