//! Turns the effective texts into typed values, and collects what is wrong instead of stopping at the first.
//!
//! Each section's `read` calls it once per setting. A reader answers a stand-in after a problem, so that the rest is
//! still judged; the stand-ins never get out, since `Config` is made only where there is no problem.
//! Invariant: a secret's text goes into no message.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use domain::Secret;
use url::Url;

use super::load::{Effective, Source};
use super::mask::mask_password;
use super::problem::Problem;
use super::settings::Secrecy;

/// Reads settings by name.
pub(super) struct Reader<'a> {
    values: HashMap<&'static str, &'a Effective>,
    problems: Vec<Problem>,
    #[cfg(test)]
    pub(super) asked: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(values: &'a [Effective]) -> Self {
        Self {
            values: values.iter().map(|value| (value.setting.name, value)).collect(),
            problems: Vec::new(),
            #[cfg(test)]
            asked: Vec::new(),
        }
    }

    /// What was wrong.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The text as it is.
    pub(super) fn text(&mut self, name: &'static str) -> String {
        #[cfg(test)]
        self.asked.push(name);
        match self.values.get(name) {
            Some(value) => value.text.clone(),
            None => {
                self.problems.push(Problem::new(name, "is not in the list of settings"));
                String::new()
            }
        }
    }

    /// The text, or nothing where it is empty.
    pub(super) fn optional_text(&mut self, name: &'static str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Judges the text by `rule`, which answers the value or what is demanded.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        stand_in: T,
        rule: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let text = self.text(name);
        rule(&text).unwrap_or_else(|demand| {
            self.refuse(name, &demand);
            stand_in
        })
    }

    /// Notes a problem with the setting's value.
    pub(super) fn refuse(&mut self, name: &'static str, demand: &str) {
        let Some(value) = self.values.get(name) else { return };
        let shown = match value.setting.secrecy {
            Secrecy::Open => format!("; got `{}`", shorten(&value.text)),
            Secrecy::UrlPassword if value.text.contains("://") => {
                format!("; got `{}`", shorten(&mask_password(&value.text)))
            }
            Secrecy::UrlPassword | Secrecy::Secret => String::new(),
        };
        let source = match value.source {
            Source::Default => "default".to_owned(),
            Source::File => format!("file key `{}`", value.setting.file_key()),
            Source::Environment => "environment".to_owned(),
            Source::Flag => format!("flag --{}", value.setting.flag()),
        };
        self.problems.push(Problem::new(name, format!("{demand}{shown} ({source})")));
    }

    /// true, 1, yes, on, or their opposites.
    pub(super) fn boolean(&mut self, name: &'static str) -> bool {
        self.parsed(name, false, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("must be true or false (also 1, yes, on and 0, no, off)".to_owned()),
        })
    }

    /// A whole number in `range`.
    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<i64>) -> i64 {
        self.parsed(name, *range.start(), |text| {
            let demand = || format!("must be a whole number from {} to {}", range.start(), range.end());
            text.parse().ok().filter(|number| range.contains(number)).ok_or_else(demand)
        })
    }

    /// Whole seconds in `range`.
    pub(super) fn seconds(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.number(name, range).unsigned_abs())
    }

    /// Comma-separated items, each judged by `rule`; space around them does not count, nor do empty ones at the end.
    pub(super) fn list<T>(&mut self, name: &'static str, mut rule: impl FnMut(&str) -> Result<T, String>) -> Vec<T> {
        self.parsed(name, Vec::new(), |text| {
            let items = text.strip_suffix(',').unwrap_or(text).split(',').map(str::trim);
            items
                .filter(|_| !text.is_empty())
                .map(|item| if item.is_empty() { Err("has an empty element".to_owned()) } else { rule(item) })
                .collect()
        })
    }

    /// An http or https URL, or nothing. Kept as written: an issuer is compared letter by letter.
    pub(super) fn optional_url(&mut self, name: &'static str) -> Option<String> {
        self.parsed(
            name,
            None,
            |text| if text.is_empty() { Ok(None) } else { http_url(text).map(|()| Some(text.to_owned())) },
        )
    }

    /// A secret that travels in a header, or nothing.
    pub(super) fn optional_token(&mut self, name: &'static str) -> Option<Secret> {
        self.parsed(name, None, |text| {
            if text.chars().all(|c| c.is_ascii_graphic()) {
                Ok((!text.is_empty()).then(|| Secret::from(text)))
            } else {
                Err("must consist of visible ASCII characters, since it travels in a header".to_owned())
            }
        })
    }
}

/// Whether `text` is a URL that we can call: http or https, with a host, and without a password, which has settings of
/// its own and would end up in logs here.
fn http_url(text: &str) -> Result<(), String> {
    let demand = "must be a URL like `https://host/path`";
    let url = Url::parse(text).map_err(|error| format!("{demand} ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(demand.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not carry a user or password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or fragment".to_owned());
    }
    Ok(())
}

/// Long values would push the rule out of sight, and control characters would let a value forge lines.
fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(120).flat_map(char::escape_debug).collect();
    if text.chars().nth(120).is_some() {
        shown.push('…');
    }
    shown
}
