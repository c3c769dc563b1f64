//! Verifies the access tokens of the issuer (JWT, RFC 7519), by the advice of RFC 8725 and, for issuers that follow it, RFC 9068.
//!
//! The authentication extractor calls [`TokenVerifier::verify`] for every request with a bearer token that is no API key.
//! Signatures cost tens of microseconds, so a verdict is remembered under the token's SHA-256 until the token expires or the
//! issuer's keys change; refusals are not remembered, since they would let strangers fill the cache.
//! Invariant: what [`TokenVerifier::verify`] returns was signed by a key that the issuer published, and holds at the clock's now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::time::from_micros;
use domain::{Clock, Timestamp};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use url::Url;

mod claims;
mod error;
mod fetch;
mod jws;
mod keys;
mod source;
mod tenant;

pub use claims::VerifiedToken;
pub use error::{PublicReason, TokenError};
pub use tenant::{ClaimedTenant, TenantClaim};

use jws::Jws;
use keys::{KeySet, Lookup, sha256};
use source::{KeySource, Policy, micros};

/// Keycloak's tokens have one to three kilobytes; web servers cap header lines at 8 to 16 KiB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Which tokens are accepted, and how the issuer's keys are kept.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The issuer's identifier, exactly as in `iss` and in its discovery document.
    pub issuer: String,
    /// What `aud` must contain.
    pub audience: String,
    /// Tolerated clock skew for `exp` and `nbf`.
    pub leeway: Duration,
    /// How long a fetched key set counts as fresh. During an outage of the issuer it goes on for one hour more.
    pub jwks_ttl: Duration,
    /// The shortest time between two fetches that unknown key ids cause, and between two tries while the issuer is away.
    pub min_refetch_interval: Duration,
    /// The time limit of one fetch, discovery and key set together.
    pub fetch_timeout: Duration,
    /// How many verified tokens are remembered.
    pub cache_capacity: u64,
}

impl TokenSettings {
    /// Settings with the usual limits: leeway 30 s, key sets fresh for 10 min, refetched every 10 s at most, fetch limit 5 s,
    /// 10,000 remembered tokens.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            leeway: Duration::from_secs(30),
            jwks_ttl: Duration::from_secs(600),
            min_refetch_interval: Duration::from_secs(10),
            fetch_timeout: Duration::from_secs(5),
            cache_capacity: 10_000,
        }
    }
}

/// Why a [`TokenVerifier`] could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenSetupError {
    /// The issuer is no http(s) address, or has a query or fragment (RFC 8414 §2).
    #[error("the issuer {0:?} must be an http or https address without query and fragment")]
    Issuer(String),
    /// An empty audience would accept tokens that are for nobody.
    #[error("the audience must not be empty")]
    Audience,
    /// TLS could not be set up.
    #[error("the HTTP client for the issuer could not be made (it needs CA certificates): {0:?}")]
    Http(#[from] reqwest::Error),
}

/// Verifies tokens of one issuer. Make one per process and share it; it is cheap to call from many tasks.
pub struct TokenVerifier {
    issuer: Arc<str>,
    audience: String,
    leeway_micros: i64,
    clock: Arc<dyn Clock>,
    keys: Arc<KeySource>,
    verdicts: Cache<[u8; 32], Verdict>,
}

/// A token that was found good.
#[derive(Clone)]
struct Verdict {
    token: Arc<VerifiedToken>,
    /// Of the keys that it was judged by.
    generation: u64,
    /// `exp` and the leeway.
    good_until: Timestamp,
}

impl TokenVerifier {
    /// A verifier by these settings. `clock` must be the real one, as the issuer's is. Nothing is fetched before the first token.
    ///
    /// # Errors
    ///
    /// Settings that cannot work, and a TLS set-up that fails.
    pub fn new(settings: TokenSettings, clock: Arc<dyn Clock>) -> Result<Self, TokenSetupError> {
        let address = Url::parse(&settings.issuer).ok();
        if !address.is_some_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
        }) {
            return Err(TokenSetupError::Issuer(settings.issuer));
        }
        if settings.audience.is_empty() {
            return Err(TokenSetupError::Audience);
        }
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(settings.fetch_timeout)
            .build()?;
        let issuer: Arc<str> = settings.issuer.into();
        let policy = Policy {
            jwks_ttl: settings.jwks_ttl,
            min_refetch_interval: settings.min_refetch_interval,
            fetch_timeout: settings.fetch_timeout,
        };
        let keys = Arc::new(KeySource::new(Arc::clone(&issuer), http, policy, Arc::clone(&clock)));
        // Least recently used: by frequency, expired tokens that were once busy would keep new ones out.
        let verdicts =
            Cache::builder().max_capacity(settings.cache_capacity).eviction_policy(EvictionPolicy::lru()).build();
        Ok(Self { issuer, audience: settings.audience, leeway_micros: micros(settings.leeway), clock, keys, verdicts })
    }

    /// What the token says, if it is good now. A token seen before costs a hash and a lookup.
    ///
    /// # Errors
    ///
    /// Why not; [`TokenError::public`] is what the caller of the API may learn.
    pub async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let digest = sha256(token.as_bytes());
        let now = self.clock.now();
        if let Some(generation) = self.keys.fresh_generation(now)
            && let Some(known) = self.remembered(&digest, generation, now)
        {
            return Ok(known);
        }
        self.judge(token, digest, now).await
    }

    fn remembered(&self, digest: &[u8; 32], generation: u64, now: Timestamp) -> Option<Arc<VerifiedToken>> {
        let verdict = self.verdicts.get(digest)?;
        (verdict.generation == generation && now < verdict.good_until).then_some(verdict.token)
    }

    async fn judge(&self, token: &str, digest: [u8; 32], arrived: Timestamp) -> Result<Arc<VerifiedToken>, TokenError> {
        // Before the keys: rubbish must not make us fetch any.
        let jws = Jws::parse(token)?;
        let mut keys = self.keys.current().await?;
        // Keys past their time that are still good: the issuer is away, and its tokens need not be checked again each time.
        if let Some(known) = self.remembered(&digest, keys.generation, self.clock.now()) {
            return Ok(known);
        }
        // Keys that were fetched since the token arrived cannot be too old for it.
        if matches!(keys.find(jws.kid.as_deref(), jws.algorithm), Lookup::Unknown) && keys.fetched_at <= arrived {
            keys = self.keys.after_unknown_kid().await?;
        }
        let token = Arc::new(self.verify_by(&keys, &jws)?);
        let good_until = from_micros(token.expires_at.as_microsecond().saturating_add(self.leeway_micros));
        let verdict = Verdict { token: Arc::clone(&token), generation: keys.generation, good_until };
        self.verdicts.insert(digest, verdict);
        Ok(token)
    }

    fn verify_by(&self, keys: &KeySet, jws: &Jws<'_>) -> Result<VerifiedToken, TokenError> {
        let key = match keys.find(jws.kid.as_deref(), jws.algorithm) {
            Lookup::Found(key) => key,
            Lookup::Unknown if self.keys.issuer_is_away() => return Err(TokenError::Unavailable),
            Lookup::Unknown => return Err(TokenError::UnknownKey),
            Lookup::Refused(error) => return Err(error),
        };
        key.verify(jws.signed, &jws.signature)?;
        let expected = claims::Expectation {
            issuer: &self.issuer,
            audience: &self.audience,
            leeway_micros: self.leeway_micros,
            now: self.clock.now(),
            is_at_jwt: jws.is_at_jwt,
        };
        claims::judge(&jws.payload()?, &expected)
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier")
            .field("audience", &self.audience)
            .field("keys", &self.keys)
            .field("remembered", &self.verdicts.entry_count())
            .finish_non_exhaustive()
    }
}
