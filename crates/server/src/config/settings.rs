//! The one list of settings: everything that can be configured, with its default and the text that explains it.
//!
//! The command line, the file reader, the environment reader and `tenant-registry config` are all made from [`ALL`].
//! A setting has three spellings and they follow from one name: `DATABASE_URL` in the environment,
//! `--database-url` on the command line, `database_url` in the file.
//! Invariant: `Config` reads every entry exactly once (a test counts), so that no setting is listed without effect.

use super::app_env::AppEnv;

/// One thing that can be configured.
#[derive(Debug)]
pub struct Setting {
    /// The name in the environment, and the name in every message.
    pub name: &'static str,
    /// An older or contractual spelling of the file key that is read too.
    pub file_alias: Option<&'static str>,
    /// What holds where nothing is said.
    pub default: DefaultValue,
    /// Whether the empty text is a value. Where it is not, an empty text counts as unset: orchestrators like to
    /// hand out `NAME=` for "no opinion".
    pub empty: Empty,
    /// What of the value may be printed.
    pub secrecy: Secrecy,
    /// The heading under which `--help` and `config` list it.
    pub section: Section,
    /// The placeholder in `--help`.
    pub value_name: &'static str,
    /// One line for `-h`.
    pub summary: &'static str,
    /// The rest for `--help`: unit, example, effect.
    pub details: &'static str,
}

/// What holds where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// The same text everywhere.
    Always(&'static str),
    /// One text in dev, another one elsewhere.
    ByEnvironment {
        /// With `APP_ENV=dev`.
        dev: &'static str,
        /// With `APP_ENV=stage` and `prod`.
        elsewhere: &'static str,
    },
}

impl DefaultValue {
    /// The default's text in `app_env`.
    #[must_use]
    pub fn text(self, app_env: AppEnv) -> &'static str {
        match (self, app_env) {
            (Self::Always(text), _) | (Self::ByEnvironment { dev: text, .. }, AppEnv::Dev) => text,
            (Self::ByEnvironment { elsewhere, .. }, AppEnv::Stage | AppEnv::Prod) => elsewhere,
        }
    }
}

/// Whether the empty text is a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// Set but empty means empty, also where the default is not.
    IsAValue,
    /// Set but empty means unset.
    MeansDefault,
}

/// What of a value may be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Open,
    /// All but a password inside the URL.
    UrlPassword,
    /// Nothing but whether it is set.
    Secret,
}

/// A heading of `--help` and `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Environment, address, file.
    Service,
    /// Store and migrations.
    Database,
    /// Issuer, Admin API, provisioning.
    Keycloak,
    /// Requests and who may reach what.
    Http,
    /// Rules about tenants.
    Tenants,
    /// The agent plane.
    AgentPlane,
    /// Logs, traces, metrics.
    Telemetry,
    /// What exists in dev alone.
    Development,
}

impl Section {
    /// The heading's text.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Database => "Database",
            Self::Keycloak => "Keycloak",
            Self::Http => "HTTP",
            Self::Tenants => "Tenants",
            Self::AgentPlane => "Agent plane",
            Self::Telemetry => "Telemetry",
            Self::Development => "Development only (refused in stage and prod)",
        }
    }
}

impl Setting {
    /// The key in the file: the name in lower case.
    #[must_use]
    pub fn file_key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// The flag without its dashes: the name in lower case, underscores as dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.file_key().replace('_', "-")
    }
}

/// The entry of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    ALL.iter().find(|setting| setting.name == name)
}

/// Names that a platform needs for itself. `test`, `demo`, `acme` and `default-tenant` stay free on purpose.
const RESERVED_SLUGS: &str = "www,api,admin,app,auth,login,mail,smtp,ftp,docs,status,support,help,blog,static,assets,\
cdn,dashboard,console,portal,billing,account,accounts,internal,system,root,registry,tenant,tenants,dev,stage,staging,\
prod,production";

/// An entry with the commonest properties; the list overrides what differs.
const fn setting(section: Section, name: &'static str, default: &'static str) -> Setting {
    Setting {
        name,
        file_alias: None,
        default: DefaultValue::Always(default),
        empty: Empty::MeansDefault,
        secrecy: Secrecy::Open,
        section,
        value_name: "TEXT",
        summary: "",
        details: "",
    }
}

/// Every setting, in the order in which `--help` and `config` show them. Add yours here, and read it in the
/// section's struct beside this file.
pub static ALL: &[Setting] = &[
    Setting {
        value_name: "dev|stage|prod",
        summary: "Which kind of installation this is",
        details: "In dev everything has a working default. In stage and prod the service refuses to start with an \
            in-memory store, the mock identity provider, no issuer, or anything that is meant for development, and \
            says which. API keys carry it in their prefix.",
        ..setting(Section::Service, "APP_ENV", "dev")
    },
    Setting {
        value_name: "HOST:PORT",
        summary: "Address to listen on",
        details: "`:8090` listens on all interfaces, `127.0.0.1:8090` and `[::1]:8090` on one. Port 0 takes a free one.",
        ..setting(Section::Service, "ADDR", ":8090")
    },
    Setting {
        value_name: "SECONDS",
        summary: "How long a shutdown may take",
        details: "After SIGTERM the service is not ready at once, lets running requests finish and jobs hand back, and \
            ends after this time at the latest. Keep it below the orchestrator's grace period (Kubernetes: 30 s).",
        ..setting(Section::Service, "SHUTDOWN_TIMEOUT_SECONDS", "25")
    },
    Setting {
        value_name: "SECONDS",
        summary: "How long to go on taking connections while not ready, at shutdown",
        details: "After SIGTERM /readyz answers 503 at once; load balancers need a moment to hear of it. Set it to their \
            probe period behind one, and leave it 0 elsewhere. Not counted in SHUTDOWN_TIMEOUT_SECONDS.",
        ..setting(Section::Service, "SHUTDOWN_DRAIN_SECONDS", "0")
    },
    Setting {
        empty: Empty::IsAValue,
        value_name: "PATH",
        summary: "TOML file with settings",
        details: "Only the file named here is read; there is no place where one is looked for. Its keys are the names \
            of the settings in lower case, at top level: `database_url = \"sqlite:registry.db\"`. Lists may be arrays. \
            An unknown key is an error. Not itself a key of the file.",
        ..setting(Section::Service, "CONFIG_FILE", "")
    },
    Setting {
        empty: Empty::IsAValue,
        secrecy: Secrecy::UrlPassword,
        value_name: "URL",
        summary: "Where tenants are kept",
        details: "Empty: in memory, seeded with the tenant `acme`, gone at the end (dev only). `sqlite:PATH`: one \
            durable file. `postgres://user:password@host:5432/name`: PostgreSQL; several hosts (`h1:5432,h2:5432`) are \
            allowed, and the writable one is used. Prefer the environment or the file: flags are visible in process \
            lists.",
        ..setting(Section::Database, "DATABASE_URL", "")
    },
    Setting {
        empty: Empty::IsAValue,
        secrecy: Secrecy::UrlPassword,
        value_name: "URL",
        summary: "The schema owner's login, for `migrate` alone",
        details: "Same forms as DATABASE_URL; empty: that one. With it the service itself needs no right to change the \
            schema.",
        ..setting(Section::Database, "MIGRATION_DATABASE_URL", "")
    },
    Setting {
        default: DefaultValue::ByEnvironment { dev: "true", elsewhere: "false" },
        value_name: "BOOLEAN",
        summary: "Migrate PostgreSQL when the service starts",
        details: "Elsewhere than in dev `tenant-registry migrate up` is a step of its own, and a schema that is behind \
            stops the service. Where it is on, MIGRATION_DATABASE_URL is used for it if it is set, since the service's \
            own login owns nothing. SQLite always migrates itself.",
        ..setting(Section::Database, "MIGRATE_ON_START", "")
    },
    Setting {
        value_name: "COUNT",
        summary: "Largest number of PostgreSQL connections, per pool of requests",
        details: "A replica has two such pools and up to 5 connections beside them; all replicas together must stay below the \
            server's `max_connections`.",
        ..setting(Section::Database, "DATABASE_MAX_CONNECTIONS", "16")
    },
    Setting {
        value_name: "SECONDS",
        summary: "Longest time of one SQL statement",
        details: "The database ends it then, and the request answers 503.",
        ..setting(Section::Database, "DATABASE_STATEMENT_TIMEOUT_SECONDS", "10")
    },
    Setting {
        value_name: "SECONDS",
        summary: "Longest wait for a lock in the database",
        details: "Has effect below DATABASE_STATEMENT_TIMEOUT_SECONDS only.",
        ..setting(Section::Database, "DATABASE_LOCK_TIMEOUT_SECONDS", "5")
    },
    Setting {
        value_name: "SECONDS",
        summary: "How old the read model may be before the store is asked",
        details: "Reads are answered from memory. Where news from the store are older than this, the store answers \
            instead; 0 asks it always.",
        ..setting(Section::Database, "MAX_STALENESS_SECONDS", "5")
    },
    Setting {
        default: DefaultValue::ByEnvironment { dev: "http://localhost:8080/realms/breakpilot-dev", elsewhere: "" },
        empty: Empty::IsAValue,
        secrecy: Secrecy::UrlPassword,
        value_name: "URL",
        summary: "OIDC issuer whose tokens are accepted",
        details: "Exactly as in the token's `iss`, for example `https://id.example.com/realms/main`. Empty accepts no \
            tokens; outside dev that is refused.",
        ..setting(Section::Keycloak, "KEYCLOAK_ISSUER", "")
    },
    Setting {
        summary: "The `aud` that a token must carry",
        details: "In Keycloak: an audience mapper of the client, or a client scope with one.",
        ..setting(Section::Keycloak, "KEYCLOAK_AUDIENCE", "tenant-registry")
    },
    Setting {
        empty: Empty::IsAValue,
        secrecy: Secrecy::UrlPassword,
        value_name: "URL",
        summary: "Keycloak's base URL for the Admin API",
        details: "For example `https://id.example.com`. Empty: a mock identity provider in memory (dev only). Set, it \
            needs KEYCLOAK_CLIENT_ID and KEYCLOAK_CLIENT_SECRET.",
        ..setting(Section::Keycloak, "KEYCLOAK_ADMIN_URL", "")
    },
    Setting {
        value_name: "NAME",
        summary: "Realm of the Admin API calls",
        ..setting(Section::Keycloak, "KEYCLOAK_REALM", "breakpilot-dev")
    },
    Setting {
        empty: Empty::IsAValue,
        value_name: "NAME",
        summary: "Service account of the Admin API calls",
        details: "Its client roles of `realm-management`: `manage-users` and `manage-organizations`.",
        ..setting(Section::Keycloak, "KEYCLOAK_CLIENT_ID", "")
    },
    Setting {
        empty: Empty::IsAValue,
        secrecy: Secrecy::Secret,
        value_name: "SECRET",
        summary: "The service account's secret",
        details: "Prefer the environment or the file: flags are visible in process lists.",
        ..setting(Section::Keycloak, "KEYCLOAK_CLIENT_SECRET", "")
    },
    Setting {
        value_name: "mark|disable",
        summary: "What freezing a tenant does in Keycloak",
        details: "`mark` changes the status that tokens carry: people can still log in and read. `disable` disables \
            the organization and the accounts that we made for it, and logs them out.",
        ..setting(Section::Keycloak, "KEYCLOAK_ON_FREEZE", "mark")
    },
    Setting {
        value_name: "SECONDS",
        summary: "How long a request waits for provisioning",
        details: "What is not done by then goes on as a job. 0 does not wait.",
        ..setting(Section::Keycloak, "PROVISION_TIMEOUT_SECONDS", "10")
    },
    Setting {
        value_name: "SECONDS",
        summary: "Longest time of one request",
        details: "Streams (watch, export) are not bound by it.",
        ..setting(Section::Http, "REQUEST_TIMEOUT_SECONDS", "30")
    },
    Setting {
        empty: Empty::IsAValue,
        value_name: "NETWORKS",
        summary: "Proxies whose Forwarded and X-Forwarded-* headers are believed",
        details: "Comma-separated networks or addresses, for example `10.0.0.0/8,192.0.2.7,fd00::/8`. Empty believes \
            nobody: the client's address is then the connection's.",
        ..setting(Section::Http, "TRUSTED_PROXIES", "")
    },
    Setting {
        empty: Empty::IsAValue,
        secrecy: Secrecy::Secret,
        value_name: "SECRET",
        summary: "What gateways send as X-Gateway-Token to the forward-auth route",
        details: "Required for that route outside dev; empty closes the route there.",
        ..setting(Section::Http, "GATEWAY_TOKEN", "")
    },
    Setting {
        empty: Empty::IsAValue,
        value_name: "ORIGINS",
        summary: "Browser origins that may call the API",
        details: "Comma-separated, for example `https://portal.example.com`, or `*` alone. Empty: CORS is off.",
        ..setting(Section::Http, "CORS_ALLOWED_ORIGINS", "")
    },
    Setting {
        empty: Empty::IsAValue,
        value_name: "SLUGS",
        summary: "Names that no tenant may take",
        details: "Comma-separated. A list given here replaces the default; empty reserves nothing.",
        ..setting(Section::Tenants, "RESERVED_SLUGS", RESERVED_SLUGS)
    },
    Setting {
        empty: Empty::IsAValue,
        value_name: "KEYS",
        summary: "Metadata keys by which a Keycloak user attribute may find a tenant",
        details: "Comma-separated. With `customer_no`, `user_attrs.customer_no` finds the tenant whose metadata has that \
            value.",
        ..setting(Section::Tenants, "CLAIMS_LOOKUP_KEYS", "")
    },
    Setting {
        file_alias: Some("resolvers"),
        value_name: "NAMES",
        summary: "How the agent plane finds a request's tenant",
        details: "Comma-separated, first answer wins: `header` (X-Tenant-Id), `claim` (token), `api_key`, `host`, `path`. \
            In the file the key `resolvers` is read too.",
        ..setting(Section::AgentPlane, "TENANT_RESOLVERS", "header")
    },
    Setting {
        empty: Empty::IsAValue,
        value_name: "SLUG",
        summary: "Tenant of agent-plane requests that name none",
        details: "It is made at the first start. Empty: such requests are refused with 422.",
        ..setting(Section::AgentPlane, "AGENT_DEFAULT_TENANT", "default-tenant")
    },
    Setting {
        default: DefaultValue::ByEnvironment { dev: "true", elsewhere: "false" },
        value_name: "BOOLEAN",
        summary: "Whether an unknown slug becomes a tenant at its first write on the agent plane",
        ..setting(Section::AgentPlane, "AGENT_AUTO_CREATE_TENANTS", "")
    },
    Setting {
        value_name: "DIRECTIVES",
        summary: "Which log lines are written",
        details: "Level, or directives per module: `debug`, `info,sqlx=warn,server::jobs=trace`. Traces do not follow it.",
        ..setting(Section::Telemetry, "LOG_FILTER", "info")
    },
    Setting {
        value_name: "auto|json|text",
        summary: "How log lines look",
        details: "`auto` is text in dev and JSON elsewhere. Logs go to standard error.",
        ..setting(Section::Telemetry, "LOG_FORMAT", "auto")
    },
    Setting {
        empty: Empty::IsAValue,
        secrecy: Secrecy::UrlPassword,
        value_name: "URL",
        summary: "Collector for traces, metrics and logs (OTLP over HTTP)",
        details: "The base, for example `http://localhost:4318`; `/v1/traces`, `/v1/metrics` and `/v1/logs` are added. \
            Empty: nothing is sent, and /metrics still answers. Credentials of the collector go into \
            OTEL_EXPORTER_OTLP_HEADERS, which the exporter reads by itself.",
        ..setting(Section::Telemetry, "OTEL_EXPORTER_OTLP_ENDPOINT", "")
    },
    Setting {
        empty: Empty::IsAValue,
        secrecy: Secrecy::Secret,
        value_name: "SECRET",
        summary: "The platform admin's bearer token in dev",
        details: "Empty: generated at each start and printed with a ready-to-paste curl. Accepted as X-API-Key too.",
        ..setting(Section::Development, "DEV_TOKEN", "")
    },
    Setting {
        value_name: "SECONDS",
        summary: "Shifts the service's own clock, from its start on",
        details: "For trying what time does, for example `1209600` (14 days) to see a trial end; may be negative. Tokens \
            of others are judged by the real clock.",
        ..setting(Section::Development, "DEV_CLOCK_OFFSET_SECONDS", "0")
    },
    Setting {
        empty: Empty::IsAValue,
        secrecy: Secrecy::UrlPassword,
        value_name: "URL",
        summary: "Where mails of the realm can be read (Mailpit's API)",
        details: "For example `http://localhost:8025`; answers can then carry `invite_url`.",
        ..setting(Section::Development, "MAIL_SINK_URL", "")
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_setting_explains_itself_and_has_one_name() {
        let mut names = HashSet::new();
        for setting in ALL {
            assert!(names.insert(setting.file_key()), "{} is listed twice", setting.name);
            assert!(setting.summary.len() > 10, "{} has no help", setting.name);
            assert!(setting.name.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{}", setting.name);
            if let Some(alias) = setting.file_alias {
                assert!(names.insert(alias.to_owned()), "{alias} is taken");
            }
        }
    }

    #[test]
    fn the_variables_of_the_contract_are_all_here() {
        let contract = "APP_ENV ADDR MIGRATION_DATABASE_URL DATABASE_URL KEYCLOAK_ISSUER KEYCLOAK_AUDIENCE \
            KEYCLOAK_ADMIN_URL KEYCLOAK_REALM KEYCLOAK_CLIENT_ID KEYCLOAK_CLIENT_SECRET KEYCLOAK_ON_FREEZE \
            MAIL_SINK_URL PROVISION_TIMEOUT_SECONDS MIGRATE_ON_START MAX_STALENESS_SECONDS TRUSTED_PROXIES \
            GATEWAY_TOKEN RESERVED_SLUGS CLAIMS_LOOKUP_KEYS TENANT_RESOLVERS AGENT_DEFAULT_TENANT \
            AGENT_AUTO_CREATE_TENANTS DEV_CLOCK_OFFSET_SECONDS DEV_TOKEN OTEL_EXPORTER_OTLP_ENDPOINT";
        for name in contract.split_whitespace() {
            assert!(find(name).is_some(), "{name} is missing");
        }
    }

    #[test]
    fn names_that_examples_use_are_not_reserved() {
        let reserved: Vec<&str> = RESERVED_SLUGS.split(',').collect();
        for free in ["test", "demo", "acme", "default-tenant"] {
            assert!(!reserved.contains(&free), "{free}");
        }
        assert!(reserved.contains(&"www") && reserved.contains(&"production"));
    }
}
