//! The text of `tenant-registry config`: what is in effect, and where each value comes from.
//!
//! Invariant: secrets are masked when a [`ShownSetting`] is made, so that no later formatting can give one out.

use std::fmt::Write as _;

use super::Config;
use super::load::{Effective, Source};
use super::mask::{HIDDEN, mask_password};
use super::settings::{Secrecy, Section};

/// One line: a setting with what may be seen of its value.
#[derive(Debug, Clone)]
pub(super) struct ShownSetting {
    name: &'static str,
    section: Section,
    value: String,
    source: Source,
}

impl ShownSetting {
    pub(super) fn new(effective: &Effective) -> Self {
        let value = match effective.setting.secrecy {
            Secrecy::Open => effective.text.clone(),
            Secrecy::UrlPassword => mask_password(&effective.text),
            Secrecy::Secret if effective.text.is_empty() => String::new(),
            Secrecy::Secret => HIDDEN.to_owned(),
        };
        Self {
            name: effective.setting.name,
            section: effective.setting.section,
            // A line break in a value would look like another setting.
            value: value
                .chars()
                .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
                .collect(),
            source: effective.source,
        }
    }
}

impl Config {
    /// Every setting as `NAME = value (source)`, under the headings of `--help`.
    #[must_use]
    pub fn show(&self) -> String {
        let width = self.shown.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
        let mut text = String::new();
        let mut section = None;
        for setting in &self.shown {
            if section != Some(setting.section) {
                let gap = if section.is_some() { "\n" } else { "" };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{gap}# {}", setting.section.title());
                section = Some(setting.section);
            }
            let gap = if setting.value.is_empty() { "" } else { " " };
            let _ = writeln!(text, "{:width$} = {}{gap}({})", setting.name, setting.value, setting.source);
        }
        let refusals = self.check();
        if !refusals.is_empty() {
            let _ = writeln!(text, "\n# `serve` would refuse to start");
        }
        for refusal in refusals {
            let _ = writeln!(text, "# {refusal}");
        }
        text
    }
}
