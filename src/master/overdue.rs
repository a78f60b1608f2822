//! Timers that judge an agent's silence wait until all that was said before them has been heard: to wait in
//! the master's own queue is not to be silent.

use std::collections::{BTreeMap, VecDeque};

use super::timer::TimerKey;

/// Such timers whose time has come, in their order. Turns count the commands that the loop has taken.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    heard: u64,
    /// What is not in `turns` any more, or with another turn, was set anew or forgotten.
    queue: VecDeque<(u64, TimerKey)>,
    turns: BTreeMap<TimerKey, u64>,
}

impl Overdue {
    /// Whether a timer judges silence.
    pub(super) fn judges(key: &TimerKey) -> bool {
        matches!(key, TimerKey::Ping(_) | TimerKey::Reregistration(_))
    }

    /// A timer whose time has come while so many commands wait.
    pub(super) fn push(&mut self, key: TimerKey, waiting: usize) {
        let turn = self.heard + waiting as u64;
        self.turns.insert(key.clone(), turn);
        self.queue.push_back((turn, key));
    }

    /// The core has set or cancelled a timer meanwhile.
    pub(super) fn forget(&mut self, key: &TimerKey) {
        self.turns.remove(key);
    }

    /// The loop has taken so many commands.
    pub(super) fn heard(&mut self, commands: usize) {
        self.heard += commands as u64;
    }

    /// A timer before which everything was heard.
    pub(super) fn pop(&mut self) -> Option<TimerKey> {
        loop {
            let (turn, _) = self.queue.front()?;
            if *turn > self.heard {
                return None;
            }
            let (turn, key) = self.queue.pop_front()?;
            if self.turns.get(&key) == Some(&turn) {
                self.turns.remove(&key);
                return Some(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AgentId;

    fn ping(agent: &str) -> TimerKey {
        TimerKey::Ping(AgentId::new(agent))
    }

    #[test]
    fn what_was_said_before_is_heard_first() {
        let mut overdue = Overdue::default();
        overdue.push(ping("a"), 3);
        overdue.heard(2);
        overdue.push(ping("b"), 0);
        assert_eq!(overdue.pop(), None, "one command is ahead of both");
        overdue.heard(1);
        assert_eq!(overdue.pop(), Some(ping("a")));
        assert_eq!(overdue.pop(), Some(ping("b")));
        assert_eq!(overdue.pop(), None);
        overdue.push(ping("c"), 0);
        assert_eq!(overdue.pop(), Some(ping("c")), "nothing waits");
    }

    #[test]
    fn what_the_core_has_changed_meanwhile_is_void() {
        let mut overdue = Overdue::default();
        overdue.push(ping("a"), 1);
        overdue.push(ping("b"), 1);
        overdue.forget(&ping("a"));
        overdue.heard(1);
        assert_eq!(overdue.pop(), Some(ping("b")));
        // Set again, due again.
        overdue.push(ping("a"), 1);
        overdue.forget(&ping("a"));
        overdue.push(ping("a"), 2);
        overdue.heard(1);
        assert_eq!(overdue.pop(), None);
        overdue.heard(1);
        assert_eq!(overdue.pop(), Some(ping("a")));
        assert_eq!(overdue.pop(), None);
    }
}
