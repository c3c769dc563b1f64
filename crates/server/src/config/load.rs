//! Puts the layers together: defaults < file < environment < flags, setting by setting, remembering the source.
//!
//! `config::cli` calls it with the flags it parsed; the environment is a parameter, so that tests are pure.
//! Invariant: what leaves here has passed no rule but its layer's own (a file's types and keys); the sections judge it.

use std::collections::HashMap;
use std::fmt;

use super::app_env::AppEnv;
use super::problem::Problem;
use super::settings::{self, Empty, Setting};

/// Where an effective value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The file that `CONFIG_FILE` names.
    File,
    /// The process environment.
    Environment,
    /// The command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// One setting's text and where it comes from. No `Debug`: the text may be a secret.
#[derive(Clone)]
pub(super) struct Effective {
    pub(super) setting: &'static Setting,
    pub(super) text: String,
    pub(super) source: Source,
}

/// What was said on the command line, by setting name.
pub(super) type Flags = HashMap<&'static str, String>;

/// Resolves every setting, in the order of the list.
///
/// # Errors
/// The file cannot be read, is not TOML, or has keys or types that no setting has: all problems at once.
pub(super) fn layers(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Effective>, Vec<Problem>> {
    let mut file = HashMap::new();
    if let Some((path, _)) = said("CONFIG_FILE", flags, env, &file).filter(|(path, _)| !path.is_empty()) {
        file = read_file(&path)?;
    }
    // A wrong APP_ENV is reported by its own reader; until then the lenient defaults only serve to go on collecting.
    let app_env = said("APP_ENV", flags, env, &file).and_then(|(text, _)| AppEnv::parse(&text)).unwrap_or(AppEnv::Dev);
    Ok(settings::ALL
        .iter()
        .map(|setting| match said(setting.name, flags, env, &file) {
            Some((text, source)) => Effective { setting, text, source },
            None => Effective { setting, text: setting.default.text(app_env).to_owned(), source: Source::Default },
        })
        .collect())
}

/// The strongest layer's word on a setting. Space around a value is never meant (a secret mounted from a file ends in
/// a line break), and an empty text counts only where the setting says that empty is a value.
fn said(
    name: &str,
    flags: &Flags,
    env: &dyn Fn(&str) -> Option<String>,
    file: &HashMap<&'static str, String>,
) -> Option<(String, Source)> {
    let setting = settings::find(name)?;
    let counts = |text: String| {
        let text = text.trim();
        (!text.is_empty() || setting.empty == Empty::IsAValue).then(|| text.to_owned())
    };
    let flag = flags.get(name).cloned().and_then(counts).map(|text| (text, Source::Flag));
    let from_env = || env(name).and_then(counts).map(|text| (text, Source::Environment));
    let from_file = || file.get(name).cloned().and_then(counts).map(|text| (text, Source::File));
    flag.or_else(from_env).or_else(from_file)
}

fn read_file(path: &str) -> Result<HashMap<&'static str, String>, Vec<Problem>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Problem::new("CONFIG_FILE", format!("the file `{path}` cannot be read: {error}"))])?;
    parse_file(path, &text)
}

/// The file's settings as text, by setting name.
fn parse_file(path: &str, text: &str) -> Result<HashMap<&'static str, String>, Vec<Problem>> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // Only the parser's message and the line: its full text quotes the line, which may hold a password.
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
        vec![Problem::new("CONFIG_FILE", format!("`{path}` is not TOML, line {line}: {}", error.message()))]
    })?;
    let mut values = HashMap::new();
    let mut problems = Vec::new();
    for (key, value) in &table {
        match file_entry(key, value) {
            Ok((setting, text)) => {
                if values.insert(setting.name, text).is_some() {
                    problems.push(Problem::new(setting.name, format!("`{path}` sets it twice, once as `{key}`")));
                }
            }
            Err((name, rule)) => problems.push(Problem::new(name, format!("in `{path}`: {rule}"))),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

fn file_entry(key: &str, value: &toml::Value) -> Result<(&'static Setting, String), (&'static str, String)> {
    let known = settings::ALL.iter().find(|setting| setting.file_key() == key || setting.file_alias == Some(key));
    let Some(setting) = known else {
        return Err(("CONFIG_FILE", format!("unknown key `{}`{}", key.escape_debug(), suggestion(key))));
    };
    if setting.name == "CONFIG_FILE" {
        return Err((setting.name, "a file cannot name another file".to_owned()));
    }
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        toml::Value::Array(items) => array(items).map_err(|rule| (setting.name, rule))?,
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            let rule =
                format!("`{key}` is {}; {}", article(value), "write a string, an integer, a boolean or an array");
            return Err((setting.name, rule));
        }
    };
    Ok((setting, text))
}

/// A list in TOML is the same as its comma-separated text.
fn array(items: &[toml::Value]) -> Result<String, String> {
    let texts = items.iter().map(|item| match item.as_str() {
        Some(text) if text.contains(',') => Err("an element of the array contains a comma".to_owned()),
        Some(text) => Ok(text),
        None => Err(format!("an element of the array is {}; all must be strings", article(item))),
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join(","))
}

fn article(value: &toml::Value) -> String {
    let name = value.type_str();
    let vowel = name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {name}", if vowel { "an" } else { "a" })
}

/// The known key that is nearest to a mistyped one, where one is near.
fn suggestion(key: &str) -> String {
    let distance = |setting: &Setting| edit_distance(key, &setting.file_key());
    let nearest = settings::ALL.iter().min_by_key(|setting| distance(setting));
    match nearest {
        Some(setting) if distance(setting) <= setting.name.len() / 3 + 1 => {
            format!("; the nearest known one is `{}`", setting.file_key())
        }
        _ => "; `tenant-registry --help` lists the known ones".to_owned(),
    }
}

/// Levenshtein's distance, with one row kept.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = row[j] + usize::from(a != *b);
            next.push(replaced.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<HashMap<&'static str, String>, String> {
        parse_file("c.toml", text).map_err(|problems| problems.iter().map(|p| format!("{p}\n")).collect())
    }

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        let message = file(text).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn a_file_may_hold_strings_integers_booleans_and_arrays() {
        let values = file(
            "database_url = \"sqlite:x.db\"\nrequest_timeout_seconds = 7\nmigrate_on_start = false\n\
             resolvers = [\"claim\", \"header\"]\ntrusted_proxies = []\n",
        )
        .unwrap();
        assert_eq!(values["DATABASE_URL"], "sqlite:x.db");
        assert_eq!(values["REQUEST_TIMEOUT_SECONDS"], "7");
        assert_eq!(values["MIGRATE_ON_START"], "false");
        assert_eq!(values["TENANT_RESOLVERS"], "claim,header");
        assert_eq!(values["TRUSTED_PROXIES"], "");
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        refuses("databse_url = \"x\"", "unknown key `databse_url`; the nearest known one is `database_url`");
        refuses("colour = 1", "unknown key `colour`; `tenant-registry --help` lists");
    }

    #[test]
    fn all_problems_of_a_file_are_told_together() {
        let message = file("colour = 1\naddr = 1.5\n[keycloak]\nissuer = \"x\"\n").unwrap_err();
        assert!(
            message.contains("`colour`") && message.contains("`addr` is a float") && message.contains("`keycloak`")
        );
    }

    #[test]
    fn a_files_other_mistakes_are_named() {
        refuses("config_file = \"other.toml\"", "a file cannot name another file");
        refuses("resolvers = [\"a\"]\ntenant_resolvers = [\"b\"]", "sets it twice");
        refuses("trusted_proxies = [1]", "an element of the array is an integer");
        refuses("trusted_proxies = [\"a,b\"]", "contains a comma");
        refuses("addr = {}", "`addr` is a table");
    }

    #[test]
    fn broken_toml_is_located_without_quoting_the_line() {
        let message = file("addr = \":1\"\ndatabase_url = \"postgres://u:planted@h/db\n").unwrap_err();
        assert!(message.contains("line 2") && !message.contains("planted"), "{message}");
    }
}
