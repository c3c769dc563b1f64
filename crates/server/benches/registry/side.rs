//! One side of a comparison: what its rounds came to.
//!
//! Invariant: the sides of one table had as many rounds each, in turn, so that neighbours can be compared.

use std::time::Duration;

use crate::Outcome;
use crate::load::{Answered, Load};
use crate::process::{Folder, Server};
use crate::report::{Report, median, range};

#[derive(Debug, Default)]
pub(crate) struct Side {
    rounds: Vec<Answered>,
    /// Processor time of the server per request.
    micros: Vec<f64>,
}

impl Side {
    /// Runs the generator, and notes what came of it unless that was to warm up.
    pub(crate) fn round(&mut self, server: &Server, load: &Load<'_>, folder: &Folder, warming: bool) -> Outcome<u64> {
        let before = server.processor_seconds()?;
        let answered = load.run(folder)?;
        if !warming {
            let used = server.processor_seconds()? - before;
            self.micros.push(used * 1e6 / answered.requests as f64);
            self.rounds.push(answered);
        }
        Ok(answered.requests)
    }

    pub(crate) fn rates(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|round| round.per_second)
    }

    pub(crate) fn p50_micros(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.p50_micros))
    }

    pub(crate) fn p99_micros(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.p99_micros))
    }

    /// The 99th percentile of the round in which it was highest.
    pub(crate) fn worst_p99(&self) -> Duration {
        let worst = self.rounds.iter().map(|round| round.p99_micros).fold(0.0, f64::max);
        Duration::from_micros(worst as u64)
    }

    pub(crate) fn words(&self) -> String {
        let latencies = words(&self.rounds);
        format!("{latencies}, {:.1} µs of processor per request", median(self.micros.iter().copied()))
    }

    /// Judges how many requests per second this side serves for one of its peer's.
    pub(crate) fn judge_rate(&self, report: &mut Report, what: &str, peer: &Self, limit: f64) {
        judge_ratio(report, what, self.rates(), peer.rates(), limit);
    }
}

/// Judges the medians of rounds that were run in turn; also shows how far neighbouring rounds, which share whatever else
/// the machine was doing, lie apart.
pub(crate) fn judge_ratio(
    report: &mut Report,
    what: &str,
    own: impl IntoIterator<Item = f64>,
    peer: impl IntoIterator<Item = f64>,
    limit: f64,
) {
    let (own, peer): (Vec<f64>, Vec<f64>) = (own.into_iter().collect(), peer.into_iter().collect());
    let ratios: Vec<f64> = own.iter().zip(&peer).map(|(own, peer)| own / peer).collect();
    let (low, high) = range(&ratios);
    let ratio = median(own) / median(peer);
    report.judge(
        what,
        format!("{ratio:.2} (rounds {low:.2} to {high:.2})"),
        &format!("at least {limit}"),
        ratio >= limit,
    );
}

/// What the rounds of the generator came to.
pub(crate) fn words(rounds: &[Answered]) -> String {
    format!(
        "{:.0} req/s, p50 {:.0} µs, p99 {:.0} µs",
        median(rounds.iter().map(|round| round.per_second)),
        median(rounds.iter().map(|round| round.p50_micros)),
        median(rounds.iter().map(|round| round.p99_micros)),
    )
}
