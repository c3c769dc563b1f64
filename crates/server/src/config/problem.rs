//! What is wrong with a setting, in words for whoever has to mend it.
//!
//! Layers and sections collect problems, and all of them are reported together.
//! Invariant: a problem's text holds a value only where the setting is open to be shown.

use std::fmt;

/// One thing wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting's name in the environment.
    pub setting: &'static str,
    /// The rule that is broken, and how.
    pub message: String,
}

impl Problem {
    pub(super) fn new(setting: &'static str, message: impl Into<String>) -> Self {
        Self { setting, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}
