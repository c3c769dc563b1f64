//! When two JSON Web Keys are one key.
//!
//! `jwks.rs` reads the tenant's configured key with [`SigningKey::read`] and looks for it among published ones. Two keys
//! are one if they have one `kid` and one material, by the members that make a thumbprint (RFC 7638 §3.2) and nothing
//! beside: `alg`, `use` and their like may be added without a change of key. Invariant: no message repeats a member's
//! value, but for the beginning of a `kid`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

/// The members by which a private or symmetric key is one (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2).
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// RFC 7515 §2 has no padding; some libraries add it, and some leave bits behind the last byte.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The key a tenant signs with, as it is configured.
#[derive(Debug)]
pub(super) struct SigningKey<'a> {
    kid: &'a str,
    material: Material<'a>,
}

/// What makes a key the one it is.
#[derive(Debug, PartialEq, Eq)]
enum Material<'a> {
    /// RFC 7518 §6.2.1.
    Ec { crv: &'a str, x: Vec<u8>, y: Vec<u8> },
    /// RFC 8037 §2.
    Okp { crv: &'a str, x: Vec<u8> },
    /// RFC 7518 §6.3.1. Numbers, without zeros in front.
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// Why a configured key cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("it is no JSON object")]
    NotAnObject,
    #[error("it has no `kid`")]
    NoKid,
    #[error("it has the private member `{0}`, and only the public key belongs in a configuration")]
    Private(&'static str),
    #[error("its `kty` is none of EC, OKP and RSA")]
    Type,
    #[error("its member `{0}` is missing or no base64url")]
    Member(&'static str),
}

/// Why a key is not among the published ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// No key has its `kid`.
    Kid,
    /// One has, and is another key.
    Material,
    /// It is there with this private member, so that everybody has it.
    Exposed(&'static str),
}

impl<'a> SigningKey<'a> {
    pub(super) fn read(jwk: &'a Value) -> Result<Self, KeyError> {
        let members = jwk.as_object().ok_or(KeyError::NotAnObject)?;
        // First, so that whoever configured a private key hears of that and of nothing else.
        if let Some(member) = private_member(members) {
            return Err(KeyError::Private(member));
        }
        let kid = text(members, "kid").filter(|kid| !kid.is_empty()).ok_or(KeyError::NoKid)?;
        Ok(Self { kid, material: Material::read(members)? })
    }

    /// Looks for this key in the array `keys` of a JWK Set (RFC 7517 §5). Of several with one `kid`, one is enough;
    /// what is no key is passed over.
    pub(super) fn find_in(&self, keys: &[Value]) -> Result<(), Missing> {
        let namesakes = || keys.iter().filter_map(Value::as_object).filter(|key| text(key, "kid") == Some(self.kid));
        let is_this = |key: &&Map<String, Value>| Material::read(key).is_ok_and(|material| material == self.material);
        // One copy with the private part is one too many, whatever stands beside it.
        if let Some(member) = namesakes().filter(is_this).find_map(private_member) {
            return Err(Missing::Exposed(member));
        }
        if namesakes().any(|key| is_this(&key)) {
            return Ok(());
        }
        Err(if namesakes().next().is_some() { Missing::Material } else { Missing::Kid })
    }

    /// The `kid` for messages: often a thumbprint, which redaction would take for a secret.
    pub(super) fn shown(&self) -> impl fmt::Display {
        const SHOWN: usize = 16;
        let begin: String = self.kid.chars().take(SHOWN).collect();
        if begin.len() < self.kid.len() { format!("`{begin}…`") } else { format!("`{begin}`") }
    }
}

impl<'a> Material<'a> {
    fn read(members: &'a Map<String, Value>) -> Result<Self, KeyError> {
        let string = |name| text(members, name).ok_or(KeyError::Member(name));
        let bytes = |name| {
            let decoded = BASE64URL.decode(string(name)?).map_err(|_| KeyError::Member(name))?;
            if decoded.is_empty() { Err(KeyError::Member(name)) } else { Ok(decoded) }
        };
        let number = |name| {
            let decoded = bytes(name)?;
            Ok(decoded.into_iter().skip_while(|byte| *byte == 0).collect())
        };
        match text(members, "kty") {
            Some("EC") => Ok(Self::Ec { crv: string("crv")?, x: bytes("x")?, y: bytes("y")? }),
            Some("OKP") => Ok(Self::Okp { crv: string("crv")?, x: bytes("x")? }),
            Some("RSA") => Ok(Self::Rsa { n: number("n")?, e: number("e")? }),
            _ => Err(KeyError::Type),
        }
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

fn private_member(members: &Map<String, Value>) -> Option<&'static str> {
    PRIVATE.iter().copied().find(|member| members.contains_key(*member))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The keys of RFC 8037 appendix A, RFC 7517 appendix A and RFC 7638 §3.1, shortened where length says nothing.
    fn okp() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    fn ec() -> Value {
        json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
    }

    fn rsa() -> Value {
        json!({"kty": "RSA", "kid": "k1", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z",
            "e": "AQAB"})
    }

    fn with(mut key: Value, member: &str, value: Value) -> Value {
        key[member] = value;
        key
    }

    fn without(mut key: Value, member: &str) -> Value {
        key.as_object_mut().unwrap().remove(member);
        key
    }

    #[track_caller]
    fn check(configured: &Value, published: &[Value], found: Result<(), Missing>) {
        assert_eq!(SigningKey::read(configured).unwrap().find_in(published), found);
    }

    #[track_caller]
    fn refused(configured: &Value, why: KeyError) {
        assert_eq!(SigningKey::read(configured).unwrap_err(), why);
    }

    #[test]
    fn a_key_is_found_by_kid_and_material() {
        for key in [okp(), ec(), rsa()] {
            check(&key, &[json!(null), json!("k1"), json!({}), key.clone()], Ok(()));
            check(&key, &[], Err(Missing::Kid));
            check(&key, &[with(key.clone(), "kid", json!("k2"))], Err(Missing::Kid));
            check(&key, &[with(key.clone(), "kid", json!("K1"))], Err(Missing::Kid));
            check(&key, &[without(key.clone(), "kid")], Err(Missing::Kid));
            check(&key, &[with(key.clone(), "kid", json!(["k1"]))], Err(Missing::Kid));
            let dressed = with(with(key.clone(), "alg", json!("any")), "use", json!("sig"));
            check(&key, std::slice::from_ref(&dressed), Ok(()));
            check(&dressed, &[key], Ok(()));
        }
    }

    #[test]
    fn every_member_of_the_thumbprint_counts() {
        for (key, member) in [
            (okp(), "x"),
            (okp(), "crv"),
            (ec(), "x"),
            (ec(), "y"),
            (ec(), "crv"),
            (rsa(), "n"),
            (rsa(), "e"),
            (okp(), "kty"),
            (ec(), "kty"),
            (rsa(), "kty"),
        ] {
            check(&key, &[with(key.clone(), member, json!("AAAA"))], Err(Missing::Material));
            check(&key, &[with(key.clone(), member, json!(7))], Err(Missing::Material));
            check(&key, &[without(key.clone(), member)], Err(Missing::Material));
        }
        check(&okp(), &[ec()], Err(Missing::Material));
    }

    #[test]
    fn of_several_keys_with_one_kid_one_is_enough() {
        check(&okp(), &[ec(), with(okp(), "x", json!("AAAA")), okp(), rsa()], Ok(()));
    }

    #[test]
    fn two_spellings_of_one_number_or_text_are_one_key() {
        let padded = with(okp(), "x", json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="));
        check(&okp(), std::slice::from_ref(&padded), Ok(()));
        check(&padded, &[okp()], Ok(()));
        check(&okp(), &[with(okp(), "x", json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp"))], Ok(()));
        check(&rsa(), &[with(rsa(), "e", json!("AAEAAQ"))], Ok(()));
        // The coordinates of curves have a length, and so zeros that count (RFC 7518 §6.2.1.2).
        check(&with(okp(), "x", json!("AQ")), &[with(okp(), "x", json!("AAE"))], Err(Missing::Material));
        check(
            &okp(),
            &[with(okp(), "x", json!("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo"))],
            Err(Missing::Material),
        );
    }

    #[test]
    fn a_published_private_key_is_no_proof_of_anything() {
        let exposed = with(okp(), "d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"));
        check(&okp(), std::slice::from_ref(&exposed), Err(Missing::Exposed("d")));
        check(&okp(), &[okp(), exposed.clone()], Err(Missing::Exposed("d")));
        check(&okp(), &[with(exposed, "kid", json!("k2")), okp()], Ok(()));
    }

    #[test]
    fn a_configured_key_has_to_be_a_public_one_with_a_kid() {
        for member in PRIVATE {
            for key in [okp(), ec(), rsa()] {
                refused(&with(key, member, json!("s3cr3t-s3cr3t")), KeyError::Private(member));
            }
        }
        refused(&json!({"kty": "oct", "kid": "k1", "k": "s3cr3t-s3cr3t"}), KeyError::Private("k"));
        refused(&json!({"kty": "oct", "kid": "k1"}), KeyError::Type);
        refused(&without(okp(), "kty"), KeyError::Type);
        refused(&without(okp(), "kid"), KeyError::NoKid);
        refused(&with(okp(), "kid", json!("")), KeyError::NoKid);
        refused(&with(okp(), "kid", json!(1)), KeyError::NoKid);
        refused(&without(okp(), "x"), KeyError::Member("x"));
        refused(&with(okp(), "x", json!("not base64url")), KeyError::Member("x"));
        refused(&with(okp(), "x", json!("")), KeyError::Member("x"));
        refused(&json!("k1"), KeyError::NotAnObject);
        refused(&json!([okp()]), KeyError::NotAnObject);
        let error = SigningKey::read(&with(okp(), "d", json!("s3cr3t-s3cr3t"))).unwrap_err().to_string();
        assert!(error.contains("`d`") && !error.contains("s3cr3t"), "{error}");
    }

    #[test]
    fn a_long_kid_is_shown_by_its_beginning() {
        let shown = |kid: &str| {
            let key = with(okp(), "kid", json!(kid));
            SigningKey::read(&key).unwrap().shown().to_string()
        };
        assert_eq!(shown("k1"), "`k1`");
        assert_eq!(shown("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), "`NzbLsXh8uDCcd-6M…`");
        assert_eq!(shown("ключ-подписи-номер-1"), "`ключ-подписи-ном…`");
    }
}
