//! Some of the top-level roles in their order: those that are owed something, those that are not
//! closed by their limits. So that a pass over thousands of roles looks at those that matter.

use super::order::Order;
use crate::allocator::bits::BitSet;

/// What can be noted of a top-level role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Its guarantee is not met.
    Owed,
    /// Its limits leave nothing that is worth an offer.
    Closed,
}

/// Which top-level roles are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// All of them.
    All,
    /// Those that are not closed.
    Open,
    /// Those that are owed something.
    Owed,
}

/// The marked ones, or the others, of a sorted list.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    marked: BitSet,
    /// True when the order is that of those without the mark.
    others: bool,
    /// Sorted as the list is; not kept while nothing is marked.
    order: Order,
}

impl Selection {
    /// Nothing is marked; `others` for those without the mark.
    pub(super) fn new(others: bool) -> Self {
        Self {
            marked: BitSet::default(),
            others,
            order: Order::default(),
        }
    }

    /// The selected ones of a list, which is sorted.
    pub(super) fn of<'a>(&'a self, list: &'a [u32]) -> &'a [u32] {
        if self.others && self.marked.is_empty() {
            list
        } else {
            self.order.as_slice()
        }
    }

    fn takes(&self, node: u32) -> bool {
        self.marked.contains(node) != self.others
    }

    /// True when the order is kept and a node is in it.
    pub(super) fn keeps(&self, node: u32) -> bool {
        self.takes(node) && !self.marked.is_empty()
    }

    /// Sets or clears the mark; true when that changes something.
    pub(super) fn set(&mut self, node: u32, marked: bool) -> bool {
        if marked {
            self.marked.insert(node)
        } else {
            self.marked.remove(node)
        }
    }

    /// Clears all marks.
    pub(super) fn clear(&mut self) {
        self.marked.clear();
        self.order.clear();
    }

    /// True when a changed mark means that the whole list has to be gone through: the order was not
    /// kept before, or need not be any more.
    pub(super) fn must_rebuild(&self) -> bool {
        self.order.as_slice().is_empty() || self.marked.is_empty()
    }

    /// Takes over the order of the list.
    pub(super) fn rebuild(&mut self, list: &[u32]) {
        self.order.clear();
        if !self.marked.is_empty() {
            let taken = list.iter().copied();
            let (marked, others) = (&self.marked, self.others);
            let taken = taken.filter(|node| marked.contains(*node) != others);
            self.order.rebuild(taken);
        }
    }

    /// The order, to move nodes in it.
    pub(super) fn order_mut(&mut self) -> &mut Order {
        &mut self.order
    }

    /// Panics when the order is not that of the list.
    pub(super) fn check_invariants(&self, list: &[u32]) {
        let expected: Vec<u32> = list
            .iter()
            .copied()
            .filter(|node| self.takes(*node))
            .collect();
        assert_eq!(self.of(list), expected, "the selected ones are in order");
    }
}
