//! How a key is written: `trk_<env>_`, at least 22 random base62 characters, and six more that check all before them.
//!
//! `app` mints keys and reads those that are shown to it. The last six are the CRC-32 (the one of IEEE 802.3, as in zip
//! and in GitHub's tokens) in base62, so that a typo needs no look-up and a secret scanner need not guess. Invariant:
//! what [`mint`] makes [`read`] accepts, and the key itself is kept nowhere: only its [`KeyHash`] is.

use std::fmt;
use std::fmt::Write as _;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::secret::Secret;
use crate::time::Rng;
use crate::words::words;

/// Digits of base62, in the order that GitHub's tokens have them.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Random characters of a key that is made here: 131 bits.
const RANDOM: usize = 22;
/// Characters of the check: 62⁶ is more than 2³².
const CHECK: usize = 6;
/// The most characters of a key; longer text is not looked at.
pub const KEY_MAX: usize = 200;
/// What every key begins with, whatever its environment.
pub const KEY_START: &str = "trk_";

words! {
    /// Where a key is good. It stands in the key, so that one that strays is told at a glance.
    KeyEnv {
        /// Development.
        Dev = "dev",
        /// Staging.
        Stage = "stage",
        /// Production.
        Live = "live",
    }
}

impl KeyEnv {
    /// What a key of this environment begins with, whole.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Dev => "trk_dev_",
            Self::Stage => "trk_stage_",
            Self::Live => "trk_live_",
        }
    }

    /// The environment with this prefix.
    #[must_use]
    pub fn of_prefix(prefix: &str) -> Option<Self> {
        [Self::Dev, Self::Stage, Self::Live].into_iter().find(|env| env.prefix() == prefix)
    }
}

/// The SHA-256 of a key: all that is kept of it. Prints as nothing of use.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash in lower hexadecimal digits, as the change feed carries it.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Reads the hexadecimal digits back.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("is not the hash of a key"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// What a well-formed key says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WellFormed {
    /// Where it is good.
    pub env: KeyEnv,
}

/// The text is no key: whatever is wrong with it, nobody made it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an API key")]
pub struct Malformed;

/// Makes a key, every character of whose random part is equally likely.
#[must_use]
pub fn mint(env: KeyEnv, rng: &dyn Rng) -> Secret {
    let mut key = String::with_capacity(env.prefix().len() + RANDOM + CHECK);
    key.push_str(env.prefix());
    let full = key.len() + RANDOM;
    while key.len() < full {
        let mut bytes = [0_u8; 32];
        rng.fill(&mut bytes);
        for byte in bytes {
            // 248 is four times 62: bytes above would make the first digits likelier than the others.
            if byte < 248 && key.len() < full {
                key.push(char::from(DIGITS[usize::from(byte % 62)]));
            }
        }
    }
    let check = check(key.as_bytes());
    key.extend(check.map(char::from));
    Secret::from(key)
}

/// Judges a text without asking anybody, and without keeping anything of it.
///
/// # Errors
/// [`Malformed`].
pub fn read(text: &str) -> Result<WellFormed, Malformed> {
    if text.len() > KEY_MAX {
        return Err(Malformed);
    }
    let rest = text.strip_prefix(KEY_START).ok_or(Malformed)?;
    let (env, body) = rest.split_once('_').ok_or(Malformed)?;
    let env = KeyEnv::from_word(env).ok_or(Malformed)?;
    if body.len() < RANDOM + CHECK || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Malformed);
    }
    let (before, sent) = text.as_bytes().split_at(text.len() - CHECK);
    if check(before) == sent { Ok(WellFormed { env }) } else { Err(Malformed) }
}

/// What is kept of a key.
#[must_use]
pub fn hash(text: &str) -> KeyHash {
    KeyHash(Sha256::digest(text.as_bytes()).into())
}

/// The last characters of a key, by which people tell their keys apart.
#[must_use]
pub fn last_four(key: &Secret) -> String {
    let text = key.expose();
    text.get(text.len().saturating_sub(4)..).unwrap_or_default().to_owned()
}

fn check(before: &[u8]) -> [u8; CHECK] {
    let mut rest = crc32fast::hash(before);
    let mut digits = [b'0'; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Rng;
    use proptest::prelude::*;

    /// Gives out what it is made of, over and over.
    #[derive(Debug)]
    struct Cycle(std::sync::Mutex<std::iter::Cycle<std::vec::IntoIter<u8>>>);

    impl Cycle {
        fn of(bytes: Vec<u8>) -> Self {
            Self(std::sync::Mutex::new(bytes.into_iter().cycle()))
        }
    }

    impl Rng for Cycle {
        fn fill(&self, bytes: &mut [u8]) {
            let mut source = self.0.lock().unwrap();
            bytes.fill_with(|| source.next().unwrap());
        }
    }

    fn minted(env: KeyEnv, bytes: Vec<u8>) -> String {
        mint(env, &Cycle::of(bytes)).expose().to_owned()
    }

    fn any_env() -> impl Strategy<Value = KeyEnv> {
        prop::sample::select(vec![KeyEnv::Dev, KeyEnv::Stage, KeyEnv::Live])
    }

    /// Enough small bytes are among them for the sampling to end.
    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0_u8..248, 64)
    }

    /// The CRC-32 bit by bit, as the standard has it, so that the vector below does not rest on the crate alone.
    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn a_key_has_the_form_of_the_contract() {
        let key = minted(KeyEnv::Dev, (0..=21).collect());
        // Computed apart, with another program's CRC-32 of the first thirty characters.
        assert_eq!(key, "trk_dev_0123456789ABCDEFGHIJKL4Uutzc");
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of the standard");
        assert_eq!(read(&key), Ok(WellFormed { env: KeyEnv::Dev }));
        assert_eq!(hash("abc").to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn small_checks_are_padded_with_zeros() {
        assert_eq!(check(b""), *b"000000");
        // The CRC-32 of this is 1 to 5 digits long in base62.
        let short = (0_u32..).map(|n| n.to_string()).find(|text| crc32(text.as_bytes()) < 62_u32.pow(5)).unwrap();
        assert_eq!(check(short.as_bytes())[0], b'0');
    }

    #[test]
    fn bytes_that_would_make_some_characters_likelier_are_passed_over() {
        let mut bytes = vec![255, 254, 253, 252, 251, 250, 249, 248];
        bytes.push(61);
        assert!(minted(KeyEnv::Live, bytes).starts_with(&format!("trk_live_{}", "z".repeat(22))));
    }

    #[track_caller]
    fn malformed(text: &str) {
        assert_eq!(read(text), Err(Malformed), "{text:?}");
    }

    fn checked(before: &str) -> String {
        format!("{before}{}", String::from_utf8(check(before.as_bytes()).to_vec()).unwrap())
    }

    #[test]
    fn what_is_nearly_a_key_is_malformed() {
        let good = minted(KeyEnv::Stage, vec![7; 22]);
        assert!(read(&good).is_ok());
        for text in ["", "trk_", "trk_dev_", "trk__", "0", "trk_dev", "\0", "sk_live_0123456789"] {
            malformed(text);
        }
        malformed(&format!(" {good}"));
        malformed(&format!("{good} "));
        malformed(&format!("{good}\n"));
        malformed(&good.to_uppercase());
        // The check alone is not enough.
        for before in [
            "trk_prod_0123456789ABCDEFGHIJKL",
            "trk_Dev_0123456789ABCDEFGHIJKL",
            "trk_dev_0123456789ABCDEFGHIJK",
            "trk_dev_0123456789ABCDEFGHIJK_M",
            "trk_dev_0123456789ABCDEFGHIJK-M",
            "trk_dev_0123456789ABCDEFGHIJKé",
            "tsk_dev_0123456789ABCDEFGHIJKL",
            "trkdev_0123456789ABCDEFGHIJKL",
        ] {
            malformed(&checked(before));
        }
    }

    #[test]
    fn longer_random_parts_are_keys_up_to_a_limit() {
        let of = |random: usize| checked(&format!("trk_dev_{}", "a".repeat(random)));
        for random in [22, 23, 100, KEY_MAX - 14] {
            assert_eq!(read(&of(random)), Ok(WellFormed { env: KeyEnv::Dev }), "{random}");
        }
        malformed(&of(21));
        malformed(&of(KEY_MAX - 13));
        malformed(&of(1 << 20));
    }

    #[test]
    fn a_hash_prints_nothing_of_use_and_comes_back_from_its_digits() {
        let hash = hash("trk_dev_whatever");
        assert_eq!(format!("{hash:?}"), "KeyHash(…)");
        assert_eq!(KeyHash::from_hex(&hash.to_hex()), Some(hash));
        for text in ["", "00", &"g".repeat(64), &hash.to_hex().to_uppercase(), &"é".repeat(32)] {
            assert_eq!(KeyHash::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_prefix_names_its_environment() {
        for env in [KeyEnv::Dev, KeyEnv::Stage, KeyEnv::Live] {
            assert_eq!(KeyEnv::of_prefix(env.prefix()), Some(env));
            assert_eq!(env.prefix(), format!("{KEY_START}{env}_"));
        }
        assert_eq!(KeyEnv::of_prefix("trk_"), None);
    }

    proptest! {
        #[test]
        fn what_is_minted_is_well_formed(env in any_env(), bytes in any_bytes()) {
            let key = minted(env, bytes);
            prop_assert_eq!(read(&key), Ok(WellFormed { env }));
            prop_assert_eq!(key.len(), env.prefix().len() + 28);
            prop_assert_eq!(crc32(&key.as_bytes()[..key.len() - 6]), crc32fast::hash(&key.as_bytes()[..key.len() - 6]));
        }

        #[test]
        fn every_change_of_one_character_is_malformed(env in any_env(), bytes in any_bytes(), other in any::<char>()) {
            let key = minted(env, bytes);
            let ascii = char::from(b' ' + (other as u32 % 95) as u8);
            for place in 0..key.len() {
                for new in [other, ascii] {
                    let changed: String =
                        key.chars().enumerate().map(|(at, old)| if at == place { new } else { old }).collect();
                    prop_assert!(changed == key || read(&changed).is_err(), "{} at {}", changed, place);
                }
            }
        }

        #[test]
        fn every_deletion_and_every_swap_of_neighbours_is_malformed(env in any_env(), bytes in any_bytes()) {
            let key = minted(env, bytes);
            for place in 0..key.len() {
                let mut deleted = key.clone();
                deleted.remove(place);
                prop_assert!(read(&deleted).is_err(), "{} without {}", key, place);
                let mut swapped = key.clone().into_bytes();
                if place + 1 < key.len() {
                    swapped.swap(place, place + 1);
                    let swapped = String::from_utf8(swapped).unwrap();
                    prop_assert!(swapped == key || read(&swapped).is_err(), "{} at {}", swapped, place);
                }
                for character in ['0', '_', 'z'] {
                    let mut longer = key.clone();
                    longer.insert(place, character);
                    prop_assert!(read(&longer).is_err(), "{}", longer);
                }
            }
        }

        #[test]
        fn no_text_is_too_strange_to_be_judged(text in any::<String>()) {
            prop_assert_eq!(read(&text), Err(Malformed));
        }
    }
}
