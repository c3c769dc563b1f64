//! How long to wait after an attempt that failed.
//!
//! Invariant: a wait grows with the attempts up to a cap, lies between half of that and the whole, and is never shorter
//! than what the provider asked for, within the longest wait.

use std::time::Duration;

use crate::time::Rng;

/// The first wait after what may pass by itself, and the longest.
const PASSING: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10 * 60));
/// The same after what only somebody who mends a setting ends.
const LASTING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));

/// What a failure says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Whether it may pass by itself.
    pub passing: bool,
    /// When the provider asked to come back.
    pub after: Option<Duration>,
}

/// How long to wait after the failed attempt number `attempt`, from 1.
#[must_use]
pub fn wait(attempt: i64, retry: Retry, rng: &dyn Rng) -> Duration {
    let (first, longest) = if retry.passing { PASSING } else { LASTING };
    let doublings = u32::try_from(attempt.clamp(1, 32) - 1).unwrap_or(31);
    let whole = first.saturating_mul(1 << doublings).min(longest);
    let mut random = [0_u8; 2];
    rng.fill(&mut random);
    let spread = f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX);
    let wait = whole.mul_f64(0.5 + spread / 2.0);
    wait.max(retry.after.unwrap_or_default().min(LASTING.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Always(u8);
    impl Rng for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn range(attempt: i64, passing: bool, after: Option<u64>) -> (u64, u64) {
        let retry = Retry { passing, after: after.map(Duration::from_secs) };
        let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap();
        (millis(wait(attempt, retry, &Always(0))), millis(wait(attempt, retry, &Always(255))))
    }

    #[test]
    fn a_wait_doubles_up_to_its_cap() {
        assert_eq!(range(1, true, None), (1_000, 2_000));
        assert_eq!(range(2, true, None), (2_000, 4_000));
        assert_eq!(range(8, true, None), (128_000, 256_000));
        for attempt in [10, 11, 40, i64::MAX] {
            assert_eq!(range(attempt, true, None), (300_000, 600_000), "{attempt}");
        }
        assert_eq!(range(0, true, None), (1_000, 2_000));
    }

    #[test]
    fn what_only_a_setting_mends_is_tried_seldom() {
        assert_eq!(range(1, false, None), (30_000, 60_000));
        assert_eq!(range(99, false, None), (1_800_000, 3_600_000));
    }

    #[test]
    fn the_provider_may_ask_for_more_but_not_for_ever() {
        assert_eq!(range(1, true, Some(30)), (30_000, 30_000));
        assert_eq!(range(9, true, Some(1)), (256_000, 512_000));
        assert_eq!(range(1, true, Some(u64::MAX / 2)), (3_600_000, 3_600_000));
    }
}
