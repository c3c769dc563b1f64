//! Whether a tenant publishes the key that it signs with: the proof that the host is the tenant's.
//!
//! An embedder gives [`jwks()`] to the registry, which calls it for every validation. Invariant: a tenant is valid only
//! if every place that counts had its key, by `kid` and by material, in this very validation; nothing is kept between.

use async_trait::async_trait;
use serde_json::Value;
use url::Url;

use super::fetch::{Failure, Fetcher, Want};
use super::fetch_options;
use super::jwk::{Missing, SigningKey};
use super::targets::{ask_all, urls_to_ask};
use crate::validate::{ValidationTarget, Validator, Verdict};

/// A well-known URI belongs to an origin, whatever the path of the tenant (RFC 8615 §3).
const BRAND_JSON: &str = "/.well-known/brand.json";

/// The validator that looks for a tenant's signing key where its hosts publish theirs. Feature `http`.
///
/// Short for `JwksValidator::default()`; [`JwksValidator`] has the rules and the options.
///
/// ```
/// let validator = tenancy::jwks();
/// # let _ = validator;
/// ```
#[must_use]
pub fn jwks() -> JwksValidator {
    JwksValidator::default()
}

/// Finds a tenant valid if its signing key is published by every host of it. Feature `http`.
///
/// For every URL of the tenant, `/.well-known/brand.json` is fetched from the URL's origin, with the scheme and the port
/// that were registered; its `jwks.keys` must have the tenant's key, by `kid` **and** by material (the members of RFC
/// 7638; `alg`, `use` and others do not count). With [`JwksValidator::at`], one JWK Set (RFC 7517) elsewhere counts
/// instead, for all tenants. Origins are asked at once, and the first lasting failure ends it.
///
/// | what happened | verdict |
/// |---|---|
/// | the key is there | [`Verdict::Valid`] |
/// | no connection, no answer in time, 5xx | [`Verdict::Transient`] |
/// | any other status but 2xx, no JSON, more than 1 MiB, no such key, another key with that `kid` | [`Verdict::Permanent`] |
/// | the key is published with its private part | [`Verdict::Permanent`] |
/// | no signing key is configured, or one without `kid`, or a private one | [`Verdict::Permanent`] |
/// | a private or reserved address, a wildcard host | [`Verdict::Permanent`], unless allowed |
/// | a redirect to another host or port, from HTTPS to HTTP, or a fourth one | [`Verdict::Permanent`] |
///
/// A proxy in the environment is not used: it would connect to addresses that are not judged here.
///
/// ```
/// use std::time::Duration;
///
/// let validator = tenancy::jwks().https_only(true).timeout(Duration::from_secs(2));
/// # let _ = validator;
/// ```
#[derive(Clone, Debug, Default)]
pub struct JwksValidator {
    /// Instead of the tenants' own documents.
    at: Option<Url>,
    skip_wildcards: bool,
    fetcher: Fetcher,
}

impl JwksValidator {
    /// Looks in the JWK Set (RFC 7517 §5) at `url`, for all tenants, and not in what their hosts publish.
    ///
    /// # Errors
    ///
    /// A [`JwksUrlError`]: `url` is not an absolute URL with `http` or `https`, or it has a user or a password.
    ///
    /// ```
    /// let validator = tenancy::jwks().at("https://keys.example.com/jwks.json")?;
    /// assert!(tenancy::jwks().at("keys.example.com/jwks.json").is_err());
    /// # let _ = validator;
    /// # Ok::<(), tenancy::JwksUrlError>(())
    /// ```
    pub fn at(mut self, url: impl AsRef<str>) -> Result<Self, JwksUrlError> {
        let url = Url::parse(url.as_ref())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .filter(|url| url.username().is_empty() && url.password().is_none());
        self.at = Some(url.ok_or(JwksUrlError)?);
        Ok(self)
    }

    /// How long a document may be, in bytes; 1 MiB. A longer one is a lasting failure.
    ///
    /// ```
    /// let validator = tenancy::jwks().max_body(64 << 10);
    /// # let _ = validator;
    /// ```
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.fetcher = self.fetcher.with(|options| options.max_body = bytes);
        self
    }

    fetch_options!("jwks()");

    async fn check(&self, key: &SigningKey<'_>, url: &Url) -> Result<(), Failure> {
        let body = self.fetcher.get(url, Want::Json).await?;
        let document: Value =
            serde_json::from_slice(&body).map_err(|error| Failure::Lasting(format!("{url} is no JSON: {error}")))?;
        let (member, keys) = match self.at {
            None => ("jwks.keys", document.pointer("/jwks/keys")),
            Some(_) => ("keys", document.get("keys")),
        };
        let keys =
            keys.and_then(Value::as_array).ok_or_else(|| Failure::Lasting(format!("{url} has no array `{member}`")))?;
        let kid = key.shown();
        key.find_in(keys).map_err(|missing| {
            Failure::Lasting(match missing {
                Missing::Kid => format!("kid {kid} is not in {url}"),
                Missing::Material => format!("kid {kid} in {url} is another key"),
                Missing::Exposed(member) => {
                    format!("{url} publishes kid {kid} with its private member `{member}`: replace that key")
                }
            })
        })
    }

    async fn judge(&self, target: &ValidationTarget) -> Result<Verdict, Failure> {
        let key = target
            .signing_key
            .as_ref()
            .ok_or_else(|| Failure::Lasting("the tenant has no signing key to look for".to_owned()))?;
        let key =
            SigningKey::read(key).map_err(|error| Failure::Lasting(format!("the signing key is unusable: {error}")))?;
        let urls = match &self.at {
            Some(url) => vec![url.clone()],
            None => urls_to_ask(target, self.skip_wildcards, |url| {
                url.set_path(BRAND_JSON);
                url.set_query(None);
            })?,
        };
        Ok(ask_all(&urls, |url| self.check(&key, url)).await)
    }
}

#[async_trait]
impl Validator for JwksValidator {
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        self.judge(target).await.unwrap_or_else(Verdict::from)
    }
}

/// The text given to [`JwksValidator::at`] is no URL that a key set can be fetched from.
///
/// ```
/// let error = tenancy::jwks().at("file:///jwks.json").unwrap_err();
/// assert_eq!(error.to_string(), "a key set needs an absolute `http` or `https` URL without user and password");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key set needs an absolute `http` or `https` URL without user and password")]
#[non_exhaustive]
pub struct JwksUrlError;
