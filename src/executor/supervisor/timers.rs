//! The timers that the machine asked for.

use std::time::Duration;

use crate::base::Instant;
use crate::executor::core::TimerKey;

/// Pending timers; a handful, so a list will do.
#[derive(Debug, Default)]
pub(super) struct Timers(Vec<(TimerKey, Instant)>);

impl Timers {
    /// Sets a timer, in place of an older one of the same key.
    pub(super) fn set(&mut self, key: TimerKey, at: Instant) {
        self.cancel(key);
        self.0.push((key, at));
    }

    /// Forgets a timer.
    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.0.retain(|(known, _)| *known != key);
    }

    /// Time until the earliest timer; zero if it is due.
    pub(super) fn next_in(&self, now: Instant) -> Option<Duration> {
        self.0.iter().map(|(_, at)| at.since(now)).min()
    }

    /// Takes the earliest timer that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<TimerKey> {
        let (index, _) = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, (_, at))| *at <= now)
            .min_by_key(|(_, (_, at))| *at)?;
        Some(self.0.swap_remove(index).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_due_timer_comes_first_and_a_new_one_replaces_the_old() {
        let mut timers = Timers::default();
        timers.set(TimerKey::Recovery, Instant(30));
        timers.set(TimerKey::Escalation, Instant(20));
        timers.set(TimerKey::MaxCompletion, Instant(10));
        timers.set(TimerKey::Recovery, Instant(15));
        timers.cancel(TimerKey::MaxCompletion);
        assert_eq!(timers.next_in(Instant(5)), Some(Duration::from_nanos(10)));
        assert_eq!(timers.take_due(Instant(14)), None);
        assert_eq!(timers.take_due(Instant(25)), Some(TimerKey::Recovery));
        assert_eq!(timers.take_due(Instant(25)), Some(TimerKey::Escalation));
        assert_eq!(timers.next_in(Instant(25)), None);
    }
}
