//! When abandoned sandboxes are deleted: after `gc_delay`, or earlier the fuller the disk is.
//!
//! Every `disk_watch_interval` the largest allowed age is
//! `gc_delay * max(0, 1 - headroom - usage)`; what is older goes (Mesos' sandbox documentation).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::{Instant, Now};

use super::config::AgentConfig;
use super::effect::{Effect, Effects};
use super::metrics::Counters;
use super::timer::TimerKey;

/// Deletions asked for by one look at the disk; the rest waits for the next.
const REMOVALS_MAX: usize = 256;

/// The schedule of deletions.
#[derive(Debug)]
pub(super) struct GarbageCollector {
    delay: Duration,
    interval: Duration,
    headroom_permille: u32,
    usage_permille: u32,
    /// Since when a path is nobody's.
    waiting: BTreeMap<PathBuf, Since>,
    /// Paths that the shell is deleting.
    removing: BTreeMap<PathBuf, Since>,
}

/// An age: so much at a point of this agent's time, and what has passed since.
#[derive(Clone, Copy, Debug)]
struct Since {
    at: Instant,
    age: Duration,
}

impl Since {
    fn age(self, now: Now) -> Duration {
        now.mono.since(self.at).saturating_add(self.age)
    }
}

impl GarbageCollector {
    pub(super) fn new(config: &AgentConfig) -> Self {
        Self {
            delay: config.timing.gc_delay,
            interval: config.timing.disk_watch_interval,
            headroom_permille: config.gc_disk_headroom_permille,
            usage_permille: 0,
            waiting: BTreeMap::new(),
            removing: BTreeMap::new(),
        }
    }

    pub(super) fn start(&self, now: Now, effects: &mut Effects) {
        let at = now.mono.after(self.interval);
        effects.set_timer(TimerKey::GarbageCollection, at);
    }

    /// A path is nobody's from now on.
    pub(super) fn schedule(&mut self, now: Now, path: PathBuf) {
        self.schedule_aged(now, path, Duration::ZERO);
    }

    /// A path has been nobody's for some time already, unless it is known better here.
    pub(super) fn schedule_aged(&mut self, now: Now, path: PathBuf, age: Duration) {
        if !self.removing.contains_key(&path) {
            let since = Since { at: now.mono, age };
            self.waiting.entry(path).or_insert(since);
        }
    }

    /// The oldest age that the disk allows at present.
    pub(super) fn age_max(&self) -> Duration {
        let left = 1000_u32
            .saturating_sub(self.headroom_permille)
            .saturating_sub(self.usage_permille);
        self.delay / 1000 * left
    }

    pub(super) fn pending(&self) -> usize {
        self.waiting.len() + self.removing.len()
    }

    /// The disk was measured: what is too old is deleted.
    pub(super) fn disk_usage(&mut self, now: Now, permille: u32, effects: &mut Effects) {
        self.usage_permille = permille;
        let age_max = self.age_max();
        let mut old: Vec<(Duration, PathBuf)> = self
            .waiting
            .iter()
            .map(|(path, since)| (since.age(now), path.clone()))
            .filter(|(age, _)| *age >= age_max)
            .collect();
        // The oldest first.
        old.sort_by(|one, other| other.cmp(one));
        for (_, path) in old.into_iter().take(REMOVALS_MAX) {
            if let Some(since) = self.waiting.remove(&path) {
                self.removing.insert(path.clone(), since);
                effects.push(Effect::RemovePath { path });
            }
        }
        self.start(now, effects);
    }

    /// The shell has deleted a path, or could not: then it is tried again at the next look.
    pub(super) fn removed(&mut self, path: &Path, done: bool, counters: &mut Counters) {
        let Some(since) = self.removing.remove(path) else {
            return;
        };
        if done {
            counters.path_removals_succeeded += 1;
        } else {
            counters.path_removals_failed += 1;
            self.waiting.insert(path.to_owned(), since);
        }
    }
}
