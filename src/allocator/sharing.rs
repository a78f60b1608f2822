//! Shared resources in shares: each counts once at every node of the order, however many of its
//! holders are below: once for a framework, and once for a role.
//!
//! Amounts are charged from a client up to the root. Where somebody else below a node holds the same
//! of the agent, the node counts it already, and so do all above: from there on it is taken off again.

use std::collections::BTreeMap;

use crate::resources::{Resource, Resources};

use super::core::Allocator;
use super::sorter::{Amounts, Kinds, ShareTree};

impl Allocator {
    /// A client was charged, up to the root, for shared items of an agent that it had nothing of:
    /// takes off what counts already.
    pub(super) fn count_once(&mut self, client: u32, agent: u32, items: &Resources) {
        for (node, amounts) in self.counted_by_others(client, agent, items) {
            self.roles.discharge(node, &amounts);
        }
    }

    /// A client is about to be discharged, up to the root, of shared items of an agent that it has
    /// nothing of any more: adds what counts still.
    pub(super) fn count_still(&mut self, client: u32, agent: u32, items: &Resources) {
        for (node, amounts) in self.counted_by_others(client, agent, items) {
            self.roles.charge(node, &amounts);
        }
    }

    /// For each of the items that others hold too: the lowest node above the client that one of
    /// them is below.
    fn counted_by_others(
        &mut self,
        client: u32,
        agent: u32,
        items: &Resources,
    ) -> Vec<(u32, Amounts)> {
        let tree = self.roles.tree();
        let path = tree.path(self.clients[client].node);
        let mut counted = Vec::new();
        for item in items.iter().filter(|item| item.is_shared()) {
            let one = item.clone().once();
            let has = |held: &Resources| held.iter().any(|have| have.clone().once() == one);
            let holders = self.agents[agent].holders.iter();
            let others = holders.filter(|(holder, held)| *holder != client && has(held));
            let common = others.map(|(holder, _)| {
                let other = tree.path(self.clients[*holder].node);
                let both = path.iter().zip(&other);
                both.take_while(|(one, other)| one == other).count()
            });
            let Some(common) = common.max() else {
                continue;
            };
            let node = common.checked_sub(1).map_or(ShareTree::ROOT, |at| path[at]);
            counted.push((node, one));
        }
        let mut amounts = |item| self.kinds.amounts(&[item].into_iter().collect());
        let counted = counted.into_iter();
        counted.map(|(node, item)| (node, amounts(item))).collect()
    }

    /// Panics unless every node counts what is held below it, and what is shared once for each
    /// agent.
    pub(super) fn check_charges(&self, kinds: &mut Kinds) {
        let tree = self.roles.tree();
        let mut charged: BTreeMap<u32, Amounts> = BTreeMap::new();
        for (_, agent) in self.agents.iter() {
            let mut known: BTreeMap<u32, Resources> = BTreeMap::new();
            for (client, held) in &agent.holders {
                let mut path = tree.path(self.clients[*client].node);
                path.push(ShareTree::ROOT);
                let single = held.filter(|item: &Resource| !item.is_shared());
                let single = kinds.amounts(&single);
                for node in path {
                    charged.entry(node).or_default().add(&single);
                    for item in held.iter().filter(|item| item.is_shared()) {
                        let one = item.clone().once();
                        let known = known.entry(node).or_default();
                        if !known.contains_one(&one) {
                            known.add(one.clone());
                            let amounts = kinds.amounts(&[one].into_iter().collect());
                            charged.entry(node).or_default().add(&amounts);
                        }
                    }
                }
            }
        }
        let nothing = Amounts::default();
        for node in tree.numbers() {
            let expected = charged.get(&node).unwrap_or(&nothing);
            let label = tree.label(node);
            assert!(tree.allocated(node) == expected, "{label} counts its own");
        }
    }
}
