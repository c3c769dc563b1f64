//! Text rules that both stores must agree on, and therefore neither of them decides.
//!
//! Invariant: case is folded here, in Rust; the databases compare folded text byte by byte.

/// Folds case for comparison: upper, then lower, character by character, so that `ß` and `SS`, or the three sigmas,
/// meet whatever their neighbours are (`str::to_lowercase` looks at them).
///
/// ```
/// assert_eq!(domain::text::fold("STRASSE"), domain::text::fold("Straße"));
/// assert_eq!(domain::text::fold("ΟΔΟΣ"), domain::text::fold("οδος"));
/// ```
#[must_use]
pub fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Whether a text has a control character (C0, DEL or C1), NUL included.
#[must_use]
pub fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}
