//! Quota of roles: what the master sets and asks, and what keeps the ledger true. Without any quota
//! there is no ledger, and nothing here costs anything.

use std::collections::BTreeMap;

use crate::quota::Quota;
use crate::resources::{Quantities, Resources};
use crate::roles::Role;

use super::agent::Agent;
use super::core::Allocator;
use super::ledger::{Ledger, Terms};
use super::sorter::{Amounts, Kinds, Mark};
use super::view::is_plain;

impl Allocator {
    /// Gives a role another quota, whether it is in use or not; the default quota is none. Offers
    /// that are out and tasks that run are left alone: who has more than a new limit is offered
    /// nothing more.
    pub fn set_quota(&mut self, role: &Role, quota: &Quota) {
        if quota.is_default() {
            self.quotas.remove(role);
        } else {
            self.quotas.insert(role.clone(), quota.clone());
        }
        if self.ledger.is_none() && quota.is_default() {
            return;
        }
        let terms = (!quota.is_default()).then(|| Terms {
            guarantees: self.kinds.of_quantities(quota.guarantees()),
            limits: self.kinds.limits(quota.limits()),
        });
        if self.ledger.is_none() {
            self.open_ledger();
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.set_terms(role, terms);
            if ledger.is_without_quota() {
                self.close_ledger();
            }
        }
        self.quota_changed();
        self.candidates.framework_changed();
    }

    /// The quotas that are not the default.
    #[must_use]
    pub fn quotas(&self) -> &BTreeMap<Role, Quota> {
        &self.quotas
    }

    /// What counts against the quota of a role: what is reserved to it or to roles below it, used or
    /// not, and what is offered or allocated to them of the rest that is not revocable. Looks at all
    /// agents when no role has quota.
    #[must_use]
    pub fn consumed_quota(&self, role: &Role) -> Quantities {
        let mut kinds = self.kinds.clone();
        let consumed = match &self.ledger {
            Some(ledger) => ledger.find(role).map(|slot| ledger.consumed(slot).clone()),
            None => self.consumption(&mut kinds).remove(role),
        };
        kinds.quantities(&consumed.unwrap_or_default())
    }

    /// What all agents have that is not revocable: more cannot be guaranteed.
    #[must_use]
    pub fn capacity(&self) -> Quantities {
        let mut sum = Quantities::new();
        for (_, agent) in self.agents.iter() {
            for item in agent.total.iter().filter(|item| !item.is_revocable()) {
                if let Some(amount) = item.scalar() {
                    sum.add_one(item.name(), amount);
                }
            }
        }
        sum
    }

    /// What every role consumes, summed up anew.
    fn consumption(&self, kinds: &mut Kinds) -> BTreeMap<Role, Amounts> {
        let mut consumed: BTreeMap<Role, Amounts> = BTreeMap::new();
        let mut charge = |role: &Role, amounts: &Amounts| {
            if !amounts.is_zero() {
                for role in std::iter::once(role.clone()).chain(role.ancestors()) {
                    consumed.entry(role).or_default().add(amounts);
                }
            }
        };
        for (_, agent) in self.agents.iter() {
            for (role, amounts) in reserved_on(agent, kinds) {
                charge(&role, &amounts);
            }
            for (client, held) in &agent.holders {
                charge(&self.clients[*client].role, &kinds.quota_amounts(held));
            }
        }
        consumed
    }

    /// Starts to keep accounts.
    fn open_ledger(&mut self) {
        let mut ledger = Ledger::default();
        let clients: Vec<u32> = self.clients.iter().map(|(number, _)| number).collect();
        for number in clients {
            let client = &mut self.clients[number];
            client.account = ledger.join(&client.role);
            self.roles.set_account(&client.role, Some(client.account));
        }
        for (slot, agent) in self.agents.iter() {
            ledger.set_reserved(slot, reserved_on(agent, &mut self.kinds));
            for (client, held) in &agent.holders {
                let amounts = self.kinds.quota_amounts(held);
                ledger.consume(self.clients[*client].account, &amounts);
            }
            let (free, uneven) = free_on(agent, &mut self.kinds);
            ledger.set_free(slot, free, uneven);
        }
        self.ledger = Some(ledger);
    }

    /// Stops to keep accounts.
    fn close_ledger(&mut self) {
        self.ledger = None;
        for (_, client) in self.clients.iter() {
            self.roles.set_account(&client.role, None);
        }
        self.roles.tree_mut().clear_marks();
    }

    /// Notes what a framework has from now on under a role; no pass gave it that.
    pub(super) fn consume(&mut self, client: u32, resources: &Resources) {
        if let Some(ledger) = &mut self.ledger {
            let amounts = self.kinds.quota_amounts(resources);
            if !amounts.is_zero() {
                ledger.consume(self.clients[client].account, &amounts);
            }
        }
    }

    /// Notes what a framework has no longer.
    pub(super) fn consume_less(&mut self, client: u32, resources: &Resources) {
        if let Some(ledger) = &mut self.ledger {
            let amounts = self.kinds.quota_amounts(resources);
            if !amounts.is_zero() {
                ledger.give_back(self.clients[client].account, &amounts);
            }
        }
    }

    /// Notes another total of an agent, or none when it goes.
    pub(super) fn count_reserved(&mut self, slot: u32, goes: bool) {
        if let Some(ledger) = &mut self.ledger {
            let reserved = if goes {
                Vec::new()
            } else {
                reserved_on(&self.agents[slot], &mut self.kinds)
            };
            ledger.set_reserved(slot, reserved);
        }
    }

    /// Notes what an agent has available, or nothing when it goes. Whoever may be given more now
    /// than before gives the next pass a reason to look at all agents.
    pub(super) fn count_free(&mut self, slot: u32, goes: bool) {
        if let Some(ledger) = &mut self.ledger {
            let (free, uneven) = if goes {
                (Amounts::default(), false)
            } else {
                free_on(&self.agents[slot], &mut self.kinds)
            };
            ledger.set_free(slot, free, uneven);
            self.quota_changed();
        }
    }

    /// A client has come: its role has an account from now on.
    pub(super) fn open_account(&mut self, client: u32) {
        if let Some(ledger) = &mut self.ledger {
            let client = &mut self.clients[client];
            client.account = ledger.join(&client.role);
            self.roles.set_account(&client.role, Some(client.account));
            self.quota_changed();
        }
    }

    /// A client has gone.
    pub(super) fn close_account(&mut self, role: &Role) {
        if let Some(ledger) = &mut self.ledger {
            ledger.leave(role);
        }
    }

    /// Tells the order of roles who is owed something and who can be offered nothing.
    pub(super) fn quota_changed(&mut self) {
        let Some(ledger) = &mut self.ledger else {
            return;
        };
        for account in ledger.take_changed() {
            let Some(node) = ledger.role(account).and_then(|role| self.roles.node(role)) else {
                continue;
            };
            let closed = ledger.is_closed(account, &self.min_allocatable);
            let tree = self.roles.tree_mut();
            tree.set_mark(node, Mark::Closed, closed);
            tree.set_mark(node, Mark::Owed, ledger.is_owed(account));
        }
        if ledger.take_eased() {
            self.candidates.framework_changed();
        }
    }

    /// Panics when the ledger is not what follows from agents and clients.
    pub(super) fn check_ledger(&self) {
        assert_eq!(self.ledger.is_some(), !self.quotas.is_empty());
        let Some(ledger) = &self.ledger else {
            return;
        };
        ledger.check_invariants();
        let mut kinds = self.kinds.clone();
        let (expected, found) = (self.consumption(&mut kinds), ledger.consumption());
        assert_eq!(expected.len(), found.len(), "who consumes");
        for (role, amounts) in &found {
            assert!(*amounts == expected[role], "what {role} consumes");
        }
        let mut free = Amounts::default();
        for (_, agent) in self.agents.iter() {
            free.add(&free_on(agent, &mut kinds).0);
        }
        assert!(*ledger.free() == free, "what is free");
        for (_, client) in self.clients.iter() {
            let account = ledger.find(&client.role);
            assert!(account.is_some(), "{} has an account", client.role);
            assert_eq!(Some(client.account), account);
            assert_eq!(self.roles.account_of(&client.role), account);
        }
    }
}

/// What is reserved on an agent, used or not, by role.
fn reserved_on(agent: &Agent, kinds: &mut Kinds) -> Vec<(Role, Amounts)> {
    if !agent.total.iter().any(|item| item.is_reserved()) {
        return Vec::new();
    }
    let by_role = agent.total.reservations().into_iter();
    by_role
        .map(|(role, resources)| (role, kinds.amounts(&resources)))
        .filter(|(_, amounts)| !amounts.is_zero())
        .collect()
}

/// What an agent has available of what quota counts, if it takes part in passes, and whether
/// frameworks see different parts of it.
fn free_on(agent: &Agent, kinds: &mut Kinds) -> (Amounts, bool) {
    let plain = is_plain(agent);
    if !agent.takes_part() {
        return (Amounts::default(), false);
    }
    let free = if plain {
        agent.available.amounts().clone()
    } else {
        kinds.quota_amounts(&agent.available)
    };
    (free, !plain)
}
