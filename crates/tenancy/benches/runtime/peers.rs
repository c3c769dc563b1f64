//! The same work done by the peers' registries, by the script that fetches them.
//!
//! A peer that cannot be had here is named in the table, and is no failure: its figures are shown beside ours, and judge
//! nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::report::Report;

/// One line of the script's output, as a row.
fn row(line: &str) -> Outcome<(String, String)> {
    let figure: Value = serde_json::from_str(line)?;
    let text = |name: &str| figure[name].as_str().unwrap_or_default().to_owned();
    let what = format!("{}: {}, {} tenants", text("peer"), text("what"), figure["tenants"]);
    let shown = match (figure["ns"].as_f64(), figure["us"].as_f64()) {
        (Some(ns), _) => format!("{ns:.0} ns"),
        (None, Some(us)) => format!("{us:.1} µs"),
        (None, None) => text("note"),
    };
    Ok((what, shown))
}

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/peers/run.sh");
    let output = Command::new("sh").arg(script).stderr(Stdio::inherit()).output()?;
    for line in String::from_utf8(output.stdout)?.lines() {
        let (what, figure) = row(line)?;
        report.show(what, figure);
    }
    if !output.status.success() {
        report.show("a peer could not be measured (see above)", output.status.to_string());
    }
    Ok(())
}
