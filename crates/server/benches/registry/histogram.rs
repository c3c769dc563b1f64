//! How many of some times were how long, in a line of the table.
//!
//! Invariant: every time is counted in exactly one bucket, the last of which has no upper bound.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Histogram {
    sorted: Vec<Duration>,
}

impl Histogram {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }

    /// The time that so many hundredths of the times do not exceed.
    pub(crate) fn percentile(&self, hundredths: usize) -> Duration {
        let place = (self.sorted.len() * hundredths).div_ceil(100).max(1) - 1;
        self.sorted.get(place).copied().unwrap_or(Duration::MAX)
    }

    pub(crate) fn longest(&self) -> Duration {
        self.sorted.last().copied().unwrap_or(Duration::MAX)
    }

    /// How many fall between one bound in milliseconds and the next.
    pub(crate) fn buckets(&self, bounds: &[u64]) -> String {
        let mut words = Vec::new();
        let mut before = 0;
        for bound in bounds {
            let below = self.sorted.partition_point(|time| *time <= Duration::from_millis(*bound));
            words.push(format!("≤{bound} ms: {}", below - before));
            before = below;
        }
        if let Some(last) = bounds.last() {
            words.push(format!(">{last} ms: {}", self.sorted.len() - before));
        }
        words.join(", ")
    }
}

/// Milliseconds, as the tables have them.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
