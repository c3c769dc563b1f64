//! What single words say about secrets: names of values that are secret, and words that look like one.
//!
//! `redact.rs` asks for every atom it reads. The lists are what drivers, HTTP clients, cloud SDKs and our own keys are
//! known to print; add yours where it fits. Invariant: an answer depends on the word and its neighbour alone.

/// How sure it is that a value with this name is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// `password`: whatever follows.
    Always,
    /// `token`: unless the value reads like prose.
    Word,
    /// `pass`: only with `=`, or in JSON.
    OnlyWithEquals,
    /// `Authorization`: up to the end of the line.
    Line,
}

/// Whether the word stands where a query's parameter is named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    Parameter,
    No,
}

/// Ends of names, in lower case and without `_`, `-` and `.`, so that `client_secret`, `X-Api-Key` and
/// `SharedAccessKey` are found too.
const ENDS: &[(&str, Key)] = &[
    ("password", Key::Always),
    ("passwords", Key::Always),
    ("passwd", Key::Always),
    ("passphrase", Key::Always),
    ("passcode", Key::Always),
    ("secret", Key::Always),
    ("secrets", Key::Always),
    ("credential", Key::Always),
    ("credentials", Key::Always),
    ("apikey", Key::Always),
    ("accesskey", Key::Always),
    ("secretkey", Key::Always),
    ("privatekey", Key::Always),
    ("accountkey", Key::Always),
    ("sharedkey", Key::Always),
    ("masterkey", Key::Always),
    ("encryptionkey", Key::Always),
    ("accesskeyid", Key::Always),
    ("bearer", Key::Always),
    ("clientassertion", Key::Always),
    ("token", Key::Word),
    ("signature", Key::Word),
    ("jwt", Key::Word),
    ("authorization", Key::Line),
    ("cookie", Key::Line),
];

/// Last words of names that are too short to be looked for at the end of any name: `config` ends in `sig` to the ear.
const SHORT: &[&str] = &["pwd", "pass", "pw", "psk", "sig", "hmac", "auth", "otp"];

/// Names that are secret only in a query: OAuth's code (RFC 6749 §4.1.2), sessions, Google's keys.
const IN_QUERIES: &[&str] = &["key", "code", "session", "sessionid", "sid"];

/// `api key` is a name in prose, `key` alone is not.
const BEFORE_KEY: &[&str] = &["api", "access", "secret", "private", "account", "shared", "master", "encryption"];

/// What follows `bearer` and `basic` in prose, or in a challenge (RFC 6750 §3).
const AFTER_SCHEME: &[&str] = &[
    "access",
    "and",
    "auth",
    "authentication",
    "authorization",
    "challenge",
    "credential",
    "credentials",
    "error",
    "expected",
    "failed",
    "for",
    "format",
    "header",
    "in",
    "is",
    "method",
    "missing",
    "not",
    "of",
    "or",
    "required",
    "scheme",
    "token",
    "tokens",
    "type",
    "value",
    "was",
    "without",
];

/// How keys of known makers begin, and how many characters more make one. Ours are those with `trk_`.
const PREFIXES: &[(&str, usize)] = &[
    ("trk_dev_", 8),
    ("trk_stage_", 8),
    ("trk_live_", 8),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("rk_test_", 8),
    ("whsec_", 8),
    ("ghp_", 8),
    ("gho_", 8),
    ("ghu_", 8),
    ("ghs_", 8),
    ("ghr_", 8),
    ("github_pat_", 8),
    ("glpat-", 8),
    ("xoxa-", 8),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxr-", 8),
    ("xoxs-", 8),
    ("xapp-", 8),
    ("sk-ant-", 8),
    ("sk-proj-", 8),
    ("dop_v1_", 8),
    ("shpat_", 8),
    ("hvs.", 8),
    ("hvb.", 8),
    ("SG.", 16),
    ("ya29.", 8),
    ("AIza", 30),
    ("AKIA", 16),
    ("ASIA", 16),
    ("npm_", 30),
    ("hf_", 30),
    ("sk-", 30),
    ("pypi-", 30),
];

/// Every JSON object in base64 begins so; the parts of a JWT are such (RFC 7519 §3).
const JSON_IN_BASE64: &str = "eyJ";

/// What kind of secret `atom` names, if it names one; `before` is the word before it.
pub(super) fn key_of(before: &str, atom: &str, query: Query) -> Option<Key> {
    // The longest end has 17 characters; a name is not judged by more than its last few.
    let mut end: Vec<u8> =
        atom.bytes().rev().filter(u8::is_ascii_alphanumeric).take(24).map(|b| b.to_ascii_lowercase()).collect();
    end.reverse();
    if let Some((_, key)) = ENDS.iter().find(|(name, _)| end.ends_with(name.as_bytes())) {
        return Some(*key);
    }
    let last = atom.rsplit(['_', '-', '.', '+', '~', '%']).next().unwrap_or(atom);
    let is_one_of = |names: &[&str]| names.iter().any(|name| last.eq_ignore_ascii_case(name));
    if is_one_of(SHORT) || (query == Query::Parameter && is_one_of(IN_QUERIES)) {
        return Some(Key::OnlyWithEquals);
    }
    let two_words = atom.eq_ignore_ascii_case("key") && BEFORE_KEY.iter().any(|word| before.eq_ignore_ascii_case(word));
    two_words.then_some(Key::Always)
}

/// Whether `value` is what a sentence or a challenge says after the name of a scheme, and no credential.
pub(super) fn may_follow_scheme(scheme: &str, value: &str) -> bool {
    let word = value.trim_end_matches([',', ';']);
    // Base64 of a name and a password without a capital or a digit is next to impossible.
    let plain = scheme.eq_ignore_ascii_case("basic") && word.bytes().all(|b| b.is_ascii_lowercase());
    let parameter = word.split_once('=').is_some_and(|(name, _)| {
        ["realm", "scope", "error", "error_description", "charset", "resource_metadata"].contains(&name)
    });
    plain || parameter || AFTER_SCHEME.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether a word looks like a secret by itself.
pub(super) fn looks_secret(word: &str) -> bool {
    (word.starts_with(JSON_IN_BASE64) && word.len() >= 16) || has_known_prefix(word) || looks_random(word)
}

fn has_known_prefix(word: &str) -> bool {
    let bytes = word.as_bytes();
    let begins = |at: &usize| *at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    (0..bytes.len()).filter(begins).any(|at| {
        let here = &bytes[at..];
        PREFIXES.iter().any(|(prefix, more)| {
            let rest = here.strip_prefix(prefix.as_bytes()).unwrap_or_default();
            // Long remainders are asked to be of one piece: `npm_config_…` is no key.
            let counts = |b: &&u8| b.is_ascii_alphanumeric() || (*more < 16 && matches!(b, b'_' | b'-' | b'.'));
            rest.iter().take_while(counts).take(*more).count() == *more
        })
    })
}

/// Fewer characters than this are a name, a timestamp, a short hash.
const RANDOM: usize = 32;

/// Between the dashes of a slug or of a generated name stand shorter pieces than this.
const PIECE: usize = 20;

/// Whether a word is of a length and a mixture that nobody would type. UUIDs are not counted in: they name things.
fn looks_random(word: &str) -> bool {
    if word.len() < RANDOM {
        return false;
    }
    let one_label = !word.contains('.');
    word.split('.').filter(|label| label.len() >= RANDOM).any(|label| {
        let mut whole = Mixture::default();
        let mut longest = Mixture::default();
        let mut rest = label.as_bytes();
        while !rest.is_empty() {
            // Every round begins behind a sign, or at the start.
            if begins_with_uuid(rest) {
                rest = &rest[36..];
                continue;
            }
            let piece = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
            let mixture = Mixture::of(&rest[..piece]);
            whole.add(mixture);
            if mixture.count() > longest.count() {
                longest = mixture;
            }
            rest = rest.get(piece + 1..).unwrap_or_default();
        }
        if whole.count() + 4 < RANDOM {
            return false;
        }
        match (whole.lower > 0, whole.upper > 0, whole.digits > 0) {
            (true, true, true) => whole.changes_at_least(36),
            (true, true, false) => whole.changes_at_least(45),
            // Lower case and digits are also what hosts and slugs are made of, so that one piece has to be long.
            (_, _, true) => one_label && longest.count() >= PIECE && longest.changes_at_least(12),
            _ => false,
        }
    })
}

fn begins_with_uuid(bytes: &[u8]) -> bool {
    let is_uuid = |uuid: &[u8]| {
        uuid.iter()
            .enumerate()
            .all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
    };
    bytes.get(..36).is_some_and(is_uuid) && !bytes.get(36).is_some_and(u8::is_ascii_alphanumeric)
}

/// How many characters of which kind there are, and how often one kind follows another.
#[derive(Clone, Copy, Default)]
struct Mixture {
    lower: usize,
    upper: usize,
    digits: usize,
    changes: usize,
}

impl Mixture {
    fn of(piece: &[u8]) -> Self {
        let mut mixture = Self::default();
        let mut before = None;
        for b in piece {
            let kind = match b {
                b'a'..=b'z' => &mut mixture.lower,
                b'A'..=b'Z' => &mut mixture.upper,
                _ => &mut mixture.digits,
            };
            *kind += 1;
            let kind = (b.is_ascii_lowercase(), b.is_ascii_uppercase());
            mixture.changes += usize::from(before.is_some_and(|before| before != kind));
            before = Some(kind);
        }
        mixture
    }

    fn add(&mut self, other: Self) {
        self.lower += other.lower;
        self.upper += other.upper;
        self.digits += other.digits;
        self.changes += other.changes;
    }

    fn count(self) -> usize {
        self.lower + self.upper + self.digits
    }

    /// Of random base62, six in ten characters are of another kind than the one before; of CamelCase, three or fewer.
    fn changes_at_least(self, percent: usize) -> bool {
        self.changes * 100 >= self.count() * percent
    }
}
