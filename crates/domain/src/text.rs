//! Text rules that both stores must agree on, and therefore neither of them decides.
//!
//! Invariant: case is folded here, in Rust; the databases compare folded text byte by byte.

/// Folds case for comparison: lower, upper, lower again, character by character, so that `ß`, `ẞ` and `SS`, or the three
/// sigmas, meet whatever their neighbours are (`str::to_lowercase` looks at them). Folding twice is folding once.
///
/// ```
/// assert_eq!(domain::text::fold("STRASSE"), domain::text::fold("Straße"));
/// assert_eq!(domain::text::fold("ΟΔΟΣ"), domain::text::fold("οδος"));
/// ```
#[must_use]
pub fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Whether a text has a control character (C0, DEL or C1), NUL included.
#[must_use]
pub fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// The most characters of a member's name, chosen by whoever sent it, that an answer repeats.
pub const TOLD_NAME_MAX: usize = 60;

/// A member's name as an answer may repeat it: cut where it is long, so that no answer grows with what is sent.
#[must_use]
pub fn told_name(name: &str) -> &str {
    name.char_indices().nth(TOLD_NAME_MAX).and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{TOLD_NAME_MAX, fold, told_name};

    #[test]
    fn a_long_name_is_cut_where_it_is_told() {
        let name = "ä".repeat(TOLD_NAME_MAX);
        assert_eq!(told_name(&name), name);
        assert_eq!(told_name(&format!("{name}b")), name);
        assert_eq!(told_name(""), "");
    }

    #[test]
    fn folding_twice_is_folding_once() {
        for c in '\0'..=char::MAX {
            let once = fold(&c.to_string());
            assert_eq!(fold(&once), once, "{c:?}");
        }
    }

    #[test]
    fn spellings_of_one_word_meet() {
        let spellings = ["STRASSE", "Straße", "STRAẞE", "strasse"];
        assert!(spellings.iter().all(|word| fold(word) == "strasse"));
    }
}
