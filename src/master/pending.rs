//! What goes on when the registry has stored a change.

use std::sync::Arc;

use crate::base::{AgentId, ConnectionId, RequestId, Timestamp};
use crate::proto::{link, v1};
use crate::registry::{Operation, RegistryRefused, Standing};

use super::call::{CallError, CallErrorKind, Reply};
use super::core::{Master, Step};
use super::effect::{Effect, Token};

/// Why an agent leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// It stopped answering, or did not come back in time; it may return.
    Unreachable(Timestamp),
    /// It said so; it will not return under this id.
    Unregistered,
    /// A new agent registered from its address.
    Replaced,
    /// An operator gave it up for good.
    Gone(Timestamp),
    /// Its machine is down for maintenance.
    MachineDown,
}

/// The rest of something that waits for the registry.
#[derive(Debug)]
pub(super) enum Pending {
    /// A new agent.
    Admit {
        connection: ConnectionId,
        agent_id: AgentId,
        message: Box<link::Register>,
    },
    /// An agent that comes back.
    Return {
        connection: ConnectionId,
        agent_id: AgentId,
        message: Box<link::Reregister>,
    },
    /// A registered agent that leaves.
    Leave {
        agent_id: AgentId,
        departure: Departure,
        request: Option<RequestId>,
        /// The link of an agent that is told to end.
        link: Option<ConnectionId>,
    },
    /// An agent of the registry that did not come back after this master's start.
    LeaveRecovered { agent_id: AgentId, at: Timestamp },
    /// An agent that went away before it learned its id.
    Forget { agent_id: AgentId },
    /// An agent that an operator gave up while it was away.
    Gone {
        request: Option<RequestId>,
        agent_id: AgentId,
        at: Timestamp,
    },
    /// An agent that an operator drains, deactivates or takes back.
    Stand {
        request: Option<RequestId>,
        agent_id: AgentId,
        standing: Standing,
    },
    /// What nobody waits for.
    Note,
    /// Agents that the registry forgets.
    Prune { agents: Vec<AgentId> },
    /// An operator's decision about roles or machines.
    Decide {
        request: RequestId,
        operation: Operation,
    },
}

impl Master {
    pub(super) fn persisted(
        &mut self,
        step: &mut Step<'_>,
        token: Token,
        result: Result<(), RegistryRefused>,
    ) {
        let Some(pending) = self.pending.remove(&token) else {
            return;
        };
        if let Err(refused) = &result {
            // Only a registry that somebody else wrote to can refuse: what it says, it says by name.
            tracing::warn!(%refused, "the registry refused an operation");
        }
        match pending {
            Pending::Admit {
                connection,
                agent_id,
                message,
            } => {
                self.writing.remove(&agent_id);
                match result {
                    Ok(()) => self.admitted(step, connection, agent_id, *message),
                    Err(_) => self.close_link(step, connection),
                }
            }
            Pending::Return {
                connection,
                agent_id,
                message,
            } => {
                self.writing.remove(&agent_id);
                match result {
                    Ok(()) => self.readmitted(step, connection, &agent_id, *message),
                    Err(_) => self.close_link(step, connection),
                }
            }
            Pending::Leave {
                agent_id,
                departure,
                request,
                link,
            } => {
                self.writing.remove(&agent_id);
                self.remove_agent(step, &agent_id, departure);
                if let Some(connection) = link.filter(|link| self.links.contains_key(link)) {
                    let text = match departure {
                        Departure::MachineDown => "the machine is down for maintenance".to_owned(),
                        _ => format!("agent {agent_id} was marked gone"),
                    };
                    self.turn_away(step, connection, agent_id.as_str(), text);
                }
                answer(step, request, result);
            }
            Pending::LeaveRecovered { agent_id, at } => {
                self.writing.remove(&agent_id);
                self.recovered.remove(&agent_id);
                self.unreachable.insert(agent_id, at);
                self.metrics.recovery_slave_removals += 1;
            }
            Pending::Forget { agent_id } => {
                self.writing.remove(&agent_id);
            }
            Pending::Gone {
                request,
                agent_id,
                at,
            } => {
                self.writing.remove(&agent_id);
                if result.is_ok() {
                    self.gone_while_away(step, &agent_id, at);
                }
                answer(step, request, result);
            }
            Pending::Stand {
                request,
                agent_id,
                standing,
            } => {
                self.writing.remove(&agent_id);
                self.stood(step, request, &agent_id, standing, result);
            }
            Pending::Note => {}
            Pending::Prune { agents } => self.pruned(&agents, result.is_ok()),
            Pending::Decide { request, operation } => {
                self.decided(step, request, operation, result);
            }
        }
    }

    /// Ends a link whose agent has to try again.
    pub(super) fn close_link(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        if self.links.remove(&connection).is_some() {
            step.push(Effect::CloseAgent { connection });
        }
    }
}

/// Answers an operator's request when the registry has decided it.
pub(super) fn answer(
    step: &mut Step<'_>,
    request: Option<RequestId>,
    result: Result<(), RegistryRefused>,
) {
    if let Some(request) = request {
        let refused =
            |error: RegistryRefused| CallError::new(CallErrorKind::Conflict, error.to_string());
        step.reply(request, result.map(|()| Reply::Accepted).map_err(refused));
    }
}

/// The description with this id.
pub(super) fn with_id(info: &v1::AgentInfo, agent_id: &AgentId) -> Arc<v1::AgentInfo> {
    let mut info = info.clone();
    info.id = Some(agent_id.into());
    Arc::new(info)
}
