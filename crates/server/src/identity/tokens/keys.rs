//! The issuer's key set (RFC 7517), reduced to the keys that may verify an access token.
//!
//! Made by [`super::source`] from each JWKS document, asked by [`super::TokenVerifier`] for each token. A key that is odd,
//! of an unknown type or for encryption is left out and does not spoil the others; Keycloak publishes an RSA-OAEP key in every set.
//! Invariant: every key here is parsed, is for exactly one algorithm of the allow list, and an RSA one has at least 2048 bits.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use domain::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::error::TokenError;
use super::jws::{SignatureAlgorithm, decode};

/// RFC 7518 §3.3.
const MIN_RSA_BITS: usize = 2048;
/// What aws-lc verifies with at most; a larger key would be "usable" and never fit.
const MAX_RSA_BITS: usize = 8192;

/// One public key, ready to verify.
pub(super) struct SigningKey {
    kid: Option<String>,
    algorithm: SignatureAlgorithm,
    key: ParsedPublicKey,
    /// Identifies the key with its id and algorithm: the key set has changed when one of these has.
    fingerprint: [u8; 32],
}

impl SigningKey {
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        self.key.verify_sig(message, signature).map_err(|_| TokenError::BadSignature)
    }
}

/// The keys of one fetch.
pub(super) struct KeySet {
    keys: Vec<SigningKey>,
    /// Grows whenever the keys differ from those before: verdicts of another generation are void.
    pub(super) generation: u64,
    /// When the fetch began.
    pub(super) fetched_at: Timestamp,
}

/// What a key set says to a token's header.
pub(super) enum Lookup<'a> {
    Found(&'a SigningKey),
    /// No such key, but a newer set may have it.
    Unknown,
    Refused(TokenError),
}

impl KeySet {
    pub(super) fn new(keys: Vec<SigningKey>, previous: Option<&KeySet>, fetched_at: Timestamp) -> Self {
        let generation = match previous {
            None => 0,
            Some(known) if same_keys(&known.keys, &keys) => known.generation,
            Some(known) => known.generation + 1,
        };
        Self { keys, generation, fetched_at }
    }

    pub(super) fn find(&self, kid: Option<&str>, algorithm: SignatureAlgorithm) -> Lookup<'_> {
        let Some(kid) = kid else {
            return match self.keys.as_slice() {
                [only] if only.algorithm == algorithm => Lookup::Found(only),
                [_] => Lookup::Refused(TokenError::AlgorithmMismatch),
                _ => Lookup::Refused(TokenError::AmbiguousKey),
            };
        };
        // Keys of different types may share an id (RFC 7517 §4.5).
        let mut of_this_id = self.keys.iter().filter(|key| key.kid.as_deref() == Some(kid)).peekable();
        if of_this_id.peek().is_none() {
            return Lookup::Unknown;
        }
        match of_this_id.find(|key| key.algorithm == algorithm) {
            Some(key) => Lookup::Found(key),
            None => Lookup::Refused(TokenError::AlgorithmMismatch),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("kids", &self.keys.iter().map(|key| key.kid.as_deref()).collect::<Vec<_>>())
            .field("generation", &self.generation)
            .field("fetched_at", &self.fetched_at)
            .finish()
    }
}

/// The order of a set means nothing (RFC 7517 §5.1), so a set in another order is the same.
fn same_keys(left: &[SigningKey], right: &[SigningKey]) -> bool {
    let sorted = |keys: &[SigningKey]| {
        let mut prints: Vec<[u8; 32]> = keys.iter().map(|key| key.fingerprint).collect();
        prints.sort_unstable();
        prints
    };
    sorted(left) == sorted(right)
}

/// The usable keys of a JWKS document; `None` if it is no such document.
pub(super) fn usable_keys(document: &[u8]) -> Option<Vec<SigningKey>> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    let document: Document = serde_json::from_slice(document).ok()?;
    Some(document.keys.into_iter().filter_map(usable_key).collect())
}

/// The members of a JWK that matter (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    public_key_use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn usable_key(jwk: Value) -> Option<SigningKey> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    if jwk.public_key_use.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return None;
    }
    let (algorithm, key, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => rsa_key(&jwk)?,
        ("EC", Some("P-256")) => p256_key(&jwk)?,
        ("OKP", Some("Ed25519")) => ed25519_key(&jwk)?,
        _ => return None,
    };
    // A key that states its algorithm is for that one alone: RSA-OAEP, PS256, RS512 are not for us.
    if jwk.alg.as_deref().is_some_and(|stated| SignatureAlgorithm::of(stated) != Some(algorithm)) {
        return None;
    }
    let fingerprint = fingerprint(jwk.kid.as_deref(), algorithm, &material);
    Some(SigningKey { kid: jwk.kid, algorithm, key, fingerprint })
}

type Parsed = (SignatureAlgorithm, ParsedPublicKey, Vec<u8>);

fn rsa_key(jwk: &Jwk) -> Option<Parsed> {
    let n = without_leading_zeros(decode(jwk.n.as_deref()?)?);
    let e = without_leading_zeros(decode(jwk.e.as_deref()?)?);
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return None;
    }
    let components = RsaPublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
    let key = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;
    let material = [n.as_slice(), b".", e.as_slice()].concat();
    Some((SignatureAlgorithm::Rs256, key, material))
}

fn p256_key(jwk: &Jwk) -> Option<Parsed> {
    let x: [u8; 32] = decode(jwk.x.as_deref()?)?.try_into().ok()?;
    let y: [u8; 32] = decode(jwk.y.as_deref()?)?.try_into().ok()?;
    // The uncompressed point of SEC 1 §2.3.3; parsing refuses one that is not on the curve.
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).ok()?;
    Some((SignatureAlgorithm::Es256, key, point))
}

fn ed25519_key(jwk: &Jwk) -> Option<Parsed> {
    let x: [u8; 32] = decode(jwk.x.as_deref()?)?.try_into().ok()?;
    let key = ParsedPublicKey::new(&ED25519, x).ok()?;
    Some((SignatureAlgorithm::EdDsa, key, x.to_vec()))
}

/// RFC 7518 §6.3.1.1 forbids leading zeros, and known implementations send one; aws-lc refuses them.
fn without_leading_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.drain(..zeros);
    number
}

fn fingerprint(kid: Option<&str>, algorithm: SignatureAlgorithm, material: &[u8]) -> [u8; 32] {
    let label = format!("{algorithm:?} {kid:?}\n");
    sha256(&[label.as_bytes(), material].concat())
}

/// SHA-256 as an array.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::super::jws::Jws;
    use super::*;

    const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn set(keys: &[Value]) -> KeySet {
        let document = json!({ "keys": keys }).to_string();
        KeySet::new(usable_keys(document.as_bytes()).expect("a JWKS"), None, Timestamp::UNIX_EPOCH)
    }

    #[track_caller]
    fn check_vector(jwk: Value, token: &str) {
        let keys = set(&[jwk]);
        let jws = Jws::parse(token).expect("a JWS");
        let Lookup::Found(key) = keys.find(None, jws.algorithm) else { panic!("the key is not usable") };
        assert_eq!(key.verify(jws.signed, &jws.signature), Ok(()));
        let mut tampered = jws.signed.to_vec();
        tampered[30] ^= 1;
        assert_eq!(key.verify(&tampered, &jws.signature), Err(TokenError::BadSignature));
    }

    #[track_caller]
    fn check_ignored(jwk: Value) {
        assert_eq!(set(&[jwk]).keys.len(), 0);
    }

    #[test]
    fn rfc_7515_appendix_a2_verifies() {
        check_vector(
            json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"}),
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        );
    }

    #[test]
    fn rfc_7515_appendix_a3_verifies() {
        check_vector(
            json!({"kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y}),
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        );
    }

    #[test]
    fn rfc_8037_appendix_a4_verifies() {
        check_vector(
            json!({"kty": "OKP", "crv": "Ed25519", "x": ED_X}),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
    }

    #[test]
    fn keys_for_anything_but_verifying_are_ignored() {
        check_ignored(json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "use": "enc"}));
        check_ignored(json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "alg": "RSA-OAEP"}));
        check_ignored(json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "alg": "PS256"}));
        check_ignored(json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "key_ops": ["wrapKey"]}));
        check_ignored(json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "alg": "ES256"}));
    }

    #[test]
    fn odd_keys_are_ignored() {
        check_ignored(json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}));
        check_ignored(json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}));
        check_ignored(json!({"kty": 7}));
        check_ignored(json!("text"));
        check_ignored(json!({"kty": "RSA", "n": "", "e": "AQAB"}));
        check_ignored(json!({"kty": "RSA", "n": "AAAA", "e": "AQAB"}));
        check_ignored(json!({"kty": "RSA", "n": RSA_N}));
        check_ignored(json!({"kty": "RSA", "n": RSA_N, "e": ""}));
        check_ignored(json!({"kty": "EC", "crv": "P-384", "x": EC_X, "y": EC_Y}));
        check_ignored(json!({"kty": "OKP", "crv": "X25519", "x": ED_X}));
        check_ignored(json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}));
        // Not on the curve.
        check_ignored(json!({"kty": "EC", "crv": "P-256", "x": EC_Y, "y": EC_X}));
    }

    #[test]
    fn an_rsa_key_of_2047_bits_is_ignored() {
        let mut n = URL_SAFE_NO_PAD.decode(RSA_N).expect("base64url");
        n[0] = 0x7f;
        check_ignored(json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": "AQAB"}));
    }

    #[test]
    fn a_generation_lasts_while_the_keys_are_the_same() {
        let rsa = json!({"kty": "RSA", "kid": "a", "n": RSA_N, "e": "AQAB"});
        let ed = json!({"kty": "OKP", "kid": "b", "crv": "Ed25519", "x": ED_X});
        let next = |previous: &KeySet, keys: &[Value]| {
            let document = json!({ "keys": keys }).to_string();
            let keys = usable_keys(document.as_bytes()).expect("a JWKS");
            KeySet::new(keys, Some(previous), Timestamp::UNIX_EPOCH).generation
        };
        let first = set(&[rsa.clone(), ed.clone()]);
        assert_eq!(next(&first, &[ed.clone(), rsa.clone()]), first.generation);
        assert_ne!(next(&first, std::slice::from_ref(&rsa)), first.generation);
        let renamed = json!({"kty": "OKP", "kid": "c", "crv": "Ed25519", "x": ED_X});
        assert_ne!(next(&first, &[rsa, renamed]), first.generation);
    }
}
