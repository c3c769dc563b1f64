//! What it costs to register and to unregister where there are many already.

use std::time::Instant;

use crate::Outcome;
use crate::report::{Report, median, range};
use crate::setup::{register, registry};

const ROUNDS: usize = 11;
const EACH: usize = 20_000;

pub(crate) fn measure(report: &mut Report) -> Outcome {
    for tenants in [1_000, 1_000_000] {
        let registry = registry(tenants);
        let (mut registering, mut unregistering) = (vec![], vec![]);
        for round in 0..=ROUNDS {
            let ids = || (0..EACH).map(|i| tenants + (round * EACH + i) % 1_000_000);
            let micros = |start: Instant| start.elapsed().as_secs_f64() * 1e6 / EACH as f64;
            let start = Instant::now();
            ids().for_each(|i| register(&registry, i));
            let registered = micros(start);
            let start = Instant::now();
            ids().for_each(|i| assert!(registry.unregister(&format!("t-{i}"))));
            // The first round warms up.
            if round > 0 {
                registering.push(registered);
                unregistering.push(micros(start));
            }
        }
        for (what, times) in [("register", registering), ("unregister", unregistering)] {
            let (low, high) = range(&times);
            let middle = median(times);
            let figure = format!("{middle:.2} µs (rounds {low:.2} to {high:.2})");
            let what = format!("{what} at {tenants} tenants, without a validator");
            report.judge(what, figure, "under 5 µs", middle < 5.0);
        }
    }
    Ok(())
}
