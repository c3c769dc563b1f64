//! Which tokens are accepted, whose keys judge them, and what they say: `server::identity::tokens` against an issuer in process.
//!
//! The clock is set by hand, so that lifetimes, time-to-live and intervals pass without waiting.
#![expect(clippy::expect_used, clippy::panic, reason = "a test may end so")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::time::SignedDuration;
use domain::{Clock, Timestamp};
use serde_json::{Value, json};
use server::identity::tokens::{
    ClaimedTenant, PublicReason, TenantClaim, TokenError, TokenSettings, TokenSetupError, TokenVerifier, VerifiedToken,
};

use crate::support::issuer::{
    AUDIENCE, Behaviour, Claims, Discovery, RealClock, TestIssuer, TestKey, base64url, sign_with, unsigned,
};

mod claims;
mod keys;
mod memory;
mod outage;
mod signatures;
mod tenant;

const TTL: i64 = 600;
const REFETCH: i64 = 10;
const LEEWAY: i64 = 30;

/// So long that it ends a test that waits for it.
const PATIENT: Duration = Duration::from_secs(60);
const IMPATIENT: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().expect("the clock");
        *now += SignedDuration::from_secs(seconds);
    }

    fn seconds(&self) -> i64 {
        self.now().as_second()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("the clock")
    }
}

struct Setup {
    issuer: TestIssuer,
    clock: Arc<ManualClock>,
    verifier: Arc<TokenVerifier>,
}

impl Setup {
    async fn start() -> Self {
        let start = Timestamp::from_second(1_900_000_000).expect("a time");
        let clock = Arc::new(ManualClock(Mutex::new(start)));
        let issuer = TestIssuer::start_at(Arc::clone(&clock) as Arc<dyn Clock>).await;
        let verifier = verifier_of(issuer.url(), &clock, PATIENT);
        Self { issuer, clock, verifier }
    }

    /// With the keys fetched.
    async fn warm() -> Self {
        let setup = Self::start().await;
        setup.verify(&setup.issuer.token(setup.claims())).await.expect("a good token");
        assert_eq!(setup.issuer.jwks_fetches(), 1);
        setup
    }

    fn claims(&self) -> Claims {
        self.issuer.claims("alice")
    }

    /// Claims that outlive every time-to-live.
    fn long_lived(&self) -> Claims {
        self.claims().expires(self.clock.seconds() + 1_000_000)
    }

    async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, TokenError> {
        self.verifier.verify(token).await
    }

    #[track_caller]
    fn refused_as(&self, token: String, expected: TokenError) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            match self.verify(&token).await {
                Err(error) if error == expected => {}
                other => panic!("{at}: expected {expected:?}, got {other:?}"),
            }
        }
    }

    #[track_caller]
    fn claims_refused_as(&self, claims: Claims, expected: TokenError) -> impl Future<Output = ()> {
        self.refused_as(self.issuer.token(claims), expected)
    }

    /// Signed by the issuer's key under any header.
    fn with_header(&self, change: impl FnOnce(&mut Value)) -> String {
        let key = self.issuer.signing_key();
        let mut header = key.header();
        change(&mut header);
        sign_with(&header, &self.claims().into(), &key)
    }
}

fn verifier_of(issuer: &str, clock: &Arc<ManualClock>, fetch_timeout: Duration) -> Arc<TokenVerifier> {
    let settings = TokenSettings { fetch_timeout, ..TokenSettings::new(issuer, AUDIENCE) };
    Arc::new(TokenVerifier::new(settings, Arc::clone(clock) as Arc<dyn Clock>).expect("a verifier"))
}

/// Waits for a condition that something in the background brings about.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}
