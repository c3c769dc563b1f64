//! The speed that the registry promises, measured beside its peer or against its limit in one run (`make bench`).
//!
//! Without arguments every part runs; names of parts select (`make bench ONLY=by-slug`). The binary also plays the
//! parts that must not share a process with what is measured: `--load` is the load generator, `--serve-bare` the peer of
//! the read. The registry itself is the product's own binary. Figures from a real run are kept in docs/benchmarks.md.
//! Invariant: what is compared runs in turn, A B A B, and the table shows medians; a missed limit ends with status 1.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it has to say is for whoever called it")]

mod bare;
mod by_slug;
mod create;
mod load;
mod process;
mod report;
mod seed;
mod start_up;

#[path = "../../tests/it/support/issuer.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod issuer;

use std::process::ExitCode;

use report::Report;

/// The product allocates with it: its peer and its load generator must not be slower for want of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T = ()> = Result<T, Failure>;

const PARTS: [&str; 3] = ["by-slug", "create", "start-up"];

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let outcome = match args.first().map(String::as_str) {
        Some("--load") => load::run(&args[1..]).map(|()| true),
        Some("--serve-bare") => bare::run(&args[1..]).map(|()| true),
        _ => run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(2)
        }
    }
}

/// Runs the chosen parts; says whether every limit was kept.
fn run(chosen: &[String]) -> Outcome<bool> {
    if let Some(unknown) = chosen.iter().find(|name| !PARTS.contains(&name.as_str())) {
        return Err(format!("no part is called {unknown:?}; there are {}", PARTS.join(", ")).into());
    }
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    let mut report = Report::default();
    if wanted("by-slug") {
        by_slug::measure(&mut report)?;
    }
    if wanted("create") {
        create::measure(&mut report)?;
    }
    if wanted("start-up") {
        start_up::measure(&mut report)?;
    }
    print!("{report}");
    Ok(report.all_kept())
}
