//! The operating system's clock and generator: the one place where time and randomness come from outside.
//!
//! Only `lib.rs` and `cli/` name these; everything else is handed a `Clock` and an `Rng`.

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use domain::time::{from_micros, to_micros};
use domain::{Clock, Rng, Timestamp};

/// The system's clock, shifted in dev by `DEV_CLOCK_OFFSET_SECONDS`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock {
    offset_micros: i64,
}

impl SystemClock {
    /// A clock that is ahead of the system's by so many seconds, or behind by a negative number.
    #[must_use]
    pub fn shifted(seconds: i64) -> Self {
        Self { offset_micros: seconds.saturating_mul(1_000_000) }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the time comes from outside")]
    fn now(&self) -> Timestamp {
        let now = to_micros(Timestamp::now());
        if self.offset_micros == 0 { now } else { from_micros(now.as_microsecond().saturating_add(self.offset_micros)) }
    }
}

/// The operating system's generator.
#[derive(Debug, Default)]
pub struct SystemRng(SystemRandom);

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        // The generator fails only before the system has gathered entropy, early at boot: waiting is all there is.
        while self.0.fill(bytes).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
