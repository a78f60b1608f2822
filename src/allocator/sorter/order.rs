//! A sorted list in which whoever comes first goes behind others, again and again: taking from the
//! front and putting at the back costs the same for ten siblings and for ten thousand.

/// Nodes in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    /// What is before `head` is left from earlier and means nothing.
    list: Vec<u32>,
    head: usize,
}

/// How much room in front is never worth a clean-up.
const SLACK: usize = 64;

impl Order {
    /// The nodes, first in order first.
    pub(super) fn as_slice(&self) -> &[u32] {
        &self.list[self.head..]
    }

    fn len(&self) -> usize {
        self.list.len() - self.head
    }

    /// Starts again with these.
    pub(super) fn rebuild(&mut self, nodes: impl Iterator<Item = u32>) {
        self.clear();
        self.list.extend(nodes);
    }

    /// Starts again with these in this order.
    pub(super) fn rebuild_by(
        &mut self,
        nodes: impl Iterator<Item = u32>,
        compare: impl Fn(u32, u32) -> std::cmp::Ordering,
    ) {
        self.rebuild(nodes);
        self.list.sort_unstable_by(|a, b| compare(*a, *b));
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.head = 0;
    }

    /// Moves the node at a place behind the `by` nodes after it.
    pub(super) fn move_back(&mut self, at: usize, by: usize) {
        let behind = self.len() - at - 1 - by;
        if by <= at + behind {
            self.list[self.head + at..=self.head + at + by].rotate_left(1);
            return;
        }
        let node = self.list[self.head + at];
        self.close_gap(at);
        self.list.insert(self.head + at + by, node);
        if self.head > SLACK && self.head > self.list.len() / 2 {
            self.list.drain(..self.head);
            self.head = 0;
        }
    }

    /// Lets those before a place take it over.
    fn close_gap(&mut self, at: usize) {
        let head = self.head;
        self.list.copy_within(head..head + at, head + 1);
        self.head += 1;
    }

    /// Takes out the node at a place.
    pub(super) fn remove(&mut self, at: usize) {
        if at < self.len() / 2 {
            self.close_gap(at);
        } else {
            self.list.remove(self.head + at);
        }
    }

    /// Puts a node at a place.
    pub(super) fn insert(&mut self, at: usize, node: u32) {
        if self.head > 0 && at < self.len() / 2 {
            let head = self.head;
            self.list.copy_within(head..head + at, head - 1);
            self.head -= 1;
            self.list[self.head + at] = node;
        } else {
            self.list.insert(self.head + at, node);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_list(
            size in 1_u32..200,
            steps in proptest::collection::vec((0_u8..4, 0_usize..200, 0_usize..200), 0..300)
        ) {
            let mut order = Order::default();
            order.rebuild(0..size);
            let mut list: Vec<u32> = (0..size).collect();
            for (step, at, by) in steps {
                if list.is_empty() || step == 0 {
                    let at = at % (list.len() + 1);
                    order.insert(at, size);
                    list.insert(at, size);
                } else if step == 1 {
                    let at = at % list.len();
                    order.remove(at);
                    list.remove(at);
                } else {
                    // From near the front mostly, as passes do.
                    let at = if step == 2 { at % list.len().min(3) } else { at % list.len() };
                    let by = list.len() - 1 - at - by % (list.len() - at);
                    order.move_back(at, by);
                    let node = list.remove(at);
                    list.insert(at + by, node);
                }
                prop_assert_eq!(order.as_slice(), list.as_slice());
            }
            prop_assert!(order.list.len() <= 2 * (list.len() + SLACK) + 600);
        }
    }

    #[test]
    fn room_in_front_is_used_again() {
        let mut order = Order::default();
        order.rebuild(0..100);
        for turn in 0..10_000 {
            assert_eq!(*order.as_slice().first().unwrap(), turn % 100);
            order.move_back(0, 99);
            assert!(order.list.len() < 400);
        }
    }
}
