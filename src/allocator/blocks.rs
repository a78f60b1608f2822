//! Lists of which there are tens of thousands that grow together. In blocks: what a list leaves
//! behind when it grows is small and fits where others grow, and no list keeps room for twice as much.

/// How many items a block has.
const BLOCK: usize = 64;

/// A list of small items, found by position.
#[derive(Clone, Debug)]
pub(super) struct Blocks<T> {
    full: Vec<Box<[T; BLOCK]>>,
    /// What comes after them: less than a block.
    last: Vec<T>,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self {
            full: Vec::new(),
            last: Vec::new(),
        }
    }
}

/// How much more room there is made for when there is none left: millions of items are kept.
const fn more_room(items: usize) -> usize {
    if items < 16 { 4 } else { items / 4 }
}

impl<T: Copy> Blocks<T> {
    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.full.len() * BLOCK + self.last.len()
    }

    /// True without items.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at a position.
    pub(super) fn at(&self, at: usize) -> &T {
        let (number, place) = (at / BLOCK, at % BLOCK);
        let block = self.full.get(number);
        block.map_or_else(|| &self.last[place], |block| &block[place])
    }

    /// The item at a position.
    pub(super) fn at_mut(&mut self, at: usize) -> &mut T {
        let (number, place) = (at / BLOCK, at % BLOCK);
        match self.full.get_mut(number) {
            Some(block) => &mut block[place],
            None => &mut self.last[place],
        }
    }

    /// Puts an item before the one at a position. Each block after it passes its last item on.
    pub(super) fn insert(&mut self, at: usize, mut item: T) {
        let (number, mut place) = (at / BLOCK, at % BLOCK);
        for block in self.full.iter_mut().skip(number) {
            block[place..].rotate_right(1);
            std::mem::swap(&mut block[place], &mut item);
            place = 0;
        }
        let items = self.last.len();
        if items == self.last.capacity() {
            self.last.reserve_exact(more_room(items).min(BLOCK - items));
        }
        self.last.insert(place, item);
        if self.last.len() == BLOCK {
            let block = std::mem::take(&mut self.last).into_boxed_slice();
            let block = block.try_into().ok();
            self.full.reserve_exact(1);
            self.full.push(block.expect("it has as many items"));
        }
    }

    /// Takes the item at a position out.
    pub(super) fn remove(&mut self, at: usize) {
        if self.last.is_empty()
            && let Some(block) = self.full.pop()
        {
            self.last = (block as Box<[T]>).into_vec();
        }
        let (number, mut place) = (at / BLOCK, at % BLOCK);
        for number in number..self.full.len() {
            let next = self.full.get(number + 1);
            let next = *next.map_or(&self.last[0], |block| &block[0]);
            let block = &mut self.full[number];
            block[place..].rotate_left(1);
            block[BLOCK - 1] = next;
            place = 0;
        }
        self.last.remove(place);
        let most = self.last.len() + more_room(self.last.len());
        if self.last.capacity() > 2 * most {
            self.last.shrink_to(most);
        }
    }

    /// Keeps the items for which `keep` says so, which is asked about each in order.
    pub(super) fn retain(&mut self, keep: impl FnMut(&&T) -> bool) {
        let kept: Vec<T> = self.iter().filter(keep).copied().collect();
        if kept.len() == self.len() {
            return;
        }
        let blocks = kept.chunks_exact(BLOCK);
        self.last = blocks.remainder().to_vec();
        self.full = blocks
            .filter_map(|block| Some(Box::new(block.try_into().ok()?)))
            .collect();
    }

    /// The items in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let full = self.full.iter().flat_map(|block| block.iter());
        full.chain(&self.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_list(
            steps in proptest::collection::vec((0_u8..12, 0_usize..1000, 1_u32..40), 0..600)
        ) {
            let (mut blocks, mut list) = (Blocks::default(), Vec::new());
            for (number, (step, at, other)) in (0_u32..).zip(steps) {
                let place = at % list.len().max(1);
                if step < 4 && !list.is_empty() {
                    blocks.remove(place);
                    list.remove(place);
                } else if step == 4 && other == 1 {
                    blocks.retain(|item| **item % 8 != 1);
                    list.retain(|item| *item % 8 != 1);
                } else if step == 5 && !list.is_empty() {
                    *blocks.at_mut(place) = number;
                    list[place] = number;
                } else {
                    blocks.insert(at % (list.len() + 1), number);
                    list.insert(at % (list.len() + 1), number);
                }
                prop_assert_eq!(blocks.len(), list.len());
                prop_assert_eq!(blocks.is_empty(), list.is_empty());
                prop_assert!(blocks.iter().eq(&list));
                prop_assert!(list.iter().enumerate().all(|(at, item)| blocks.at(at) == item));
                let room = blocks.last.capacity();
                prop_assert!(room <= BLOCK && room <= 2 * blocks.last.len() + 32);
            }
        }
    }
}
