//! The speed that the runtime promises, measured beside its limit in one run (`make bench`).
//!
//! Without arguments every part runs; names of parts select. A bare look-up is one in the same concurrent map with the
//! same hasher and keys: pin, get, clone the `Arc`. What is compared runs in turn, A B A B, and the table shows medians;
//! figures from a real run are kept in docs/benchmarks.md. Invariant: nothing is timed whose result is not checked.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it has to say is for whoever called it")]
#![expect(clippy::expect_used, reason = "what is timed is kept short, and a wrong answer ends the run")]

mod layer;
mod memory;
mod peers;
#[path = "../../../server/benches/registry/report.rs"]
mod report;
mod resolve;
mod setup;
mod writes;

use std::process::ExitCode;

use report::Report;

/// The service allocates with it, and so do the servers that we advise.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T = ()> = Result<T, Failure>;
type Part = fn(&mut Report) -> Outcome;

/// Every part by its name, in the order in which they run. Add yours here.
const PARTS: [(&str, Part); 7] = [
    ("resolve", resolve::measure),
    ("threads", resolve::measure_threads),
    ("variants", resolve::measure_variants),
    ("writes", writes::measure),
    ("memory", memory::measure),
    ("layer", layer::measure),
    ("peers", peers::measure),
];

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let outcome = match args.first().map(String::as_str) {
        Some("--memory") => memory::child(&args[1..]).map(|()| true),
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

/// Runs the chosen parts; says whether every limit was kept. Names of other benchmarks' parts select nothing here.
fn run(chosen: &[String]) -> Outcome<bool> {
    let mut report = Report::default();
    let mut ran = false;
    for (name, part) in PARTS {
        if chosen.is_empty() || chosen.iter().any(|one| one == name) {
            part(&mut report)?;
            ran = true;
        }
    }
    if ran {
        print!("{report}");
    }
    Ok(report.all_kept())
}
