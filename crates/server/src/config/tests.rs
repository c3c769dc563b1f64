//! The configuration as a whole: layers, defaults, refusals, and that no secret gets out.

use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use super::reader::Reader;
use super::*;

/// One text for every place where a secret can stand.
const PLANTED: &str = "planted-s3cret";

fn run(args: &[&str], env: &[(&str, &str)]) -> Result<Invocation, ParseFailure> {
    let args = std::iter::once("tenant-registry").chain(args.iter().copied()).map(OsString::from);
    let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    parse(args, &|name| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
}

#[track_caller]
fn refuses(args: &[&str], env: &[(&str, &str)], expected: &str) {
    let failure = run(args, env).unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.text().contains(expected), "{}", failure.text());
}

#[track_caller]
fn runs(args: &[&str], expected: Command) {
    assert_eq!(run(args, &[]).unwrap().command, expected);
}

#[test]
fn without_any_setting_dev_works() {
    let config = run(&[], &[]).unwrap().config;
    assert_eq!((config.app_env, config.addr.port()), (AppEnv::Dev, 8090));
    assert_eq!(config.database.url, DatabaseUrl::Memory);
    assert!(config.database.migrate_on_start && config.agent_plane.auto_create_tenants);
    assert_eq!(config.keycloak.issuer.as_deref(), Some("http://localhost:8080/realms/breakpilot-dev"));
    assert_eq!(config.keycloak.on_freeze, OnFreeze::Mark);
    assert_eq!(config.keycloak.provision_timeout, Duration::from_secs(10));
    assert_eq!(config.agent_plane.resolvers, [ResolverName::Header]);
    assert_eq!(config.agent_plane.default_tenant.as_deref(), Some("default-tenant"));
    assert_eq!(config.telemetry.log_format, LogFormat::Text);
    assert_eq!(config.http.allowed_origins, AllowedOrigins::None);
    assert!(config.tenants.reserved_slugs.contains("www") && !config.tenants.reserved_slugs.contains("acme"));
    assert!(config.check().is_empty());
}

#[test]
fn defaults_outside_dev_are_strict() {
    for app_env in ["stage", "prod"] {
        let config = Config::from_pairs(&[("APP_ENV", app_env)]).unwrap();
        assert!(!config.database.migrate_on_start && !config.agent_plane.auto_create_tenants);
        assert_eq!((config.keycloak.issuer.as_deref(), config.telemetry.log_format), (None, LogFormat::Json));
    }
}

#[test]
fn every_setting_is_read_once() {
    let values = load::layers(&Flags::new(), &|_| None).unwrap();
    let mut reader = Reader::new(&values);
    Config::read(&mut reader, &values);
    let mut asked = reader.asked.clone();
    let mut listed: Vec<&str> = settings::ALL.iter().map(|setting| setting.name).collect();
    asked.sort_unstable();
    listed.sort_unstable();
    assert_eq!(asked, listed);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "request_timeout_seconds = 1\nshutdown_timeout_seconds = 1\nprovision_timeout_seconds = 1").unwrap();
    let path = file.path().to_str().unwrap();
    let env = [("CONFIG_FILE", path), ("SHUTDOWN_TIMEOUT_SECONDS", "2"), ("PROVISION_TIMEOUT_SECONDS", "2")];
    let config = run(&["--provision-timeout-seconds", "3"], &env).unwrap().config;
    let seconds = [config.http.request_timeout, config.shutdown_timeout, config.keycloak.provision_timeout];
    assert_eq!(seconds.map(|d| d.as_secs()), [1, 2, 3]);
    let shown = config.show();
    let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("REQUEST_TIMEOUT_SECONDS").ends_with("= 1 (file)"));
    assert!(line("SHUTDOWN_TIMEOUT_SECONDS").ends_with("= 2 (environment)"));
    assert!(line("PROVISION_TIMEOUT_SECONDS").ends_with("= 3 (flag)"));
    assert!(line("ADDR").ends_with("= :8090 (default)"));
}

#[test]
fn the_files_app_env_decides_defaults_too() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "app_env = \"prod\"").unwrap();
    let path = file.path().to_str().unwrap();
    assert!(!run(&["--config-file", path], &[]).unwrap().config.database.migrate_on_start);
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    refuses(&["--config-file", "/nowhere/x.toml"], &[], "CONFIG_FILE: the file `/nowhere/x.toml` cannot be read");
}

#[test]
fn an_empty_variable_is_the_empty_value_or_the_default() {
    let config = run(&[], &[("AGENT_DEFAULT_TENANT", ""), ("KEYCLOAK_ISSUER", ""), ("ADDR", ""), ("LOG_FILTER", " ")])
        .unwrap()
        .config;
    assert_eq!((config.agent_plane.default_tenant, config.keycloak.issuer), (None, None));
    assert_eq!((config.addr.port(), config.telemetry.log_filter.as_str()), (8090, "info"));
    // An empty flag takes back what the environment says.
    let env = [("DATABASE_URL", "sqlite:x.db")];
    assert_eq!(run(&["--database-url", ""], &env).unwrap().config.database.url, DatabaseUrl::Memory);
}

#[test]
fn space_around_a_value_does_not_count() {
    let config = run(&[], &[("GATEWAY_TOKEN", " tok\n"), ("MIGRATE_ON_START", "No ")]).unwrap().config;
    assert_eq!(config.http.gateway_token.unwrap().expose(), "tok");
    assert!(!config.database.migrate_on_start);
}

#[test]
fn several_problems_are_told_together() {
    let env = [("ADDR", "nonsense"), ("KEYCLOAK_ON_FREEZE", "melt"), ("REQUEST_TIMEOUT_SECONDS", "0")];
    let failure = run(&["--app-env", "live"], &env).unwrap_err();
    for expected in [
        "APP_ENV: must be `dev`, `stage` or `prod`; got `live` (flag --app-env)",
        "ADDR: must be `:8090`, `host:8090` or `[::1]:8090`; got `nonsense` (environment)",
        "KEYCLOAK_ON_FREEZE: must be `mark` or `disable`; got `melt`",
        "REQUEST_TIMEOUT_SECONDS: must be a whole number from 1 to 3600; got `0`",
    ] {
        assert!(failure.text().contains(expected), "{}", failure.text());
    }
}

#[test]
fn values_outside_the_rules_are_refused() {
    for (name, value, expected) in [
        ("MIGRATE_ON_START", "maybe", "must be true or false"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,,::1", "has an empty element"),
        ("TRUSTED_PROXIES", "proxy", "must hold networks"),
        ("CORS_ALLOWED_ORIGINS", "*,https://a.example", "`*` must stand alone"),
        ("RESERVED_SLUGS", "www,API", "must hold words"),
        ("TENANT_RESOLVERS", "header,cookie", "`header`, `claim`, `api_key`, `host`, `path`"),
        ("TENANT_RESOLVERS", "header,header", "twice"),
        ("LOG_FILTER", "server=loud", "must be directives"),
        ("LOG_FORMAT", "xml", "`auto`, `json` or `text`"),
        ("KEYCLOAK_ISSUER", "id.example.com/realms/x", "must be a URL"),
        (
            "KEYCLOAK_ADMIN_URL",
            "https://u:planted@id.example.com",
            "must not carry a user or password; got `https://u:***@",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector:4317", "must be a URL"),
        ("DEV_CLOCK_OFFSET_SECONDS", "1h", "must be a whole number"),
        ("DATABASE_MAX_CONNECTIONS", "1001", "from 1 to 1000"),
        ("MAX_STALENESS_SECONDS", "-1", "from 0 to 3600"),
    ] {
        refuses(&[], &[(name, value)], expected);
    }
}

#[test]
fn values_at_the_edge_of_the_rules_are_accepted() {
    for (name, value) in [
        ("REQUEST_TIMEOUT_SECONDS", "1"),
        ("REQUEST_TIMEOUT_SECONDS", "3600"),
        ("MAX_STALENESS_SECONDS", "0"),
        ("PROVISION_TIMEOUT_SECONDS", "300"),
        ("DATABASE_MAX_CONNECTIONS", "1000"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1,"),
        ("LOG_FILTER", "info,sqlx=warn,[request]=debug"),
    ] {
        assert!(Config::from_pairs(&[(name, value)]).is_ok(), "{name}={value}");
    }
    let config = run(&["--dev-clock-offset-seconds", "-60"], &[]).unwrap().config;
    assert_eq!(config.development.clock_offset.as_secs(), -60);
}

#[test]
fn outside_dev_each_refusal_names_its_setting() {
    let named = |pairs: &[(&str, &str)]| -> Vec<&str> {
        Config::from_pairs(pairs).unwrap().check().iter().map(|refusal| refusal.setting).collect()
    };
    let bare = named(&[("APP_ENV", "prod")]);
    assert_eq!(bare, ["DATABASE_URL", "KEYCLOAK_ISSUER", "KEYCLOAK_ADMIN_URL"]);

    let good = [
        ("APP_ENV", "stage"),
        ("DATABASE_URL", "postgres://u:p@h/r"),
        ("KEYCLOAK_ISSUER", "https://id.example.com/realms/main"),
        ("KEYCLOAK_ADMIN_URL", "https://id.example.com/"),
        ("KEYCLOAK_CLIENT_ID", "registry"),
        ("KEYCLOAK_CLIENT_SECRET", "x"),
    ];
    assert!(named(&good).is_empty());
    for (name, value) in [
        ("DATABASE_URL", ""),
        ("KEYCLOAK_ISSUER", ""),
        ("KEYCLOAK_ADMIN_URL", ""),
        ("KEYCLOAK_CLIENT_ID", ""),
        ("KEYCLOAK_CLIENT_SECRET", ""),
        ("DEV_TOKEN", "t"),
        ("DEV_CLOCK_OFFSET_SECONDS", "-1"),
        ("MAIL_SINK_URL", "http://localhost:8025"),
    ] {
        let pairs = [good.as_slice(), &[(name, value)]].concat();
        assert_eq!(named(&pairs), [name], "{name}={value}");
        let in_dev = [pairs.as_slice(), &[("APP_ENV", "dev")]].concat();
        assert!(named(&in_dev).is_empty());
    }
}

#[test]
fn refusals_have_messages_of_their_own() {
    let config = Config::from_pairs(&[("APP_ENV", "prod"), ("DEV_TOKEN", PLANTED)]).unwrap();
    let messages: Vec<String> = config.check().iter().map(ToString::to_string).collect();
    let distinct: std::collections::HashSet<&String> = messages.iter().collect();
    assert_eq!((messages.len(), distinct.len()), (4, 4));
    assert!(messages.iter().all(|message| message.contains("APP_ENV=prod") && !message.contains(PLANTED)));
    assert!(config.show().contains("refuse to start\n"));
}

#[test]
fn no_secret_is_shown_or_debugged() {
    let url = format!("postgres://app:{PLANTED}@db/registry?password={PLANTED}");
    let names = ["KEYCLOAK_CLIENT_SECRET", "GATEWAY_TOKEN", "DEV_TOKEN"];
    let mut env: Vec<(&str, &str)> = names.iter().map(|name| (*name, PLANTED)).collect();
    env.extend([("DATABASE_URL", url.as_str()), ("MIGRATION_DATABASE_URL", url.as_str())]);
    let invocation = run(&["config"], &env).unwrap();
    let shown = invocation.config.show();
    assert!(!format!("{shown}{invocation:?}{invocation:#?}").contains(PLANTED));
    assert!(shown.contains("postgres://app:***@db/registry?password=***"), "{shown}");
    assert!(names.iter().all(|name| shown.lines().any(|line| line.starts_with(name) && line.contains("= ***"))));
    // Unset secrets show as empty, so that one sees that they are unset.
    assert!(
        run(&[], &[])
            .unwrap()
            .config
            .show()
            .lines()
            .any(|line| line.starts_with("GATEWAY_TOKEN") && line.ends_with("= (default)"))
    );
}

#[test]
fn no_message_about_a_wrong_value_holds_a_secret() {
    for (name, value) in [
        ("DATABASE_URL", "mysql://u:planted-s3cret@h"),
        ("DATABASE_URL", "planted-s3cret"),
        ("MIGRATION_DATABASE_URL", "postgres://u:planted-s3cret @h"),
        ("GATEWAY_TOKEN", "planted-s3cret with space"),
        ("DEV_TOKEN", "planted-s3cretü"),
        ("KEYCLOAK_ADMIN_URL", "https://u:planted-s3cret@h"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://u:planted-s3cret@h"),
    ] {
        let setting = settings::find(name).unwrap();
        for failure in [run(&[], &[(name, value)]), run(&[&format!("--{}={value}", setting.flag())], &[])] {
            let failure = failure.unwrap_err();
            assert!(failure.text().contains(name) && !failure.text().contains(PLANTED), "{}", failure.text());
        }
    }
    // A mistyped flag is clap's own message.
    let failure = run(&[&format!("--database-ur=postgres://u:{PLANTED}@h")], &[]).unwrap_err();
    assert!(failure.text().contains("--database-ur") && !failure.text().contains(PLANTED), "{}", failure.text());
}

#[test]
fn subcommands() {
    runs(&[], Command::Serve);
    runs(&["serve"], Command::Serve);
    runs(&["config"], Command::Config);
    runs(&["openapi"], Command::Openapi);
    runs(&["healthcheck"], Command::Healthcheck);
    runs(&["migrate", "up"], Command::Migrate(MigrateCommand::Up));
    runs(&["migrate", "down"], Command::Migrate(MigrateCommand::Down));
    runs(&["migrate", "down-all"], Command::Migrate(MigrateCommand::DownAll));
    runs(&["migrate", "version"], Command::Migrate(MigrateCommand::Version));
    let create = MigrateCommand::Create { name: "add_notes".to_owned() };
    runs(&["migrate", "create", "add_notes"], Command::Migrate(create));
    refuses(&["migrate", "create", "../x"], &[], "must consist of");
    refuses(&["migrate"], &[], "Usage");
    refuses(&["sevre"], &[], "serve");
    refuses(&["--no-such-flag"], &[], "--no-such-flag");
}

#[test]
fn flags_may_stand_anywhere() {
    for args in
        [&["--addr", ":1", "migrate", "up"], &["migrate", "--addr", ":1", "up"], &["migrate", "up", "--addr", ":1"]]
    {
        assert_eq!(run(args, &[]).unwrap().config.addr.port(), 1, "{args:?}");
    }
}

#[test]
fn help_explains_every_setting() {
    command_line().debug_assert();
    let failure = run(&["--help"], &[]).unwrap_err();
    assert_eq!(failure.exit_code(), 0);
    for setting in settings::ALL {
        assert!(failure.text().contains(&format!("[env: {}]", setting.name)), "{}", setting.name);
        assert!(failure.text().contains(&format!("--{} <", setting.flag())), "{}", setting.name);
    }
    assert!(failure.text().contains("Exit codes:") && failure.text().contains("weakest first"));
    let version = run(&["--version"], &[]).unwrap_err();
    assert_eq!(
        (version.exit_code(), version.text().trim()),
        (0, concat!("tenant-registry ", env!("CARGO_PKG_VERSION")))
    );
}
