//! The binary `tenant-registry`: parses its arguments and runs the subcommand.

use std::process::ExitCode;

/// Allocates for the whole process; no state of ours.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match server::config::parse(std::env::args_os(), &|name| std::env::var(name).ok()) {
        Ok(invocation) => server::cli::run(invocation),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}
