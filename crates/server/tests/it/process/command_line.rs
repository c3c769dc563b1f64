//! The command line of the real binary: help, the effective configuration, the layers it comes from, and its messages.

use server::config::settings::{self, Secrecy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::client::DEV_TOKEN;
use crate::support::process::{Finished, Program, source_root};

async fn run(words: &[&str]) -> Finished {
    Program::new().args(words).run().await
}

/// The effective value and its source, as `config` prints them.
#[track_caller]
fn value(config: &str, name: &str) -> String {
    let line = config.lines().find(|line| line.split_whitespace().next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in:\n{config}"));
    line.split_once('=').unwrap().1.trim().to_owned()
}

#[tokio::test]
async fn help_documents_every_setting_and_every_subcommand() {
    let help = run(&["--help"]).await.succeeded().stdout;
    for setting in settings::ALL {
        let flag = format!("--{} <{}>", setting.flag(), setting.value_name);
        assert!(help.contains(&flag), "{flag}");
        assert!(help.contains(&format!("[env: {}]", setting.name)), "{}", setting.name);
        assert!(help.contains(setting.section.title()));
        // Wrapped as the terminal is wide: the first words must do.
        let begin: Vec<&str> = setting.summary.split(' ').take(3).collect();
        assert!(help.contains(&begin.join(" ")), "{}", setting.summary);
    }
    for subcommand in ["serve", "migrate", "keys", "config", "openapi", "healthcheck"] {
        let line = help.lines().any(|line| line.trim_start().starts_with(&format!("{subcommand} ")));
        assert!(line, "{subcommand}");
        run(&[subcommand, "--help"]).await.succeeded();
    }
    let migrate = run(&["migrate", "--help"]).await.succeeded().stdout;
    for subcommand in ["up", "down", "down-all", "version", "create"] {
        assert!(migrate.lines().any(|line| line.trim_start().starts_with(&format!("{subcommand} "))), "{subcommand}");
    }
    let keys = run(&["keys", "create", "--help"]).await.succeeded().stdout;
    for flag in ["--name", "--tenant", "--scope", "--expires-at"] {
        assert!(keys.contains(flag), "{flag}");
    }
    assert!(run(&["--version"]).await.succeeded().stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn config_prints_every_effective_value_with_secrets_hidden() {
    let mut program = Program::new().args(&["config"]);
    for setting in settings::ALL {
        program = match setting.secrecy {
            Secrecy::Secret => program.set(setting.name, "planted-secret"),
            Secrecy::UrlPassword if setting.name.contains("DATABASE") => {
                program.set(setting.name, "postgres://app:planted-secret@db:5432/registry")
            }
            Secrecy::UrlPassword => program.set(setting.name, "https://app:planted-secret@example.com/realm"),
            Secrecy::Open => program,
        };
    }
    // An issuer with a password may be refused as a value; what is printed then must hide it as well.
    let finished = program.run().await;
    for text in [&finished.stdout, &finished.stderr] {
        assert!(!text.contains("planted"), "{text}");
    }
    let config = run(&["config"]).await.succeeded().stdout;
    for setting in settings::ALL {
        value(&config, setting.name);
    }
    assert_eq!(value(&config, "DEV_TOKEN"), "*** (environment)");
    let program = Program::new().args(&["config", "--database-url", "postgres://app:planted@db/registry"]);
    let config = program.set("KEYCLOAK_CLIENT_SECRET", "planted").run().await.succeeded().stdout;
    assert_eq!(value(&config, "DATABASE_URL"), "postgres://app:***@db/registry (flag)");
    assert_eq!(value(&config, "KEYCLOAK_CLIENT_SECRET"), "*** (environment)");
    assert!(!config.contains("planted") && !config.contains(DEV_TOKEN), "{config}");
}

#[tokio::test]
async fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let config = async |environment: Option<&str>, words: &[&str]| {
        let mut program = Program::new().set("CONFIG_FILE", "registry.toml");
        std::fs::write(
            program.folder().join("registry.toml"),
            "request_timeout_seconds = 11\nresolvers = [\"host\"]\n",
        )
        .unwrap();
        if let Some(text) = environment {
            program = program.set("REQUEST_TIMEOUT_SECONDS", text);
        }
        let config = program.args(words).run().await.succeeded().stdout;
        assert_eq!(value(&config, "TENANT_RESOLVERS"), "host (file)");
        value(&config, "REQUEST_TIMEOUT_SECONDS")
    };
    assert_eq!(config(None, &["config"]).await, "11 (file)");
    assert_eq!(config(Some("12"), &["config"]).await, "12 (environment)");
    assert_eq!(config(Some("12"), &["config", "--request-timeout-seconds", "13"]).await, "13 (flag)");
    assert_eq!(config(Some("12"), &["--request-timeout-seconds=13", "config"]).await, "13 (flag)");
    assert_eq!(value(&run(&["config"]).await.succeeded().stdout, "REQUEST_TIMEOUT_SECONDS"), "30 (default)");
}

#[tokio::test]
async fn what_is_not_known_is_named() {
    let program = Program::new().set("CONFIG_FILE", "registry.toml");
    std::fs::write(program.folder().join("registry.toml"), "databse_url = \"sqlite:x\"\n").unwrap();
    let refusal = program.run().await.refused(&["unknown key `databse_url`", "database_url", "registry.toml"]);
    assert_eq!(refusal.code, Some(2));
    let missing = Program::new().set("CONFIG_FILE", "/nowhere/registry.toml").run().await;
    missing.refused(&["/nowhere/registry.toml", "cannot be read"]);
    run(&["--databse-url", "x"]).await.refused(&["--databse-url", "--database-url"]);
    run(&["severe"]).await.refused(&["severe"]);
    run(&["migrate", "sideways"]).await.refused(&["sideways"]);
    for (name, text, says) in [
        ("ADDR", "8090", "must be `:8090`"),
        ("APP_ENV", "production", "must be `dev`, `stage` or `prod`"),
        ("LOG_FILTER", "a=b=c", "must be directives"),
        ("SHUTDOWN_TIMEOUT_SECONDS", "0", "1"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "TRUSTED_PROXIES"),
    ] {
        Program::new().set(name, text).run().await.refused(&[name, says]);
    }
}

#[tokio::test]
async fn an_unknown_database_is_refused_without_its_password() {
    for (url, says) in [
        ("mysql://app:planted@db/registry", "`sqlite:PATH`"),
        ("planted", "`sqlite:PATH`"),
        // A raw slash in the password: a URL of something, and of no database.
        ("postgres://app:plan/ted@db/registry", "not a PostgreSQL connection string"),
    ] {
        for words in [&["serve"][..], &["migrate", "up"]] {
            let refusal = Program::new().set("DATABASE_URL", url).args(words).run().await;
            let refusal = refusal.refused(&["DATABASE_URL", says]);
            assert!(!refusal.stderr.contains("plan") && !refusal.stderr.contains("ted@"), "{}", refusal.stderr);
        }
    }
}

#[tokio::test]
async fn openapi_prints_the_committed_document() {
    let committed = std::fs::read_to_string(source_root().join("openapi.yaml")).unwrap();
    let printed = run(&["openapi"]).await.succeeded().stdout;
    assert!(printed == committed, "openapi.yaml is not what `tenant-registry openapi` prints");
    let process = Program::new().start().await;
    let served = process.admin().get("/openapi.yaml").await.expect(200).text;
    assert_eq!(served.trim_end(), committed.trim_end());
}

#[tokio::test]
async fn healthcheck_says_by_its_exit_code_whether_the_service_is_alive() {
    let mut process = Program::new().start().await;
    let address = process.address().to_owned();
    let check = || Program::new().set("ADDR", &address).args(&["healthcheck"]).run();
    check().await.succeeded();
    process.kill_9();
    let dead = check().await;
    assert_eq!(dead.code, Some(1));
    assert!(dead.stderr.contains("/healthz does not answer"), "{}", dead.stderr);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refusal = Program::new().set("ADDR", &address).run().await.refused(&["cannot listen on", &address]);
    assert_eq!(refusal.stdout, "", "no greeting of a service that does not listen");
    let port = taken.local_addr().unwrap().port();
    let refusal = Program::new().set("ADDR", &format!("0.0.0.0:{port}")).run().await;
    refusal.refused(&[&format!("0.0.0.0:{port}"), "in use"]);
}

/// The line is for pasting: it is given to a shell as it stands, with `curl` where there is one, and is asked by hand too.
#[tokio::test]
async fn in_dev_the_greeting_holds_a_request_that_works_as_printed() {
    let process = Program::new().unset("DEV_TOKEN").set("ADDR", ":0").start().await;
    let greeting = process.stdout();
    let line = greeting.lines().find(|line| line.trim_start().starts_with("curl ")).unwrap().trim();
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let header = line.split('\'').nth(1).unwrap();
    let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    assert_eq!(address.rsplit(':').next(), process.address().rsplit(':').next());
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\n{header}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"slug\":\"acme\""), "{answer}");
    let token = header.trim_start_matches("Authorization: Bearer ");
    assert!(token.len() >= 32, "a generated token that can be guessed: {token}");
    assert!(!process.stderr().contains(token), "the token belongs into the greeting, not into the log");
    let other = Program::new().unset("DEV_TOKEN").start().await;
    assert!(!other.stdout().contains(token), "each start has a token of its own");

    match std::process::Command::new("curl").arg("--version").output() {
        Err(_) => eprintln!("curl is not installed: the line was asked by hand alone"),
        Ok(_) => {
            let line = line.to_owned();
            let run = move || std::process::Command::new("sh").args(["-c", &line]).env("no_proxy", "*").output();
            let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("\"slug\":\"acme\""), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(greeting.contains("/docs"), "{greeting}");
}
