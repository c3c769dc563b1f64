//! pgbench as a peer: the same statements, prepared, with the role and the time limits of the service's connections.
//!
//! Invariant: whoever compares with it stops the registry meanwhile, so that the peer has the machine to itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use store::testing::postgres::Cluster;

use crate::Outcome;

/// How many clients there are; the registry is asked on as many connections.
pub(crate) const CLIENTS: usize = 8;

/// Transactions per second, without the time of connecting. `length` is cut to whole seconds, and at least one.
pub(crate) fn run<N: AsRef<str>, V: AsRef<str>>(
    cluster: &Cluster,
    url: &str,
    script: &Path,
    values: &[(N, V)],
    length: Duration,
) -> Outcome<f64> {
    let mut command = Command::new(cluster.bin("pgbench"));
    command
        .env("PGOPTIONS", "-c role=tenant_registry_platform -c statement_timeout=10000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=10000")
        .args(["-n", "-M", "prepared", "-j", "2", "-c", &CLIENTS.to_string()])
        .args(["-T", &length.as_secs().max(1).to_string(), "-f"])
        .arg(script)
        .args(values.iter().map(|(name, value)| format!("-D{}={}", name.as_ref(), value.as_ref())))
        .arg(url);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")).and_then(|rest| rest.split(' ').next());
    match tps {
        Some(tps) if output.status.success() => Ok(tps.parse()?),
        _ => Err(format!("pgbench: {}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into()),
    }
}
