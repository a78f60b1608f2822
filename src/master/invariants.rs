//! What must hold between two steps. Costs as much as the cluster is large: for tests.

use std::collections::BTreeMap;

use crate::base::{AgentId, FrameworkId};
use crate::resources::Resources;

use super::agent::{Agent, AgentStatus};
use super::core::Master;
use super::register::LinkStage;
use super::timer::TimerKey;

impl Master {
    /// Panics with a message when the state contradicts itself.
    ///
    /// - On every agent, what the allocator counts as allocated is the sum of offers, of tasks that
    ///   have not ended and of executors, by framework.
    /// - Every offer, task and executor is indexed by its framework and its agent, once.
    /// - Streams and links belong to those who think so; timers refer to what lives.
    pub fn check_invariants(&self) {
        self.allocator.check_invariants();
        for (id, agent) in &self.agents {
            self.check_agent(id, agent);
        }
        for framework_id in self.frameworks.keys() {
            self.check_framework(framework_id);
        }
        for (id, offer) in &self.offers {
            let framework = &self.frameworks[&offer.framework_id];
            assert!(framework.offers.contains(id), "offer {id} of its framework");
            assert!(
                framework.is_connected(),
                "offer {id} of a connected framework"
            );
            let agent = &self.agents[&offer.agent_id];
            assert!(agent.offers.contains(id), "offer {id} of its agent");
            assert!(agent.is_active(), "offer {id} of an active agent");
            let standing = self.standing(&offer.agent_id);
            assert!(
                !standing.deactivated,
                "offer {id} of an agent that is not deactivated"
            );
            assert!(!offer.resources.is_empty(), "offer {id} is empty");
            assert_eq!(offer.resources.allocated_role(), Some(&offer.role));
        }
        for ((framework_id, id), (agent_id, uuid)) in &self.operation_ids {
            let record = &self.agents[agent_id].operations[uuid];
            assert_eq!(
                record.framework_id.as_ref(),
                Some(framework_id),
                "operation {id}"
            );
            assert_eq!(record.id().as_ref(), Some(id), "operation {id}");
        }
        for (address, agent_id) in &self.addresses {
            assert_eq!(
                *address, self.agents[agent_id].address,
                "of agent {agent_id}"
            );
        }
        self.check_connections();
        self.inverse.check_invariants();
        for agent_id in &self.inverse.agents {
            let agent = &self.agents[agent_id];
            assert!(
                agent.maintained.is_some(),
                "agent {agent_id} waits for maintenance"
            );
        }
        for agent_id in self.gone.keys() {
            assert!(
                !self.agents.contains_key(agent_id),
                "agent {agent_id} is gone"
            );
            assert!(
                !self.unreachable.contains_key(agent_id),
                "agent {agent_id} is gone"
            );
        }
        for key in &self.timers {
            let alive = match key {
                TimerKey::Watch => true,
                TimerKey::Allocation => self.allocation_at.is_some(),
                TimerKey::Ping(id) => self.agents.contains_key(id),
                TimerKey::Reregistration(id) => {
                    self.recovered.contains_key(id)
                        || self.agents.get(id).map(|agent| agent.status)
                            == Some(AgentStatus::Disconnected)
                }
                TimerKey::Failover(id) => self
                    .frameworks
                    .get(id)
                    .is_some_and(|framework| !framework.is_connected()),
                TimerKey::OrphanOperations(id) => self.agents.contains_key(id),
                TimerKey::OfferExpired(id) => {
                    self.offers.contains_key(id) || self.inverse.is_outstanding(id)
                }
                TimerKey::Removal => !self.removals.waiting.is_empty(),
                TimerKey::RegistryGc => true,
                TimerKey::InverseOffers => !self.inverse.agents.is_empty(),
                TimerKey::RecoveryHold => self.held_for.is_some(),
            };
            assert!(alive, "timer {key:?} refers to nothing");
        }
    }

    fn check_agent(&self, id: &AgentId, agent: &Agent) {
        let mut held: BTreeMap<FrameworkId, Resources> = self.used_on(agent);
        for offer_id in &agent.offers {
            let offer = &self.offers[offer_id];
            assert_eq!(offer.agent_id, *id, "offer {offer_id} of agent {id}");
            let sum = held.entry(offer.framework_id.clone()).or_default();
            sum.add_all(&offer.resources);
        }
        assert_eq!(
            self.allocator.allocations(id),
            held,
            "agent {id}: the allocator's allocated (left) and offers, tasks and executors (right)"
        );
        assert_eq!(
            self.allocator.total(id),
            Some(&agent.total),
            "agent {id}: the allocator's total and the master's"
        );
        for (framework_id, task_id) in &agent.tasks {
            let task = &self.frameworks[framework_id].tasks[task_id];
            assert_eq!(task.agent_id, *id, "task {task_id} of agent {id}");
        }
        for (framework_id, executor_id) in agent.executors.keys() {
            let framework = &self.frameworks[framework_id];
            let key = (id.clone(), executor_id.clone());
            assert!(framework.executors.contains(&key), "executor {executor_id}");
        }
        assert!(
            !self.unreachable.contains_key(id),
            "agent {id} is reachable"
        );
        assert!(!self.recovered.contains_key(id), "agent {id} is here");
        let waits = self.timers.contains(&TimerKey::Ping(id.clone()));
        let leaves = agent.status == AgentStatus::Leaving;
        assert_eq!(waits, !leaves, "agent {id}: pinged unless it leaves");
        assert!(!leaves || self.writing.contains(id), "agent {id} leaves");
    }

    fn check_framework(&self, id: &FrameworkId) {
        let framework = &self.frameworks[id];
        assert!(!self.completed.contains(id), "framework {id} lives");
        for (task_id, task) in &framework.tasks {
            assert!(
                !framework.unreachable_tasks.contains(task_id),
                "task {task_id}"
            );
            let key = (id.clone(), task_id.clone());
            assert!(
                self.agents[&task.agent_id].tasks.contains(&key),
                "task {task_id}"
            );
        }
        for (agent_id, executor_id) in &framework.executors {
            let key = (id.clone(), executor_id.clone());
            let agent = &self.agents[agent_id];
            assert!(agent.executors.contains_key(&key), "executor {executor_id}");
        }
        for offer_id in &framework.offers {
            assert_eq!(self.offers[offer_id].framework_id, *id, "offer {offer_id}");
        }
        if let Some(connection) = framework.status.connection() {
            assert_eq!(self.schedulers.get(&connection), Some(id), "framework {id}");
        }
    }

    fn check_connections(&self) {
        for (connection, framework_id) in &self.schedulers {
            let framework = &self.frameworks[framework_id];
            assert_eq!(framework.status.connection(), Some(*connection));
        }
        for connection in self.reconciling.keys() {
            assert!(self.schedulers.contains_key(connection), "who asks is here");
        }
        for (connection, link) in &self.links {
            if let LinkStage::Registered(agent_id) = &link.stage {
                let agent = &self.agents[agent_id];
                assert_eq!(agent.status, AgentStatus::Active(*connection), "{agent_id}");
            }
        }
    }
}
