//! An immutable view of the master for readers: shared records, cheap to take, encoded elsewhere.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use prost::Message as _;

use crate::allocator::AllocatorMetrics;
use crate::base::{AgentId, FrameworkId, Instant, OfferId, TaskId, Timestamp};
use crate::proto::v1;
use crate::quota::Quota;
use crate::registry::{MachineId, Maintenance, Standing};
use crate::resources::{Quantities, Resources};
use crate::roles::{Role, Weight};

use super::agent::Agent;
use super::framework::Framework;
use super::history::History;
use super::inverse::{InverseAnswer, InverseKey, InverseOffer};
use super::metrics::Metrics;
use super::offer::Offer;
use super::quota::Consumption;
use super::task::Task;

/// The state of a master at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows whenever something may have changed.
    pub version: u64,
    /// When it was taken.
    pub taken: Timestamp,
    /// The same on the clock that knows since when offers are held.
    pub taken_mono: Instant,
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
    /// Agents that an operator gave up for good, since when.
    pub gone_agents: OrdMap<AgentId, Timestamp>,
    /// Agents that were drained or deactivated.
    pub standings: OrdMap<AgentId, Standing>,
    /// Weights that are set; the others are 1.
    pub weights: OrdMap<Role, Weight>,
    /// Quotas that are set.
    pub quotas: OrdMap<Role, Quota>,
    /// Which machines are maintained.
    pub maintenance: Arc<Maintenance>,
    /// Outstanding inverse offers.
    pub inverse_offers: OrdMap<InverseKey, InverseOffer>,
    /// The last answers to inverse offers.
    pub inverse_answers: OrdMap<InverseKey, InverseAnswer>,
    /// Frameworks, connected or not.
    pub frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    /// Frameworks that are gone, the last ones.
    pub completed_frameworks: History<FrameworkId, Framework>,
    /// Outstanding offers.
    pub offers: OrdMap<OfferId, Arc<Offer>>,
    /// What was counted so far.
    pub metrics: Metrics,
    /// What the allocator has counted.
    pub allocator: AllocatorMetrics,
    /// Whether metrics have each framework's own.
    pub frameworks_published: bool,
    /// How many agents the next allocation pass will look at.
    pub allocation_candidates: usize,
    /// How many filters of declined offers there are.
    pub offer_filters: usize,
}

impl Snapshot {
    /// When the master was elected: without rivals, when it started.
    #[must_use]
    pub fn elected(&self) -> Timestamp {
        self.started
    }

    /// Bytes of what the registry holds of agents.
    #[must_use]
    pub fn registry_size(&self) -> usize {
        let admitted = self.agents.values().map(|agent| &agent.info);
        let admitted = admitted.chain(self.recovered_agents.values());
        let admitted: usize = admitted.map(|info| info.encoded_len()).sum();
        let given_up = self.unreachable_agents.keys();
        let given_up = given_up.chain(self.gone_agents.keys());
        let given_up = given_up.map(|id| id.as_str().len() + size_of::<Timestamp>());
        admitted + given_up.sum::<usize>()
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
        let tasks = agent.tasks.iter();
        let mut sum = held(tasks.filter_map(|(framework, task)| self.task(framework, task)));
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
        let mut sum = held(framework.tasks.values());
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

    /// Where an agent stands by an operator's word.
    #[must_use]
    pub fn standing(&self, agent_id: &AgentId) -> Standing {
        self.standings.get(agent_id).copied().unwrap_or_default()
    }

    /// What each role, with all roles below it, has of what quota counts: its reservations and what it
    /// holds of the rest; offers do not count. Roles that have nothing are absent.
    #[must_use]
    pub fn quota_consumption(&self) -> BTreeMap<Role, Quantities> {
        let mut all = Consumption::default();
        for agent in self.agents.values() {
            all.add(&agent.total, &self.agent_allocated(agent));
        }
        all.into_roles()
    }

    /// The machines that wait for maintenance, with what frameworks say to it, and those that are down.
    #[must_use]
    pub fn maintenance_status(&self) -> v1::maintenance::ClusterStatus {
        let mut answers: BTreeMap<&MachineId, Vec<v1::allocator::InverseOfferStatus>> =
            BTreeMap::new();
        for ((framework_id, _), answer) in &self.inverse_answers {
            let statuses = answers.entry(&answer.machine).or_default();
            statuses.push(answer.to_proto(framework_id));
        }
        let draining = |machine: &MachineId| v1::maintenance::cluster_status::DrainingMachine {
            id: machine.to_proto(),
            statuses: answers.get(machine).cloned().unwrap_or_default(),
        };
        v1::maintenance::ClusterStatus {
            draining_machines: self.maintenance.draining().map(draining).collect(),
            down_machines: self
                .maintenance
                .down()
                .iter()
                .map(MachineId::to_proto)
                .collect(),
        }
    }

    /// How long a framework has held the offer that it has held longest.
    #[must_use]
    pub fn longest_held(&self, framework: &Framework) -> Option<Duration> {
        let offers = framework.offers.iter().filter_map(|id| self.offers.get(id));
        let longest = offers.map(|offer| offer.since).min();
        longest.map(|since| self.taken_mono.since(since))
    }

    /// What a framework is offered.
    #[must_use]
    pub fn framework_offered(&self, framework: &Framework) -> Resources {
        let offers = framework.offers.iter().filter_map(|id| self.offers.get(id));
        offers.map(|offer| &offer.resources).sum()
    }
}

/// What these tasks hold. Some are looked at together before they are summed: they lie all over the memory, and
/// a processor waits for several at once.
fn held<'a>(tasks: impl Iterator<Item = &'a Arc<Task>>) -> Resources {
    let tasks: Vec<&Arc<Task>> = tasks.collect();
    let mut sum = Resources::new();
    for some in tasks.chunks(16) {
        let states = some.iter().map(|task| task.state as usize);
        black_box(states.sum::<usize>());
        let items = some.iter().flat_map(|task| &task.resources);
        black_box(items.map(|item| item.name().as_str().len()).sum::<usize>());
        for task in some.iter().filter(|task| task.holds_resources()) {
            sum.add_all(&task.resources);
        }
    }
    sum
}
