//! A slow, obvious allocator to compare with: plain maps, everything computed anew from the rules
//! (Mesos' allocator documentation and DESIGN.md section 4) for every agent.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::attributes::Place;
use crate::base::{AgentId, FrameworkId, Instant};
use crate::quota::Quota;
use crate::resources::{Resource, ResourceName, Resources};
use crate::roles::Role;

use super::super::{
    AgentSpec, Allocation, AllocationOrder, AllocatorConfig, Capability, FrameworkSpec, Weight,
};
use super::evidence::{Evidence, Standing};

mod quota;

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
    evidence: Evidence,
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
        self.find_kinds();
    }

    /// What makes agents alike: attributes, region, and what a framework must be capable of.
    fn kind(&self, id: &AgentId) -> String {
        let spec = &self.agents[id].spec;
        let required = (self.is_for_gpus(spec), self.is_abroad(spec));
        format!("{} {:?} {required:?}", spec.attributes, spec.region)
    }

    fn find_kinds(&mut self) {
        let kinds: Vec<String> = self.agents.keys().map(|id| self.kind(id)).collect();
        self.evidence.keep_kinds(&kinds);
    }

    fn is_for_gpus(&self, spec: &AgentSpec) -> bool {
        self.config.filter_gpus && !spec.total.gpus().is_zero()
    }

    fn is_abroad(&self, spec: &AgentSpec) -> bool {
        let home = &self.config.region;
        home.is_some() && spec.region.is_some() && spec.region != *home
    }

    pub(super) fn readd_agent(
        &mut self,
        id: AgentId,
        spec: AgentSpec,
        used: &BTreeMap<FrameworkId, Resources>,
    ) {
        self.held.retain(|(_, agent), _| *agent != id);
        self.find_nodes();
        self.forget_refusals(&id, &spec);
        self.add_agent(id, spec, used);
    }

    /// An agent with other attributes is another one.
    fn forget_refusals(&mut self, id: &AgentId, spec: &AgentSpec) {
        let known = self.agents.get(id).map(|agent| &agent.spec.attributes);
        if known != Some(&spec.attributes) {
            self.refusals.retain(|refusal| refusal.agent != *id);
        }
    }

    pub(super) fn update_agent(&mut self, id: &AgentId, spec: AgentSpec) {
        self.forget_refusals(id, &spec);
        if let Some(agent) = self.agents.get_mut(id) {
            agent.spec = spec;
            self.shown.remove(id);
        }
        self.find_kinds();
    }

    pub(super) fn remove_agent(&mut self, id: &AgentId) {
        self.agents.remove(id);
        self.held.retain(|(_, agent), _| agent != id);
        self.refusals.retain(|refusal| refusal.agent != *id);
        self.find_nodes();
        self.find_kinds();
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
        self.evidence.forget(|(framework, _)| framework == id);
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
        self.evidence.forget(|(framework, _)| framework == id);
        self.find_nodes();
    }

    pub(super) fn set_framework_active(&mut self, id: &FrameworkId, active: bool) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.active = active;
            if !active {
                self.refusals.retain(|refusal| refusal.client.0 != *id);
                self.evidence.forget(|(framework, _)| framework == id);
            }
        }
    }

    pub(super) fn suppress(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let named = |role: &&Role| roles.is_empty() || roles.contains(*role);
            let more = framework.spec.roles.iter().filter(named).cloned();
            framework.suppressed.extend(more);
        }
        self.demand_changed(id, roles);
    }

    pub(super) fn revive(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            let named = |role: &Role| roles.is_empty() || roles.contains(role);
            framework.suppressed.retain(|role| !named(role));
            self.refusals
                .retain(|refusal| refusal.client.0 != *id || !named(&refusal.client.1));
        }
        self.demand_changed(id, roles);
    }

    pub(super) fn demand_changed(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        let named = |role: &Role| roles.is_empty() || roles.contains(role);
        self.evidence
            .forget(|(framework, role)| framework == id && named(role));
    }

    /// A client has used nothing of this: as [`recover`](Self::recover), and it does not want the
    /// like.
    pub(super) fn decline(
        &mut self,
        client: &ClientKey,
        agent: &AgentId,
        resources: &Resources,
        (until, now): (Option<Instant>, Instant),
    ) {
        if self.is_listening(client) && self.config.order == AllocationOrder::Demand {
            let at = (now, self.config.allocation_interval);
            let kind = self.kind(agent);
            self.evidence.returned(client, &kind, resources, at);
        }
        self.recover(client, agent, resources, until);
    }

    fn is_listening(&self, (framework, role): &ClientKey) -> bool {
        let known = self.frameworks.get(framework);
        known.is_some_and(|known| known.active && known.spec.roles.contains(role))
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
        if let Some(until) = until
            && self.is_listening(client)
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

    /// Hands out what one agent has available: to each client in order, and in the stage of fair
    /// share last to those who have returned the like.
    pub(super) fn visit(
        &mut self,
        id: &AgentId,
        guarantees: bool,
        now: Instant,
    ) -> Vec<Allocation> {
        let mut allocations = Vec::new();
        self.refusals.retain(|refusal| refusal.until > now);
        let clients = self.clients();
        let in_order = self.in_order(&[]).into_iter();
        let in_order = in_order
            .filter_map(|path| clients.iter().find(|client| path_of(client) == path))
            .filter(|(framework, _)| self.frameworks.contains_key(framework));
        let in_order: Vec<&ClientKey> = in_order.collect();
        let kind = self.kind(id);
        let mut behind: Vec<&ClientKey> = Vec::new();
        for client in in_order {
            let seen = self.seen(client, id, guarantees);
            let standing = self.evidence.standing(client, &kind, &seen, now);
            if !guarantees && standing != Standing::First {
                behind.push(client);
                continue;
            }
            if self.offered(client, id, guarantees).is_empty() {
                continue;
            }
            if let Some(due) = self.due_longest(&behind, id, now)
                && self.evidence.is_probe(&kind)
            {
                self.probe(due, id, now, &mut allocations);
                behind.retain(|other| *other != due);
            }
            self.offer(client, id, guarantees, &mut allocations);
        }
        if let Some(due) = self.due_longest(&behind, id, now) {
            self.probe(due, id, now, &mut allocations);
            behind.retain(|other| *other != due);
        }
        for client in behind {
            self.offer(client, id, guarantees, &mut allocations);
        }
        self.note(&allocations);
        allocations
    }

    /// Who of these may be offered the agent and has been due longest to be asked, the first of
    /// equals.
    fn due_longest<'a>(
        &self,
        behind: &[&'a ClientKey],
        id: &AgentId,
        now: Instant,
    ) -> Option<&'a ClientKey> {
        let kind = self.kind(id);
        let due = behind.iter().filter_map(|client| {
            let seen = self.seen(client, id, false);
            let standing = self.evidence.standing(client, &kind, &seen, now);
            let may_be = !self.offered(client, id, false).is_empty();
            match standing {
                Standing::Due(since) if may_be => Some((since, *client)),
                _ => None,
            }
        });
        due.min_by_key(|(since, _)| *since)
            .map(|(_, client)| client)
    }

    fn probe(
        &mut self,
        client: &ClientKey,
        id: &AgentId,
        now: Instant,
        allocations: &mut Vec<Allocation>,
    ) {
        let (kind, seen) = (self.kind(id), self.seen(client, id, false));
        let at = (now, self.config.allocation_interval);
        self.evidence.probed(client, &kind, &seen, at);
        self.offer(client, id, false, allocations);
    }

    /// Offers a client what it may have, if that is anything.
    fn offer(
        &mut self,
        client: &ClientKey,
        id: &AgentId,
        guarantees: bool,
        allocations: &mut Vec<Allocation>,
    ) {
        let offered = self.offered(client, id, guarantees);
        if offered.is_empty() {
            return;
        }
        allocations.push(Allocation {
            framework: client.0.clone(),
            role: client.1.clone(),
            agent: id.clone(),
            resources: offered.allocate(&client.1),
        });
        self.grant(client, id, &offered);
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

    /// What a client may see of what an agent has available.
    fn seen(&self, (framework, role): &ClientKey, id: &AgentId, guarantees: bool) -> Resources {
        let capabilities = self.frameworks[framework].spec.capabilities;
        let can = |capability| capabilities.has(capability);
        let visible = self.available(id).filter(|item: &Resource| {
            let reserved = item.reserved_role();
            let mine = reserved.is_none_or(|r| r == role || r.is_strict_ancestor_of(role));
            mine && (!item.is_revocable() || can(Capability::RevocableResources))
                && (!item.is_shared() || can(Capability::SharedResources))
                && (!item.is_refined() || can(Capability::ReservationRefinement))
        });
        self.within_quota(role, &visible, guarantees)
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
        if self.is_for_gpus(&agent.spec) && !can(Capability::GpuResources) {
            return nothing;
        }
        if self.is_abroad(&agent.spec) && !can(Capability::RegionAware) {
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
        let visible = self.seen(client, id, guarantees);
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
