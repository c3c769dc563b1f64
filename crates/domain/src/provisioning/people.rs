//! A person's first and last name, out of whatever was said.
//!
//! An account without both cannot finish its first login, so there always are two. Invariant: neither is empty, longer
//! than Keycloak keeps, or has a character that its user profile refuses in names.

/// The most characters of either name.
const NAME_MAX: usize = 255;
/// What Keycloak's validator of person names refuses, beside control characters.
const REFUSED: &str = "<>&\"$%!#?§;*~/\\|^=[]{}()";

/// A first and a last name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonName {
    /// Given names.
    pub first: String,
    /// The family name.
    pub last: String,
}

/// Splits the name that was given: its last word is the family name. Where there is one word only, or none, the address
/// gives the rest: its name before the `@`, then the name of its domain.
#[must_use]
pub fn person_name(given: Option<&str>, email: &str) -> PersonName {
    let words = words(given.unwrap_or_default());
    if let [first @ .., last] = words.as_slice()
        && !first.is_empty()
    {
        return PersonName { first: cut(&first.join(" ")), last: cut(last) };
    }
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let mut spare: Vec<String> = parts(local).collect();
    spare.extend(parts(domain).next());
    match (words.first(), spare.as_slice()) {
        (Some(word), [_, .., last, _] | [last]) => PersonName { first: cut(word), last: cut(last) },
        (Some(word), [_, last]) => PersonName { first: cut(word), last: cut(last) },
        (Some(word), []) => PersonName { first: cut(word), last: cut(word) },
        (None, [first, last, ..]) => PersonName { first: cut(first), last: cut(last) },
        (None, [only]) => PersonName { first: cut(only), last: cut(only) },
        (None, []) => PersonName { first: "Admin".to_owned(), last: "Admin".to_owned() },
    }
}

fn words(text: &str) -> Vec<String> {
    let clean: String = text.chars().map(|c| if c.is_control() || REFUSED.contains(c) { ' ' } else { c }).collect();
    clean.split_whitespace().map(str::to_owned).collect()
}

/// The parts of an address' name that could be names of a person, with a capital letter.
fn parts(text: &str) -> impl Iterator<Item = String> {
    let pieces = text.split(|c: char| !c.is_alphabetic()).filter(|piece| !piece.is_empty());
    pieces.map(|piece| {
        let mut chars = piece.chars();
        chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
    })
}

fn cut(name: &str) -> String {
    name.chars().take(NAME_MAX).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(given: Option<&str>, email: &str, first: &str, last: &str) {
        assert_eq!(
            person_name(given, email),
            PersonName { first: first.to_owned(), last: last.to_owned() },
            "{given:?}"
        );
    }

    #[test]
    fn the_last_word_is_the_family_name() {
        check(Some("Ada Lovelace"), "a@x.org", "Ada", "Lovelace");
        check(Some("  Zoë  Müller-Lüdenscheidt "), "a@x.org", "Zoë", "Müller-Lüdenscheidt");
        check(Some("Johann Sebastian Bach"), "a@x.org", "Johann Sebastian", "Bach");
        check(Some("Ada <Lovelace>"), "a@x.org", "Ada", "Lovelace");
        check(Some("山田 太郎"), "a@x.org", "山田", "太郎");
    }

    #[test]
    fn where_words_are_missing_the_address_has_them() {
        check(Some("Ada"), "ada.lovelace@x.org", "Ada", "Lovelace");
        check(Some("Ada"), "ada@engines.example", "Ada", "Engines");
        check(None, "ada.lovelace@x.org", "Ada", "Lovelace");
        check(None, "info@acme.example", "Info", "Acme");
        check(Some("***"), "info@acme.example", "Info", "Acme");
        check(None, "1234@5.6", "Admin", "Admin");
        check(Some("Ada"), "1@2", "Ada", "Ada");
        check(None, "o_x+tag@x.org", "O", "X");
    }

    proptest! {
        #[test]
        fn there_always_are_two_names_that_keycloak_takes(given in "\\PC{0,300}|.{0,40}", email in ".{0,20}@?.{0,20}") {
            let name = person_name(Some(&given), &email);
            for part in [&name.first, &name.last] {
                prop_assert!(!part.trim().is_empty() && part.chars().count() <= NAME_MAX, "{name:?}");
                prop_assert!(!part.chars().any(|c| c.is_control() || REFUSED.contains(c)), "{name:?}");
            }
        }
    }
}
