//! Configuration: one list of settings, four layers, typed sections.
//!
//! `main` calls [`parse`] once and hands the [`Config`] on; nothing else in this program reads the environment.
//! To add a setting: an entry in `settings.rs`, a field in its section's file, read in that section's `read`.
//! Invariant: a `Config` that exists obeys every rule about single values; whether it may *start* outside dev is
//! [`Config::check`]. Neither its `Debug` nor `show` gives a secret out.

mod address;
mod agent_plane;
mod app_env;
mod check;
mod cli;
mod database;
mod development;
mod http;
mod keycloak;
mod load;
mod mask;
mod problem;
mod reader;
pub mod settings;
mod show;
mod telemetry;
mod tenants;
#[cfg(test)]
mod tests;

pub use address::ListenAddr;
pub use agent_plane::{AgentPlaneConfig, ResolverName};
pub use app_env::AppEnv;
pub use check::Refusal;
pub use cli::{Command, Invocation, KeysCommand, MigrateCommand, ParseFailure, command_line, parse};
pub use database::{DatabaseConfig, DatabaseUrl};
pub use development::DevelopmentConfig;
pub use http::{AllowedOrigins, HttpConfig};
pub use keycloak::{KeycloakConfig, OnFreeze};
pub use load::Source;
pub use problem::Problem;
pub use telemetry::{LogFormat, TelemetryConfig};
pub use tenants::TenantsConfig;

use std::time::Duration;

use load::{Effective, Flags};
use reader::Reader;
use show::ShownSetting;

/// Everything that is configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// `APP_ENV`.
    pub app_env: AppEnv,
    /// `ADDR`.
    pub addr: ListenAddr,
    /// `SHUTDOWN_TIMEOUT_SECONDS`.
    pub shutdown_timeout: Duration,
    /// `SHUTDOWN_DRAIN_SECONDS`.
    pub shutdown_drain: Duration,
    /// Store and migrations.
    pub database: DatabaseConfig,
    /// Issuer, Admin API, provisioning.
    pub keycloak: KeycloakConfig,
    /// Requests and who may reach what.
    pub http: HttpConfig,
    /// Rules about tenants.
    pub tenants: TenantsConfig,
    /// The agent plane.
    pub agent_plane: AgentPlaneConfig,
    /// Logs, traces, metrics.
    pub telemetry: TelemetryConfig,
    /// What exists in dev alone.
    pub development: DevelopmentConfig,
    /// What `show` prints; secrets are already gone.
    shown: Vec<ShownSetting>,
}

impl Config {
    /// The configuration of these environment variables alone, without process environment, file or flags.
    /// Tests and embedding servers start here.
    ///
    /// # Errors
    /// All problems of the values.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Result<Self, Vec<Problem>> {
        let env = |name: &str| pairs.iter().rfind(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Self::load(&Flags::new(), &env)
    }

    fn load(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let values = load::layers(flags, env)?;
        let mut reader = Reader::new(&values);
        let config = Self::read(&mut reader, &values);
        let problems = reader.into_problems();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn read(reader: &mut Reader<'_>, values: &[Effective]) -> Self {
        let app_env = reader.parsed("APP_ENV", AppEnv::Dev, |text| {
            AppEnv::parse(text).ok_or_else(|| "must be `dev`, `stage` or `prod`".to_owned())
        });
        // Its value has done its work before anything else could be read.
        reader.text("CONFIG_FILE");
        Self {
            app_env,
            addr: reader.parsed("ADDR", ListenAddr::default(), ListenAddr::parse),
            shutdown_timeout: reader.seconds("SHUTDOWN_TIMEOUT_SECONDS", 1..=3600),
            shutdown_drain: reader.seconds("SHUTDOWN_DRAIN_SECONDS", 0..=3600),
            database: DatabaseConfig::read(reader),
            keycloak: KeycloakConfig::read(reader),
            http: HttpConfig::read(reader),
            tenants: TenantsConfig::read(reader),
            agent_plane: AgentPlaneConfig::read(reader),
            telemetry: TelemetryConfig::read(reader, app_env),
            development: DevelopmentConfig::read(reader),
            shown: values.iter().map(ShownSetting::new).collect(),
        }
    }
}
