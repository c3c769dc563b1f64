//! The command line: subcommands, a flag for every setting, and the help that explains both.
//!
//! `main` calls [`parse`] with the arguments and the environment, and runs the [`Command`] that comes out.
//! Invariant: flags come from the list of settings and nowhere else, and clap never reads the environment: the layers
//! are put together in `load`, in one place, with the source of every value.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{Arg, ArgAction, ArgMatches};
use domain::Timestamp;
use domain::time::{RFC_3339, parse_rfc3339};

use super::load::Flags;
use super::settings::{self, DefaultValue, Setting};
use super::{Config, Problem};

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The service.
    Serve,
    /// Schema migrations.
    Migrate(MigrateCommand),
    /// API keys, on the database.
    Keys(KeysCommand),
    /// Print the effective configuration.
    Config,
    /// Print the OpenAPI document.
    Openapi,
    /// Ask `/healthz` of `ADDR`.
    Healthcheck,
}

/// What to do with the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrateCommand {
    /// Apply everything that is missing.
    Up,
    /// Take the last one back.
    Down,
    /// Take all back; dev only.
    DownAll,
    /// Print the schema's version.
    Version,
    /// Write an empty pair of files.
    Create {
        /// What the migration does, as part of the file names.
        name: String,
    },
}

/// What to do with API keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysCommand {
    /// Make one.
    Create {
        /// Its name.
        name: String,
        /// Slug or id of its tenant; none for a key of the platform.
        tenant: Option<String>,
        /// Its scopes.
        scopes: Vec<String>,
        /// When its time is over.
        expires_at: Option<Timestamp>,
    },
}

/// A command line that was understood.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// What to run.
    pub command: Command,
    /// With which configuration.
    pub config: Config,
}

/// Nothing to run: a question for help, or a mistake.
#[derive(Debug)]
pub struct ParseFailure {
    text: String,
    exit_code: u8,
}

impl ParseFailure {
    /// What to say.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 0 for help and version, 2 for a wrong command line or configuration.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Says it, on standard output where it was asked for and on standard error where it is a mistake. A closed pipe is
    /// nobody's problem at this point.
    pub fn print(&self) {
        let text = self.text.as_bytes();
        let _ = if self.exit_code == 0 { io::stdout().write_all(text) } else { io::stderr().write_all(text) };
    }

    fn from_clap(error: &clap::Error) -> Self {
        let exit_code = if error.use_stderr() { 2 } else { 0 };
        Self { text: error.render().to_string(), exit_code }
    }

    fn from_problems(problems: &[Problem]) -> Self {
        let mut text = String::from("error: the configuration is not valid\n");
        for problem in problems {
            text.push_str(&format!("  {problem}\n"));
        }
        text.push_str("\nSee `tenant-registry --help` for what each setting takes.\n");
        Self { text, exit_code: 2 }
    }
}

/// Reads the command line (with the program's name first) and the configuration behind it.
///
/// # Errors
/// Help or version was asked for, or the command line or the configuration is wrong; all problems of the latter at once.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Invocation, ParseFailure> {
    let matches = command_line().try_get_matches_from(args).map_err(|error| ParseFailure::from_clap(&error))?;
    let config = Config::load(&flags(&matches), env).map_err(|problems| ParseFailure::from_problems(&problems))?;
    Ok(Invocation { command: command(&matches), config })
}

fn flags(matches: &ArgMatches) -> Flags {
    // Global arguments are found at the top wherever they stood.
    let given = |setting: &'static Setting| Some((setting.name, matches.get_one::<String>(setting.name)?.clone()));
    settings::ALL.iter().filter_map(given).collect()
}

fn command(matches: &ArgMatches) -> Command {
    match matches.subcommand() {
        Some(("migrate", below)) => Command::Migrate(match below.subcommand() {
            Some(("down", _)) => MigrateCommand::Down,
            Some(("down-all", _)) => MigrateCommand::DownAll,
            Some(("version", _)) => MigrateCommand::Version,
            Some(("create", create)) => {
                MigrateCommand::Create { name: create.get_one::<String>("NAME").cloned().unwrap_or_default() }
            }
            _ => MigrateCommand::Up,
        }),
        Some(("keys", below)) => Command::Keys(keys_command(below)),
        Some(("config", _)) => Command::Config,
        Some(("openapi", _)) => Command::Openapi,
        Some(("healthcheck", _)) => Command::Healthcheck,
        _ => Command::Serve,
    }
}

fn keys_command(matches: &ArgMatches) -> KeysCommand {
    // `create` is the only one, and required.
    let create = matches.subcommand().map_or(matches, |(_, create)| create);
    KeysCommand::Create {
        name: create.get_one::<String>("name").cloned().unwrap_or_default(),
        tenant: create.get_one::<String>("tenant").cloned(),
        scopes: create.get_many::<String>("scope").unwrap_or_default().cloned().collect(),
        expires_at: create.get_one::<Timestamp>("expires-at").copied(),
    }
}

const EXAMPLES: &str = "\
Examples:
  tenant-registry                                        serve on :8090 with a store in memory (dev)
  tenant-registry serve --addr 127.0.0.1:9000            another address
  DATABASE_URL=sqlite:registry.db tenant-registry        keep tenants in a file
  tenant-registry --config-file registry.toml config     what is in effect, and where it comes from
  MIGRATION_DATABASE_URL=postgres://owner:…@db/registry tenant-registry migrate up
  tenant-registry keys create --name portal --scope registry:internal    a service's first key

Where a setting comes from, weakest first:
  1. its default (some depend on APP_ENV)
  2. the file that CONFIG_FILE or --config-file names; no file is looked for elsewhere
  3. the environment: DATABASE_URL
  4. the flag: --database-url

  In the file the names are in lower case at top level, `database_url = \"sqlite:registry.db\"`;
  lists may be arrays, and an unknown key is an error. A variable that is set but empty means the
  empty value where a setting may be empty (its default here is `empty`, or its text says so), and
  its default elsewhere. Space around a value does not count.

Exit codes:
  0  done, or stopped by a signal and everything handed back
  1  failed while running; the log says why
  2  the command line or the configuration is wrong, or refused outside dev; nothing was started
";

/// The whole command line, for [`parse`] and for whoever documents it.
#[must_use]
pub fn command_line() -> clap::Command {
    let sub = |name: &'static str, about: &'static str| clap::Command::new(name).about(about);
    let name = Arg::new("NAME").required(true).value_parser(migration_name).help("For example `add_tenant_notes`");
    clap::Command::new("tenant-registry")
        // Usage lines say the same wherever the binary lies.
        .bin_name("tenant-registry")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Registry of tenants: who they are, what they may use, and whether they are live")
        .long_about(
            "Registry of tenants: who they are, what they may use, and whether they are live.\n\n\
             Without a subcommand it serves. Every setting is a flag, an environment variable and a key of an optional \
             file; flags may stand before or behind the subcommand.",
        )
        .after_help("`--help` explains every setting, with examples and exit codes.")
        .after_long_help(EXAMPLES)
        .args(settings::ALL.iter().map(flag))
        .subcommand(sub("serve", "Runs the service (also without any subcommand)"))
        .subcommand(
            sub("migrate", "Changes the schema of DATABASE_URL, as MIGRATION_DATABASE_URL where that is set")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(sub("up", "Applies every migration that is missing"))
                .subcommand(sub("down", "Takes the last migration back"))
                .subcommand(sub("down-all", "Takes all migrations back, with all data; refused outside dev"))
                .subcommand(sub("version", "Prints the schema's version, and the one that this binary wants"))
                .subcommand(sub("create", "Writes an empty pair of migration files").arg(name)),
        )
        .subcommand(
            sub("keys", "API keys, on the database of DATABASE_URL")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(create_key()),
        )
        .subcommand(sub("config", "Prints the effective configuration with its sources; secrets are hidden"))
        .subcommand(sub("openapi", "Prints the OpenAPI document"))
        .subcommand(sub(
            "healthcheck",
            "Asks /healthz of ADDR; exit code 0 if it is alive, for containers without a shell",
        ))
}

fn create_key() -> clap::Command {
    let arg = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    clap::Command::new("create")
        .about("Makes an API key, and prints it alone on standard output, this once")
        .long_about(
            "Makes an API key, and prints it alone on standard output, this once; what it is stands on standard error.\n\n\
             Without --tenant it is a key of the platform: its scopes reach every tenant. This is how an installation gets \
             its first key. Audited as `system:cli`.",
        )
        .arg(arg("name", "NAME", "Its name, for people").required(true))
        .arg(arg("tenant", "SLUG-OR-ID", "The tenant that it belongs to; without it, the platform"))
        .arg(arg("scope", "SCOPE", "What it may be used for, `registry:internal` for a service; may be repeated")
            .action(ArgAction::Append))
        .arg(
            arg("expires-at", "TIME", "When its time is over, as 2027-01-31T00:00:00Z; without it, never")
                .value_parser(instant),
        )
}

fn instant(text: &str) -> Result<Timestamp, String> {
    parse_rfc3339(text).ok_or_else(|| RFC_3339.to_owned())
}

/// A migration's name becomes part of a path, so it must be no path itself.
fn migration_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits { Ok(text.to_owned()) } else { Err("must consist of `a-z`, `0-9` and `_`".to_owned()) }
}

/// The flag of a setting. Its value is taken as text: rules are the sections' business, whatever layer it comes from.
fn flag(setting: &'static Setting) -> Arg {
    Arg::new(setting.name)
        .long(setting.flag())
        .value_name(setting.value_name)
        .action(ArgAction::Set)
        .allow_negative_numbers(true)
        .global(true)
        .help_heading(setting.section.title())
        .help(setting.summary)
        .long_help(long_help(setting))
}

fn long_help(setting: &Setting) -> String {
    let default = match setting.default {
        DefaultValue::Always("") => "empty".to_owned(),
        DefaultValue::Always(text) => format!("`{text}`"),
        DefaultValue::ByEnvironment { dev, elsewhere: "" } => format!("`{dev}` in dev, else empty"),
        DefaultValue::ByEnvironment { dev, elsewhere } => format!("`{dev}` in dev, else `{elsewhere}`"),
    };
    let details = if setting.details.is_empty() { String::new() } else { format!("\n{}", setting.details) };
    format!("{}.{details}\n[env: {}] [default: {default}]", setting.summary, setting.name)
}
