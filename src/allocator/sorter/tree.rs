//! The tree that shares are kept in: branches are roles, a leaf is what frameworks hold under a
//! role itself, clients are frameworks under that role.
//!
//! A role with child roles and frameworks of its own competes with its children through its leaf,
//! as in Mesos. Every node counts what is allocated below it. The order of siblings is kept sorted
//! while a pass allocates; everything else only marks it as outdated, and [`ShareTree::refresh`]
//! sorts what is outdated once before the next pass.

use std::sync::Arc;

use crate::allocator::slots::Slots;
use crate::base::Rng;

use super::drf::{Standing, level};
use super::order::Order;
use super::random::Draw;
use super::selection::{Mark, Selection, Walk};
use super::{Amounts, Share, Weight};

/// How many siblings are looked through before shares are compared to find one: passes give to
/// those in front.
const FRONT: usize = 64;

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A role and everything below it.
    Branch,
    /// The frameworks of one role; the number is the caller's.
    Leaf(u32),
    /// One framework under one role; the number is the caller's.
    Client(u32),
}

#[derive(Clone, Debug)]
struct Node {
    label: Arc<str>,
    content: Content,
    parent: u32,
    weight: Weight,
    allocated: Amounts,
    /// All children by label.
    children: Vec<u32>,
    /// Children with active clients, in DRF order unless outdated.
    order: Order,
    outdated: bool,
    /// Active clients here and below.
    active: u32,
}

/// A tree of shares.
#[derive(Clone, Debug)]
pub(crate) struct ShareTree {
    nodes: Slots<Node>,
    /// By the same numbers as `nodes`; apart, because searches in an order look at many of them.
    standings: Vec<Standing>,
    totals: Amounts,
    totals_changed: bool,
    /// Nodes whose order is outdated.
    outdated: Vec<u32>,
    /// Top-level roles that are owed something.
    owed: Selection,
    /// Top-level roles that are not closed.
    open: Selection,
}

impl ShareTree {
    /// The node above all top-level roles.
    pub(crate) const ROOT: u32 = 0;

    /// A tree with nothing but its root.
    pub(crate) fn new() -> Self {
        let mut nodes = Slots::default();
        nodes.insert(Node::new("".into(), Content::Branch, Self::ROOT));
        Self {
            nodes,
            standings: vec![Standing::newcomer()],
            totals: Amounts::default(),
            totals_changed: false,
            outdated: Vec::new(),
            owed: Selection::new(false),
            open: Selection::new(true),
        }
    }

    /// Notes something of a top-level role, or that it is so no longer.
    pub(crate) fn set_mark(&mut self, node: u32, mark: Mark, marked: bool) {
        let root = &self.nodes[Self::ROOT];
        let selection = match mark {
            Mark::Owed => &mut self.owed,
            Mark::Closed => &mut self.open,
        };
        if !selection.set(node, marked) || root.outdated {
            return;
        }
        if selection.must_rebuild() {
            selection.rebuild(root.order.as_slice());
            return;
        }
        if self.nodes[node].active == 0 {
            return;
        }
        let keeps = selection.keeps(node);
        let mut order = std::mem::take(selection.order_mut());
        let nodes = order.as_slice();
        let at = nodes.partition_point(|other| self.precedes(*other, node));
        match (nodes.get(at) == Some(&node), keeps) {
            (true, false) => order.remove(at),
            (false, true) => order.insert(at, node),
            _ => {}
        }
        *self.selection_mut(mark).order_mut() = order;
    }

    fn selection_mut(&mut self, mark: Mark) -> &mut Selection {
        match mark {
            Mark::Owed => &mut self.owed,
            Mark::Closed => &mut self.open,
        }
    }

    /// Nobody is owed anything, nobody is closed.
    pub(crate) fn clear_marks(&mut self) {
        self.owed.clear();
        self.open.clear();
    }

    /// The top-level roles with active clients that a walk visits, first in order first.
    pub(crate) fn tops(&self, walk: Walk) -> &[u32] {
        let all = self.nodes[Self::ROOT].order.as_slice();
        match walk {
            Walk::All => all,
            Walk::Open => self.open.of(all),
            Walk::Owed => self.owed.of(all),
        }
    }

    /// Adds a node below `parent`; a client starts inactive.
    pub(crate) fn add(&mut self, parent: u32, label: Arc<str>, content: Content) -> u32 {
        let slot = self
            .nodes
            .insert(Node::new(Arc::clone(&label), content, parent));
        match self.standings.get_mut(slot as usize) {
            Some(standing) => *standing = Standing::newcomer(),
            None => self.standings.push(Standing::newcomer()),
        }
        let at = self.position_by_label(parent, &label);
        self.nodes[parent].children.insert(at, slot);
        self.mark(parent);
        slot
    }

    /// Removes a node that has neither children nor allocations nor active clients.
    pub(crate) fn remove(&mut self, slot: u32) {
        let node = &self.nodes[slot];
        assert!(node.children.is_empty() && node.active == 0);
        assert!(node.allocated == Amounts::default());
        let at = self.position_by_label(node.parent, &node.label);
        if node.parent == Self::ROOT {
            self.owed.set(slot, false);
            self.open.set(slot, false);
        }
        let node = self.nodes.remove(slot);
        let removed = self.nodes[node.parent].children.remove(at);
        assert_eq!(removed, slot, "siblings have different labels");
        self.mark(node.parent);
    }

    fn position_by_label(&self, parent: u32, label: &str) -> usize {
        self.nodes[parent]
            .children
            .partition_point(|child| *self.nodes[*child].label < *label)
    }

    fn mark(&mut self, slot: u32) {
        let node = &mut self.nodes[slot];
        if !node.outdated {
            node.outdated = true;
            self.outdated.push(slot);
        }
    }

    /// Clients take part in the order only while active. What they hold counts always.
    pub(crate) fn set_active(&mut self, client: u32, active: bool) {
        if (self.nodes[client].active > 0) == active {
            return;
        }
        let mut at = client;
        loop {
            let node = &mut self.nodes[at];
            node.active = if active {
                node.active + 1
            } else {
                node.active - 1
            };
            if at == Self::ROOT {
                return;
            }
            at = node.parent;
            self.mark(at);
        }
    }

    /// A role counts for more or less than its siblings from now on.
    pub(crate) fn set_weight(&mut self, slot: u32, weight: Weight) {
        let node = &mut self.nodes[slot];
        node.weight = weight;
        self.standings[slot as usize].share =
            Share::dominant(&node.allocated, &self.totals, node.weight);
        let parent = node.parent;
        self.mark(parent);
    }

    /// More to share; every share changes.
    pub(crate) fn grow(&mut self, amounts: &Amounts) {
        self.totals.add(amounts);
        self.totals_changed = true;
    }

    /// Less to share; every share changes.
    pub(crate) fn shrink(&mut self, amounts: &Amounts) {
        self.totals.subtract(amounts);
        self.totals_changed = true;
    }

    /// All there is to share.
    pub(crate) fn totals(&self) -> &Amounts {
        &self.totals
    }

    /// Counts an allocation to a client that happened elsewhere: no pass made it.
    pub(crate) fn charge(&mut self, client: u32, amounts: &Amounts) {
        self.change(client, |allocated| allocated.add(amounts));
    }

    /// Takes back what was charged or granted before.
    pub(crate) fn discharge(&mut self, client: u32, amounts: &Amounts) {
        self.change(client, |allocated| allocated.subtract(amounts));
    }

    fn change(&mut self, client: u32, change: impl Fn(&mut Amounts)) {
        let mut at = client;
        loop {
            let node = &mut self.nodes[at];
            change(&mut node.allocated);
            if at == Self::ROOT {
                return;
            }
            self.standings[at as usize].share =
                Share::dominant(&node.allocated, &self.totals, node.weight);
            at = node.parent;
            self.mark(at);
        }
    }

    /// Counts an allocation of a pass to an active client: shares and histories grow, and the
    /// order stays sorted.
    pub(crate) fn grant(&mut self, client: u32, amounts: &Amounts) {
        let mut at = client;
        while at != Self::ROOT {
            let parent = self.nodes[at].parent;
            let before = self.position(parent, at);
            let selected = if parent == Self::ROOT {
                [Mark::Owed, Mark::Closed].map(|mark| Some((mark, self.selected(mark, at)?)))
            } else {
                [None, None]
            };
            let node = &mut self.nodes[at];
            node.allocated.add(amounts);
            let standing = &mut self.standings[at as usize];
            standing.share = Share::dominant(&node.allocated, &self.totals, node.weight);
            standing.history += 1;
            // A grant moves nobody forward.
            let siblings = self.nodes[parent].order.as_slice();
            let behind = self.count_before(&siblings[before + 1..], at);
            self.nodes[parent].order.move_back(before, behind);
            for (mark, before) in selected.into_iter().flatten() {
                let mut order = std::mem::take(self.selection_mut(mark).order_mut());
                let behind = self.count_before(&order.as_slice()[before + 1..], at);
                order.move_back(before, behind);
                *self.selection_mut(mark).order_mut() = order;
            }
            at = parent;
        }
        self.nodes[Self::ROOT].allocated.add(amounts);
    }

    /// The place of an active child in a sorted order.
    pub(crate) fn position(&self, parent: u32, child: u32) -> usize {
        let node = &self.nodes[parent];
        assert!(!node.outdated, "passes work on a refreshed tree");
        let order = node.order.as_slice();
        let (front, rest) = order.split_at(FRONT.min(order.len()));
        let at = match front.iter().position(|sibling| *sibling == child) {
            Some(at) => return at,
            None => FRONT + rest.partition_point(|sibling| self.precedes(*sibling, child)),
        };
        assert_eq!(order.get(at), Some(&child), "active children have a place");
        at
    }

    /// The place of a top-level role among those that are selected, if it is.
    fn selected(&self, mark: Mark, node: u32) -> Option<usize> {
        let selection = match mark {
            Mark::Owed => &self.owed,
            Mark::Closed => &self.open,
        };
        if !selection.keeps(node) {
            return None;
        }
        let order = selection.of(&[]);
        let at = order.partition_point(|other| self.precedes(*other, node));
        assert_eq!(order.get(at), Some(&node), "selected roles have a place");
        Some(at)
    }

    /// How many of these sorted siblings come before a node. Passes give to the first, who then
    /// is last: both ends are tried before the middle.
    fn count_before(&self, siblings: &[u32], node: u32) -> usize {
        match siblings {
            [] => 0,
            [first, ..] if !self.precedes(*first, node) => 0,
            [.., last] if self.precedes(*last, node) => siblings.len(),
            _ => siblings.partition_point(|sibling| self.precedes(*sibling, node)),
        }
    }

    /// Sorts what is outdated.
    pub(crate) fn refresh(&mut self) {
        if self.totals_changed {
            self.totals_changed = false;
            for (slot, node) in self.nodes.iter() {
                self.standings[slot as usize].share =
                    Share::dominant(&node.allocated, &self.totals, node.weight);
            }
            let parents = self
                .nodes
                .iter()
                .filter(|(_, node)| !node.order.as_slice().is_empty());
            let parents: Vec<u32> = parents.map(|(slot, _)| slot).collect();
            for slot in parents {
                self.mark(slot);
            }
        }
        for slot in std::mem::take(&mut self.outdated) {
            // It may have been removed since, and its slot used again.
            if self.nodes.get(slot).is_some_and(|node| node.outdated) {
                self.sort(slot);
            }
        }
    }

    fn sort(&mut self, parent: u32) {
        let children = std::mem::take(&mut self.nodes[parent].children);
        for (ordinal, child) in (0_u32..).zip(&children) {
            self.standings[*child as usize].ordinal = ordinal;
        }
        if children.iter().any(|child| self.standing(*child).newcomer) {
            self.level(&children);
        }
        let mut order = std::mem::take(&mut self.nodes[parent].order);
        let active = |child: &u32| self.nodes[*child].active > 0;
        order.rebuild_by(children.iter().copied().filter(active), |a, b| {
            self.standing(a).compare(self.standing(b))
        });
        if parent == Self::ROOT {
            self.owed.rebuild(order.as_slice());
            self.open.rebuild(order.as_slice());
        }
        let node = &mut self.nodes[parent];
        (node.children, node.order, node.outdated) = (children, order, false);
    }

    fn level(&mut self, siblings: &[u32]) {
        let histories: Vec<Option<u64>> = siblings
            .iter()
            .map(|sibling| self.standing(*sibling))
            .map(|standing| (!standing.newcomer).then_some(standing.history))
            .collect();
        for (sibling, history) in siblings.iter().zip(level(&histories)) {
            let standing = &mut self.standings[*sibling as usize];
            (standing.history, standing.newcomer) = (history, false);
        }
    }

    /// The leaves with active clients below the selected top-level roles, first in order first.
    pub(crate) fn leaves(&self, walk: Walk) -> Leaves<'_> {
        Leaves {
            tree: self,
            walk,
            path: vec![(Self::ROOT, 0)],
            random: None,
        }
    }

    /// The same leaves in random order, level by level, by weight.
    pub(crate) fn random_leaves(&self, walk: Walk, rng: Rng) -> Leaves<'_> {
        let tops = Draw::new(self.tops(walk), |node| self.weight(node).thousandths());
        Leaves {
            random: Some((rng, vec![tops])),
            ..self.leaves(walk)
        }
    }

    /// The active children of a node, first in order first.
    pub(crate) fn in_order(&self, node: u32) -> &[u32] {
        self.nodes[node].order.as_slice()
    }

    /// What a node stands for.
    pub(crate) fn content(&self, node: u32) -> Content {
        self.nodes[node].content
    }

    /// What decides the place of a node.
    pub(crate) fn standing(&self, node: u32) -> &Standing {
        &self.standings[node as usize]
    }

    /// True when `a` comes before its sibling `b`.
    pub(crate) fn precedes(&self, a: u32, b: u32) -> bool {
        self.standing(a).precedes(self.standing(b))
    }

    /// All nodes, the root included.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.nodes.iter().map(|(number, _)| number)
    }

    /// What is allocated here and below.
    pub(crate) fn allocated(&self, node: u32) -> &Amounts {
        &self.nodes[node].allocated
    }

    /// The nodes from the top-level role down to this one.
    pub(crate) fn path(&self, node: u32) -> Vec<u32> {
        let mut path = vec![node];
        let mut at = node;
        while self.nodes[at].parent != Self::ROOT {
            at = self.nodes[at].parent;
            path.push(at);
        }
        path.reverse();
        path
    }

    /// The label of a node.
    pub(crate) fn label(&self, node: u32) -> &Arc<str> {
        &self.nodes[node].label
    }

    /// The node above.
    pub(crate) fn parent(&self, node: u32) -> u32 {
        self.nodes[node].parent
    }

    /// The weight of a node.
    pub(crate) fn weight(&self, node: u32) -> Weight {
        self.nodes[node].weight
    }

    /// True when nothing is below a node.
    pub(crate) fn is_childless(&self, node: u32) -> bool {
        self.nodes[node].children.is_empty()
    }

    /// Panics when sums or orders are wrong.
    pub(crate) fn check_invariants(&self) {
        for (slot, node) in self.nodes.iter() {
            if !matches!(node.content, Content::Client(_)) {
                let mut below = Amounts::default();
                for child in &node.children {
                    assert_eq!(self.nodes[*child].parent, slot);
                    below.add(&self.nodes[*child].allocated);
                }
                // What is shared by several counts once.
                let sums_up = below.contains(&node.allocated);
                assert!(sums_up, "{} sums up", node.label);
                let active: u32 = node.children.iter().map(|c| self.nodes[*c].active).sum();
                assert_eq!(active, node.active, "{} counts clients", node.label);
            }
            if self.totals_changed || node.outdated {
                continue;
            }
            if slot == Self::ROOT {
                self.owed.check_invariants(node.order.as_slice());
                self.open.check_invariants(node.order.as_slice());
            }
            assert!(
                node.order
                    .as_slice()
                    .windows(2)
                    .all(|pair| self.precedes(pair[0], pair[1])),
                "{} is sorted",
                node.label
            );
        }
    }
}

impl Node {
    fn new(label: Arc<str>, content: Content, parent: u32) -> Self {
        Self {
            label,
            content,
            parent,
            weight: Weight::default(),
            allocated: Amounts::default(),
            children: Vec::new(),
            order: Order::default(),
            outdated: false,
            active: 0,
        }
    }
}

/// A walk over the leaves of a tree, in order.
#[derive(Debug)]
pub(crate) struct Leaves<'a> {
    tree: &'a ShareTree,
    walk: Walk,
    /// The nodes above the next leaf, each with the next child to go to.
    path: Vec<(u32, usize)>,
    /// Instead of `path`: who is still to be drawn on each level.
    random: Option<(Rng, Vec<Draw>)>,
}

impl Leaves<'_> {
    fn next_random(&mut self) -> Option<(u32, u32)> {
        let (rng, levels) = self.random.as_mut()?;
        loop {
            let Some(child) = levels.last_mut()?.next(rng) else {
                levels.pop();
                continue;
            };
            match self.tree.content(child) {
                Content::Leaf(number) => return Some((child, number)),
                Content::Branch => {
                    let below = self.tree.in_order(child);
                    let weight = |node| self.tree.weight(node).thousandths();
                    levels.push(Draw::new(below, weight));
                }
                Content::Client(_) => {}
            }
        }
    }
}

/// The node of a leaf and the caller's number of it.
impl Iterator for Leaves<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<Self::Item> {
        if self.random.is_some() {
            return self.next_random();
        }
        loop {
            let (node, next) = self.path.last_mut()?;
            let children = match *node {
                ShareTree::ROOT => self.tree.tops(self.walk),
                node => self.tree.in_order(node),
            };
            let Some(child) = children.get(*next) else {
                self.path.pop();
                continue;
            };
            *next += 1;
            match self.tree.content(*child) {
                Content::Leaf(number) => return Some((*child, number)),
                Content::Branch => self.path.push((*child, 0)),
                Content::Client(_) => {}
            }
        }
    }
}
