//! The allocator's state and what the master tells it about agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::attributes::Attributes;
use crate::base::{AgentId, FrameworkId, Rng};
use crate::quota::Quota;
use crate::resources::{Quantities, ResourceName, Resources, Scalar};
use crate::roles::Role;

use super::agent::{Agent, AgentSpec};
use super::bits::BitSet;
use super::bundle::{Bundle, Bundles};
use super::candidates::Candidates;
use super::cycle::Pass;
use super::demand::{AllocationOrder, Demand};
use super::filters::Expiries;
use super::framework::{Capabilities, Client, Framework};
use super::ledger::Ledger;
use super::metrics::AllocatorMetrics;
use super::report::PassReport;
use super::role_tree::RoleTree;
use super::slots::Slots;
use super::sorter::{Amounts, Kinds, Sorter};

/// What an allocator is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocatorConfig {
    /// Seed of the order in which agents are visited.
    pub seed: u64,
    /// How long at least a refused bundle is kept from who refused it, and how often all agents
    /// are looked at without a reason (`--allocation_interval`).
    pub allocation_interval: Duration,
    /// Least time between the end of a pass and the beginning of the next: what happens meanwhile
    /// is looked at together.
    pub min_pass_gap: Duration,
    /// Most agents that one call of `run` visits.
    pub slice_agents: usize,
    /// Smallest bundles worth an offer: one of them must be contained. An empty list takes
    /// anything (`--min_allocatable_resources`).
    pub min_allocatable: Vec<Quantities>,
    /// Whether it matters what frameworks did with earlier offers (`--allocation_order`).
    pub order: AllocationOrder,
    /// The order of roles (`--role_sorter`).
    pub role_sorter: Sorter,
    /// The order of the frameworks of a role (`--framework_sorter`).
    pub framework_sorter: Sorter,
    /// Resources that do not count in shares (`--fair_sharing_excluded_resource_names`).
    pub excluded_from_shares: BTreeSet<ResourceName>,
    /// Whether agents with gpus are for frameworks that can use them only
    /// (`--filter_gpu_resources`).
    pub filter_gpus: bool,
    /// The master's region; agents of another one are for region-aware frameworks only.
    pub region: Option<Arc<str>>,
}

impl Default for AllocatorConfig {
    fn default() -> Self {
        let cpus = (ResourceName::CPUS, Scalar::from_thousandths(10));
        let mem = (ResourceName::MEM, Scalar::whole(32));
        Self {
            seed: 0,
            allocation_interval: Duration::from_secs(1),
            min_pass_gap: Duration::from_millis(5),
            slice_agents: 1000,
            min_allocatable: [cpus, mem]
                .map(|least| [least].into_iter().collect())
                .into(),
            order: AllocationOrder::default(),
            role_sorter: Sorter::default(),
            framework_sorter: Sorter::default(),
            excluded_from_shares: BTreeSet::new(),
            filter_gpus: true,
            region: None,
        }
    }
}

/// Decides who is offered what. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Allocator {
    pub(super) config: AllocatorConfig,
    pub(super) rng: Rng,
    pub(super) kinds: Kinds,
    pub(super) bundles: Bundles,
    /// `config.excluded_from_shares` by number.
    excluded: Vec<usize>,
    /// `config.min_allocatable` by number.
    pub(super) min_allocatable: Vec<Amounts>,
    pub(super) agents: Slots<Agent>,
    pub(super) agent_slots: BTreeMap<AgentId, u32>,
    pub(super) frameworks: Slots<Framework>,
    pub(super) framework_slots: BTreeMap<FrameworkId, u32>,
    pub(super) clients: Slots<Client>,
    pub(super) roles: RoleTree,
    /// The clients that take part in passes.
    pub(super) active: BitSet,
    /// How many clients have smallest bundles of their own.
    pub(super) own_minimums: usize,
    pub(super) expiries: Expiries,
    /// How many filters there are.
    pub(super) filters: usize,
    pub(super) candidates: Candidates,
    pub(super) demand: Demand,
    /// Those that are not the default.
    pub(super) quotas: BTreeMap<Role, Quota>,
    /// While any role has quota.
    pub(super) ledger: Option<Ledger>,
    /// Host names of the agents that are offered, if not all are.
    whitelist: Option<BTreeSet<String>>,
    /// Who was granted what of it counts anew on the visit in progress; kept for its memory.
    pub(super) granted: Vec<(u32, Bundle)>,
    /// The pass that is between two slices.
    pub(super) pass: Option<Pass>,
    pub(super) metrics: AllocatorMetrics,
    pub(super) last_report: PassReport,
}

impl Allocator {
    /// An allocator of an empty cluster.
    #[must_use]
    pub fn new(config: AllocatorConfig) -> Self {
        let mut kinds = Kinds::default();
        let excluded = config.excluded_from_shares.iter();
        Self {
            excluded: excluded.map(|name| kinds.number(name)).collect(),
            rng: Rng::seeded(config.seed, "allocator"),
            min_allocatable: amounts_of(&config.min_allocatable, &mut kinds),
            kinds,
            bundles: Bundles::default(),
            demand: Demand::new(config.order, config.allocation_interval),
            config,
            agents: Slots::default(),
            agent_slots: BTreeMap::new(),
            frameworks: Slots::default(),
            framework_slots: BTreeMap::new(),
            clients: Slots::default(),
            roles: RoleTree::new(),
            active: BitSet::default(),
            own_minimums: 0,
            expiries: Expiries::default(),
            filters: 0,
            candidates: Candidates::default(),
            quotas: BTreeMap::new(),
            ledger: None,
            whitelist: None,
            granted: Vec::new(),
            pass: None,
            metrics: AllocatorMetrics::default(),
            last_report: PassReport::default(),
        }
    }

    /// Adds an agent, active. `used` is what frameworks have on it, allocated to roles; frameworks
    /// that are not known yet are remembered until they are added or their resources recovered.
    ///
    /// # Panics
    /// If the agent is there already.
    pub fn add_agent(
        &mut self,
        id: AgentId,
        spec: AgentSpec,
        used: &BTreeMap<FrameworkId, Resources>,
    ) {
        let kind = self
            .demand
            .join_kind(&Attributes::default(), None, Capabilities::default());
        let slot = self.agents.insert(Agent::new(id.clone(), kind));
        let before = self.agent_slots.insert(id.clone(), slot);
        assert!(before.is_none(), "agent {id} is added once");
        self.fill_agent(slot, spec, used);
    }

    /// Takes over an agent that has registered again, active, with what frameworks have on it as
    /// `used` says now. What was refused there stays refused, unless its attributes have changed.
    /// Adds an agent that is not known.
    pub fn readd_agent(
        &mut self,
        id: AgentId,
        spec: AgentSpec,
        used: &BTreeMap<FrameworkId, Resources>,
    ) {
        let Some(slot) = self.agent_slots.get(&id).copied() else {
            return self.add_agent(id, spec, used);
        };
        self.empty_agent(slot);
        self.agents[slot].active = true;
        self.fill_agent(slot, spec, used);
    }

    /// Gives an agent its total, and frameworks what they have of it.
    fn fill_agent(&mut self, slot: u32, spec: AgentSpec, used: &BTreeMap<FrameworkId, Resources>) {
        self.set_spec(slot, spec);
        for (framework, resources) in used {
            let framework = self.framework_or_stranger(framework);
            self.hold(framework, slot, resources);
        }
        self.settle(slot);
    }

    /// Takes from frameworks what they have of an agent, and its total from the cluster's.
    fn empty_agent(&mut self, slot: u32) {
        let counting = self.counting_total(slot);
        self.roles.tree_mut().shrink(&counting);
        while let Some((client, held)) = self.agents[slot].holders.pop() {
            self.consume_less(client, &held);
            self.count_still(client, slot, &held);
            self.release(client, slot, held.amounts(), true);
        }
    }

    /// Takes over another total or region. What is allocated stays; what is available is the new
    /// total without it. Other attributes end the filters on the agent: what was refused is
    /// something else now.
    pub fn update_agent(&mut self, id: &AgentId, spec: AgentSpec) {
        if let Some(slot) = self.agent_slots.get(id).copied() {
            let before = self.counting_total(slot);
            self.roles.tree_mut().shrink(&before);
            self.set_spec(slot, spec);
            self.settle(slot);
        }
    }

    fn set_spec(&mut self, slot: u32, spec: AgentSpec) {
        let agent = &mut self.agents[slot];
        let region = spec.region.clone();
        let changed = agent.set_spec(spec, &self.config, &mut self.kinds);
        agent.set_listed(self.whitelist.as_ref());
        let kind = self
            .demand
            .join_kind(&agent.attributes, region, agent.required);
        self.demand
            .leave_kind(std::mem::replace(&mut agent.kind, kind));
        let counting = self.counting_total(slot);
        self.roles.tree_mut().grow(&counting);
        self.count_reserved(slot, false);
        if changed {
            self.clear_agent_filters(slot);
        }
    }

    /// What counts of an agent's total in shares: of excluded resources nobody has any, so nobody has
    /// a share.
    pub(super) fn counting_total(&self, slot: u32) -> Amounts {
        let mut amounts = self.agents[slot].total_amounts.clone();
        for number in &self.excluded {
            amounts.clear(*number);
        }
        amounts
    }

    /// Computes anew what an agent has available, and lets the next pass look at it.
    pub(super) fn settle(&mut self, slot: u32) {
        let agent = &mut self.agents[slot];
        agent.settle(&mut self.kinds);
        self.bundles.share(&mut agent.available);
        self.agent_changed(slot);
    }

    /// Lets the next pass look at an agent.
    pub(super) fn agent_changed(&mut self, slot: u32) {
        let offerable = self.agents[slot].is_offerable();
        self.candidates.agent_changed(slot, offerable);
        self.count_free(slot, false);
    }

    /// Removes an agent with everything that frameworks had on it.
    pub fn remove_agent(&mut self, id: &AgentId) {
        let Some(slot) = self.agent_slots.remove(id) else {
            return;
        };
        self.candidates.agent_changed(slot, false);
        self.clear_agent_filters(slot);
        self.empty_agent(slot);
        self.count_reserved(slot, true);
        self.count_free(slot, true);
        let agent = self.agents.remove(slot);
        self.demand.leave_kind(agent.kind);
    }

    /// Lets an agent be offered again.
    pub fn activate_agent(&mut self, id: &AgentId) {
        self.set_agent_active(id, true);
    }

    /// Keeps an agent from being offered: it is disconnected, deactivated or draining.
    pub fn deactivate_agent(&mut self, id: &AgentId) {
        self.set_agent_active(id, false);
    }

    fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        if let Some(slot) = self.agent_slots.get(id).copied() {
            self.agents[slot].active = active;
            self.agent_changed(slot);
        }
    }

    /// Lets only agents of these hosts be offered from now on (`--whitelist`); all without hosts.
    /// What was offered stays so.
    pub fn set_whitelist(&mut self, hosts: Option<BTreeSet<String>>) {
        self.whitelist = hosts;
        let agents: Vec<u32> = self.agent_slots.values().copied().collect();
        for slot in agents {
            if self.agents[slot].set_listed(self.whitelist.as_ref()) {
                self.agent_changed(slot);
            }
        }
    }

    /// True when the whitelist has the agent's host, or there is none.
    #[must_use]
    pub fn is_listed(&self, agent: &AgentId) -> bool {
        self.agent(agent).is_none_or(Agent::is_listed)
    }

    /// Everything that an agent has; none for an unknown agent.
    #[must_use]
    pub fn total(&self, agent: &AgentId) -> Option<&Resources> {
        Some(&self.agent(agent)?.total)
    }

    /// What is left of an agent's total: max(0, total - allocated).
    #[must_use]
    pub fn available(&self, agent: &AgentId) -> Option<&Resources> {
        Some(&self.agent(agent)?.available)
    }

    /// What is offered or allocated of an agent's resources, without allocated roles.
    #[must_use]
    pub fn allocated(&self, agent: &AgentId) -> Option<Resources> {
        Some(self.agent(agent)?.allocated())
    }

    /// What is offered or allocated on an agent, by framework, allocated to roles.
    #[must_use]
    pub fn allocations(&self, agent: &AgentId) -> BTreeMap<FrameworkId, Resources> {
        let mut by_framework: BTreeMap<FrameworkId, Resources> = BTreeMap::new();
        for (number, held) in self.agent(agent).iter().flat_map(|agent| &agent.holders) {
            let client = &self.clients[*number];
            let id = self.frameworks[client.framework].id.clone();
            let sum = by_framework.entry(id).or_default();
            sum.add_all(&held.allocate(&client.role));
        }
        by_framework
    }

    fn agent(&self, id: &AgentId) -> Option<&Agent> {
        Some(&self.agents[*self.agent_slots.get(id)?])
    }

    /// What the last pass did.
    #[must_use]
    pub fn last_report(&self) -> &PassReport {
        &self.last_report
    }

    /// What all passes did.
    #[must_use]
    pub fn metrics(&self) -> &AllocatorMetrics {
        &self.metrics
    }

    /// How many agents the next pass will look at.
    #[must_use]
    pub fn candidate_count(&self) -> usize {
        self.candidates.count()
    }

    /// How many filters there are.
    #[must_use]
    pub fn filter_count(&self) -> usize {
        self.filters
    }

    /// Panics when the state contradicts itself; see the module's documentation.
    pub fn check_invariants(&self) {
        let mut kinds = self.kinds.clone();
        let mut totals = Amounts::default();
        for (slot, agent) in self.agents.iter() {
            assert_eq!(self.agent_slots.get(&agent.id), Some(&slot));
            agent.check_invariants(&mut kinds);
            if let Some(earliest) = agent.filters.earliest() {
                assert!(self.expiries.contains(earliest, slot), "filters end");
            }
            totals.add(&self.counting_total(slot));
        }
        assert_eq!(self.agent_slots.len(), self.agents.len());
        assert!(*self.roles.tree().totals() == totals, "cluster total");
        self.roles.check_invariants();
        self.check_ledger();
        self.check_frameworks();
        self.check_charges(&mut kinds);
        for (number, client) in self.clients.iter() {
            for (slot, agent) in self.agents.iter() {
                let here = agent.held_by(number);
                assert_eq!(client.holds_on.contains(slot), here.is_some());
                let filtered = agent.filters.has_client(number);
                assert_eq!(client.filters_on.contains(slot), filtered);
            }
        }
        let filters: usize = self
            .agents
            .iter()
            .map(|(_, agent)| agent.filters.len())
            .sum();
        assert_eq!(self.filters, filters);
        let by_role: usize = self.filters_by_role().values().sum();
        assert_eq!(by_role, filters, "filters are counted by client, too");
        let kinds = self.agents.iter().map(|(_, agent)| agent.kind);
        self.demand.check_invariants(kinds);
    }
}

/// Quantities by number.
pub(super) fn amounts_of(quantities: &[Quantities], kinds: &mut Kinds) -> Vec<Amounts> {
    quantities
        .iter()
        .map(|least| kinds.of_quantities(least))
        .collect()
}
