//! The answer to "why no offer". Computed when asked; passes pay nothing for it.

use std::collections::BTreeMap;

use crate::base::{AgentId, FrameworkId, Instant};
use crate::resources::Resources;
use crate::roles::Role;

use super::core::Allocator;
use super::eligibility::{Question, Rejection, first_rejection};
use super::ledger::Right;
use super::report::{DemandState, Explanation, Level, RoleExplanation};
use super::returns::Evidence;
use super::sorter::{Kinds, Share, ShareTree};
use super::view::{QuotaRule, Views};

/// Agents by the first reason; none for those that the next pass may offer.
type ByReason = Vec<(Option<Rejection>, Vec<AgentId>)>;

impl Allocator {
    /// For each role of a framework: its place in the order, and all agents by the first reason
    /// why they are not offered to it. None for an unknown framework.
    #[must_use]
    pub fn explain(&self, framework: &FrameworkId, now: Instant) -> Option<Explanation> {
        let slot = self.framework_slots.get(framework)?;
        // The order is brought up to date in a copy: asking must change nothing.
        let mut order = self.roles.tree().clone();
        order.refresh();
        let mut kinds = self.kinds.clone();
        let roles = self.frameworks[*slot].clients.iter();
        Some(Explanation {
            framework: framework.clone(),
            roles: roles
                .map(|(role, number)| {
                    let (agents, demand) = self.reasons(*number, &mut kinds, now);
                    RoleExplanation {
                        role: role.clone(),
                        position: position(&order, self.clients[*number].node),
                        agents,
                        demand,
                    }
                })
                .collect(),
        })
    }

    /// The dominant shares of a framework's top-level role and of itself under that role, as of the
    /// last change.
    #[must_use]
    pub fn shares(&self, framework: &FrameworkId, role: &Role) -> Option<(Share, Share)> {
        let client = &self.clients[self.known_client(framework, role)?];
        let tree = self.roles.tree();
        let path = tree.path(client.node);
        let share = |node: &u32| tree.standing(*node).share;
        Some((path.first().map(share)?, path.last().map(share)?))
    }

    /// A framework other than the holder that would be offered these resources of an agent if they
    /// were given back, and has not returned the like unused.
    #[must_use]
    pub fn who_waits_for(
        &self,
        holder: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
    ) -> Option<FrameworkId> {
        let mut kinds = self.kinds.clone();
        let mut agent = self.agents[*self.agent_slots.get(agent)?].clone();
        agent.free(&resources.unallocated(), &mut kinds);
        let mut views = Views::of(&agent, self.surplus_rule());
        self.active.iter().find_map(|number| {
            let client = &self.clients[number];
            let framework = &self.frameworks[client.framework];
            if framework.id == *holder {
                return None;
            }
            let role = (self.roles.slot(&client.role), &client.role);
            let view = views.get(role, client.capabilities, &mut kinds);
            let seen = &view.resources;
            let rejection = first_rejection(&Question {
                framework,
                client,
                number,
                agent: &agent,
                view,
                min_allocatable: &self.min_allocatable,
                details: false,
                quota: None,
            });
            let evidence = (self.demand).evidence_at((number, agent.kind), seen, Instant(0));
            let waits = rejection.is_none() && evidence == Evidence::None;
            waits.then(|| framework.id.clone())
        })
    }

    /// What quota leaves in the stage of fair share.
    fn surplus_rule(&self) -> Option<QuotaRule<'_>> {
        self.ledger.as_ref().map(|ledger| QuotaRule {
            ledger,
            roles: &self.roles,
            right: Right::Surplus,
        })
    }

    fn reasons(&self, number: u32, kinds: &mut Kinds, now: Instant) -> (ByReason, DemandState) {
        let mut demand = DemandState {
            order: self.config.order,
            behind_on: 0,
            due_on: 0,
            next_due: None,
        };
        let client = &self.clients[number];
        let mut by_reason: BTreeMap<Option<Rejection>, Vec<AgentId>> = BTreeMap::new();
        for (id, slot) in &self.agent_slots {
            let agent = &self.agents[*slot];
            let mut views = Views::of(agent, self.surplus_rule());
            let role = (self.roles.slot(&client.role), &client.role);
            let view = views.get(role, client.capabilities, kinds);
            let reason = first_rejection(&Question {
                framework: &self.frameworks[client.framework],
                client,
                number,
                agent,
                view,
                min_allocatable: &self.min_allocatable,
                details: true,
                quota: self.ledger.as_ref().map(|ledger| (ledger, &self.kinds)),
            });
            let seen = &view.resources;
            let evidence = match view.resources.is_empty() {
                true => Evidence::None,
                false => (self.demand).evidence_at((number, agent.kind), seen, now),
            };
            demand.add(evidence);
            let reason = reason.or(match evidence {
                Evidence::Against(until) => Some(Rejection::Returned { until }),
                Evidence::None | Evidence::Due(_) => None,
            });
            by_reason.entry(reason).or_default().push(id.clone());
        }
        (by_reason.into_iter().collect(), demand)
    }
}

impl DemandState {
    /// Counts one agent.
    fn add(&mut self, evidence: Evidence) {
        match evidence {
            Evidence::None => {}
            Evidence::Due(_) => self.due_on += 1,
            Evidence::Against(until) => {
                self.behind_on += 1;
                self.next_due = Some(self.next_due.map_or(until, |next| next.min(until)));
            }
        }
    }
}

fn position(tree: &ShareTree, client: u32) -> Vec<Level> {
    tree.path(client)
        .into_iter()
        .map(|node| {
            let siblings = tree.in_order(tree.parent(node));
            Level {
                label: tree.label(node).to_string(),
                ahead: siblings.iter().position(|sibling| *sibling == node),
                siblings: siblings.len(),
                share: tree.standing(node).share,
                history: tree.standing(node).history,
                weight: tree.weight(node).to_string(),
            }
        })
        .collect()
}
