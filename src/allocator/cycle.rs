//! Passes: visit the candidates in random order, slice by slice, and hand out what they have.
//!
//! One visit takes the order of roles and frameworks as it stands; what the visit grants changes
//! the order for the next one.

use crate::base::{AgentId, FrameworkId, Instant};
use crate::resources::Resources;
use crate::roles::Role;

use super::agent::Agent;
use super::consider::{Cursor, Surroundings};
use super::core::Allocator;
use super::eligibility::Rejection;
use super::report::PassReport;
use super::sorter::Walk;
use super::stage::{STAGES, StagePolicy};
use super::view::is_plain;

/// How many agents are touched before the first of them is visited.
const AHEAD: usize = 16;

/// Resources of one agent that a framework is to be offered under one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Who gets them.
    pub framework: FrameworkId,
    /// Under which role.
    pub role: Role,
    /// Whose they are.
    pub agent: AgentId,
    /// What they are, allocated to the role.
    pub resources: Resources,
}

/// How a call of [`Allocator::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassOutcome {
    /// True when the pass goes on: the slice was full. Call again soon.
    pub more: bool,
    /// When to call again: now if there is more, else when a filter has ended or the periodic
    /// pass is due, but not before the minimum gap is over. Never, if nothing can come of it.
    pub next_wake: Option<Instant>,
}

/// A pass between two slices.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub(super) stage: usize,
    /// The agents of the stage in the order of their visits.
    pub(super) agents: Vec<u32>,
    pub(super) next: usize,
    pub(super) report: PassReport,
}

impl Allocator {
    /// Runs one slice of a pass, if there is a reason for a pass and the minimum gap since the
    /// last one is over. Allocations are added to `allocations`; they count as allocated at once.
    pub fn run(&mut self, now: Instant, allocations: &mut Vec<Allocation>) -> PassOutcome {
        self.expire_filters(now);
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => match self.begin(now) {
                Some(pass) => pass,
                None => return self.outcome(),
            },
        };
        self.roles.tree_mut().refresh();
        self.demand.begin_slice(now);
        let first = allocations.len();
        let slice = self.config.slice_agents.max(1);
        let end = pass.agents.len().min(pass.next.saturating_add(slice));
        let policy = STAGES[pass.stage];
        if pass.stage + 1 == STAGES.len() {
            pass.report.agents += end - pass.next;
        }
        if self.is_idle(policy) {
            self.count_idle(policy, end - pass.next, &mut pass.report);
        } else {
            allocations.reserve(end - pass.next);
            for group in pass.agents[pass.next..end].chunks(AHEAD) {
                self.look_ahead(group);
                for agent in group {
                    self.visit(*agent, policy, &mut pass.report, allocations);
                }
            }
        }
        pass.next = end;
        pass.report.allocations += allocations.len() - first;
        if pass.next == pass.agents.len() {
            (pass.stage, pass.next) = (pass.stage + 1, 0);
            if pass.stage < STAGES.len() {
                self.rng.shuffle(&mut pass.agents);
            }
        }
        if pass.stage < STAGES.len() {
            self.pass = Some(pass);
        } else {
            self.candidates.pass_ended(now);
            self.metrics.add_pass(&pass.report);
            self.last_report = pass.report;
        }
        self.outcome()
    }

    /// When [`run`](Self::run) is worth a call; may be in the past. Ask after every change.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        if self.pass.is_some() {
            return Some(Instant(0));
        }
        let earliest = self.candidates.earliest(self.config.min_pass_gap);
        if self.candidates.is_dirty() && !self.active.is_empty() {
            return Some(earliest);
        }
        let useful = self.candidates.is_offerable() && !self.active.is_empty();
        let periodic = useful.then(|| self.candidates.periodic(self.config.allocation_interval));
        let next = [periodic, self.expiries.next()]
            .into_iter()
            .flatten()
            .min()?;
        Some(next.max(earliest))
    }

    fn outcome(&self) -> PassOutcome {
        PassOutcome {
            more: self.pass.is_some(),
            next_wake: self.next_wake(),
        }
    }

    /// A new pass, if there is a reason for one.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Pass> {
        if now < self.candidates.earliest(self.config.min_pass_gap) || self.active.is_empty() {
            return None;
        }
        self.candidates
            .add_periodic(now, self.config.allocation_interval);
        if !self.candidates.is_dirty() {
            return None;
        }
        let first = match &self.ledger {
            // Nobody is guaranteed anything.
            None => STAGES.len() - 1,
            Some(_) => 0,
        };
        let agents = self.candidates.take(&mut self.rng);
        for slot in &agents {
            // What is shared can be offered again in every pass.
            if let Some(agent) = self.agents.get_mut(*slot).filter(|agent| agent.shares) {
                agent.settle(&mut self.kinds);
                self.count_free(*slot, false);
            }
        }
        Some(Pass {
            stage: first,
            agents,
            next: 0,
            report: PassReport::starting(now),
        })
    }

    /// True when a stage has nothing to give to anybody on any agent.
    fn is_idle(&self, policy: StagePolicy) -> bool {
        let Some(ledger) = &self.ledger else {
            return false;
        };
        let tree = self.roles.tree();
        match policy {
            StagePolicy::Guarantees => tree.tops(Walk::Owed).is_empty(),
            StagePolicy::FairShare => {
                let common = self.own_minimums == 0 && !ledger.has_uneven();
                common && tree.tops(Walk::Open).is_empty()
            }
        }
    }

    /// Counts agents that nobody was asked about.
    fn count_idle(&self, policy: StagePolicy, agents: usize, report: &mut PassReport) {
        if policy == StagePolicy::FairShare {
            report.reject(&Rejection::QuotaLimit(None), agents * self.active.len());
        }
    }

    /// Which roles a visit goes through.
    fn walk(&self, agent: &Agent, policy: StagePolicy) -> Walk {
        match policy {
            StagePolicy::Guarantees => Walk::Owed,
            // Without them, a role that is closed can still have what is reserved to it, and a
            // framework less than the common minimum.
            StagePolicy::FairShare if self.own_minimums == 0 && is_plain(agent) => Walk::Open,
            StagePolicy::FairShare => Walk::All,
        }
    }

    /// Touches what the visits of these agents will read. They come from all over memory, in random
    /// order: together they are here after the time that the first visit would have waited for one.
    fn look_ahead(&self, agents: &[u32]) {
        let records = agents.iter().filter_map(|slot| self.agents.get(*slot));
        std::hint::black_box(records.fold(0, |seen, agent| seen ^ agent.touch()));
    }

    /// Hands out what one agent has available.
    fn visit(
        &mut self,
        slot: u32,
        policy: StagePolicy,
        report: &mut PassReport,
        allocations: &mut Vec<Allocation>,
    ) {
        // It may have been removed since the pass began.
        let there = self.agents.get(slot);
        let Some(agent) = there.filter(|agent| agent.is_offerable()) else {
            return;
        };
        let walk = self.walk(agent, policy);
        if self.roles.tree().tops(walk).is_empty() {
            self.count_idle(policy, 1, report);
            return;
        }
        let sorters = (self.config.role_sorter, self.config.framework_sorter);
        let mut cursor = Cursor::first(&self.roles, walk, sorters, &mut self.rng);
        let mut granted = std::mem::take(&mut self.granted);
        let mut cuts = Vec::new();
        let mut shared = Vec::new();
        let agent = &mut self.agents[slot];
        loop {
            let mut around = Surroundings {
                roles: &self.roles,
                ledger: self.ledger.as_ref(),
                slot,
                cuts: &mut cuts,
                clients: &self.clients,
                frameworks: &self.frameworks,
                active: &self.active,
                min_allocatable: &self.min_allocatable,
                one_minimum: self.own_minimums == 0,
                kinds: &mut self.kinds,
                demand: &mut self.demand,
                report,
            };
            let Some(grant) = cursor.next_grant(agent, policy, &mut around) else {
                break;
            };
            let client = &self.clients[grant.client];
            let given = grant.part.as_ref().unwrap_or(&agent.available);
            allocations.push(Allocation {
                framework: self.frameworks[client.framework].id.clone(),
                role: client.role.clone(),
                agent: agent.id.clone(),
                resources: self.bundles.offered(given, &client.role),
            });
            if let Some(ledger) = &mut self.ledger {
                ledger.grant(client.account, slot, &self.kinds.quota_amounts(given));
            }
            if agent.shares {
                let anew = agent.counting(grant.client, given, false).shared();
                shared.push((grant.client, anew));
            }
            let counting = match grant.part {
                Some(part) => agent.grant(grant.client, part, &mut self.kinds),
                None => agent.grant_all(grant.client, &mut self.kinds),
            };
            granted.push((grant.client, counting));
            if agent.available.is_empty() {
                break;
            }
        }
        // What is shared can be offered again in the next pass.
        let again = agent.is_offerable() || (agent.takes_part() && agent.shares);
        self.candidates.agent_visited(slot, again);
        let changed = !granted.is_empty();
        for (number, counting) in granted.drain(..) {
            let client = &mut self.clients[number];
            client.holds_on.insert(slot);
            self.roles.tree_mut().grant(client.node, counting.amounts());
        }
        if !shared.is_empty() {
            for (number, items) in &shared {
                self.count_once(*number, slot, items);
            }
            self.roles.tree_mut().refresh();
            self.demand.order_changed();
        }
        if let Some(ledger) = &mut self.ledger {
            cuts.iter().for_each(|cut| ledger.note(*cut));
            if changed {
                self.count_free(slot, false);
            }
        }
        self.granted = granted;
    }
}
