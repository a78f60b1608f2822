//! Why a framework gets the offers that it gets: the allocator's reasons, with who holds what.
//!
//! Computed when asked, from the allocator's records and the outstanding offers: passes pay
//! nothing for it. An answer takes about a microsecond per agent and role.

use std::collections::BTreeMap;

use crate::allocator::{DemandState, Level, Rejection, Share};
use crate::base::{AgentId, FrameworkId, Instant};
use crate::proto::v1::master as wire;
use crate::proto::v1::master::explanation as part;
use crate::roles::Role;

use super::call::{CallError, Question};
use super::core::{Master, Minted};
use super::reasons::Reason;

/// Most frameworks that are named for one agent.
const RIVALS_MAX: usize = 5;

impl Master {
    /// The answer, or that there is no such framework, role or agent.
    pub(super) fn explain(
        &self,
        now: Instant,
        question: &Question,
    ) -> Result<wire::Explanation, CallError> {
        let id = &question.framework_id;
        let unknown = || CallError::not_found(format!("framework {id} is not known"));
        let framework = self.frameworks.get(id).ok_or_else(unknown)?;
        if let Some(agent_id) = &question.agent_id
            && !self.agents.contains_key(agent_id)
        {
            return Err(CallError::not_found(format!(
                "agent {agent_id} is not known"
            )));
        }
        let mut explained = self.allocator.explain(id, now).ok_or_else(unknown)?;
        if let Some(role) = &question.role {
            explained.roles.retain(|explained| explained.role == *role);
            if explained.roles.is_empty() {
                let message = format!("framework {id} is not in role {role}");
                return Err(CallError::not_found(message));
            }
        }
        let mut roles = Vec::new();
        for explained in explained.roles {
            let mut groups: BTreeMap<Reason, Vec<part::Agent>> = BTreeMap::new();
            for (rejection, agents) in explained.agents {
                let wanted =
                    |agent: &&AgentId| question.agent_id.as_ref().is_none_or(|id| id == *agent);
                for agent_id in agents.iter().filter(wanted) {
                    let client = (id, &explained.role);
                    let (reason, agent) =
                        self.about_agent(client, rejection.as_ref(), agent_id, now);
                    groups.entry(reason).or_default().push(agent);
                }
            }
            let mut groups: Vec<part::Group> = groups.into_iter().map(group).collect();
            groups.sort_by_key(|group| std::cmp::Reverse(group.agents.len()));
            roles.push(part::Role {
                role: explained.role.to_string(),
                position: explained.position.iter().map(level).collect(),
                groups,
                demand: Some(demand(&explained.demand, now)),
            });
        }
        Ok(wire::Explanation {
            framework_id: id.into(),
            name: framework.info.name.clone(),
            roles,
        })
    }

    /// The first reason why an agent is not offered, and the agent with what belongs to it.
    fn about_agent(
        &self,
        (framework_id, role): (&FrameworkId, &Role),
        rejection: Option<&Rejection>,
        agent_id: &AgentId,
        now: Instant,
    ) -> (Reason, part::Agent) {
        let record = self.agents.get(agent_id);
        let mut agent = part::Agent {
            agent_id: agent_id.into(),
            hostname: record.map_or_else(String::new, |record| record.info.hostname.clone()),
            ..part::Agent::default()
        };
        let reason = match rejection {
            Some(Rejection::NothingAvailable) => {
                let (reason, rivals) = self.held_by((framework_id, role), agent_id, now);
                agent.rivals = rivals;
                self.add_hoarding(&mut agent);
                reason
            }
            Some(rejection) => {
                let (reason, here) = self.in_words(rejection, (framework_id, role), agent_id);
                agent.would_be_offered_if = here;
                self.add_times(rejection, role, &mut agent, now);
                reason
            }
            None => Reason {
                word: "next_pass",
                message: "nothing is in the way: the next pass offers it".to_owned(),
                remedy: None,
            },
        };
        if agent.would_be_offered_if.is_none() {
            agent.would_be_offered_if.clone_from(&reason.remedy);
        }
        (reason, agent)
    }

    /// When an offer of the agent is taken back at the latest, if one is held.
    fn add_hoarding(&self, agent: &mut part::Agent) {
        let Some((name, held)) = agent.rivals.iter().find_map(|rival| {
            let held = rival.held_seconds?;
            Some((&rival.name, held))
        }) else {
            return;
        };
        let hoarding = self.config.offer_hoarding_timeout;
        let (limit, why) = match self.config.offer_timeout {
            Some(timeout) if timeout < hoarding => (timeout, "by --offer_timeout"),
            _ => (hoarding, "for hoarding"),
        };
        let left = (limit.as_secs_f64() - held).max(0.0);
        agent.would_be_offered_if = Some(format!(
            "{name} returns its offer, or it is rescinded {why} in {left:.1} s"
        ));
        agent.seconds_left = Some(left);
    }

    /// Until when a reason lasts by itself, and which offer's return has set a filter.
    fn add_times(&self, rejection: &Rejection, role: &Role, agent: &mut part::Agent, now: Instant) {
        let (until, what) = match rejection {
            Rejection::Filtered { until, offer } => {
                let returned = Minted::offer_id(&self.config.uuid, *offer);
                agent.returned_offer_id = Some((&returned).into());
                (until, format!("filter of offer {returned} expires"))
            }
            Rejection::Returned { until } => (until, "it is asked again".to_owned()),
            _ => return,
        };
        let left = until.since(now).as_secs_f64();
        agent.seconds_left = Some(left);
        agent.would_be_offered_if =
            Some(format!("{what} in {left:.1} s, or REVIVE of role {role}"));
    }

    /// Who has all of an agent.
    fn held_by(
        &self,
        (framework_id, role): (&FrameworkId, &Role),
        agent_id: &AgentId,
        now: Instant,
    ) -> (Reason, Vec<part::Rival>) {
        let offers = self.agents.get(agent_id).into_iter();
        let offers = offers.flat_map(|agent| &agent.offers);
        let offers: Vec<_> = offers.filter_map(|id| self.offers.get(id)).collect();
        if (offers.iter()).any(|offer| offer.framework_id == *framework_id && offer.role == *role) {
            let remedy = "it uses or returns the offer that it holds";
            let reason = Reason::new(
                "already_offered",
                "the framework holds an offer of it",
                remedy,
            );
            return (reason, Vec::new());
        }
        let mut rivals: Vec<part::Rival> = offers
            .iter()
            .filter_map(|offer| {
                let held = now.since(offer.since).as_secs_f64();
                self.rival(&offer.framework_id, &offer.role, Some(held))
            })
            .collect();
        if !rivals.is_empty() {
            rivals.sort_by(|a, b| b.held_seconds().total_cmp(&a.held_seconds()));
            rivals.truncate(RIVALS_MAX);
            let message = "offered to frameworks that came first in the order";
            let remedy = "they return the offers, or these are rescinded for hoarding";
            return (Reason::new("outranked", message, remedy), rivals);
        }
        for (other, held) in self.allocator.allocations(agent_id) {
            let roles = held.allocations().into_keys();
            rivals.extend(roles.filter_map(|role| self.rival(&other, &role, None)));
        }
        rivals.truncate(RIVALS_MAX);
        let reason = Reason::new("in_use", "tasks use all of it", "tasks there end");
        (reason, rivals)
    }

    fn rival(
        &self,
        framework_id: &FrameworkId,
        role: &Role,
        held_seconds: Option<f64>,
    ) -> Option<part::Rival> {
        let (role_share, framework_share) = self.allocator.shares(framework_id, role)?;
        let framework = self.frameworks.get(framework_id)?;
        Some(part::Rival {
            framework_id: framework_id.into(),
            name: framework.info.name.clone(),
            role: role.to_string(),
            role_share: fraction(role_share),
            framework_share: fraction(framework_share),
            held_seconds,
        })
    }
}

/// What would have to change is said as for the agents, when it is the same for all of them.
fn group((reason, agents): (Reason, Vec<part::Agent>)) -> part::Group {
    let here = agents
        .first()
        .and_then(|first| first.would_be_offered_if.clone());
    let alike = |agent: &part::Agent| agent.would_be_offered_if == here;
    if agents.iter().all(alike) {
        return part::Group {
            reason: reason.word.to_owned(),
            message: reason.message,
            would_be_offered_if: here,
            agents,
        };
    }
    let left = agents.iter().filter_map(|agent| agent.seconds_left);
    let soonest = left.min_by(f64::total_cmp);
    let soonest = soonest.map(|seconds| format!(" (the first in {seconds:.1} s)"));
    let soonest = soonest.unwrap_or_default();
    part::Group {
        reason: reason.word.to_owned(),
        message: reason.message,
        would_be_offered_if: reason.remedy.map(|remedy| format!("{remedy}{soonest}")),
        agents,
    }
}

fn level(level: &Level) -> part::Level {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    part::Level {
        label: level.label.clone(),
        place: level.ahead.map(|ahead| number(ahead + 1)),
        siblings: number(level.siblings),
        share: fraction(level.share),
        history: level.history,
        weight: level.weight.parse().unwrap_or(1.0),
    }
}

fn demand(demand: &DemandState, now: Instant) -> part::Demand {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    part::Demand {
        order: demand.order.to_string(),
        behind_on: number(demand.behind_on),
        due_on: number(demand.due_on),
        next_due_seconds: demand.next_due.map(|due| due.since(now).as_secs_f64()),
    }
}

/// For people; the order itself is decided on exact ratios.
fn fraction(share: Share) -> f64 {
    let (part, whole) = share.ratio();
    part as f64 / whole as f64
}
