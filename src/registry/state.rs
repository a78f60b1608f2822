//! The registry: agents, frameworks, and what operators have decided.

use std::sync::Arc;

use imbl::OrdMap;

use super::{Maintenance, Standing, Subject};
use crate::base::{AgentId, FrameworkId, Timestamp};
use crate::proto::v1;
use crate::quota::Quota;
use crate::roles::{Role, Weight};

/// What must survive the death of every master. Cloning is cheap: the maps are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Agents that may run tasks, as they last described themselves.
    pub agents: OrdMap<AgentId, Arc<v1::AgentInfo>>,
    /// Agents that were admitted and went silent, since when.
    pub unreachable: OrdMap<AgentId, Timestamp>,
    /// Agents that an operator gave up for good, since when.
    pub gone: OrdMap<AgentId, Timestamp>,
    /// Admitted and unreachable agents that stand otherwise than usual.
    pub standings: OrdMap<AgentId, Standing>,
    /// Frameworks that may have tasks, with their ids.
    pub frameworks: OrdMap<FrameworkId, Arc<v1::FrameworkInfo>>,
    /// Weights that were set, also those that were set to 1.
    pub weights: OrdMap<Role, Weight>,
    /// Quotas that are not the default.
    pub quotas: OrdMap<Role, Quota>,
    /// Which machines are maintained, and when.
    pub maintenance: Arc<Maintenance>,
}

impl Registry {
    /// True when the agent is neither admitted nor unreachable nor gone.
    #[must_use]
    pub fn is_unknown(&self, agent_id: &AgentId) -> bool {
        !self.agents.contains_key(agent_id)
            && !self.unreachable.contains_key(agent_id)
            && !self.gone.contains_key(agent_id)
    }

    /// Everything that has a record.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let known = self.agents.keys().chain(self.unreachable.keys());
        let agents = known.chain(self.gone.keys()).cloned().map(Subject::Agent);
        let frameworks = self.frameworks.keys().cloned().map(Subject::Framework);
        let weights = self.weights.keys().cloned().map(Subject::Weight);
        let quotas = self.quotas.keys().cloned().map(Subject::Quota);
        let maintained = *self.maintenance != Maintenance::default();
        let maintenance = maintained.then_some(Subject::Maintenance);
        agents
            .chain(frameworks)
            .chain(weights)
            .chain(quotas)
            .chain(maintenance)
    }
}
