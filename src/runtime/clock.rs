//! The operating system's clocks as the plain values that cores work with.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::base::{Instant, Now, Timestamp};

/// Longest single sleep of [`SystemClock::sleep_until`]: timers of the runtime stand still while the
/// machine is suspended, so the boot-time clock is looked at again at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// `CLOCK_BOOTTIME`, which goes on while the machine is suspended, and `CLOCK_REALTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// Both clocks, for one step of a core.
    #[must_use]
    pub fn now(self) -> Now {
        Now {
            mono: Instant(nanos(ClockId::CLOCK_BOOTTIME)),
            wall: Timestamp(nanos(ClockId::CLOCK_REALTIME)),
        }
    }

    /// Sleeps until `deadline` has passed on the boot-time clock; for ever without one. Cancel safe.
    pub async fn sleep_until(self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return std::future::pending().await;
        };
        loop {
            let left = deadline.since(self.now().mono);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLEEP_MAX)).await;
        }
    }
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("Linux has had these clocks since 2.6.39");
    // A wall clock set to before 1970 counts as 1970.
    u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_forward_and_starts_at_the_epoch() {
        let first = SystemClock.now();
        let second = SystemClock.now();
        assert!(second.mono >= first.mono);
        // 2025-01-01: later than any clock that is not broken can show.
        assert!(first.wall > Timestamp(1_735_689_600_000_000_000));
    }

    #[tokio::test]
    async fn sleeping_reaches_the_deadline() {
        let deadline = SystemClock.now().mono.after(Duration::from_millis(5));
        SystemClock.sleep_until(Some(deadline)).await;
        assert!(SystemClock.now().mono >= deadline);
    }
}
