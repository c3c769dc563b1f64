//! The operating system's clock and generator: the one place where time and randomness come from outside.
//!
//! Only `lib.rs` and `cli/` name these; everything else is handed a `Clock` and an `Rng`.

use std::fmt;
use std::sync::{Mutex, PoisonError};
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

/// How much randomness is drawn at once.
const POOL_BYTES: usize = 1_024;

/// The operating system's generator, asked for a kilobyte at a time: a request needs ten bytes for its id, and a draw
/// costs as much as everything else that the id takes.
#[derive(Default)]
pub struct SystemRng {
    system: SystemRandom,
    pool: Mutex<Pool>,
}

/// Bytes that were drawn and not yet given out; those that were are zero.
struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self { bytes: [0; POOL_BYTES], used: POOL_BYTES }
    }
}

impl SystemRng {
    fn draw(&self, bytes: &mut [u8]) {
        // The generator fails only before the system has gathered entropy, early at boot: waiting is all there is.
        while self.system.fill(bytes).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        // Keys and the like: they do not lie about in memory before they are made.
        if bytes.len() > 16 {
            return self.draw(bytes);
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.used + bytes.len() > POOL_BYTES {
            self.draw(&mut pool.bytes);
            pool.used = 0;
        }
        let (from, to) = (pool.used, pool.used + bytes.len());
        bytes.copy_from_slice(&pool.bytes[from..to]);
        pool.bytes[from..to].fill(0);
        pool.used = to;
    }
}

impl fmt::Debug for SystemRng {
    /// Without what will be drawn next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemRng").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_draws_are_alike_across_the_ends_of_the_pool() {
        let rng = SystemRng::default();
        let mut seen = HashSet::new();
        for length in (8..=16).cycle().take(2_000) {
            let mut bytes = [0; 16];
            rng.fill(&mut bytes[..length]);
            assert!(seen.insert(bytes[..8].to_vec()), "drawn twice");
            assert!(bytes[..8] != [0; 8], "not drawn");
        }
    }
}
