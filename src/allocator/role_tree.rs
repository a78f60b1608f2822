//! Which roles there are, and where each has its leaf in the tree of shares.
//!
//! A role exists while a framework is subscribed to it or holds something under it, or while a
//! role below it exists.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::FrameworkId;
use crate::roles::Role;

use super::bits::BitSet;
use super::slots::Slots;
use super::sorter::{Amounts, Content, ShareTree, Weight};

/// The label of a leaf; no role component can have it, and it sorts before nearly all of them.
const LEAF: &str = ".";

/// A role that frameworks use, or an ancestor of one.
#[derive(Clone, Debug)]
struct RoleRecord {
    role: Role,
    node: u32,
    /// Where its own clients are; none for a mere ancestor.
    leaf: Option<u32>,
    /// The clients that take part in passes.
    active: BitSet,
    /// Of its quota, while any role has one and frameworks are here.
    account: Option<u32>,
}

/// All roles in use.
#[derive(Clone, Debug)]
pub(super) struct RoleTree {
    records: Slots<RoleRecord>,
    slots: BTreeMap<Role, u32>,
    /// Those that are not 1, also of roles that nobody uses at present.
    weights: BTreeMap<Role, Weight>,
    tree: ShareTree,
}

impl RoleTree {
    pub(super) fn new() -> Self {
        Self {
            records: Slots::default(),
            slots: BTreeMap::new(),
            weights: BTreeMap::new(),
            tree: ShareTree::new(),
        }
    }

    /// The shares and their order.
    pub(super) fn tree(&self) -> &ShareTree {
        &self.tree
    }

    /// The shares and their order.
    pub(super) fn tree_mut(&mut self) -> &mut ShareTree {
        &mut self.tree
    }

    /// The role of a leaf.
    pub(super) fn role(&self, slot: u32) -> &Role {
        &self.records[slot].role
    }

    /// The active clients of a role.
    pub(super) fn active(&self, slot: u32) -> &BitSet {
        &self.records[slot].active
    }

    /// The account of a role with frameworks, while any role has quota.
    pub(super) fn account(&self, slot: u32) -> Option<u32> {
        self.records[slot].account
    }

    /// The account of a role that is in use, while any role has quota.
    pub(super) fn account_of(&self, role: &Role) -> Option<u32> {
        self.account(*self.slots.get(role)?)
    }

    /// Notes the account of a role that is in use.
    pub(super) fn set_account(&mut self, role: &Role, account: Option<u32>) {
        self.records[self.slots[role]].account = account;
    }

    /// The number of a role that is in use.
    pub(super) fn slot(&self, role: &Role) -> u32 {
        self.slots[role]
    }

    /// The node of a role that is in use.
    pub(super) fn node(&self, role: &Role) -> Option<u32> {
        Some(self.records[*self.slots.get(role)?].node)
    }

    fn ensure(&mut self, role: &Role) -> u32 {
        if let Some(slot) = self.slots.get(role) {
            return *slot;
        }
        let parent = match role.parent() {
            Some(parent) => {
                let parent = self.ensure(&parent);
                self.records[parent].node
            }
            None => ShareTree::ROOT,
        };
        let label = role.components().next_back().unwrap_or_default();
        let node = self.tree.add(parent, label.into(), Content::Branch);
        let slot = self.records.insert(RoleRecord {
            role: role.clone(),
            node,
            leaf: None,
            active: BitSet::default(),
            account: None,
        });
        self.slots.insert(role.clone(), slot);
        if let Some(weight) = self.weights.get(role) {
            self.tree.set_weight(node, *weight);
        }
        slot
    }

    /// Sets the weight of a role, whether it is in use or not.
    pub(super) fn set_weight(&mut self, role: &Role, weight: Weight) {
        if weight == Weight::default() {
            self.weights.remove(role);
        } else {
            self.weights.insert(role.clone(), weight);
        }
        if let Some(slot) = self.slots.get(role) {
            self.tree.set_weight(self.records[*slot].node, weight);
        }
    }

    /// The weights that are not 1.
    pub(super) fn weights(&self) -> &BTreeMap<Role, Weight> {
        &self.weights
    }

    /// Adds a framework under a role, inactive, and tells its node.
    pub(super) fn add_client(&mut self, role: &Role, framework: &FrameworkId, client: u32) -> u32 {
        let slot = self.ensure(role);
        let record = &mut self.records[slot];
        let leaf = *record
            .leaf
            .get_or_insert_with(|| self.tree.add(record.node, LEAF.into(), Content::Leaf(slot)));
        let label: Arc<str> = framework.as_str().into();
        self.tree.add(leaf, label, Content::Client(client))
    }

    /// Removes a client that is inactive and holds nothing; its role goes with the last one.
    pub(super) fn remove_client(&mut self, role: &Role, node: u32) {
        self.tree.remove(node);
        let slot = self.slots[role];
        let record = &mut self.records[slot];
        if let Some(leaf) = record.leaf.take_if(|leaf| self.tree.is_childless(*leaf)) {
            self.tree.remove(leaf);
        }
        self.prune(role.clone());
    }

    /// Removes a role without frameworks and child roles, then its ancestors likewise.
    fn prune(&mut self, role: Role) {
        let slot = self.slots[&role];
        if !self.tree.is_childless(self.records[slot].node) {
            return;
        }
        self.tree.remove(self.records[slot].node);
        self.records.remove(slot);
        self.slots.remove(&role);
        if let Some(parent) = role.parent() {
            self.prune(parent);
        }
    }

    /// Lets a client take part in passes, or not.
    pub(super) fn set_active(&mut self, role: &Role, node: u32, client: u32, active: bool) {
        self.records[self.slots[role]].active.set(client, active);
        self.tree.set_active(node, active);
    }

    /// Counts an allocation that no pass made.
    pub(super) fn charge(&mut self, node: u32, amounts: &Amounts) {
        self.tree.charge(node, amounts);
    }

    /// Takes back an allocation.
    pub(super) fn discharge(&mut self, node: u32, amounts: &Amounts) {
        self.tree.discharge(node, amounts);
    }

    /// Panics when records and tree disagree.
    pub(super) fn check_invariants(&self) {
        assert_eq!(self.slots.len(), self.records.len());
        for (role, slot) in &self.slots {
            let record = &self.records[*slot];
            assert_eq!(&record.role, role);
            let children = self.tree.is_childless(record.node);
            assert!(!children, "role {role} is there for something");
            let weight = self.weights.get(role).copied().unwrap_or_default();
            assert_eq!(self.tree.weight(record.node), weight, "weight of {role}");
        }
        self.tree.check_invariants();
    }
}
