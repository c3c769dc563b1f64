//! Takes credentials out of texts that others wrote: drivers, HTTP clients, factories, validators.
//!
//! [`Reason`](crate::Reason) calls this once for every text it is made of, and nobody else has to. It works by form
//! (what stands around a value, or what the value looks like), as it cannot know what is secret; in doubt it hides a
//! harmless word rather than shows a password. `redact/words.rs` has the lists and the judgement of single words.
//!
//! Invariant: the result is its own result, has no control characters and at most [`MAX_CHARS`] characters; the work is
//! linear in the text, and ends once the result is full.

mod words;

use words::{Key, Query, key_of, looks_secret, may_follow_scheme};

/// Enough for a driver's sentence with a URL in it, and little enough for a status page or a header.
const MAX_CHARS: usize = 500;

const MASK: &str = "***";

const CUT: char = '…';

/// How far userinfo without a scheme is looked for; without a limit, a row of colons would be read again and again.
const MAX_USERINFO: usize = 1_024;

/// How often a result is read again until it is its own: once, but for texts that are made to need more.
const ROUNDS: usize = 4;

/// `text` without credentials and control characters, and bounded in length.
pub(crate) fn redacted(text: &str) -> String {
    let mut shown = Redactor::new(text).run();
    for _ in 0..ROUNDS {
        if shown.chars().nth(MAX_CHARS).is_some() {
            return cut(&shown);
        }
        // What a mask has brought within reach of a step may be a secret's form, too.
        let again = Redactor::new(&shown).run();
        if again == shown {
            return shown;
        }
        shown = again;
    }
    CUT.to_string()
}

/// The longest beginning that stays what it is when it is read again: a cut may make a secret's form of a harmless
/// word, for instance of a path whose next slash is gone.
fn cut(shown: &str) -> String {
    let full = shown.char_indices().nth(MAX_CHARS - 1).map_or(shown.len(), |(at, _)| at);
    let before_spaces = shown[..full].rmatch_indices(' ').map(|(at, _)| at);
    std::iter::once(full)
        .chain(before_spaces)
        .map(|end| format!("{}{CUT}", &shown[..end]))
        .find(|candidate| Redactor::new(candidate).run() == *candidate)
        .unwrap_or_else(|| CUT.to_string())
}

/// Reads a text from left to right, atom by atom, and writes what may be shown.
struct Redactor<'a> {
    text: &'a str,
    at: usize,
    /// The atom before this one, if only a space is between: `api key` is two words.
    before: &'a str,
    shown: String,
    room: usize,
}

impl<'a> Redactor<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, before: "", shown: String::new(), room: MAX_CHARS + 1 }
    }

    fn run(mut self) -> String {
        while self.room > 0 {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { break };
            if is_atom(first) {
                self.atom(&rest[..run_of(rest, is_atom)]);
            } else if let Some(after) = rest.strip_prefix("://") {
                self.show("://");
                if let Some(userinfo) = userinfo_of_url(after) {
                    self.mask(userinfo);
                }
            } else {
                self.show(&rest[..first.len_utf8()]);
            }
        }
        self.shown
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn atom(&mut self, atom: &'a str) {
        let rest = self.rest();
        let before = std::mem::take(&mut self.before);
        if let Some((start, end)) = private_key_block(rest, atom.len()) {
            self.word(&atom[..start]);
            return self.mask(end - start);
        }
        if let Some(found) = self.credential_after(before, atom, &rest[atom.len()..]) {
            self.word(atom);
            self.show(&rest[atom.len()..atom.len() + found.start]);
            return self.mask(found.len);
        }
        if let Some(userinfo) = bare_userinfo(rest, atom) {
            return self.mask(userinfo);
        }
        self.word(atom);
        if self.rest().starts_with(' ') {
            self.before = atom;
        }
        // The space is shown with the atom, so that `before` is gone after anything else.
        if !self.before.is_empty() {
            self.show(" ");
        }
    }

    /// Where after an atom the value stands that the atom announces: `password=…`, `"token": "…"`, `Bearer …`.
    fn credential_after(&self, before: &str, atom: &str, after: &str) -> Option<Found> {
        let scheme = is_scheme(atom);
        if scheme && after.starts_with(is_space) {
            let start = run_of(after, is_space);
            let value = bare_value(&after[start..]);
            if !value.is_empty() && !is_masked(value) && !may_follow_scheme(atom, value) {
                return Some(Found { start, len: value.len() });
            }
            return None;
        }
        let asked = match self.text[..self.at].chars().next_back() {
            Some('?' | '&') => Query::Parameter,
            _ => Query::No,
        };
        let key = key_of(before, atom, asked)?;
        let separator = Separator::read(atom, after)?;
        let value = &after[separator.len..];
        let len = match key {
            Key::OnlyWithEquals if !separator.equals && !separator.quoted => return None,
            Key::Line if !value.starts_with(is_opening) => self.line_value(value),
            Key::Word if !separator.equals && !separator.quoted && is_prose(value) => return None,
            Key::Line | Key::Word | Key::Always | Key::OnlyWithEquals => return found_value(separator.len, value),
        };
        let done = value.strip_prefix(MASK).is_some_and(|more| !more.starts_with(|c| !is_space(c) && !is_quote(c)));
        (len > 0 && !done).then_some(Found { start: separator.len, len })
    }

    /// A header's value ends with the line, or with the quotes around the whole header, as in `curl -H '…'`.
    fn line_value(&self, value: &str) -> usize {
        let around = self.text[..self.at].chars().next_back().filter(|c| is_quote(*c));
        let line = run_of(value, |c| !matches!(c, '\n' | '\r') && Some(c) != around);
        value[..line].trim_end_matches(is_space).len()
    }

    fn word(&mut self, word: &str) {
        let kept = word.trim_end_matches('.');
        if looks_secret(kept) {
            self.mask(kept.len());
            self.show(&word[kept.len()..]);
        } else {
            self.show(word);
        }
    }

    /// Shows the next part of the text as it stands, without what would break a line or a terminal.
    fn show(&mut self, part: &str) {
        self.at += part.len();
        for c in part.chars() {
            if self.room == 0 {
                return;
            }
            self.shown.push(if is_control(c) { ' ' } else { c });
            self.room -= 1;
        }
    }

    /// Shows [`MASK`] in the place of the next `len` bytes.
    fn mask(&mut self, len: usize) {
        self.at += len;
        self.shown.push_str(MASK);
        self.room = self.room.saturating_sub(MASK.len());
    }
}

/// A value to hide: where it begins after its key, and its length in bytes.
struct Found {
    start: usize,
    len: usize,
}

/// What stands between a key and its value.
struct Separator {
    len: usize,
    /// `=` in any form, which prose does not have.
    equals: bool,
    /// The key stood in quotes, as in JSON.
    quoted: bool,
}

impl Separator {
    fn read(key: &str, after: &str) -> Option<Self> {
        let closing = opening_quote(after).map_or(0, |(len, _)| len);
        let quoted = closing > 0;
        let spaces = run_of(&after[closing..], is_space);
        let sign_at = closing + spaces;
        let sign = &after[sign_at..];
        let (sign_len, equals) = match sign.as_bytes() {
            [b':', b'=', ..] | [b'=', b'>' | b'=', ..] => (2, true),
            [b'=', ..] => (1, true),
            // A path in code, or a URL whose scheme the atom is.
            [b':', b':', ..] | [b':', b'/', b'/', ..] => return None,
            [b':', ..] => (1, false),
            // `--password hunter2`
            [first, ..] if key.starts_with("--") && !quoted && spaces > 0 && *first != b'-' => (0, true),
            _ => return None,
        };
        let len = sign_at + sign_len;
        Some(Self { len: len + run_of(&after[len..], is_space), equals, quoted })
    }
}

/// The value at the beginning of `value`, unless there is none or it is masked; `start` is where it begins.
fn found_value(start: usize, value: &str) -> Option<Found> {
    let (skipped, len) = if let Some((opening, quote)) = opening_quote(value) {
        (opening, quoted_len(&value[opening..], opening - quote.len_utf8(), quote))
    } else if value.starts_with(['[', '{']) {
        (0, value.find([']', '}']).map_or(value.len(), |end| end + 1))
    } else if private_key_block(value, run_of(value, is_atom)).is_some_and(|(start, _)| start == 0) {
        return None;
    } else {
        let first = bare_value(value);
        let more = &value[first.len()..];
        let spaces = run_of(more, is_space);
        (0, if is_scheme(first) { first.len() + spaces + bare_value(&more[spaces..]).len() } else { first.len() })
    };
    let inside = &value[skipped..skipped + len];
    (!inside.is_empty() && !is_masked(inside)).then_some(Found { start: start + skipped, len })
}

/// The length of what stands before the closing quote, or of everything if there is none. `escapes` backslashes stand
/// before the opening quote, as in JSON that was printed as a JSON text; as many stand before the closing one.
fn quoted_len(inside: &str, escapes: usize, quote: char) -> usize {
    let mut backslashes = 0;
    for (at, c) in inside.char_indices() {
        if c == quote && (if escapes == 0 { backslashes % 2 == 0 } else { backslashes == escapes }) {
            return at - escapes;
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
    }
    inside.len()
}

/// A quote with the backslashes before it: their length together, and the quote.
fn opening_quote(text: &str) -> Option<(usize, char)> {
    let backslashes = run_of(text, |c| c == '\\');
    let quote = text[backslashes..].chars().next().filter(|c| is_quote(*c))?;
    Some((backslashes + quote.len_utf8(), quote))
}

/// A value without quotes: up to a space or what ends a parameter, without the punctuation of a sentence.
fn bare_value(text: &str) -> &str {
    let run = run_of(text, |c| !is_space(c) && !is_quote(c) && !matches!(c, '&' | ';' | '<' | '>'));
    text[..run].trim_end_matches([',', '.', ':', '!', '?', ')', ']', '}', '\\'])
}

/// Whether a value after a colon reads like the rest of a sentence: `token: expired`.
fn is_prose(value: &str) -> bool {
    let word = bare_value(value);
    !word.is_empty() && !is_scheme(word) && word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '_'))
}

/// How long the userinfo at the beginning of an authority is, if there is any (RFC 3986 §3.2.1).
fn userinfo_of_url(after: &str) -> Option<usize> {
    let in_word = |c: char| !is_space(c) && !matches!(c, '"' | '<' | '>' | '`');
    let authority = &after[..run_of(after, |c| in_word(c) && !matches!(c, '/' | '?' | '#'))];
    let end = authority.rfind('@').or_else(|| {
        // A password may hold `/`, `?` or `#` that nobody escaped: then what looks like a port is none.
        let (_, port) = authority.split_once(':')?;
        if port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) || authority.starts_with('[') {
            return None;
        }
        let near = after.char_indices().take_while(|(at, c)| *at < MAX_USERINFO && in_word(*c));
        near.filter(|(_, c)| *c == '@').last().map(|(at, _)| at)
    })?;
    (end > 0 && !is_masked(&after[..end])).then_some(end)
}

/// `user:password` before an `@` without a scheme before it, as MySQL's drivers write it.
fn bare_userinfo(rest: &str, atom: &str) -> Option<usize> {
    let after = rest[atom.len()..].strip_prefix(':')?;
    if atom.eq_ignore_ascii_case("mailto") || after.starts_with([':', '@']) {
        return None;
    }
    let near = after
        .char_indices()
        .take_while(|(at, c)| *at < MAX_USERINFO && !is_space(*c) && !is_quote(*c) && !matches!(c, '<' | '>' | '/'));
    let (end, _) = near.filter(|(_, c)| *c == '@').last()?;
    let host = &after[end + 1..];
    // `image:tag@sha256:…` names an image.
    let is_host =
        host.starts_with(|c: char| c.is_alphanumeric() || c == '[' || c == '(') && !host.starts_with("sha256:");
    is_host.then_some(atom.len() + 1 + end)
}

/// Where a private key in PEM (RFC 7468 §10, and its older forms) begins within the first `atom` bytes, and where it
/// ends. One without an end reaches to the end of the text.
fn private_key_block(rest: &str, atom: usize) -> Option<(usize, usize)> {
    const BEGIN: &str = "-----BEGIN";
    const END: &str = "-----END";
    const LONGEST_LABEL: usize = 64;
    let start = rest[..atom].find(BEGIN)?;
    let label_at = start + BEGIN.len();
    let in_label = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ';
    let label = rest[label_at..].bytes().take(LONGEST_LABEL).take_while(in_label).count();
    if !rest[label_at..label_at + label].contains("PRIVATE KEY") {
        return None;
    }
    let end = rest[label_at..].find(END).map_or(rest.len(), |at| {
        let after = label_at + at + END.len();
        let closing = rest[after..].find("-----").map_or(rest.len(), |dashes| after + dashes + 5);
        if closing - after > LONGEST_LABEL { rest.len() } else { closing }
    });
    Some((start, end))
}

fn run_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// What keys, tokens and names are made of; a slash parts them, as in a path.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '~' | '%')
}

fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

fn is_masked(value: &str) -> bool {
    value.chars().all(|c| c == '*' || c == CUT)
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`')
}

fn is_opening(c: char) -> bool {
    is_quote(c) || matches!(c, '\\' | '[' | '{')
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || is_control(c)
}

/// Control characters, and those that part lines or turn the direction of what follows (UAX #9 §2).
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
