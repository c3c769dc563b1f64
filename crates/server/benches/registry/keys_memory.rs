//! The memory of a service whose read model holds a million keys.
//!
//! Every key is verified once; then the system is asked what the process holds, at once and again when the times of last
//! use have been written. Invariant: the larger figure is judged, and only if the read model still holds every key.

use std::time::Duration;

use crate::Outcome;
use crate::keys;
use crate::load::Deck;
use crate::process::{Cores, Folder, Server, ask};
use crate::report::Report;
use crate::scale;
use crate::seed_keys;
use crate::verify::{fill, start};

const KEYS: u64 = 1_000_000;
const TENANTS: u64 = 10_000;
const LIMIT_MEGABYTES: f64 = 400.0;
const IDLE: Duration = Duration::from_secs(2);
/// Longer than the job waits that writes when keys were used.
const SETTLE: Duration = Duration::from_secs(20);
const METRIC: &str = "tenant_registry_read_model_entries";

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let (keys, tenants) = (scale::many(KEYS), scale::many(TENANTS));
    let folder = Folder::new()?;
    let file = folder.path().join("registry.sqlite");
    tokio::runtime::Runtime::new()?.block_on(seed_keys::fill_sqlite(&file, tenants, keys))?;
    let deck = keys::deck(folder.path(), "good", keys, keys::key)?;
    let deck = Deck { file: &deck, width: keys::WIDTH };

    let (registry, token) = start(&folder, Cores::All, &format!("sqlite:{}", file.display()))?;
    std::thread::sleep(IDLE);
    let idle = registry.resident_megabytes()?;
    let filled = fill(&registry, &folder, &token, deck, keys)?;
    let at_once = registry.resident_megabytes()?;
    std::thread::sleep(scale::length(SETTLE));
    let settled = registry.resident_megabytes()?;

    let entries = entries(&registry)?;
    let held = entries.iter().filter(|(by, _)| by.contains("key")).map(|(_, count)| *count).max().unwrap_or(0);
    let shown: Vec<String> = entries.iter().map(|(by, count)| format!("{by} {count}")).collect();
    report.show("keys-memory, what the read model holds at the end", shown.join(", "));
    report.show(
        "keys-memory, resident memory",
        format!("idle {idle:.1} MB, filled {at_once:.1} MB, later {settled:.1} MB"),
    );
    let most = at_once.max(settled);
    report.show(
        "keys-memory, growth for each key",
        format!("{:.0} bytes (filled at {:.0} keys/s)", (most - idle) * 1e6 / keys as f64, filled.per_second),
    );
    report.judge(
        format!("keys-memory, {keys} keys in the read model"),
        format!("{most:.1} MB in all, with {held} keys"),
        &format!("under {LIMIT_MEGABYTES} MB with all of them"),
        // The caller's own key is in memory too.
        most < LIMIT_MEGABYTES && held >= keys,
    );
    Ok(())
}

/// How many things the read model holds, by what they are found by.
fn entries(registry: &Server) -> Outcome<Vec<(String, u64)>> {
    let metrics = ask(registry.address, "/metrics", "")?;
    let found: Vec<(String, u64)> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(METRIC)?.rsplit_once(' '))
        .map(|(labels, count)| {
            let by = labels.split_once("by=\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or(labels);
            Ok((by.to_owned(), count.trim().parse::<f64>()? as u64))
        })
        .collect::<Outcome<_>>()?;
    if found.is_empty() { Err(format!("no {METRIC} in the metrics:\n{metrics}").into()) } else { Ok(found) }
}
