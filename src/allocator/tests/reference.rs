//! A slow, obvious allocator to compare with: plain maps, everything computed anew from the rules
//! (Mesos' allocator documentation and DESIGN.md section 4) for every agent.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::attributes::Place;
use crate::base::{AgentId, FrameworkId, Instant};
use crate::quota::Quota;
use crate::resources::{Resource, ResourceName, Resources, Scalar, Value};
use crate::roles::Role;

use super::super::{AgentSpec, Allocation, AllocatorConfig, Capability, FrameworkSpec, Weight};

type ClientKey = (FrameworkId, Role);

#[derive(Debug)]
struct Agent {
    spec: AgentSpec,
    active: bool,
}

#[derive(Debug)]
struct Framework {
    spec: FrameworkSpec,
    active: bool,
    suppressed: BTreeSet<Role>,
}

#[derive(Debug)]
struct Refusal {
    client: ClientKey,
    agent: AgentId,
    refused: Resources,
    until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Reference {
    config: AllocatorConfig,
    agents: BTreeMap<AgentId, Agent>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    /// What each client has on each agent.
    pub(super) held: BTreeMap<(ClientKey, AgentId), Resources>,
    /// What is shared on an agent and was offered since its last pass began, or something changed.
    shown: BTreeMap<AgentId, Resources>,
    refusals: Vec<Refusal>,
    weights: BTreeMap<Role, Weight>,
    quotas: BTreeMap<Role, Quota>,
    /// How often each node was allocated to; none for newcomers. Nodes are named by their path:
    /// components of the role, `.` for its leaf, the framework's id.
    histories: BTreeMap<Vec<String>, Option<u64>>,
}

fn client_of(allocation: &Allocation) -> ClientKey {
    (allocation.framework.clone(), allocation.role.clone())
}

fn path_of((framework, role): &ClientKey) -> Vec<String> {
    let mut path: Vec<String> = role.components().map(str::to_owned).collect();
    path.extend([".".to_owned(), framework.to_string()]);
    path
}

/// True for what takes of its role's quota when it is allocated.
fn counts(item: &Resource) -> bool {
    !item.is_reserved() && !item.is_revocable() && item.scalar().is_some()
}

/// In thousandths.
fn amount(item: &Resource, name: &ResourceName) -> i128 {
    let scalar = item.scalar().filter(|_| item.name() == name);
    scalar.map_or(0, |scalar| scalar.thousandths().into())
}

impl Reference {
    pub(super) fn new(config: AllocatorConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    pub(super) fn has_agent(&self, id: &AgentId) -> bool {
        self.agents.contains_key(id)
    }

    pub(super) fn add_agent(
        &mut self,
        id: AgentId,
        spec: AgentSpec,
        used: &BTreeMap<FrameworkId, Resources>,
    ) {
        let active = true;
        self.agents.insert(id.clone(), Agent { spec, active });
        self.shown.remove(&id);
        for (framework, resources) in used {
            for (role, part) in resources.allocations() {
                let key = ((framework.clone(), role), id.clone());
                self.held
                    .entry(key)
                    .or_default()
                    .add_all(&part.unallocated());
            }
        }
        self.find_nodes();
    }

    pub(super) fn readd_agent(
        &mut self,
        id: AgentId,
        spec: AgentSpec,
        used: &BTreeMap<FrameworkId, Resources>,
    ) {
        self.held.retain(|(_, agent), _| *agent != id);
        self.find_nodes();
        self.add_agent(id, spec, used);
    }

    pub(super) fn update_agent(&mut self, id: &AgentId, spec: AgentSpec) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.spec = spec;
            self.shown.remove(id);
        }
    }

    pub(super) fn remove_agent(&mut self, id: &AgentId) {
        self.agents.remove(id);
        self.held.retain(|(_, agent), _| agent != id);
        self.refusals.retain(|refusal| refusal.agent != *id);
        self.find_nodes();
    }

    pub(super) fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.active = active;
        }
    }

    pub(super) fn add_framework(&mut self, id: &FrameworkId, spec: &FrameworkSpec) {
        self.update(id, spec);
        self.frameworks.get_mut(id).unwrap().active = true;
    }

    pub(super) fn update_framework(&mut self, id: &FrameworkId, spec: &FrameworkSpec) {
        if self.frameworks.contains_key(id) {
            self.update(id, spec);
        }
    }

    fn update(&mut self, id: &FrameworkId, spec: &FrameworkSpec) {
        let new = Framework {
            spec: spec.clone(),
            active: true,
            suppressed: spec.suppressed_roles.clone(),
        };
        if let Some(old) = self.frameworks.get(id) {
            let (old_spec, old_suppressed) = (old.spec.clone(), old.suppressed.clone());
            let wanted = |roles: &BTreeSet<Role>, not: &BTreeSet<Role>| -> BTreeSet<Role> {
                roles.difference(not).cloned().collect()
            };
            let before = wanted(&old_spec.roles, &old_suppressed);
            let after = wanted(&spec.roles, &spec.suppressed_roles);
            self.refusals.retain(|refusal| {
                let (framework, role) = &refusal.client;
                let anew = after.contains(role) && !before.contains(role);
                framework != id || (spec.roles.contains(role) && !anew)
            });
        }
        let active = self.frameworks.get(id).is_none_or(|old| old.active);
        self.frameworks
            .insert(id.clone(), Framework { active, ..new });
        self.find_nodes();
    }

    pub(super) fn remove_framework(&mut self, id: &FrameworkId) {
        self.frameworks.remove(id);
        for ((framework, _), agent) in self.held.keys() {
            if framework == id {
                self.shown.remove(agent);
            }
        }
        self.held.retain(|((framework, _), _), _| framework != id);
        self.refusals.retain(|refusal| refusal.client.0 != *id);
        self.find_nodes();
    }

    pub(super) fn set_framework_active(&mut self, id: &FrameworkId, active: bool) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.active = active;
            if !active {
                self.refusals.retain(|refusal| refusal.client.0 != *id);
            }
        }
    }

    pub(super) fn suppress(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let named = |role: &&Role| roles.is_empty() || roles.contains(*role);
            let more = framework.spec.roles.iter().filter(named).cloned();
            framework.suppressed.extend(more);
        }
    }

    pub(super) fn revive(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let named = |role: &Role| roles.is_empty() || roles.contains(role);
            framework.suppressed.retain(|role| !named(role));
            self.refusals
                .retain(|refusal| refusal.client.0 != *id || !named(&refusal.client.1));
        }
    }

    /// `until` is the end of a filter, if there is one.
    pub(super) fn recover(
        &mut self,
        client: &ClientKey,
        agent: &AgentId,
        resources: &Resources,
        until: Option<Instant>,
    ) {
        let key = (client.clone(), agent.clone());
        self.shown.remove(agent);
        let held = self.held.get_mut(&key).unwrap();
        held.subtract_all(resources);
        if held.is_empty() {
            self.held.remove(&key);
        }
        let (framework, role) = client;
        let there = self
            .frameworks
            .get(framework)
            .is_some_and(|f| f.active && f.spec.roles.contains(role));
        if let Some(until) = until
            && there
        {
            self.refusals.push(Refusal {
                client: client.clone(),
                agent: agent.clone(),
                refused: resources.clone(),
                until,
            });
        }
        self.find_nodes();
    }

    fn available(&self, agent: &AgentId) -> Resources {
        let held = self.held.iter().filter(|((_, on), _)| on == agent);
        let held = held.map(|(_, held)| held).sum::<Resources>().nonshared();
        let total = &self.agents[agent].spec.total;
        let mut left = &total.nonshared() - &held;
        let shown = self.shown.get(agent).cloned().unwrap_or_default();
        left.add_all(&total.shared().filter(|item| !shown.contains_one(item)));
        left
    }

    /// What is shared is offered once in each pass.
    pub(super) fn begin_pass(&mut self, agents: &[AgentId]) {
        self.shown.retain(|agent, _| !agents.contains(agent));
    }

    fn clients(&self) -> BTreeSet<ClientKey> {
        let subscribed = self.frameworks.iter().flat_map(|(id, framework)| {
            let roles = framework.spec.roles.iter();
            roles.map(move |role| (id.clone(), role.clone()))
        });
        let holding = self.held.keys().map(|(client, _)| client.clone());
        subscribed.chain(holding).collect()
    }

    /// Nodes come with their first client and go with their last.
    fn find_nodes(&mut self) {
        let mut nodes: BTreeSet<Vec<String>> = BTreeSet::new();
        for client in self.clients() {
            let path = path_of(&client);
            nodes.extend((1..=path.len()).map(|end| path[..end].to_vec()));
        }
        self.histories.retain(|node, _| nodes.contains(node));
        for node in nodes {
            self.histories.entry(node).or_insert(None);
        }
    }

    /// Newcomers get the average of their siblings' ranks, rounded up; the others their rank.
    pub(super) fn level(&mut self) {
        let parents: BTreeSet<Vec<String>> = self
            .histories
            .iter()
            .filter(|(_, history)| history.is_none())
            .map(|(node, _)| node[..node.len() - 1].to_vec())
            .collect();
        for parent in parents {
            let siblings: Vec<Vec<String>> = self.children(&parent);
            let known: Vec<u64> = siblings.iter().filter_map(|s| self.histories[s]).collect();
            let lower: BTreeSet<u64> = known.iter().copied().collect();
            let rank = |history: u64| lower.iter().filter(|other| **other < history).count();
            let sum: usize = known.iter().map(|history| rank(*history)).sum();
            let average = if known.is_empty() {
                0
            } else {
                sum.div_ceil(known.len())
            };
            for sibling in siblings {
                let history = self.histories.get_mut(&sibling).unwrap();
                *history = Some(history.map_or(average, rank) as u64);
            }
        }
    }

    fn children(&self, parent: &[String]) -> Vec<Vec<String>> {
        let nodes = self.histories.keys();
        nodes
            .filter(|node| node.len() == parent.len() + 1 && node.starts_with(parent))
            .cloned()
            .collect()
    }

    pub(super) fn set_weight(&mut self, role: &Role, weight: Weight) {
        self.weights.insert(role.clone(), weight);
    }

    pub(super) fn set_quota(&mut self, role: &Role, quota: &Quota) {
        self.quotas.insert(role.clone(), quota.clone());
    }

    /// What is reserved to a role or below, and what they hold besides.
    pub(super) fn consumed(&self, role: &Role, name: &ResourceName) -> i128 {
        let totals = self.agents.values().flat_map(|agent| &agent.spec.total);
        let reserved = totals.filter(|item| item.reserved_role().is_some_and(|r| role.covers(r)));
        let held = self
            .held
            .iter()
            .filter(|((client, _), _)| role.covers(&client.1));
        let held = held.flat_map(|(_, held)| held).filter(|item| counts(item));
        reserved.chain(held).map(|item| amount(item, name)).sum()
    }

    /// What a role is still to get: its own guarantee, or those below it if they are more.
    fn owed(&self, role: &Role, name: &ResourceName) -> i128 {
        let own = self.quotas.get(role).map_or(0, |quota| {
            let guarantee = i128::from(quota.guarantees().get(name).thousandths());
            (guarantee - self.consumed(role, name)).max(0)
        });
        let below: i128 = self
            .roles_below(role)
            .iter()
            .map(|r| self.owed(r, name))
            .sum();
        own.max(below)
    }

    /// The roles one level below that have quota or are above one that has.
    fn roles_below(&self, role: &Role) -> BTreeSet<Role> {
        let all = self
            .quotas
            .keys()
            .flat_map(|r| r.ancestors().chain([r.clone()]));
        all.filter(|r| r.parent().as_ref() == Some(role)).collect()
    }

    /// What all top-level roles are still to get.
    fn owed_in_all(&self, name: &ResourceName) -> i128 {
        let tops: BTreeSet<Role> = self.quotas.keys().map(Role::top_level).collect();
        tops.iter().map(|role| self.owed(role, name)).sum()
    }

    fn free(&self, name: &ResourceName) -> i128 {
        let active = self.agents.iter().filter(|(_, agent)| agent.active);
        let free = active.flat_map(|(id, _)| self.available(id));
        free.filter(counts).map(|item| amount(&item, name)).sum()
    }

    /// For the role and each above it: what its limit leaves, and what is due to it by its
    /// guarantee, without what roles beside the path are owed.
    fn room_and_due(&self, role: &Role, name: &ResourceName) -> (i128, i128) {
        let (mut room, mut due) = (i128::MAX, 0);
        let mut on_path = None;
        for at in std::iter::once(role.clone()).chain(role.ancestors()) {
            let beside = self
                .roles_below(&at)
                .into_iter()
                .filter(|r| Some(r) != on_path.as_ref());
            let others: i128 = beside.map(|r| self.owed(&r, name)).sum();
            let used = self.consumed(&at, name);
            if let Some(quota) = self.quotas.get(&at) {
                if let Some(limit) = quota.limits().get(name) {
                    room = room.min((i128::from(limit.thousandths()) - used - others).max(0));
                }
                let guarantee = i128::from(quota.guarantees().get(name).thousandths());
                due = due.max((guarantee - used).max(0) - others);
            }
            on_path = Some(at);
        }
        (room, due)
    }

    /// What quota leaves of what a client sees, in the stage of guarantees or after it.
    fn within_quota(&self, role: &Role, visible: &Resources, guarantees: bool) -> Resources {
        let mut left: BTreeMap<ResourceName, i128> = BTreeMap::new();
        let mut owed = false;
        for item in visible.iter().filter(|item| counts(item)) {
            let name = item.name();
            let (room, due) = self.room_and_due(role, name);
            let due = if guarantees { due } else { 0 };
            owed |= due > 0 && room > 0;
            let held = self.owed_in_all(name);
            let surplus = match held {
                0 => i128::MAX,
                held => (self.free(name) - held).max(0) + due,
            };
            left.insert(name.clone(), room.min(surplus));
        }
        if guarantees && !owed {
            return Resources::new();
        }
        let mut portion = Resources::new();
        for item in visible {
            let left = left.get_mut(item.name()).filter(|_| counts(item));
            let Some(left) = left else {
                portion.add(item.clone());
                continue;
            };
            let mut taken = amount(item, item.name()).min(*left);
            if *item.name() == ResourceName::GPUS {
                taken -= taken % 1000;
            }
            *left -= taken;
            let taken = Scalar::from_thousandths(i64::try_from(taken).unwrap());
            portion.add(item.clone().with_value(Value::Scalar(taken)));
        }
        portion
    }

    /// In thousandths; frameworks and the leaves of roles have none of their own.
    fn weight(&self, node: &[String]) -> i128 {
        let role = Role::parse(&node.join("/")).ok();
        let weight = role.and_then(|role| self.weights.get(&role));
        weight.map_or(1000, |weight| weight.thousandths().into())
    }

    /// The largest part of any scalar that is allocated below a node, as part and whole, by weight.
    fn share(&self, node: &[String]) -> (i128, i128) {
        let mut totals: BTreeMap<&ResourceName, i128> = BTreeMap::new();
        for item in self
            .agents
            .values()
            .flat_map(|agent| agent.spec.total.iter())
        {
            let amount = item.scalar().map_or(0, |scalar| scalar.thousandths());
            *totals.entry(item.name()).or_default() += i128::from(amount);
        }
        let mut parts: BTreeMap<&ResourceName, i128> = BTreeMap::new();
        let mut known: Vec<(&AgentId, Resource)> = Vec::new();
        for ((client, agent), held) in &self.held {
            for item in held.iter().filter(|_| path_of(client).starts_with(node)) {
                let one = (agent, item.clone().once());
                if item.is_shared() && known.contains(&one) {
                    continue;
                }
                known.push(one);
                let amount = item.scalar().map_or(0, |scalar| scalar.thousandths());
                *parts.entry(item.name()).or_default() += i128::from(amount);
            }
        }
        parts
            .into_iter()
            .filter(|(name, _)| !self.config.excluded_from_shares.contains(*name))
            .map(|(name, part)| (part, totals.get(name).copied().unwrap_or(0)))
            .filter(|(part, whole)| *part > 0 && *whole > 0)
            .max_by(|(a, b), (c, d)| (a * d).cmp(&(c * b)))
            .map_or((0, 1), |(part, whole)| {
                (part * 1000, whole * self.weight(node))
            })
    }

    fn compare(&self, one: &[String], other: &[String]) -> Ordering {
        let ((a, b), (c, d)) = (self.share(one), self.share(other));
        (a * d)
            .cmp(&(c * b))
            .then_with(|| self.histories[one].cmp(&self.histories[other]))
            .then_with(|| one.cmp(other))
    }

    /// The clients below a node in order.
    fn in_order(&self, node: &[String]) -> Vec<Vec<String>> {
        let mut children = self.children(node);
        if children.is_empty() {
            return vec![node.to_vec()];
        }
        children.sort_by(|a, b| self.compare(a, b));
        children
            .iter()
            .flat_map(|child| self.in_order(child))
            .collect()
    }

    /// Hands out what one agent has available.
    pub(super) fn visit(
        &mut self,
        id: &AgentId,
        guarantees: bool,
        now: Instant,
    ) -> Vec<Allocation> {
        let mut allocations = Vec::new();
        self.refusals.retain(|refusal| refusal.until > now);
        let clients = self.clients();
        for path in self.in_order(&[]) {
            let Some(client) = clients.iter().find(|client| path_of(client) == path) else {
                continue;
            };
            let offered = self.offered(client, id, guarantees);
            if offered.is_empty() {
                continue;
            }
            allocations.push(Allocation {
                framework: client.0.clone(),
                role: client.1.clone(),
                agent: id.clone(),
                resources: offered.allocate(&client.1),
            });
            self.grant(client, id, &offered);
        }
        self.note(&allocations);
        allocations
    }

    /// The same when the order is random: whoever was found must be offered just that, in the order
    /// found, and afterwards nobody anything.
    pub(super) fn follow(
        &mut self,
        id: &AgentId,
        guarantees: bool,
        now: Instant,
        found: &[Allocation],
    ) {
        self.refusals.retain(|refusal| refusal.until > now);
        for allocation in found {
            let client = client_of(allocation);
            let offered = self.offered(&client, id, guarantees);
            assert!(!offered.is_empty(), "{client:?} is not offered {id}");
            assert_eq!(allocation.resources, offered.allocate(&client.1));
            self.grant(&client, id, &offered);
        }
        // Each client is asked once in a visit. With quota a grant may free what was held back from those
        // asked before it: who they were is not known here.
        if found.is_empty() || self.quotas.is_empty() {
            let clients = self.clients().into_iter();
            for client in clients.filter(|client| !found.iter().any(|it| *client == client_of(it)))
            {
                let more = self.offered(&client, id, guarantees);
                assert!(more.is_empty(), "{client:?} was overlooked: {more} on {id}");
            }
        }
        self.note(found);
    }

    fn grant(&mut self, client: &ClientKey, id: &AgentId, offered: &Resources) {
        let key = (client.clone(), id.clone());
        self.held.entry(key).or_default().add_all(offered);
        let shown = self.shown.entry(id.clone()).or_default();
        shown.add_all(&offered.shared());
    }

    fn note(&mut self, allocations: &[Allocation]) {
        for allocation in allocations {
            let path = path_of(&(allocation.framework.clone(), allocation.role.clone()));
            for end in 1..=path.len() {
                let history = self.histories.get_mut(&path[..end]).unwrap();
                *history = history.map(|times| times + 1);
            }
        }
    }

    /// What a client is offered of an agent: nothing, or all that it may see.
    fn offered(&self, client: &ClientKey, id: &AgentId, guarantees: bool) -> Resources {
        let nothing = Resources::new();
        let (agent, (framework, role)) = (&self.agents[id], client);
        let Some(framework) = self.frameworks.get(framework) else {
            return nothing;
        };
        let wanted = framework.spec.roles.contains(role) && !framework.suppressed.contains(role);
        if !framework.active || !agent.active || !wanted {
            return nothing;
        }
        let can = |capability| framework.spec.capabilities.has(capability);
        let has_gpus = !agent.spec.total.gpus().is_zero();
        if self.config.filter_gpus && has_gpus && !can(Capability::GpuResources) {
            return nothing;
        }
        let abroad = agent.spec.region.is_some() && agent.spec.region != self.config.region;
        if self.config.region.is_some() && abroad && !can(Capability::RegionAware) {
            return nothing;
        }
        let place = Place {
            attributes: &agent.spec.attributes,
            hostname: &agent.spec.hostname,
            region: agent.spec.region.as_deref(),
            zone: agent.spec.zone.as_deref(),
        };
        let constraints = framework.spec.constraints.of(role);
        if constraints.is_some_and(|constraints| !constraints.admit(&place)) {
            return nothing;
        }
        let visible = self.available(id).filter(|item: &Resource| {
            let reserved = item.reserved_role();
            let mine = reserved.is_none_or(|r| r == role || r.is_strict_ancestor_of(role));
            mine && (!item.is_revocable() || can(Capability::RevocableResources))
                && (!item.is_shared() || can(Capability::SharedResources))
                && (!item.is_refined() || can(Capability::ReservationRefinement))
        });
        let visible = self.within_quota(role, &visible, guarantees);
        let least = framework.spec.min_allocatable.get(role);
        let least = least.unwrap_or(&self.config.min_allocatable);
        let amounts = visible.quantities();
        if !least.is_empty() && !least.iter().any(|least| amounts.contains(least)) {
            return nothing;
        }
        let refused = self.refusals.iter().any(|refusal| {
            refusal.client == *client && refusal.agent == *id && refusal.refused.contains(&visible)
        });
        if refused { nothing } else { visible }
    }
}
