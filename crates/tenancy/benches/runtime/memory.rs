//! What a tenant takes, in a process that does nothing else.

use std::process::Command;

use crate::Outcome;
use crate::report::Report;
use crate::setup::registry;

const TENANTS: usize = 1_000_000;

/// Resident memory of this process, in KiB (`proc(5)`).
fn resident() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
}

/// Prints the bytes that each of so many tenants takes.
pub(crate) fn child(args: &[String]) -> Outcome {
    let tenants: usize = args.first().ok_or("how many?")?.parse()?;
    let before = resident()?;
    let registry = registry(tenants);
    let after = resident()?;
    assert_eq!(registry.len(), tenants);
    println!("{}", (after - before) * 1024 / tenants as u64);
    Ok(())
}

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let output = Command::new(std::env::current_exe()?).args(["--memory", &TENANTS.to_string()]).output()?;
    let bytes: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
    report.judge(
        format!("memory of a tenant, of {TENANTS} (resident, without its platform)"),
        format!("{bytes} B"),
        "under 1 KB",
        bytes < 1_000,
    );
    Ok(())
}
