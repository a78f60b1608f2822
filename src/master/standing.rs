//! Agents by an operator's word: drained, deactivated, taken back, given up for good.
//!
//! ```text
//! DRAIN_AGENT -> stored -> deactivated, agent told -> no task left -> DRAINED stored -> (mark_gone) gone
//! DEACTIVATE_AGENT -> stored -> nothing is offered
//! REACTIVATE_AGENT (not while draining) -> stored -> as new
//! MARK_AGENT_GONE -> stored -> tasks GONE_BY_OPERATOR, agent told to end
//! ```

use std::time::Duration;

use crate::base::{AgentId, RequestId, Timestamp};
use crate::proto::link;
use crate::proto::link::from_master::Message as FromMaster;
use crate::proto::v1::TaskState;
use crate::proto::v1::task_status::Reason;
use crate::registry::{Drain, DrainState, Operation, RegistryRefused, Standing};

use super::call::{CallError, CallErrorKind, OperatorCall, Reply};
use super::core::{Master, Step};
use super::pending::{Departure, Pending, answer};
use super::timer::TimerKey;

impl Master {
    /// Where an agent stands.
    pub(super) fn standing(&self, agent_id: &AgentId) -> Standing {
        self.standings.get(agent_id).copied().unwrap_or_default()
    }

    /// An operator's call about one agent; answered when the registry knows.
    pub(super) fn agent_order(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        call: &OperatorCall,
    ) {
        if let Err(error) = self.try_agent_order(step, request, call) {
            step.reply(request, Err(error));
        }
    }

    fn try_agent_order(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        call: &OperatorCall,
    ) -> Result<(), CallError> {
        let (OperatorCall::MarkAgentGone { agent_id }
        | OperatorCall::DrainAgent { agent_id, .. }
        | OperatorCall::DeactivateAgent { agent_id }
        | OperatorCall::ReactivateAgent { agent_id }) = call
        else {
            return Ok(());
        };
        let unknown = match call {
            OperatorCall::MarkAgentGone { .. } if self.gone.contains_key(agent_id) => {
                step.reply(request, Ok(Reply::Accepted));
                return Ok(());
            }
            OperatorCall::MarkAgentGone { .. } => CallErrorKind::NotFound,
            _ => CallErrorKind::Invalid,
        };
        self.check_known(agent_id, unknown)?;
        let standing = match call {
            OperatorCall::MarkAgentGone { .. } => {
                self.mark_gone(step, Some(request), agent_id);
                return Ok(());
            }
            OperatorCall::DrainAgent {
                grace_max,
                mark_gone,
                ..
            } => self.drained(agent_id, *grace_max, *mark_gone)?,
            OperatorCall::ReactivateAgent { .. } => self.reactivated(agent_id)?,
            _ => Standing {
                deactivated: true,
                ..self.standing(agent_id)
            },
        };
        self.set_standing(step, Some(request), agent_id, standing);
        Ok(())
    }

    /// The standing of an agent that is to be as new.
    fn reactivated(&self, agent_id: &AgentId) -> Result<Standing, CallError> {
        let standing = self.standing(agent_id);
        let text = if !standing.deactivated {
            format!("agent {agent_id} is not deactivated")
        } else if standing.is_draining() {
            format!("agent {agent_id} is being drained; reactivate it when it is drained")
        } else {
            return Ok(Standing::default());
        };
        Err(CallError::invalid(text))
    }

    fn check_known(&self, agent_id: &AgentId, unknown: CallErrorKind) -> Result<(), CallError> {
        if self.gone.contains_key(agent_id) {
            return Err(CallError::new(
                unknown,
                format!("agent {agent_id} was marked gone and will not come back"),
            ));
        }
        let known = self.agents.contains_key(agent_id)
            || self.recovered.contains_key(agent_id)
            || self.unreachable.contains_key(agent_id);
        if !known && !self.writing.contains(agent_id) {
            return Err(CallError::new(
                unknown,
                format!("agent {agent_id} is not known; GET_AGENTS lists the agents"),
            ));
        }
        if self.writing.contains(agent_id) {
            return Err(CallError::unavailable(format!(
                "agent {agent_id} is just being registered, removed or changed; try again"
            )));
        }
        Ok(())
    }

    /// The standing of an agent that is to be drained.
    fn drained(
        &self,
        agent_id: &AgentId,
        grace_max: Option<Duration>,
        mark_gone: bool,
    ) -> Result<Standing, CallError> {
        let agent = self.agents.get(agent_id);
        if let Some(maintained) = agent.and_then(|agent| agent.maintained.as_ref()) {
            return Err(CallError::invalid(format!(
                "agent {agent_id} is on machine {}, which is in the maintenance schedule; take it out \
                 of the schedule to drain it",
                maintained.machine
            )));
        }
        Ok(Standing {
            deactivated: true,
            drain: Some(Drain {
                state: DrainState::Draining,
                grace_max,
                mark_gone,
            }),
        })
    }

    fn set_standing(
        &mut self,
        step: &mut Step<'_>,
        request: Option<RequestId>,
        agent_id: &AgentId,
        standing: Standing,
    ) {
        if let Some(request) = request.filter(|_| planted!(self, DecideBeforePersisted)) {
            step.reply(request, Ok(Reply::Accepted));
        }
        self.writing.insert(agent_id.clone());
        let operation = Operation::SetStanding {
            agent_id: agent_id.clone(),
            standing,
        };
        let agent_id = agent_id.clone();
        let pending = Pending::Stand {
            request: request.filter(|_| !planted!(self, DecideBeforePersisted)),
            agent_id,
            standing,
        };
        self.persist(step, operation, pending);
    }

    /// The registry knows where an agent stands.
    pub(super) fn stood(
        &mut self,
        step: &mut Step<'_>,
        request: Option<RequestId>,
        agent_id: &AgentId,
        standing: Standing,
        result: Result<(), RegistryRefused>,
    ) {
        let refused = result.is_err();
        answer(step, request, result);
        if refused {
            return;
        }
        let before = self.standing(agent_id);
        if standing == Standing::default() {
            self.standings.remove(agent_id);
        } else {
            self.standings.insert(agent_id.clone(), standing);
        }
        tracing::info!(%agent_id, ?standing, "an agent stands otherwise");
        let at = step.now.wall;
        if let Some(agent) = self.agent_mut(agent_id) {
            agent.drain_started = match (standing.drain, agent.drain_started) {
                (None, _) => None,
                (Some(_), Some(earlier)) if before.is_draining() => Some(earlier),
                (Some(drain), earlier) => match drain.state {
                    DrainState::Draining => Some(at),
                    DrainState::Drained => earlier,
                },
            };
        }
        self.follow_standing(step, agent_id);
    }

    /// Makes the allocator, the offers and the agent agree with where the agent stands.
    pub(super) fn follow_standing(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let standing = self.standing(agent_id);
        let unfinished = standing
            .drain
            .is_some_and(|drain| drain.state == DrainState::Draining || drain.mark_gone);
        if unfinished {
            self.draining_agents.insert(agent_id.clone());
        } else {
            self.draining_agents.remove(agent_id);
        }
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let active = agent.is_active();
        if standing.deactivated {
            self.allocator.deactivate_agent(agent_id);
            self.rescind_offers_of(step, agent_id);
        } else if active {
            self.allocator.activate_agent(agent_id);
        }
        if let Some(drain) = standing.drain.filter(|_| standing.is_draining()) {
            let message = FromMaster::DrainAgent(link::DrainAgent {
                config: drain.config(),
            });
            self.send_agent(step, agent_id, message);
        }
    }

    /// Goes on with drains: an agent without tasks is drained, and gone if that was asked for.
    pub(super) fn finish_drains(&mut self, step: &mut Step<'_>) {
        if self.draining_agents.is_empty() {
            return;
        }
        let agents: Vec<AgentId> = self.draining_agents.iter().cloned().collect();
        for agent_id in agents {
            let here = self.agents.get(&agent_id);
            let idle = here.is_some_and(|agent| agent.is_active() && agent.is_idle());
            let Some(mut drain) = self.standing(&agent_id).drain else {
                continue;
            };
            if self.writing.contains(&agent_id) {
                continue;
            }
            match drain.state {
                DrainState::Draining if idle => {
                    drain.state = DrainState::Drained;
                    let standing = Standing {
                        deactivated: true,
                        drain: Some(drain),
                    };
                    self.set_standing(step, None, &agent_id, standing);
                }
                DrainState::Drained if drain.mark_gone => self.mark_gone(step, None, &agent_id),
                DrainState::Draining | DrainState::Drained => {}
            }
        }
    }

    /// Gives an agent up for good.
    fn mark_gone(&mut self, step: &mut Step<'_>, request: Option<RequestId>, agent_id: &AgentId) {
        let at = step.now.wall;
        if self.agents.contains_key(agent_id) {
            self.leave(step, agent_id, Departure::Gone(at), request);
            return;
        }
        self.writing.insert(agent_id.clone());
        let operation = Operation::MarkGone {
            agent_id: agent_id.clone(),
            at,
        };
        let agent_id = agent_id.clone();
        let pending = Pending::Gone {
            request,
            agent_id,
            at,
        };
        self.persist(step, operation, pending);
    }

    /// The registry knows that an agent that was not here is gone.
    pub(super) fn gone_while_away(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        at: Timestamp,
    ) {
        self.recovered.remove(agent_id);
        self.cancel_removal(step, agent_id);
        self.cancel_timer(step, TimerKey::Reregistration(agent_id.clone()));
        self.unreachable.remove(agent_id);
        self.note_gone(agent_id, at);
        let state = TaskState::TaskGoneByOperator;
        let text = "an operator marked the agent as gone";
        self.give_up_parked(step, agent_id, state, Reason::AgentRemovedByOperator, text);
    }

    pub(super) fn note_gone(&mut self, agent_id: &AgentId, at: Timestamp) {
        self.gone.insert(agent_id.clone(), at);
        self.forget_standing(agent_id);
    }

    /// The agent will not come back under this id.
    pub(super) fn forget_standing(&mut self, agent_id: &AgentId) {
        self.standings.remove(agent_id);
        self.draining_agents.remove(agent_id);
    }
}
