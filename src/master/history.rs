//! Maps that keep the last n records and forget the oldest; cloning one is cheap.

use std::sync::Arc;

use imbl::OrdMap;

/// At most `max` records by id; putting one more forgets the oldest.
#[derive(Clone, Debug)]
pub struct History<K: Ord, V> {
    records: OrdMap<K, (u64, Arc<V>)>,
    ages: OrdMap<u64, K>,
    next: u64,
    max: usize,
}

impl<K: Ord + Clone, V> History<K, V> {
    /// An empty history of at most `max` records.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            records: OrdMap::new(),
            ages: OrdMap::new(),
            next: 0,
            max,
        }
    }

    /// Adds a record as the youngest, in place of one with the same id.
    pub fn insert(&mut self, id: K, record: Arc<V>) {
        self.remove(&id);
        if self.max == 0 {
            return;
        }
        while self.records.len() >= self.max {
            let Some((age, oldest)) = self.ages.get_min().cloned() else {
                break;
            };
            self.ages.remove(&age);
            self.records.remove(&oldest);
        }
        self.ages.insert(self.next, id.clone());
        self.records.insert(id, (self.next, record));
        self.next += 1;
    }

    /// Takes a record out.
    pub fn remove(&mut self, id: &K) -> Option<Arc<V>> {
        let (age, record) = self.records.remove(id)?;
        self.ages.remove(&age);
        Some(record)
    }

    /// The record of an id.
    #[must_use]
    pub fn get(&self, id: &K) -> Option<&Arc<V>> {
        self.records.get(id).map(|(_, record)| record)
    }

    /// True when the id is remembered.
    #[must_use]
    pub fn contains(&self, id: &K) -> bool {
        self.records.contains_key(id)
    }

    /// All records, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.ages
            .values()
            .filter_map(|id| self.get(id).map(|record| (id, record)))
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True without records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut history = History::new(2);
        for id in ["a", "b", "a", "c"] {
            history.insert(id, Arc::new(id));
        }
        let ids: Vec<_> = history.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, ["a", "c"], "a was put again after b");
        assert_eq!(history.len(), 2);
        assert!(history.remove(&"a").is_some());
        assert!(!history.contains(&"a"));
        assert_eq!(history.iter().count(), 1);
    }

    #[test]
    fn a_history_of_nothing_keeps_nothing() {
        let mut history = History::new(0);
        history.insert(1, Arc::new(1));
        assert!(history.is_empty());
    }
}
