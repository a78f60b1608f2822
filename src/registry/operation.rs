//! The changes a registry knows, and what each does.

use std::sync::Arc;

use super::Registry;
use crate::base::{AgentId, Timestamp};
use crate::proto::v1;

/// One change of the registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A new agent joins.
    AdmitAgent {
        /// The id it was given.
        agent_id: AgentId,
        /// How it describes itself.
        info: Arc<v1::AgentInfo>,
    },
    /// An admitted agent describes itself anew.
    UpdateAgent {
        /// Which agent.
        agent_id: AgentId,
        /// The new description.
        info: Arc<v1::AgentInfo>,
    },
    /// An admitted agent went silent.
    MarkUnreachable {
        /// Which agent.
        agent_id: AgentId,
        /// When the master gave up on it.
        at: Timestamp,
    },
    /// An agent came back: unreachable, forgotten or still admitted, it is admitted now.
    MarkReachable {
        /// Which agent.
        agent_id: AgentId,
        /// How it describes itself now.
        info: Arc<v1::AgentInfo>,
    },
    /// An agent left for good.
    RemoveAgent {
        /// Which agent.
        agent_id: AgentId,
    },
}

/// Whether an operation changed anything; if not, nothing has to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutated {
    /// The registry is different now.
    Yes,
    /// The registry had the operation's effect before.
    No,
}

/// Why an operation cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryRefused {
    /// `AdmitAgent` with an id that is taken.
    #[error("agent {0} is admitted already")]
    AlreadyAdmitted(AgentId),
    /// The operation needs an admitted agent.
    #[error("agent {0} is not admitted")]
    NotAdmitted(AgentId),
}

impl Operation {
    /// The agent that it is about.
    #[must_use]
    pub fn agent_id(&self) -> AgentId {
        match self {
            Self::AdmitAgent { agent_id, .. }
            | Self::UpdateAgent { agent_id, .. }
            | Self::MarkUnreachable { agent_id, .. }
            | Self::MarkReachable { agent_id, .. }
            | Self::RemoveAgent { agent_id } => agent_id.clone(),
        }
    }

    /// Applies the operation.
    pub fn apply(&self, registry: &mut Registry) -> Result<Mutated, RegistryRefused> {
        match self {
            Self::AdmitAgent { agent_id, info } => {
                if !registry.is_unknown(agent_id) {
                    return Err(RegistryRefused::AlreadyAdmitted(agent_id.clone()));
                }
                registry.agents.insert(agent_id.clone(), Arc::clone(info));
                Ok(Mutated::Yes)
            }
            Self::UpdateAgent { agent_id, info } => match registry.agents.get_mut(agent_id) {
                None => Err(RegistryRefused::NotAdmitted(agent_id.clone())),
                Some(known) if known == info => Ok(Mutated::No),
                Some(known) => {
                    *known = Arc::clone(info);
                    Ok(Mutated::Yes)
                }
            },
            Self::MarkUnreachable { agent_id, at } => {
                if registry.agents.remove(agent_id).is_none() {
                    return Err(RegistryRefused::NotAdmitted(agent_id.clone()));
                }
                registry.unreachable.insert(agent_id.clone(), *at);
                Ok(Mutated::Yes)
            }
            Self::MarkReachable { agent_id, info } => {
                let returned = registry.unreachable.remove(agent_id).is_some();
                let known = registry.agents.insert(agent_id.clone(), Arc::clone(info));
                if !returned && known.as_ref() == Some(info) {
                    return Ok(Mutated::No);
                }
                Ok(Mutated::Yes)
            }
            Self::RemoveAgent { agent_id } => {
                let admitted = registry.agents.remove(agent_id).is_some();
                let unreachable = registry.unreachable.remove(agent_id).is_some();
                if admitted || unreachable {
                    Ok(Mutated::Yes)
                } else {
                    Err(RegistryRefused::NotAdmitted(agent_id.clone()))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(hostname: &str) -> Arc<v1::AgentInfo> {
        Arc::new(v1::AgentInfo {
            hostname: hostname.to_owned(),
            ..v1::AgentInfo::default()
        })
    }

    fn id(text: &str) -> AgentId {
        AgentId::new(text)
    }

    #[test]
    fn an_agent_lives_through_all_operations() {
        let mut registry = Registry::default();
        let (agent_id, first, second) = (id("m-S0"), info("a"), info("b"));
        let admit = Operation::AdmitAgent {
            agent_id: agent_id.clone(),
            info: Arc::clone(&first),
        };
        assert_eq!(admit.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(
            admit.apply(&mut registry),
            Err(RegistryRefused::AlreadyAdmitted(agent_id.clone()))
        );
        let update = Operation::UpdateAgent {
            agent_id: agent_id.clone(),
            info: Arc::clone(&second),
        };
        assert_eq!(update.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(update.apply(&mut registry), Ok(Mutated::No));
        let lose = Operation::MarkUnreachable {
            agent_id: agent_id.clone(),
            at: Timestamp(7),
        };
        assert_eq!(lose.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(
            lose.apply(&mut registry),
            Err(RegistryRefused::NotAdmitted(agent_id.clone()))
        );
        assert_eq!(registry.unreachable.get(&agent_id), Some(&Timestamp(7)));
        assert_eq!(
            admit.apply(&mut registry),
            Err(RegistryRefused::AlreadyAdmitted(agent_id.clone())),
            "the id of an unreachable agent stays taken"
        );
        let back = Operation::MarkReachable {
            agent_id: agent_id.clone(),
            info: second,
        };
        assert_eq!(back.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(back.apply(&mut registry), Ok(Mutated::No));
        assert!(registry.unreachable.is_empty());
        let remove = Operation::RemoveAgent {
            agent_id: agent_id.clone(),
        };
        assert_eq!(remove.apply(&mut registry), Ok(Mutated::Yes));
        assert_eq!(
            remove.apply(&mut registry),
            Err(RegistryRefused::NotAdmitted(agent_id.clone()))
        );
        assert!(registry.is_unknown(&agent_id));
    }

    #[test]
    fn a_forgotten_agent_may_return() {
        let mut registry = Registry::default();
        let back = Operation::MarkReachable {
            agent_id: id("old-S3"),
            info: info("a"),
        };
        assert_eq!(back.apply(&mut registry), Ok(Mutated::Yes));
        assert!(registry.agents.contains_key(&id("old-S3")));
    }

    #[test]
    fn an_update_needs_an_admitted_agent() {
        let update = Operation::UpdateAgent {
            agent_id: id("m-S0"),
            info: info("a"),
        };
        assert_eq!(
            update.apply(&mut Registry::default()),
            Err(RegistryRefused::NotAdmitted(id("m-S0")))
        );
    }
}
