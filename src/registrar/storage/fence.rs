//! The rules that let one master at a time write a registry: pure, so that a simulation can try them.
//!
//! One place of the store holds a stamp and counts its own changes. Who takes the registry over sets a
//! stamp with a larger epoch; every write sets the next stamp, on condition that the place has the
//! version which this master gave it. When an answer is lost, the place is read and says what happened.

use serde::{Deserialize, Serialize};

/// What the place holds. No two writes have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The leadership.
    pub epoch: u64,
    /// Of everything that is stored.
    pub format: u64,
    /// Who leads: two that try for the same epoch must know which of them has it.
    #[serde(default)]
    pub leader: String,
    /// Counts the writes of the leadership.
    pub writes: u64,
}

impl Stamp {
    /// As the place keeps it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self);
        text.expect("numbers and a text are always JSON")
    }
}

/// The place as it was found: the stamp, and the version that the store counts.
pub type Found = Option<(Stamp, i32)>;

/// What to do to take a registry over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// It is taken over; this is who may write.
    Done(Fence),
    /// Set this stamp, if the place still has this version; without one, if it is not there.
    Set(Stamp, Option<i32>),
}

/// What became of a write whose answer was lost or a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It is not done: write again, with the same stamp and version.
    Again,
    /// Somebody else has taken the registry over.
    Fenced,
}

/// The right to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    stamp: Stamp,
    version: i32,
}

impl Fence {
    /// The next step to take over what was `found`; `asked` is the stamp that was set before, if the
    /// answer to that was lost.
    #[must_use]
    pub fn take_over(
        found: &Found,
        asked: Option<&Stamp>,
        epoch_min: u64,
        format: u64,
        leader: &str,
    ) -> TakeOver {
        if let Some((stamp, version)) = found
            && Some(stamp) == asked
        {
            // The answer was lost, the write was not.
            return TakeOver::Done(Self::taken(stamp.clone(), *version));
        }
        let last = found.as_ref().map(|(stamp, _)| stamp.epoch);
        let stamp = Stamp {
            epoch: last.map_or(epoch_min, |last| epoch_min.max(last + 1)),
            format,
            leader: leader.to_owned(),
            writes: 0,
        };
        TakeOver::Set(stamp, found.as_ref().map(|(_, version)| *version))
    }

    /// Of a stamp that was set.
    #[must_use]
    pub fn taken(stamp: Stamp, version: i32) -> Self {
        Self { stamp, version }
    }

    /// The version that a place has after it was set on condition of `version`.
    #[must_use]
    pub fn version_after(version: Option<i32>) -> i32 {
        version.map_or(0, |version| version.wrapping_add(1))
    }

    /// The leadership.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.stamp.epoch
    }

    /// The version that the place must have for a write.
    #[must_use]
    pub fn version(&self) -> i32 {
        self.version
    }

    /// The stamp of the next write.
    #[must_use]
    pub fn next(&self) -> Stamp {
        Stamp {
            writes: self.stamp.writes + 1,
            ..self.stamp.clone()
        }
    }

    /// What became of the next write, as the place says.
    #[must_use]
    pub fn verdict(&self, found: &Found) -> Verdict {
        match found {
            Some((_, version)) if *version == self.version => Verdict::Again,
            Some((stamp, _)) if *stamp == self.next() => Verdict::Done,
            _ => Verdict::Fenced,
        }
    }

    /// The next write is done.
    pub fn written(&mut self) {
        self.stamp = self.next();
        self.version = self.version.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::Rng;

    const FORMAT: u64 = 1;

    /// Bugs that the simulation must find.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    enum Planted {
        #[default]
        None,
        /// A new leader writes with the version that it has read.
        NoEpochBump,
        /// Stamps do not say who set them.
        Nameless,
        /// A lost answer counts as a good one.
        AcknowledgedBeforeStored,
        /// A write is not tied to the version.
        NoVersion,
    }

    /// A question that is on its way, or stuck in a server.
    #[derive(Clone, Debug)]
    struct Request {
        stamp: Stamp,
        condition: Option<i32>,
        /// What is written besides; none to take over.
        value: Option<u64>,
    }

    #[derive(Clone, Debug, Default)]
    struct Leader {
        fence: Option<Fence>,
        /// The stamp that was set to take over, if its answer was lost.
        asked: Option<Stamp>,
        /// What is being written, and whether its answer was lost.
        writing: Option<(u64, bool)>,
        fenced: bool,
    }

    struct Store {
        found: Found,
        values: BTreeMap<u64, u64>,
    }

    /// Leaders that all believe: each takes over, writes, loses answers; requests arrive late or twice.
    struct World {
        rng: Rng,
        planted: Planted,
        store: Store,
        leaders: Vec<Leader>,
        late: Vec<Request>,
        /// Values that were acknowledged, with the epoch that wrote them.
        acknowledged: BTreeMap<u64, u64>,
        next_value: u64,
        wrong: Option<String>,
    }

    impl World {
        fn new(seed: u64, planted: Planted) -> Self {
            Self {
                rng: Rng::seeded(seed, "fence"),
                planted,
                store: Store {
                    found: None,
                    values: BTreeMap::new(),
                },
                leaders: vec![Leader::default(); 3],
                late: Vec::new(),
                acknowledged: BTreeMap::new(),
                next_value: 0,
                wrong: None,
            }
        }

        /// The store takes a request: all of it or nothing.
        fn serve(&mut self, request: &Request) -> bool {
            let version = self.store.found.as_ref().map(|(_, version)| *version);
            let free = self.planted == Planted::NoVersion && request.value.is_some();
            if version != request.condition && !free {
                return false;
            }
            if let (Some((stamp, _)), Some(value)) = (&self.store.found, request.value)
                && stamp.epoch > request.stamp.epoch
            {
                self.wrong = Some(format!(
                    "{value} of epoch {} lands after epoch {} has taken over",
                    request.stamp.epoch, stamp.epoch
                ));
            }
            let version = Fence::version_after(version);
            self.store.found = Some((request.stamp.clone(), version));
            if let Some(value) = request.value {
                let again = self.store.values.insert(value, request.stamp.epoch);
                if again.is_some() {
                    self.wrong = Some(format!("{value} is written twice"));
                }
            }
            true
        }

        /// Sends a request; none when the answer is lost.
        fn send(&mut self, request: &Request) -> Option<bool> {
            match self.rng.below(6) {
                // It arrives, the answer does not.
                0 => {
                    self.serve(request);
                    None
                }
                // It is stuck and arrives later, or never.
                1 => {
                    self.late.push(request.clone());
                    None
                }
                _ => Some(self.serve(request)),
            }
        }

        fn step(&mut self) {
            if self.rng.chance(1, 5) && !self.late.is_empty() {
                let at = usize::try_from(self.rng.below(self.late.len() as u64)).unwrap_or(0);
                let request = self.late.swap_remove(at);
                self.serve(&request);
            }
            let number = usize::try_from(self.rng.below(3)).unwrap_or(0);
            let mut leader = std::mem::take(&mut self.leaders[number]);
            if leader.fence.is_none() || leader.fenced || self.rng.chance(1, 40) {
                self.take_over(number, &mut leader);
            } else {
                self.write(&mut leader);
            }
            self.leaders[number] = leader;
        }

        fn take_over(&mut self, number: usize, leader: &mut Leader) {
            if self.rng.chance(3, 4) {
                return;
            }
            (leader.fence, leader.fenced, leader.writing) = (None, false, None);
            let found = self.store.found.clone();
            if self.planted == Planted::NoEpochBump
                && let Some((stamp, version)) = found
            {
                leader.fence = Some(Fence::taken(stamp, version));
                return;
            }
            let name = if self.planted == Planted::Nameless {
                String::new()
            } else {
                number.to_string()
            };
            match Fence::take_over(&found, leader.asked.take().as_ref(), 1, FORMAT, &name) {
                TakeOver::Done(fence) => leader.fence = Some(fence),
                TakeOver::Set(stamp, condition) => {
                    let request = Request {
                        stamp: stamp.clone(),
                        condition,
                        value: None,
                    };
                    match self.send(&request) {
                        Some(true) => {
                            let version = Fence::version_after(condition);
                            leader.fence = Some(Fence::taken(stamp, version));
                        }
                        Some(false) => {}
                        None => leader.asked = Some(stamp),
                    }
                }
            }
        }

        fn write(&mut self, leader: &mut Leader) {
            let Some(fence) = &mut leader.fence else {
                return;
            };
            let value = match leader.writing {
                Some((value, true)) => match fence.verdict(&self.store.found) {
                    Verdict::Again => value,
                    Verdict::Done => {
                        leader.writing = None;
                        self.acknowledged.insert(value, fence.epoch());
                        fence.written();
                        return;
                    }
                    Verdict::Fenced => {
                        leader.fenced = true;
                        return;
                    }
                },
                Some((value, false)) => value,
                None => {
                    self.next_value += 1;
                    self.next_value
                }
            };
            let request = Request {
                stamp: fence.next(),
                condition: Some(fence.version()),
                value: Some(value),
            };
            let answer = self.send(&request);
            let Some(fence) = &mut leader.fence else {
                return;
            };
            let planted = self.planted == Planted::AcknowledgedBeforeStored && answer.is_none();
            if answer == Some(true) || planted {
                leader.writing = None;
                self.acknowledged.insert(value, fence.epoch());
                fence.written();
            } else {
                leader.writing = Some((value, true));
            }
        }

        fn run(mut self) -> Self {
            for _ in 0..400 {
                self.step();
                let stored = &self.store.values;
                let lost = self
                    .acknowledged
                    .iter()
                    .find(|(value, epoch)| stored.get(value) != Some(epoch));
                if let Some((value, epoch)) = lost
                    && self.wrong.is_none()
                {
                    self.wrong = Some(format!("{value} of epoch {epoch} is lost"));
                }
                if self.wrong.is_some() {
                    break;
                }
            }
            self
        }
    }

    #[test]
    fn masters_who_all_believe_lose_nothing_and_overwrite_nothing() {
        let (mut most, mut takeovers) = (0, 0);
        for seed in 0..500 {
            let world = World::new(seed, Planted::None).run();
            assert_eq!(world.wrong, None, "seed {seed}");
            most = most.max(world.acknowledged.len());
            let stamp = world.store.found.map(|(stamp, _)| stamp.epoch);
            takeovers = takeovers.max(stamp.unwrap_or_default());
        }
        assert!(
            most > 50 && takeovers > 5,
            "{most} writes, {takeovers} leaders"
        );
    }

    #[test]
    fn planted_bugs_are_found() {
        for planted in [
            Planted::NoEpochBump,
            Planted::Nameless,
            Planted::AcknowledgedBeforeStored,
            Planted::NoVersion,
        ] {
            let found = (0..500).any(|seed| World::new(seed, planted).run().wrong.is_some());
            assert!(found, "{planted:?}");
        }
    }
}
