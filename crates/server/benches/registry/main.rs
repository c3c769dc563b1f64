//! The speed that the registry promises, measured beside its peer or against its limit in one run (`make bench`).
//!
//! Without arguments every part runs; names of parts select (`make bench ONLY=by-slug`). The binary also plays the
//! parts that must not share a process with what is measured: `--load` is the load generator, `--serve-bare` the peer of
//! the reads. The registry itself is the product's own binary. Figures from a real run are kept in docs/benchmarks.md.
//! Invariant: what is compared runs in turn, A B A B, and the table shows medians; a missed limit ends with status 1.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it has to say is for whoever called it")]

mod audit;
mod audit_copy;
mod audit_pages;
mod bare;
mod by_slug;
mod claims;
mod client;
mod create;
mod histogram;
mod keys;
mod keys_memory;
mod load;
mod pgbench;
mod process;
mod provisioning;
#[path = "../../tests/it/support/proxy.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod proxy;
mod report;
mod revocation;
mod scale;
mod seed;
mod seed_keys;
mod side;
mod start_up;
mod verify;

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

type Part = fn(&mut Report) -> Outcome;

/// Every part by its name, in the order in which they run. Add yours here.
const PARTS: [(&str, Part); 9] = [
    ("by-slug", by_slug::measure),
    ("create", create::measure),
    ("start-up", start_up::measure),
    ("verify", verify::measure),
    ("claims", claims::measure),
    ("audit", audit::measure),
    ("keys-memory", keys_memory::measure),
    ("revocation", revocation::measure),
    ("provisioning", provisioning::measure),
];

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
    if let Some(unknown) = chosen.iter().find(|name| PARTS.iter().all(|(part, _)| part != name)) {
        let names: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        return Err(format!("no part is called {unknown:?}; there are {}", names.join(", ")).into());
    }
    let mut report = Report::default();
    for (name, part) in PARTS {
        if chosen.is_empty() || chosen.iter().any(|one| one == name) {
            part(&mut report)?;
        }
    }
    print!("{report}");
    if scale::is_short() {
        println!("\nA short run: every part runs, and the figures mean nothing.");
    }
    Ok(report.all_kept())
}
