//! An immutable view of the master for readers: shared records, cheap to take, encoded elsewhere.

use std::sync::Arc;

use imbl::OrdMap;

use crate::base::{AgentId, FrameworkId, OfferId, TaskId, Timestamp};
use crate::proto::v1;
use crate::resources::Resources;

use super::agent::Agent;
use super::framework::Framework;
use super::history::History;
use super::metrics::Metrics;
use super::offer::Offer;
use super::task::Task;

/// The state of a master at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub taken: Timestamp,
    /// When the master started.
    pub started: Timestamp,
    /// How the master describes itself.
    pub master: Arc<v1::MasterInfo>,
    /// Registered agents.
    pub agents: OrdMap<AgentId, Arc<Agent>>,
    /// Admitted agents that have not come back since this master started.
    pub recovered_agents: OrdMap<AgentId, Arc<v1::AgentInfo>>,
    /// Unreachable agents, since when.
    pub unreachable_agents: OrdMap<AgentId, Timestamp>,
    /// Frameworks, connected or not.
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Frameworks that are gone, the last ones.
    pub completed_frameworks: History<FrameworkId, Framework>,
    /// Outstanding offers.
    pub offers: OrdMap<OfferId, Arc<Offer>>,
    /// What was counted so far.
    pub metrics: Metrics,
}

impl Snapshot {
    /// When the master was elected: without rivals, when it started.
    #[must_use]
    pub fn elected(&self) -> Timestamp {
        self.started
    }

    /// A live task.
    #[must_use]
    pub fn task(&self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<&Arc<Task>> {
        self.frameworks.get(framework_id)?.tasks.get(task_id)
    }

    /// All live tasks, by framework.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.frameworks
            .values()
            .flat_map(|framework| framework.tasks.values())
    }

    /// What tasks and executors hold of an agent.
    #[must_use]
    pub fn agent_allocated(&self, agent: &Agent) -> Resources {
        let mut sum = Resources::new();
        for (framework_id, task_id) in &agent.tasks {
            if let Some(task) = self.task(framework_id, task_id)
                && task.holds_resources()
            {
                sum.add_all(&task.resources);
            }
        }
        for executor in agent.executors.values() {
            sum.add_all(&executor.resources);
        }
        sum
    }

    /// What is offered of an agent.
    #[must_use]
    pub fn agent_offered(&self, agent: &Agent) -> Resources {
        let offers = agent.offers.iter().filter_map(|id| self.offers.get(id));
        offers.map(|offer| &offer.resources).sum()
    }

    /// What a framework's tasks and executors hold.
    #[must_use]
    pub fn framework_allocated(&self, framework: &Framework) -> Resources {
        let held = framework
            .tasks
            .values()
            .filter(|task| task.holds_resources());
        let mut sum: Resources = held.map(|task| &task.resources).sum();
        for (agent_id, executor_id) in &framework.executors {
            let key = (framework.id.clone(), executor_id.clone());
            if let Some(executor) = self
                .agents
                .get(agent_id)
                .and_then(|agent| agent.executors.get(&key))
            {
                sum.add_all(&executor.resources);
            }
        }
        sum
    }

    /// What a framework is offered.
    #[must_use]
    pub fn framework_offered(&self, framework: &Framework) -> Resources {
        let offers = framework.offers.iter().filter_map(|id| self.offers.get(id));
        offers.map(|offer| &offer.resources).sum()
    }
}
