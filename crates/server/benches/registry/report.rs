//! The one table that a run prints, and the statistics in it.
//!
//! Every part adds its rows. Invariant: a row with a limit says whether it was kept; one without says so too.

use std::fmt;

/// The rows so far.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Row>);

/// One measured thing.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What came of it.
    pub(crate) figure: String,
    /// The limit and whether it was kept, where there is one.
    pub(crate) limit: Option<(String, bool)>,
}

impl Report {
    /// A figure that is shown without a limit.
    pub(crate) fn show(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        self.add(Row { what: what.into(), figure: figure.into(), limit: None });
    }

    /// A figure with its limit.
    pub(crate) fn judge(&mut self, what: impl Into<String>, figure: impl Into<String>, limit: &str, kept: bool) {
        self.add(Row { what: what.into(), figure: figure.into(), limit: Some((limit.to_owned(), kept)) });
    }

    /// Also printed at once: whoever waits for a long run wants to see it move.
    fn add(&mut self, row: Row) {
        eprintln!("  {}: {}", row.what, row.figure);
        self.0.push(row);
    }

    /// Whether every limit was kept.
    pub(crate) fn all_kept(&self) -> bool {
        self.0.iter().all(|row| row.limit.as_ref().is_none_or(|(_, kept)| *kept))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | figure | limit | |\n|---|---|---|---|")?;
        for row in &self.0 {
            let (limit, verdict) = match &row.limit {
                Some((limit, true)) => (limit.as_str(), "PASS"),
                Some((limit, false)) => (limit.as_str(), "**FAIL**"),
                None => ("none", ""),
            };
            writeln!(f, "| {} | {} | {limit} | {verdict} |", row.what, row.figure)?;
        }
        Ok(())
    }
}

/// The middle of the values; the mean of the two middle ones where their number is even.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => f64::NAN,
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(*value, sorted[middle - 1]),
    }
}

/// The smallest and the largest value, for showing how far the rounds lie apart.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}
