//! What the master tells the allocator about frameworks: who is there, in which roles, and who
//! wants no offers.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{AgentId, FrameworkId};
use crate::resources::Resources;
use crate::roles::Role;

use super::bits::{BitSet, SmallSet};
use super::bundle::Bundle;
use super::core::{Allocator, amounts_of};
use super::framework::{Client, Framework, FrameworkSpec};
use super::sorter::{Amounts, Weight};

impl Allocator {
    /// Adds a framework, active. `used` is what it has, by agent, allocated to roles: agents that
    /// are not known yet bring it themselves later, and what an agent brought counts once.
    pub fn add_framework(
        &mut self,
        id: &FrameworkId,
        spec: &FrameworkSpec,
        used: &BTreeMap<AgentId, Resources>,
    ) {
        let slot = self.framework_or_stranger(id);
        let framework = &mut self.frameworks[slot];
        (framework.added, framework.active) = (true, true);
        for (agent, resources) in used {
            let Some(agent) = self.agent_slots.get(agent).copied() else {
                continue;
            };
            let clients = &self.frameworks[slot].clients;
            let known = &self.agents[agent];
            if !clients
                .values()
                .any(|client| known.held_by(*client).is_some())
            {
                self.hold(slot, agent, resources);
                self.settle(agent);
            }
        }
        self.apply_spec(slot, spec);
        self.candidates.framework_changed();
    }

    /// Takes over other roles, suppressed roles, capabilities or smallest bundles. In roles that
    /// are new or no longer suppressed the framework starts without filters.
    pub fn update_framework(&mut self, id: &FrameworkId, spec: &FrameworkSpec) {
        if let Some(slot) = self.added(id) {
            self.apply_spec(slot, spec);
            self.candidates.framework_changed();
        }
    }

    fn apply_spec(&mut self, slot: u32, spec: &FrameworkSpec) {
        self.frameworks[slot].capabilities = spec.capabilities;
        for role in &spec.roles {
            self.client(slot, role);
        }
        for (role, number) in self.frameworks[slot].clients.clone() {
            let smallest = spec.min_allocatable.get(&role);
            let smallest = smallest.map(|list| amounts_of(list, &mut self.kinds));
            let client = &mut self.clients[number];
            self.own_minimums -= usize::from(client.min_allocatable.is_some());
            self.own_minimums += usize::from(smallest.is_some());
            client.min_allocatable = smallest;
            client.capabilities = spec.capabilities;
            client.constraints = spec.constraints.of(&role).cloned();
            let wanted_before = client.subscribed && !client.suppressed;
            client.subscribed = spec.roles.contains(&role);
            client.suppressed = spec.suppressed_roles.contains(&role);
            self.demand.forget(number);
            if !client.subscribed || (!client.suppressed && !wanted_before) {
                self.clear_filters(number);
            }
            self.refresh_client(number);
        }
    }

    /// Removes a framework; what it had is available again.
    pub fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(slot) = self.framework_slots.get(id).copied() else {
            return;
        };
        let framework = &mut self.frameworks[slot];
        (framework.added, framework.active) = (false, false);
        let clients: Vec<u32> = framework.clients.values().copied().collect();
        for number in clients {
            let client = &mut self.clients[number];
            client.subscribed = false;
            let agents: Vec<u32> = client.holds_on.iter().collect();
            self.clear_filters(number);
            self.refresh_client(number);
            for agent in agents {
                let held = self.agents[agent].take_all(number);
                let held = held.expect("clients know on which agents they hold something");
                self.consume_less(number, &held);
                self.count_still(number, agent, &held);
                self.release(number, agent, held.amounts(), true);
                self.settle(agent);
            }
        }
        self.forget_framework(slot);
    }

    /// The framework is connected again.
    pub fn activate_framework(&mut self, id: &FrameworkId) {
        self.set_framework_active(id, true);
        self.candidates.framework_changed();
    }

    /// The framework is disconnected: no offers, and its filters go. What it has stays.
    pub fn deactivate_framework(&mut self, id: &FrameworkId) {
        self.set_framework_active(id, false);
        for number in self.clients_of(id, &BTreeSet::new()) {
            self.clear_filters(number);
            self.demand.forget(number);
        }
    }

    fn set_framework_active(&mut self, id: &FrameworkId, active: bool) {
        if let Some(slot) = self.added(id) {
            self.frameworks[slot].active = active;
            for number in self.clients_of(id, &BTreeSet::new()) {
                self.refresh_client(number);
            }
        }
    }

    /// The framework wants no offers for these roles, all of its roles if none is named.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        for number in self.clients_of(id, roles) {
            self.clients[number].suppressed = true;
            self.demand.forget(number);
            self.refresh_client(number);
        }
    }

    /// The framework wants offers for these roles, all of its roles if none is named; its filters
    /// there go.
    pub fn revive(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        for number in self.clients_of(id, roles) {
            self.clients[number].suppressed = false;
            self.clear_filters(number);
            self.demand.forget(number);
            self.refresh_client(number);
        }
        self.candidates.framework_changed();
    }

    /// Lets roles count for more or less than their siblings: a share is divided by the weight.
    /// That changes who is offered the next thing, but gives nobody a reason to be offered more at
    /// once, so it starts no pass.
    pub fn set_weights(&mut self, weights: &BTreeMap<Role, Weight>) {
        for (role, weight) in weights {
            self.roles.set_weight(role, *weight);
        }
    }

    /// The weights that are not 1.
    #[must_use]
    pub fn weights(&self) -> &BTreeMap<Role, Weight> {
        self.roles.weights()
    }

    /// The clients of a framework under these roles, all if none is named.
    pub(super) fn clients_of(&self, id: &FrameworkId, roles: &BTreeSet<Role>) -> Vec<u32> {
        let Some(slot) = self.added(id) else {
            return Vec::new();
        };
        let clients = self.frameworks[slot].clients.iter();
        clients
            .filter(|(role, _)| roles.is_empty() || roles.contains(role))
            .map(|(_, number)| *number)
            .collect()
    }

    /// The framework's slot, if it was added.
    fn added(&self, id: &FrameworkId) -> Option<u32> {
        let slot = *self.framework_slots.get(id)?;
        self.frameworks[slot].added.then_some(slot)
    }

    /// The framework's slot; a stranger's, if it was not added.
    pub(super) fn framework_or_stranger(&mut self, id: &FrameworkId) -> u32 {
        if let Some(slot) = self.framework_slots.get(id) {
            return *slot;
        }
        let slot = self.frameworks.insert(Framework {
            id: id.clone(),
            capabilities: super::Capabilities::default(),
            added: false,
            active: false,
            clients: BTreeMap::new(),
        });
        self.framework_slots.insert(id.clone(), slot);
        slot
    }

    /// The client of a framework under a role; made, not subscribed, if there is none.
    fn client(&mut self, slot: u32, role: &Role) -> u32 {
        let framework = &mut self.frameworks[slot];
        if let Some(number) = framework.clients.get(role) {
            return *number;
        }
        let number = self.clients.insert(Client {
            framework: slot,
            role: role.clone(),
            node: 0,
            subscribed: false,
            suppressed: false,
            capabilities: framework.capabilities,
            min_allocatable: None,
            account: 0,
            constraints: None,
            holds_on: SmallSet::default(),
            filters_on: BitSet::default(),
            filters: 0,
        });
        framework.clients.insert(role.clone(), number);
        let node = self.roles.add_client(role, &framework.id, number);
        self.clients[number].node = node;
        self.open_account(number);
        number
    }

    /// The client, if the framework is known and has something to do with the role.
    pub(super) fn known_client(&self, framework: &FrameworkId, role: &Role) -> Option<u32> {
        let slot = self.framework_slots.get(framework)?;
        self.frameworks[*slot].clients.get(role).copied()
    }

    /// Notes what a framework has on an agent, by the roles that it is allocated to. The agent is
    /// to be settled.
    pub(super) fn hold(&mut self, framework: u32, agent: u32, resources: &Resources) {
        for (role, part) in resources.allocations() {
            let number = self.client(framework, &role);
            let part = part.unallocated();
            let counting = self.agents[agent].counting(number, &part, false);
            let amounts = self.kinds.amounts(&counting);
            let client = &mut self.clients[number];
            client.holds_on.insert(agent);
            self.roles.charge(client.node, &amounts);
            self.count_once(number, agent, &counting);
            self.consume(number, &part);
            let part = Bundle::of(part, &mut self.kinds);
            self.agents[agent].hold(number, part, &mut self.kinds);
        }
    }

    /// Notes that a client has less on an agent, or nothing any more.
    pub(super) fn release(&mut self, number: u32, agent: u32, amounts: &Amounts, all: bool) {
        let client = &mut self.clients[number];
        self.roles.discharge(client.node, amounts);
        if all {
            client.holds_on.remove(agent);
            self.forget_client(number);
        }
    }

    /// Lets a client take part in passes exactly if it is to.
    fn refresh_client(&mut self, number: u32) {
        let client = &self.clients[number];
        let active =
            self.frameworks[client.framework].active && client.subscribed && !client.suppressed;
        self.active.set(number, active);
        self.roles
            .set_active(&client.role, client.node, number, active);
        self.forget_client(number);
    }

    /// Drops a client that has left its role and holds nothing more.
    fn forget_client(&mut self, number: u32) {
        let client = &self.clients[number];
        if client.subscribed || !client.holds_on.is_empty() || self.active.contains(number) {
            return;
        }
        self.clear_filters(number);
        self.demand.forget(number);
        let client = self.clients.remove(number);
        self.own_minimums -= usize::from(client.min_allocatable.is_some());
        self.roles.remove_client(&client.role, client.node);
        self.close_account(&client.role);
        self.frameworks[client.framework]
            .clients
            .remove(&client.role);
        self.forget_framework(client.framework);
    }

    /// Drops a framework that is not there and has nothing more.
    fn forget_framework(&mut self, slot: u32) {
        if let Some(framework) = self.frameworks.get(slot)
            && !framework.added
            && framework.clients.is_empty()
        {
            let framework = self.frameworks.remove(slot);
            self.framework_slots.remove(&framework.id);
        }
    }

    /// Panics when frameworks and clients disagree.
    pub(super) fn check_frameworks(&self) {
        assert_eq!(self.framework_slots.len(), self.frameworks.len());
        for (slot, framework) in self.frameworks.iter() {
            assert_eq!(self.framework_slots.get(&framework.id), Some(&slot));
            assert!(framework.added || !framework.clients.is_empty());
            for (role, number) in &framework.clients {
                let client = &self.clients[*number];
                assert_eq!((client.framework, &client.role), (slot, role));
                let active = framework.active && client.subscribed && !client.suppressed;
                assert_eq!(self.active.contains(*number), active);
                assert!(client.subscribed || !client.holds_on.is_empty());
            }
        }
        let clients = self.frameworks.iter().map(|(_, f)| f.clients.len());
        assert_eq!(clients.sum::<usize>(), self.clients.len());
        let own = self
            .clients
            .iter()
            .filter(|(_, c)| c.min_allocatable.is_some());
        assert_eq!(own.count(), self.own_minimums);
    }
}
