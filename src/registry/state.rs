//! The registry: which agents were admitted, and which of them are unreachable.

use std::sync::Arc;

use imbl::OrdMap;

use crate::base::{AgentId, Timestamp};
use crate::proto::v1;

/// What must survive the death of every master. Cloning is cheap: the maps are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Agents that may run tasks, as they last described themselves.
    pub agents: OrdMap<AgentId, Arc<v1::AgentInfo>>,
    /// Agents that were admitted and went silent, since when.
    pub unreachable: OrdMap<AgentId, Timestamp>,
}

impl Registry {
    /// True when the agent is neither admitted nor unreachable.
    #[must_use]
    pub fn is_unknown(&self, agent_id: &AgentId) -> bool {
        !self.agents.contains_key(agent_id) && !self.unreachable.contains_key(agent_id)
    }
}
