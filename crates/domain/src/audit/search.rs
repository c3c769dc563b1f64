//! How events are found: by their action, or by a text in any of their fields.
//!
//! The store keeps [`text_of`] beside each event and `q` looks through it. Invariant: it is folded as the text that is
//! looked for is folded, so that both stores find the same.

use super::{AuditEvent, Party};
use crate::error::{FieldCode, Violation};
use crate::text::fold;

/// Which actions are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionPattern {
    /// This one.
    Exact(String),
    /// Those that begin so.
    Prefix(String),
}

impl ActionPattern {
    /// Reads `key.created`, or `key.*` for all that begin with `key.`.
    ///
    /// # Errors
    /// A violation of `action` for a `*` that is not the last character.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let (start, is_prefix) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        if start.contains('*') {
            let message = "may have one * only, as its last character";
            return Err(Violation::new("action", FieldCode::InvalidFormat, message));
        }
        Ok(if is_prefix { Self::Prefix(start.to_owned()) } else { Self::Exact(start.to_owned()) })
    }
}

/// What `q` looks through: action, actor, target, description, external id, component, address and the values of the
/// fields, folded, a line each.
#[must_use]
pub fn text_of(event: &AuditEvent) -> String {
    let mut text = event.action.clone();
    let mut add = |part: &str| {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(part);
        }
    };
    let party = |add: &mut dyn FnMut(&str), party: &Option<Party>| {
        if let Some(party) = party {
            add(&party.id);
            for part in [&party.name, &party.kind].into_iter().flatten() {
                add(part);
            }
        }
    };
    party(&mut add, &event.actor);
    party(&mut add, &event.target);
    for part in [&event.description, &event.external_id, &event.component].into_iter().flatten() {
        add(part);
    }
    if let Some(address) = event.source_ip {
        add(&address.to_string());
    }
    for value in event.fields.values() {
        add(value);
    }
    // No column can hold it, and nobody can look for it.
    text.retain(|c| c != '\0');
    // Most texts are of characters whose folding is their lower case.
    if text.is_ascii() {
        text.make_ascii_lowercase();
        return text;
    }
    fold(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_the_end_or_nowhere() {
        let exact = |text: &str| Ok(ActionPattern::Exact(text.to_owned()));
        let prefix = |text: &str| Ok(ActionPattern::Prefix(text.to_owned()));
        assert_eq!(ActionPattern::parse("key.created"), exact("key.created"));
        assert_eq!(ActionPattern::parse("key.*"), prefix("key."));
        assert_eq!(ActionPattern::parse("*"), prefix(""));
        assert_eq!(ActionPattern::parse("k%_"), exact("k%_"));
        for bad in ["*.created", "key.*.x", "**", "k*y*"] {
            assert_eq!(ActionPattern::parse(bad).map_err(|v| v.code), Err(FieldCode::InvalidFormat), "{bad}");
        }
    }

    #[test]
    fn plain_text_is_folded_as_any_other() {
        let ascii: String = (0..128_u8).map(char::from).collect();
        assert_eq!(ascii.to_ascii_lowercase(), fold(&ascii));
    }
}
