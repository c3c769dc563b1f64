//! Keys that are made of a number: as good as the registry's own, and nobody needs to keep their plaintexts.
//!
//! The seed writes their hashes, the load generator shows their plaintexts. The format is written down here once more,
//! from the contract (`trk_<env>_`, 22 base62 characters, six of CRC-32), and not taken from the product: keys that were
//! made by the rule alone are what others will send. Invariant: one number is always the same key.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::Outcome;

/// How long every one of these keys is.
pub(crate) const WIDTH: usize = PREFIX.len() + RANDOM + CHECK;
pub(crate) const PREFIX: &str = "trk_dev_";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM: usize = 22;
const CHECK: usize = 6;

/// The key with this number.
pub(crate) fn key(number: u64) -> String {
    let mut key = String::with_capacity(WIDTH);
    key.push_str(PREFIX);
    let mut state = number;
    for _ in 0..RANDOM {
        // SplitMix64: neighbouring numbers make keys that have nothing in common.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        key.push(digit(mixed ^ (mixed >> 31)));
    }
    let mut rest = u64::from(crc32(key.as_bytes()));
    let mut check = ['0'; CHECK];
    for place in check.iter_mut().rev() {
        *place = digit(rest);
        rest /= 62;
    }
    key.extend(check);
    key
}

/// The same with one character changed, so that it is no key of anybody.
pub(crate) fn broken(number: u64) -> String {
    let mut key = key(number);
    let last = key.pop();
    key.push(if last == Some('0') { '1' } else { '0' });
    key
}

/// The SHA-256 of a key.
pub(crate) fn hash(key: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    bytes
}

/// Writes the keys with the numbers below `count` into a file for the load generator.
pub(crate) fn deck(folder: &Path, name: &str, count: u64, make: fn(u64) -> String) -> Outcome<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, (0..count).map(make).collect::<String>())?;
    Ok(path)
}

fn digit(number: u64) -> char {
    usize::try_from(number % 62).map_or('0', |place| char::from(DIGITS[place]))
}

/// CRC-32 as in IEEE 802.3, a bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
