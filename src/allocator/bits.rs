//! Sets of slot numbers as words of bits: what lets a pass skip thousands of refusals at once. Of
//! sets that are mostly small there is a list instead.

/// A set of small numbers, as long as its largest member needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BitSet {
    words: Vec<u64>,
}

fn split(member: u32) -> (usize, u64) {
    (member as usize / 64, 1 << (member % 64))
}

impl BitSet {
    /// Adds a member; false when it was there.
    pub(super) fn insert(&mut self, member: u32) -> bool {
        let (word, bit) = split(member);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Takes a member out; false when it was not there.
    pub(super) fn remove(&mut self, member: u32) -> bool {
        let (word, bit) = split(member);
        match self.words.get_mut(word) {
            Some(have) if *have & bit != 0 => {
                *have &= !bit;
                true
            }
            _ => false,
        }
    }

    /// Adds or takes out.
    pub(super) fn set(&mut self, member: u32, present: bool) {
        if present {
            self.insert(member);
        } else {
            self.remove(member);
        }
    }

    /// True for a member.
    pub(super) fn contains(&self, member: u32) -> bool {
        let (word, bit) = split(member);
        self.words.get(word).is_some_and(|have| have & bit != 0)
    }

    /// True without members.
    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// How many members are smaller.
    pub(super) fn rank(&self, member: u32) -> usize {
        let (word, bit) = split(member);
        let (below, from) = self.words.split_at(word.min(self.words.len()));
        let here = from.first().map_or(0, |have| have & (bit - 1));
        let words = below.iter().chain(std::iter::once(&here));
        words.map(|word| word.count_ones() as usize).sum()
    }

    /// The 64 members from `64 * at` on, as bits.
    pub(super) fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// How many words hold all members.
    pub(super) fn word_count(&self) -> usize {
        self.words.len()
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) {
        self.words.clear();
    }

    /// Adds all members of `other`.
    pub(super) fn union_with(&mut self, other: &Self) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (have, more) in self.words.iter_mut().zip(&other.words) {
            *have |= more;
        }
    }

    /// The members, smallest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(at, word)| members_of(at, *word))
    }
}

/// The members that the word at position `at` stands for, smallest first.
pub(super) fn members_of(at: usize, mut word: u64) -> impl Iterator<Item = u32> {
    let base = u32::try_from(at * 64).expect("members are below 2^32");
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let low = word.trailing_zeros();
        word &= word - 1;
        Some(base + low)
    })
}

/// How many members are kept as a list.
const LIST_MAX: usize = 32;

/// A set that is small in most places: thousands of them are in memory that is near.
#[derive(Clone, Debug, Default)]
pub(super) struct SmallSet {
    /// Sorted; empty when they are too many.
    list: Vec<u32>,
    /// Empty otherwise.
    bits: BitSet,
}

impl SmallSet {
    /// Adds a member.
    pub(super) fn insert(&mut self, member: u32) {
        if !self.bits.words.is_empty() {
            self.bits.insert(member);
            return;
        }
        let Err(at) = self.list.binary_search(&member) else {
            return;
        };
        self.list.insert(at, member);
        if self.list.len() > LIST_MAX {
            for member in std::mem::take(&mut self.list) {
                self.bits.insert(member);
            }
        }
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, member: u32) {
        if let Ok(at) = self.list.binary_search(&member) {
            self.list.remove(at);
        } else {
            self.bits.remove(member);
        }
    }

    /// True for a member.
    pub(super) fn contains(&self, member: u32) -> bool {
        self.list.binary_search(&member).is_ok() || self.bits.contains(member)
    }

    /// True without members.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.bits.is_empty()
    }

    /// The members, smallest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.list.iter().copied().chain(self.bits.iter())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(changes in proptest::collection::vec((0_u32..300, any::<bool>()), 0..120)) {
            let (mut bits, mut set) = (BitSet::default(), BTreeSet::new());
            let mut small = SmallSet::default();
            for (member, add) in changes {
                if add {
                    small.insert(member);
                } else {
                    small.remove(member);
                }
                if add {
                    prop_assert_eq!(bits.insert(member), set.insert(member));
                } else {
                    prop_assert_eq!(bits.remove(member), set.remove(&member));
                }
                prop_assert_eq!(bits.contains(member), set.contains(&member));
                prop_assert_eq!(small.contains(member), set.contains(&member));
                prop_assert!(small.iter().eq(set.iter().copied()));
                prop_assert_eq!(small.is_empty(), set.is_empty());
                prop_assert_eq!(bits.rank(member), set.range(..member).count());
            }
            prop_assert_eq!(bits.len(), set.len());
            prop_assert_eq!(bits.is_empty(), set.is_empty());
            prop_assert!(bits.iter().eq(set));
        }
    }
}
