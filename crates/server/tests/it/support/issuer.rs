//! A token issuer in this process: discovery, a key set and tokens, with every fault that a real one can have.
//!
//! Tests of everything behind a bearer token start one with [`TestIssuer::start`], give its [`TestIssuer::url`] to the code under
//! test as the issuer, and sign what they need. Its keys are made at run time; none is worth committing.
//! Invariant: what [`TestIssuer::token`] signs is what Keycloak would issue (`typ` `Bearer`, RS256, `kid`), valid for five minutes.
#![expect(clippy::expect_used, reason = "a test helper that cannot work should end the test")]

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Clock, Timestamp};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The audience of every token that does not say otherwise.
pub(crate) const AUDIENCE: &str = "tenant-registry";

/// How the issuer answers, both for discovery and for its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// As it should.
    Healthy,
    /// With this status and no body.
    Status(u16),
    /// Not at all, until the behaviour changes.
    Hang,
    /// With a page for humans, as a proxy in front of it would.
    Html,
    /// With a redirect to the right place.
    Redirect,
    /// With documents that are right and far too large.
    Huge,
}

/// What stands at `/.well-known/openid-configuration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// The document.
    Present,
    /// 404: the issuer offers no discovery.
    Absent,
    /// A document that names another issuer.
    OfAnother(String),
}

/// A signing key of the issuer, or of somebody else.
pub(crate) struct TestKey {
    /// Its id.
    pub(crate) kid: String,
    signer: Signer,
}

enum Signer {
    Rsa(&'static RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl TestKey {
    /// A new key for `RS256`, `ES256` or `EdDSA`. RSA keys share one pair in this process: making one is slow.
    pub(crate) fn generate(alg: &str, kid: &str) -> Arc<Self> {
        static RSA: OnceLock<RsaKeyPair> = OnceLock::new();
        let signer = match alg {
            "RS256" => Signer::Rsa(RSA.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key"))),
            "ES256" => Signer::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a P-256 key")),
            _ => Signer::Ed25519(Ed25519KeyPair::generate().expect("an Ed25519 key")),
        };
        Arc::new(Self { kid: kid.to_owned(), signer })
    }

    /// The algorithm that it signs with.
    pub(crate) fn alg(&self) -> &'static str {
        match self.signer {
            Signer::Rsa(_) => "RS256",
            Signer::P256(_) => "ES256",
            Signer::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key in its raw form: modulus, point or coordinate.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match &self.signer {
            Signer::Rsa(pair) => pair.public_key().modulus().big_endian_without_leading_zero().to_vec(),
            Signer::P256(pair) => pair.public_key().as_ref().to_vec(),
            Signer::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The public key as it stands in the key set.
    pub(crate) fn jwk(&self) -> Value {
        let public = self.public_bytes();
        let mut jwk = match &self.signer {
            Signer::Rsa(pair) => {
                let e = pair.public_key().exponent().big_endian_without_leading_zero().to_vec();
                json!({ "kty": "RSA", "n": base64url(&public), "e": base64url(&e) })
            }
            Signer::P256(_) => {
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(&public[1..33]), "y": base64url(&public[33..]) })
            }
            Signer::Ed25519(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(&public) }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg());
        jwk["use"] = json!("sig");
        jwk
    }

    /// The header of its tokens.
    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.alg(), "typ": "JWT", "kid": self.kid })
    }

    /// A token of any text `header.payload`, encoded already.
    pub(crate) fn sign_text(&self, message: &str) -> String {
        format!("{message}.{}", base64url(&self.sign(message.as_bytes())))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("an RSA signature");
                signature
            }
            Signer::P256(pair) => pair.sign(&random, message).expect("an ECDSA signature").as_ref().to_vec(),
            Signer::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// A token with any header and any claims, signed by the key whatever the header says.
pub(crate) fn sign_with(header: &Value, claims: &Value, key: &TestKey) -> String {
    key.sign_text(&unsigned(header, claims))
}

/// The part of a token that is signed.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()))
}

/// Base64url without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims of a token. [`TestIssuer::claims`] starts them.
#[derive(Debug, Clone)]
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    /// Adds a realm role.
    pub(crate) fn role(mut self, role: &str) -> Self {
        let access = self.0.entry("realm_access").or_insert_with(|| json!({ "roles": [] }));
        access["roles"].as_array_mut().expect("an array of roles").push(json!(role));
        self
    }

    /// Makes the caller a member of the tenant's organization, in the shape that Keycloak uses by default.
    pub(crate) fn tenant(self, slug: &str) -> Self {
        self.with("organization", json!([slug]))
    }

    /// Grants scopes, separated by spaces.
    pub(crate) fn scope(self, scopes: &str) -> Self {
        self.with("scope", json!(scopes))
    }

    /// Moves the end of the token's life, in seconds since the epoch.
    pub(crate) fn expires(self, at: i64) -> Self {
        self.with("exp", json!(at))
    }

    /// Sets any claim.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Removes a claim.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }
}

impl From<Claims> for Value {
    fn from(claims: Claims) -> Self {
        Value::Object(claims.0)
    }
}

/// The issuer. It ends with the value.
#[derive(Debug)]
pub(crate) struct TestIssuer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    server: JoinHandle<()>,
}

struct Shared {
    url: String,
    behaviour: watch::Sender<Behaviour>,
    discovery: Mutex<Discovery>,
    /// What the key set shows.
    published: Mutex<Vec<Value>>,
    signing: Mutex<Arc<TestKey>>,
    discovery_fetches: AtomicUsize,
    jwks_fetches: AtomicUsize,
}

impl TestIssuer {
    /// An issuer on a free port by the real clock, with one RS256 key `rsa-1`.
    pub(crate) async fn start() -> Self {
        Self::start_at(Arc::new(RealClock)).await
    }

    /// The same by another clock: tokens are issued at its now.
    pub(crate) async fn start_at(clock: Arc<dyn Clock>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let key = TestKey::generate("RS256", "rsa-1");
        let shared = Arc::new(Shared {
            url: format!("http://{address}/realms/test"),
            behaviour: watch::channel(Behaviour::Healthy).0,
            discovery: Mutex::new(Discovery::Present),
            published: Mutex::new(vec![key.jwk()]),
            signing: Mutex::new(key),
            discovery_fetches: AtomicUsize::new(0),
            jwks_fetches: AtomicUsize::new(0),
        });
        // With discovery the keys are somewhere that nobody could guess.
        let router = axum::Router::new()
            .route("/realms/test/.well-known/openid-configuration", get(discovery))
            .route("/realms/test/published-keys", get(key_set))
            .route("/realms/test/protocol/openid-connect/certs", get(key_set))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the test issuer serves");
        });
        Self { shared, clock, server }
    }

    /// The issuer's identifier, the `iss` of its tokens.
    pub(crate) fn url(&self) -> &str {
        &self.shared.url
    }

    /// The claims of an access token for this user, without roles and tenant.
    pub(crate) fn claims(&self, subject: &str) -> Claims {
        let now = self.clock.now().as_second();
        let Value::Object(claims) = json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": subject, "typ": "Bearer", "azp": "breakpilot-console",
            "iat": now, "exp": now + 300, "jti": "0b7cdbd0", "preferred_username": subject,
        }) else {
            return Claims(Map::new());
        };
        Claims(claims)
    }

    /// A token with these claims, signed by the key that signs now.
    pub(crate) fn token(&self, claims: impl Into<Value>) -> String {
        let key = self.signing_key();
        sign_with(&key.header(), &claims.into(), &key)
    }

    /// The key that signs now.
    pub(crate) fn signing_key(&self) -> Arc<TestKey> {
        Arc::clone(&lock(&self.shared.signing))
    }

    /// A new key signs from now on; the old ones stay published, as in Keycloak.
    pub(crate) fn rotate(&self, alg: &str, kid: &str) -> Arc<TestKey> {
        let key = TestKey::generate(alg, kid);
        self.publish(key.jwk());
        *lock(&self.shared.signing) = Arc::clone(&key);
        key
    }

    /// Adds any JWK to the key set.
    pub(crate) fn publish(&self, jwk: Value) {
        lock(&self.shared.published).push(jwk);
    }

    /// Takes the keys of this id out of the key set, as disabling one in Keycloak does.
    pub(crate) fn withdraw(&self, kid: &str) {
        lock(&self.shared.published).retain(|jwk| jwk["kid"] != kid);
    }

    /// How it answers from now on. What hung before is answered too.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// What stands at the discovery address from now on.
    pub(crate) fn discovery(&self, discovery: Discovery) {
        *lock(&self.shared.discovery) = discovery;
    }

    /// How often the discovery document has been asked for.
    pub(crate) fn discovery_fetches(&self) -> usize {
        self.shared.discovery_fetches.load(Ordering::SeqCst)
    }

    /// How often the keys have been asked for.
    pub(crate) fn jwks_fetches(&self) -> usize {
        self.shared.jwks_fetches.load(Ordering::SeqCst)
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("url", &self.url).finish_non_exhaustive()
    }
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    shared.discovery_fetches.fetch_add(1, Ordering::SeqCst);
    let issuer = match &*lock(&shared.discovery) {
        Discovery::Present => Some(shared.url.clone()),
        Discovery::Absent => None,
        Discovery::OfAnother(issuer) => Some(issuer.clone()),
    };
    let Some(issuer) = issuer else { return StatusCode::NOT_FOUND.into_response() };
    let jwks_uri = format!("{}/published-keys", shared.url);
    answer(&shared, json!({ "issuer": issuer, "jwks_uri": jwks_uri })).await
}

async fn key_set(State(shared): State<Arc<Shared>>) -> Response {
    shared.jwks_fetches.fetch_add(1, Ordering::SeqCst);
    let keys = lock(&shared.published).clone();
    answer(&shared, json!({ "keys": keys })).await
}

async fn answer(shared: &Shared, document: Value) -> Response {
    let mut behaviour = shared.behaviour.subscribe();
    let now = *behaviour
        .wait_for(|behaviour| *behaviour != Behaviour::Hang)
        .await
        .expect("the sender lives as long as the issuer");
    match now {
        Behaviour::Healthy | Behaviour::Hang => as_json(&document),
        Behaviour::Status(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Behaviour::Html => axum::response::Html("<h1>Welcome</h1>").into_response(),
        Behaviour::Redirect => {
            let there = format!("{}/published-keys", shared.url);
            (StatusCode::FOUND, [(header::LOCATION, there)]).into_response()
        }
        Behaviour::Huge => {
            let mut document = document;
            document["padding"] = json!("x".repeat(2 << 20));
            as_json(&document)
        }
    }
}

fn as_json(document: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The operating system's clock, by which an issuer and a verifier agree.
#[derive(Debug)]
pub(crate) struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        domain::time::from_micros(i64::try_from(since_epoch.as_micros()).expect("a date"))
    }
}
