//! An agent's disk: the bytes of its journal, and how much of them would survive the power.

use mesosd::agent::checkpoint::{Checkpointed, Damage, Durability, MAGIC, Record, append, replay};
use mesosd::base::Rng;

/// One disk.
#[derive(Default)]
pub(crate) struct Disk {
    /// The file, with what a failed write has left at its end.
    bytes: Vec<u8>,
    /// Length of the records.
    size: usize,
    /// Length of what was flushed.
    flushed: usize,
    /// Where each record ends that was written since the last start.
    ends: Vec<usize>,
    /// A byte of it was changed.
    corrupt: bool,
    /// Every record that was ever written and not lost.
    pub(crate) records: Vec<Record>,
}

impl Disk {
    /// Appends a record, as the journal's thread does.
    pub(crate) fn write(&mut self, record: &Record) {
        self.bytes.truncate(self.size);
        append(record, &mut self.bytes);
        self.size = self.bytes.len();
        self.ends.push(self.size);
        if record.durability() == Durability::Power {
            self.flushed = self.size;
        }
        self.records.push(record.clone());
    }

    /// There was no room for all of a record.
    pub(crate) fn write_part(&mut self, record: &Record, rng: &mut Rng) {
        self.bytes.truncate(self.size);
        append(record, &mut self.bytes);
        let length = (self.bytes.len() - self.size) as u64;
        let part = usize::try_from(rng.below(length)).unwrap();
        self.bytes.truncate(self.size + part);
    }

    /// The power fails: what was not flushed is lost from any byte on. True if that tears a record.
    pub(crate) fn lose_power(&mut self, rng: &mut Rng) -> bool {
        let open = (self.size - self.flushed) as u64;
        let kept = self.flushed + usize::try_from(rng.below(open + 1)).unwrap();
        self.bytes.truncate(kept);
        let lost = self.ends.iter().filter(|end| **end > kept).count();
        self.records.truncate(self.records.len() - lost);
        self.ends.truncate(self.ends.len() - lost);
        let whole = self
            .ends
            .last()
            .copied()
            .unwrap_or(self.size.min(self.flushed));
        self.size = kept.min(whole);
        lost > 0 && kept > whole
    }

    /// A byte changes in the first record's body, an eighth of it further for each part, with more
    /// records after it so that it does not pass for a torn end.
    pub(crate) fn corrupt(&mut self, part: u64) {
        let first = self.records[0].clone();
        append(&first, &mut self.bytes);
        let mut one = Vec::new();
        append(&first, &mut one);
        let body = one.len() as u64 - 40;
        let at = usize::try_from(40 + body * part / 8).unwrap();
        self.bytes[at] ^= 0x40;
        self.corrupt = true;
    }

    /// What the next life of the agent reads; the journal is as short as possible again.
    pub(crate) fn read(&mut self) -> (Checkpointed, bool) {
        let replayed = replay(&self.bytes).expect("it is a journal");
        let torn = matches!(replayed.damage, Some((Damage::Torn, _)));
        assert!(
            replayed.damage.is_none() || torn || self.corrupt,
            "damaged without a reason: {:?}",
            replayed.damage
        );
        // A new file takes the old one's place when it is whole.
        self.bytes = MAGIC.to_vec();
        for record in replayed.state.records() {
            append(&record, &mut self.bytes);
        }
        (self.size, self.flushed) = (self.bytes.len(), self.bytes.len());
        self.ends.clear();
        (replayed.state, torn)
    }

    /// What is written down.
    pub(crate) fn state(&self) -> Checkpointed {
        replay(&self.bytes).expect("it is a journal").state
    }

    /// The highest leadership that is written down.
    pub(crate) fn epoch(&self) -> u64 {
        let epochs = self.records.iter().map(|record| match record {
            Record::Agent { epoch, .. } => *epoch,
            _ => 0,
        });
        epochs.max().unwrap_or_default()
    }
}
