//! The subcommands, one file each.
//!
//! Beside `lib.rs`, this is the only place that names a concrete store. Invariant: a failure is one message on standard
//! error that says what to do, and exit code 1; what is refused outside dev ends with 2, like any wrong configuration,
//! so that an orchestrator can tell it from an outage.

mod healthcheck;
mod keys;
mod migrate;
mod openapi;
mod serve;

use std::io::Write as _;
use std::process::ExitCode;

use crate::config::{Command, Invocation};

/// What a subcommand ends with: nothing, or a message for the operator.
type Outcome = Result<(), String>;

/// Runs a subcommand.
#[must_use]
pub fn run(invocation: Invocation) -> ExitCode {
    let Invocation { command, config } = invocation;
    let outcome = match command {
        Command::Serve => match serve::refusal(&config) {
            Some(message) => return fail(&message, 2),
            None => serve::run(config),
        },
        Command::Migrate(command) => migrate::run(&command, &config),
        Command::Keys(command) => keys::run(command, &config),
        Command::Config => say(&config.show()),
        Command::Openapi => openapi::run(),
        Command::Healthcheck => healthcheck::run(&config),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message, 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "tenant-registry: {message}");
    ExitCode::from(code)
}

/// Prints to standard output. A reader that went away is no failure.
fn say(text: &str) -> Outcome {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(())
}

/// A runtime for a subcommand.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    Ok(runtime.map_err(|error| format!("the runtime cannot be started: {error}"))?.block_on(future))
}
