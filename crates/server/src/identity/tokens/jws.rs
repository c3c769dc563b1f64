//! Takes a compact JWS (RFC 7515 §7.1) apart and refuses by its header what must not reach a key.
//!
//! Called by [`super::TokenVerifier`] before any key is looked up. The algorithm is judged here against the allow list
//! and again against the key (RFC 8725 §3.1); `jku`, `jwk`, `x5u` and `x5c` are never read, so a token cannot bring its key.
//! Invariant: nothing of the payload is decoded here; who has a [`Jws`] has not verified anything yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::TokenError;

/// The algorithms that are accepted at all. No HMAC: a public key would do as its secret. No `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl SignatureAlgorithm {
    /// The `alg` of a header or a JWK (RFC 7518 §3.1, RFC 8037 §3.1), if it is on the list.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A token in its parts, none of them verified.
pub(super) struct Jws<'a> {
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) kid: Option<String>,
    /// The header says `at+jwt` (RFC 9068 §2.1).
    pub(super) is_at_jwt: bool,
    /// `header.payload` as it was sent: what the signature covers.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    encoded_payload: &'a str,
}

impl<'a> Jws<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenError> {
        let (signed, encoded_signature) = token.rsplit_once('.').ok_or(TokenError::Malformed("not three parts"))?;
        let (encoded_header, encoded_payload) =
            signed.split_once('.').ok_or(TokenError::Malformed("not three parts"))?;
        // Five parts are an encrypted token (RFC 7516 §7.1).
        if encoded_payload.contains('.') {
            return Err(TokenError::Malformed("not three parts"));
        }

        let header = decode(encoded_header).ok_or(TokenError::Malformed("the header is not base64url"))?;
        let header: Map<String, Value> =
            serde_json::from_slice(&header).map_err(|_| TokenError::Malformed("the header is not a JSON object"))?;
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(SignatureAlgorithm::of)
            .ok_or(TokenError::AlgorithmRefused)?;
        if header.contains_key("crit") {
            return Err(TokenError::CriticalHeader);
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(TokenError::Malformed("`kid` is not a string")),
        };
        let is_at_jwt = match header.get("typ") {
            None => false,
            Some(Value::String(typ)) => media_type_is_at_jwt(typ)?,
            Some(_) => return Err(TokenError::Malformed("the header's `typ` is not a string")),
        };
        let signature = decode(encoded_signature).ok_or(TokenError::Malformed("the signature is not base64url"))?;
        Ok(Self { algorithm, kid, is_at_jwt, signed: signed.as_bytes(), signature, encoded_payload })
    }

    /// The payload's bytes. Ask only once the signature has been verified.
    pub(super) fn payload(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.encoded_payload).ok_or(TokenError::Malformed("the payload is not base64url"))
    }
}

/// Whether the header's `typ` is that of an RFC 9068 access token; an error if it is neither that nor a plain JWT
/// (`logout+jwt`, `dpop+jwt`, `secevent+jwt` …). A media type: case does not count and `application/` may be left out (RFC 7515 §4.1.9).
fn media_type_is_at_jwt(typ: &str) -> Result<bool, TokenError> {
    const PREFIX: &str = "application/";
    let short = match typ.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
        Some(_) | None => typ,
    };
    if short.eq_ignore_ascii_case("at+jwt") {
        Ok(true)
    } else if short.eq_ignore_ascii_case("jwt") {
        Ok(false)
    } else {
        Err(TokenError::WrongType)
    }
}

/// Strict base64url: no padding, no stray bits (RFC 7515 §2).
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
