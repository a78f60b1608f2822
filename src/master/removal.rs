//! Agents that are given up: one after the other where `--agent_removal_rate_limit` says so, and
//! forgotten by the registry in their time.

use std::collections::VecDeque;

use crate::base::{AgentId, Instant, Timestamp};
use crate::registry::Operation;

use super::agent::AgentStatus;
use super::core::{Master, Step};
use super::pending::{Departure, Pending};
use super::timer::TimerKey;

/// Most agents that one registry write forgets.
const PRUNE_MAX: usize = 1000;

/// Silent agents that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Removals {
    pub(super) waiting: VecDeque<AgentId>,
    /// How many agents the registry knew when this master began to lead.
    known: usize,
    /// When the next one may go.
    next: Instant,
}

impl Removals {
    /// Of a master that finds so many agents in the registry.
    pub(super) fn new(known: usize) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }
}

impl Master {
    /// A silent agent is to be marked unreachable: at once, or when its turn comes.
    pub(super) fn give_up(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let Some(_) = self.config.agent_removal_interval else {
            self.metrics.slave_unreachable_scheduled += 1;
            self.mark_unreachable(step, agent_id);
            return;
        };
        if self.removals.waiting.contains(agent_id) {
            return;
        }
        self.metrics.slave_unreachable_scheduled += 1;
        self.removals.waiting.push_back(agent_id.clone());
        if self.removals.waiting.len() == 1 {
            let at = self.removals.next.max(step.now.mono);
            self.set_timer(step, TimerKey::Removal, at);
        }
    }

    /// Whether more agents have stayed away since the change of master than
    /// `--recovery_agent_removal_limit` lets be given up: then it is rather the master that is alone.
    /// They get their time once more, and may come back as if nothing had been.
    pub(super) fn spares_recovered(&mut self, step: &mut Step<'_>, agent_id: &AgentId) -> bool {
        let given_up = usize::try_from(self.metrics.recovery_slave_removals).unwrap_or(usize::MAX);
        let missing = self.recovered.len().saturating_add(given_up);
        let (known, limit) = (self.removals.known, self.config.recovery_removals_per_mille);
        if missing.saturating_mul(1000) <= known.saturating_mul(limit as usize) {
            return false;
        }
        let again = step.now.mono.after(self.config.agent_reregister_timeout);
        tracing::error!(
            %agent_id,
            missing,
            known,
            "--recovery_agent_removal_limit: too many agents are missing since the change of master: \
             none of them is given up before others are back"
        );
        self.set_timer(step, TimerKey::Reregistration(agent_id.clone()), again);
        true
    }

    /// An agent is heard of again, or is gone otherwise, before its turn has come.
    pub(super) fn cancel_removal(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let before = self.removals.waiting.len();
        self.removals.waiting.retain(|waiting| waiting != agent_id);
        if self.removals.waiting.len() < before {
            self.metrics.slave_unreachable_canceled += 1;
            if self.removals.waiting.is_empty() {
                self.cancel_timer(step, TimerKey::Removal);
            }
        }
    }

    /// The next silent agent may go.
    pub(super) fn remove_next(&mut self, step: &mut Step<'_>) {
        if let Some(agent_id) = self.removals.waiting.pop_front() {
            self.mark_unreachable(step, &agent_id);
            let interval = self.config.agent_removal_interval.unwrap_or_default();
            self.removals.next = step.now.mono.after(interval);
        }
        if !self.removals.waiting.is_empty() {
            self.set_timer(step, TimerKey::Removal, self.removals.next);
        }
    }

    fn mark_unreachable(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let at = step.now.wall;
        if self.recovered.contains_key(agent_id) {
            if self.writing.insert(agent_id.clone()) {
                let operation = Operation::MarkUnreachable {
                    agent_id: agent_id.clone(),
                    at,
                };
                let agent_id = agent_id.clone();
                self.persist(step, operation, Pending::LeaveRecovered { agent_id, at });
            } else {
                // The write under way decides first.
                let again = step.now.mono.after(self.config.agent_ping_timeout);
                self.set_timer(step, TimerKey::Reregistration(agent_id.clone()), again);
            }
            return;
        }
        let here = self.agents.get(agent_id);
        if here.is_some_and(|agent| agent.status != AgentStatus::Leaving) {
            self.leave(step, agent_id, Departure::Unreachable(at), None);
        }
    }

    /// Lets the registry forget agents that were given up long ago, or too many.
    pub(super) fn collect_registry(&mut self, step: &mut Step<'_>) {
        let now = step.now.wall;
        let mut old = self.outdated(&self.unreachable, now);
        old.extend(self.outdated(&self.gone, now));
        old.retain(|agent_id| !self.writing.contains(agent_id));
        for agents in old.chunks(PRUNE_MAX) {
            tracing::info!(
                count = agents.len(),
                "the registry forgets agents that were given up"
            );
            self.writing.extend(agents.iter().cloned());
            let agents = agents.to_vec();
            let operation = Operation::Prune {
                agents: agents.clone(),
            };
            self.persist(step, operation, Pending::Prune { agents });
        }
        let next = step.now.mono.after(self.config.registry_gc_interval);
        self.set_timer(step, TimerKey::RegistryGc, next);
    }

    /// Those that are too old, and the oldest of those that are too many.
    fn outdated(
        &self,
        given_up: &imbl::OrdMap<AgentId, Timestamp>,
        now: Timestamp,
    ) -> Vec<AgentId> {
        let mut all: Vec<(Timestamp, &AgentId)> =
            given_up.iter().map(|(id, at)| (*at, id)).collect();
        all.sort_unstable();
        let surplus = all.len().saturating_sub(self.config.registry_agents_max);
        let age_max = self.config.registry_agent_age_max;
        let old = all
            .iter()
            .enumerate()
            .filter(|(number, (at, _))| *number < surplus || now.since(*at) > age_max);
        old.map(|(_, (_, id))| (*id).clone()).collect()
    }

    /// The registry has forgotten agents.
    pub(super) fn pruned(&mut self, agents: &[AgentId], forgotten: bool) {
        for agent_id in agents {
            self.writing.remove(agent_id);
            if forgotten {
                self.unreachable.remove(agent_id);
                self.gone.remove(agent_id);
                self.forget_standing(agent_id);
            }
        }
    }
}
