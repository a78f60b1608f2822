//! Pauses between attempts: they double up to a limit, and half of each is random, so that a
//! thousand frameworks do not come back in the same moment.

use std::time::Duration;

use crate::base::Rng;

/// The pauses of one driver.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    rng: Rng,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self {
            min,
            max,
            failures: 0,
            rng: Rng::seeded(seed, "backoff"),
        }
    }

    /// The pause after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let full = self
            .min
            .saturating_mul(1 << self.failures.min(20))
            .min(self.max);
        self.failures = self.failures.saturating_add(1);
        full / 2 + self.rng.up_to(full / 2)
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}
