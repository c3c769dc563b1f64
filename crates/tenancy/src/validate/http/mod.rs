//! Validators that ask a tenant's own hosts. Feature `http`.
//!
//! An embedder makes them with [`jwks`] and [`http_probe`]. The URLs come from tenants, so that whatever is fetched here
//! is fetched from strangers: `address.rs` says which addresses may be asked at all, `fetch.rs` holds every limit, and
//! the validators only judge what came back. Invariant: no request leaves this crate but through [`fetch::Fetcher`].

mod address;
mod fetch;
mod jwk;
mod jwks;
mod probe;
mod targets;

pub use jwks::{JwksUrlError, JwksValidator, jwks};
pub use probe::{HttpProbe, http_probe};

/// The setters that every validator of this module has; its type has the fields `fetcher` and `skip_wildcards`.
macro_rules! fetch_options {
    ($make:literal) => {
        /// Whether addresses that only reach this machine or its network may be asked: loopback, private, link-local,
        /// the cloud's metadata and their like. Off; meant for development and for tests.
        ///
        /// ```
        #[doc = concat!("let validator = tenancy::", $make, ".allow_private_addresses(true);")]
        /// # let _ = validator;
        /// ```
        #[must_use]
        pub fn allow_private_addresses(mut self, allow: bool) -> Self {
            self.fetcher = self.fetcher.with(|options| options.allow_private_addresses = allow);
            self
        }

        /// Whether URLs with `http` fail for a lasting reason. Off: a tenant's own scheme is used.
        ///
        /// ```
        #[doc = concat!("let validator = tenancy::", $make, ".https_only(true);")]
        /// # let _ = validator;
        /// ```
        #[must_use]
        pub fn https_only(mut self, https_only: bool) -> Self {
            self.fetcher = self.fetcher.with(|options| options.https_only = https_only);
            self
        }

        /// How long one URL may take, from the look-up of its name to the end of the answer, redirects included.
        /// 5 seconds: less than a registry gives a validation.
        ///
        /// ```
        /// # use std::time::Duration;
        #[doc = concat!("let validator = tenancy::", $make, ".timeout(Duration::from_secs(2));")]
        /// # let _ = validator;
        /// ```
        #[must_use]
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.fetcher = self.fetcher.with(|options| options.timeout = timeout);
            self
        }

        /// Whether wildcard hosts are passed over where the tenant has a URL beside that can be asked. Off: a wildcard
        /// fails for a lasting reason, as nobody knows which hosts it stands for.
        ///
        /// ```
        #[doc = concat!("let validator = tenancy::", $make, ".skip_wildcards(true);")]
        /// # let _ = validator;
        /// ```
        #[must_use]
        pub fn skip_wildcards(mut self, skip: bool) -> Self {
            self.skip_wildcards = skip;
            self
        }
    };
}
use fetch_options;
