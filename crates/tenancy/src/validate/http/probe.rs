//! Whether a tenant's hosts answer.
//!
//! An embedder gives [`http_probe`] to the registry, by itself or in [`all_of`](crate::all_of). Invariant: only the
//! status of an answer counts, and nothing of its body is read.

use async_trait::async_trait;
use url::Url;

use super::fetch::{Failure, Fetcher, Want};
use super::fetch_options;
use super::targets::{ask_all, urls_to_ask};
use crate::validate::{ValidationTarget, Validator, Verdict};

/// The validator that finds a tenant valid if a GET of `path` is answered with 2xx by every URL of it. Feature `http`.
///
/// [`HttpProbe`] has the rules and the options.
///
/// ```
/// let validator = tenancy::http_probe("/healthz");
/// # let _ = validator;
/// ```
#[must_use]
pub fn http_probe(path: impl Into<String>) -> HttpProbe {
    HttpProbe { path: path.into(), skip_wildcards: false, fetcher: Fetcher::default() }
}

/// Finds a tenant valid if every URL of it answers. Feature `http`.
///
/// The path is fetched below the tenant's own: of `https://example.com/acme`, a probe of `/healthz` asks
/// `https://example.com/acme/healthz`. It may have a query. An empty one, or `/`, asks the tenant's URL as it stands.
///
/// 2xx is [`Verdict::Valid`]; no connection, no answer in time and 5xx are [`Verdict::Transient`];
/// everything else, and what is forbidden to [`JwksValidator`](crate::JwksValidator), is [`Verdict::Permanent`].
///
/// ```
/// use std::time::Duration;
///
/// let validator = tenancy::http_probe("/healthz?deep=1").timeout(Duration::from_secs(1));
/// # let _ = validator;
/// ```
#[derive(Clone, Debug)]
pub struct HttpProbe {
    path: String,
    skip_wildcards: bool,
    fetcher: Fetcher,
}

impl HttpProbe {
    fetch_options!("http_probe(\"/healthz\")");

    fn below(&self, url: &mut Url) {
        let (path, query) =
            self.path.split_once('?').map_or((self.path.as_str(), None), |(path, query)| (path, Some(query)));
        let path = path.trim_start_matches('/');
        if !path.is_empty() {
            let whole = format!("{}/{path}", url.path().trim_end_matches('/'));
            url.set_path(&whole);
        }
        url.set_query(query);
    }

    async fn check(&self, url: &Url) -> Result<(), Failure> {
        self.fetcher.get(url, Want::Success).await.map(drop)
    }
}

#[async_trait]
impl Validator for HttpProbe {
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        match urls_to_ask(target, self.skip_wildcards, |url| self.below(url)) {
            Ok(urls) => ask_all(&urls, |url| self.check(url)).await,
            Err(failure) => failure.into(),
        }
    }
}
