//! The timers that a core has set: pure, one deadline per key.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Instant;

/// Deadlines by key. Drivers sleep until [`TimerTable::next_deadline`] and feed what
/// [`TimerTable::pop_due`] gives back to their core.
#[derive(Clone, Debug)]
pub struct TimerTable<K> {
    by_key: BTreeMap<K, Instant>,
    by_deadline: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> TimerTable<K> {
    /// No timer is set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
        }
    }

    /// Sets the timer `key`, replacing the deadline that it had.
    pub fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.by_key.insert(key.clone(), at) {
            self.by_deadline.remove(&(before, key.clone()));
        }
        self.by_deadline.insert((at, key));
    }

    /// Forgets the timer `key`; says whether it was set.
    pub fn cancel(&mut self, key: &K) -> bool {
        match self.by_key.remove(key) {
            Some(at) => self.by_deadline.remove(&(at, key.clone())),
            None => false,
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    /// Takes out one timer whose deadline is not later than `now`: the earliest, then the smallest key.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, key) = self.by_deadline.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// How many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no timer is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

impl<K: Ord + Clone> Default for TimerTable<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_in_order_and_once() {
        let mut timers = TimerTable::new();
        timers.set("b", Instant(20));
        timers.set("c", Instant(10));
        timers.set("a", Instant(20));
        timers.set("later", Instant(21));
        assert_eq!(timers.next_deadline(), Some(Instant(10)));
        assert_eq!(timers.pop_due(Instant(9)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(Instant(20))).collect();
        assert_eq!(due, ["c", "a", "b"]);
        assert_eq!((timers.len(), timers.is_empty()), (1, false));
    }

    #[test]
    fn setting_again_replaces_and_cancelling_forgets() {
        let mut timers = TimerTable::new();
        timers.set(1, Instant(5));
        timers.set(1, Instant(50));
        assert_eq!(timers.pop_due(Instant(10)), None);
        assert!(timers.cancel(&1));
        assert!(!timers.cancel(&1));
        assert_eq!(timers.next_deadline(), None);
        assert_eq!(timers.pop_due(Instant(100)), None);
    }
}
