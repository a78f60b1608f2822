//! The clocks of one machine: a monotonic one that runs a little fast or slow and never jumps, and one
//! on the wall that does.

use mesosd::base::{Instant, Now, Timestamp};

/// Wall-clock time at the beginning of every history.
const BEGINNING: i128 = 1_700_000_000_000_000_000;
const MILLION: i128 = 1_000_000;

/// One machine's clocks, as functions of the world's time (nanoseconds).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// How many millionths the machine's second is shorter than the world's.
    pub(crate) drift: i64,
    /// How far the wall clock is off, in nanoseconds.
    pub(crate) wall: i64,
}

impl Clock {
    /// What the machine's clocks show.
    pub(crate) fn now(self, world: u64) -> Now {
        let mono = self.mono(world);
        let wall = BEGINNING + i128::from(mono) + i128::from(self.wall);
        Now {
            mono: Instant(mono),
            wall: Timestamp(u64::try_from(wall).unwrap()),
        }
    }

    fn mono(self, world: u64) -> u64 {
        let world = i128::from(world);
        u64::try_from(world + world * i128::from(self.drift) / MILLION).unwrap()
    }

    /// The first moment of the world at which the monotonic clock shows `at` or more.
    pub(crate) fn reaches(self, at: Instant) -> u64 {
        let rate = MILLION + i128::from(self.drift);
        let world = i128::from(at.0) * MILLION / rate;
        let mut world = u64::try_from(world).unwrap_or(u64::MAX);
        while world < u64::MAX && self.mono(world) < at.0 {
            world += 1;
        }
        world
    }
}

#[test]
fn a_timer_is_never_early() {
    for drift in [-500, -7, 0, 3, 500] {
        let clock = Clock { drift, wall: 0 };
        for at in [0, 1, 999, 1_000_000_007, 86_400_000_000_123] {
            let world = clock.reaches(Instant(at));
            assert!(clock.now(world).mono.0 >= at, "{drift} {at}");
            assert!(
                world == 0 || clock.now(world - 1).mono.0 < at,
                "{drift} {at}"
            );
        }
    }
}
