//! Which agents the next pass visits, and when it may begin.

use std::time::Duration;

use crate::base::{Instant, Rng};

use super::bits::BitSet;

/// The agents about which something has changed since they were visited.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    dirty: BitSet,
    /// Agents that have something available. When a framework changes, all of these are dirty.
    offerable: BitSet,
    /// When the last pass ended.
    last_pass: Option<Instant>,
    /// When all offerable agents were candidates last.
    last_full: Option<Instant>,
}

impl Candidates {
    /// Something about an agent has changed.
    pub(super) fn agent_changed(&mut self, agent: u32, offerable: bool) {
        self.offerable.set(agent, offerable);
        self.dirty.set(agent, offerable);
    }

    /// A pass has given away what an agent had.
    pub(super) fn agent_visited(&mut self, agent: u32, offerable: bool) {
        self.offerable.set(agent, offerable);
    }

    /// A framework wants what nobody wanted before.
    pub(super) fn framework_changed(&mut self) {
        self.dirty.union_with(&self.offerable);
    }

    /// True when there is a reason for a pass.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// How many agents there is a reason to look at.
    pub(super) fn count(&self) -> usize {
        self.dirty.len()
    }

    /// True when some agent has something available.
    pub(super) fn is_offerable(&self) -> bool {
        !self.offerable.is_empty()
    }

    /// The earliest time for a pass over what is dirty.
    pub(super) fn earliest(&self, gap: Duration) -> Instant {
        self.last_pass.map_or(Instant(0), |last| last.after(gap))
    }

    /// When the periodic pass over everything offerable is due.
    pub(super) fn periodic(&self, interval: Duration) -> Instant {
        self.last_full
            .map_or(Instant(0), |last| last.after(interval))
    }

    /// Makes everything offerable a candidate when the periodic pass is due.
    pub(super) fn add_periodic(&mut self, now: Instant, interval: Duration) {
        if now >= self.periodic(interval) {
            self.last_full = Some(now);
            self.framework_changed();
        }
    }

    /// The agents to visit, in random order; they are clean from now on.
    pub(super) fn take(&mut self, rng: &mut Rng) -> Vec<u32> {
        let mut agents: Vec<u32> = self.dirty.iter().collect();
        self.dirty.clear();
        rng.shuffle(&mut agents);
        agents
    }

    /// A pass has ended.
    pub(super) fn pass_ended(&mut self, now: Instant) {
        self.last_pass = Some(now);
    }
}
