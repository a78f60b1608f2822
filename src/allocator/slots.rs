//! Records in dense slots: a `u32` finds one without a search, freed slots are used again.

/// Records by slot number.
#[derive(Clone, Debug)]
pub(super) struct Slots<T> {
    records: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Puts a record into a free slot.
    pub(super) fn insert(&mut self, record: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.records[slot as usize] = Some(record);
            return slot;
        }
        self.records.push(Some(record));
        u32::try_from(self.records.len() - 1).expect("fewer than 2^32 records")
    }

    /// Takes a record out; its slot may be given to another one.
    pub(super) fn remove(&mut self, slot: u32) -> T {
        self.free.push(slot);
        self.records[slot as usize]
            .take()
            .expect("only occupied slots are freed")
    }

    /// The record of a slot that may have been freed.
    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.records.get(slot as usize)?.as_ref()
    }

    /// The record of a slot that may have been freed.
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.records.get_mut(slot as usize)?.as_mut()
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    /// All records with their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0_u32..)
            .zip(&self.records)
            .filter_map(|(slot, record)| Some((slot, record.as_ref()?)))
    }
}

impl<T> std::ops::Index<u32> for Slots<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        self.get(slot).expect("a slot in use")
    }
}

impl<T> std::ops::IndexMut<u32> for Slots<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        self.get_mut(slot).expect("a slot in use")
    }
}
