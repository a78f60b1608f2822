//! Whether agents are there: pings, broken links, and what it means when one is not.

use std::time::Duration;

use crate::base::{AgentId, ConnectionId, FrameworkId, OfferId, RequestId, TaskId};
use crate::proto::link;
use crate::proto::link::from_master::Message as FromMaster;
use crate::proto::v1::TaskState;
use crate::proto::v1::task_status::Reason;
use crate::registry::Operation;

use super::agent::{AgentStatus, TaskKey};
use super::core::{Master, Step};
use super::effect::{Effect, OperatorEvent};
use super::events::master_status;
use super::pending::{Departure, Pending};
use super::reconcile::time;
use super::register::LinkStage;
use super::timer::TimerKey;

impl Master {
    /// How long an agent may be silent.
    pub(super) fn ping_timeout(&self) -> Duration {
        self.config.agent_ping_timeout * self.config.agent_ping_timeouts_max
    }

    /// Starts to ping an agent whose link has come up.
    pub(super) fn start_pings(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        if let Some(agent) = self.agent_mut(agent_id) {
            agent.pings_missed = 0;
            agent.ping_pending = false;
        }
        self.ping(step, agent_id);
    }

    /// Time for the next ping: one that was not answered counts, and so does a link that is down.
    pub(super) fn ping(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let missed_max = self.config.agent_ping_timeouts_max;
        let here = self.agents.get(agent_id);
        if here.is_some_and(|agent| self.is_machine_down(&agent.info, &agent.peer)) {
            self.leave(step, agent_id, Departure::MachineDown, None);
            return;
        }
        let Some(agent) = self.agent_mut(agent_id) else {
            return;
        };
        if agent.status == AgentStatus::Leaving {
            return;
        }
        if agent.ping_pending || !agent.is_active() {
            agent.pings_missed += 1;
        }
        if agent.pings_missed >= missed_max {
            tracing::warn!(%agent_id, "agent does not answer");
            self.give_up(step, agent_id);
        }
        // It may have to wait for its turn: whoever answers meanwhile stays.
        let Some(agent) = self.agent_mut(agent_id) else {
            return;
        };
        if agent.status == AgentStatus::Leaving {
            return;
        }
        agent.ping += 1;
        agent.ping_pending = true;
        let message = FromMaster::Ping(link::Ping {
            sequence: agent.ping,
        });
        self.send_agent(step, agent_id, message);
        let next = step.now.mono.after(self.config.agent_ping_timeout);
        self.set_timer(step, TimerKey::Ping(agent_id.clone()), next);
    }

    /// An agent's answer to a ping.
    pub(super) fn pong(&mut self, step: &mut Step<'_>, agent_id: &AgentId, message: &link::Pong) {
        if let Some(agent) = self.agent_mut(agent_id)
            && agent.ping == message.sequence
        {
            agent.ping_pending = false;
            agent.pings_missed = 0;
            self.cancel_removal(step, agent_id);
        }
    }

    /// A link ended. The agent's tasks are believed to run on, but for those of frameworks that do
    /// not checkpoint: their executors end with the agent.
    pub(super) fn agent_disconnected(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        let Some(link) = self.links.remove(&connection) else {
            return;
        };
        let LinkStage::Registered(agent_id) = link.stage else {
            return;
        };
        let Some(agent) = self.agent_mut(&agent_id) else {
            return;
        };
        if agent.status != AgentStatus::Active(connection) {
            return;
        }
        agent.status = AgentStatus::Disconnected;
        tracing::info!(%agent_id, "agent disconnected");
        self.allocator.deactivate_agent(&agent_id);
        self.rescind_offers_of(step, &agent_id);
        self.lose_unsaved(step, &agent_id);
        let deadline = step.now.mono.after(self.config.agent_reregister_timeout);
        self.set_timer(step, TimerKey::Reregistration(agent_id), deadline);
    }

    /// Takes back all offers of an agent's resources.
    pub(super) fn rescind_offers_of(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        if planted!(self, SkipRescindOnAgentLoss) {
            return;
        }
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let offers: Vec<OfferId> = agent.offers.iter().cloned().collect();
        for offer_id in offers {
            self.rescind(step, &offer_id);
        }
    }

    /// Tasks and executors of frameworks without checkpointing are lost with their agent's link.
    fn lose_unsaved(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let unsaved = |framework_id: &FrameworkId| {
            let framework = self.frameworks.get(framework_id);
            framework.is_some_and(|framework| !framework.info.checkpoint())
        };
        let tasks: Vec<TaskKey> = agent
            .tasks
            .iter()
            .filter(|key| unsaved(&key.0))
            .cloned()
            .collect();
        let executors = agent.executors.keys().filter(|key| unsaved(&key.0));
        let executors: Vec<_> = executors.cloned().collect();
        for (framework_id, task_id) in tasks {
            let (state, reason) = (TaskState::TaskLost, Reason::AgentDisconnected);
            let text = "the agent disconnected and the framework does not checkpoint";
            self.end_task(step, agent_id, &framework_id, &task_id, state, reason, text);
        }
        for (framework_id, executor_id) in executors {
            self.remove_executor(step, &framework_id, agent_id, &executor_id);
            if let Some(connection) = self.connection_of(&framework_id) {
                step.send_failure(connection, agent_id, Some((&executor_id, -1)));
            }
        }
    }

    /// Ends a task by the master's own word and moves it to the history; a task that has ended
    /// already is only moved.
    #[expect(clippy::too_many_arguments, reason = "all parts of one status")]
    fn end_task(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        state: TaskState,
        reason: Reason,
        text: &str,
    ) {
        let framework = self.frameworks.get(framework_id);
        let task = framework.and_then(|framework| framework.tasks.get(task_id));
        if task.is_some_and(|task| !task.state.is_terminal()) {
            let at = step.now.wall;
            let status = master_status(task_id, Some(agent_id), state, reason, text, at);
            self.record_status(step, framework_id, task_id, state, &status);
            self.forward_status(step, framework_id, task_id, status);
        }
        self.complete_task(framework_id, task_id);
    }

    /// Nobody came back in time.
    pub(super) fn reregistration_timed_out(&mut self, step: &mut Step<'_>, agent_id: &AgentId) {
        let status = self.agents.get(agent_id).map(|agent| agent.status);
        if self.recovered.contains_key(agent_id) && self.spares_recovered(step, agent_id) {
            return;
        }
        if self.recovered.contains_key(agent_id) || status == Some(AgentStatus::Disconnected) {
            self.give_up(step, agent_id);
        }
    }

    /// Has the registry told that an agent leaves; until then its tasks stay as they are. Nothing
    /// happens while the registry is being told something else of the agent.
    /// `request` is answered when the registry knows.
    pub(super) fn leave(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        departure: Departure,
        request: Option<RequestId>,
    ) {
        if !self.writing.insert(agent_id.clone()) {
            // The write under way decides first; the timers come again.
            let again = step.now.mono.after(self.config.agent_ping_timeout);
            self.set_timer(step, TimerKey::Ping(agent_id.clone()), again);
            return;
        }
        self.allocator.deactivate_agent(agent_id);
        self.rescind_offers_of(step, agent_id);
        self.cancel_removal(step, agent_id);
        self.cancel_timer(step, TimerKey::Ping(agent_id.clone()));
        self.cancel_timer(step, TimerKey::Reregistration(agent_id.clone()));
        let Some(agent) = self.agent_mut(agent_id) else {
            return;
        };
        let former = agent.status.connection();
        let told = matches!(departure, Departure::Gone(_) | Departure::MachineDown);
        assert!(
            agent.status.may_follow(AgentStatus::Leaving),
            "{agent_id} leaves once"
        );
        agent.status = AgentStatus::Leaving;
        if let Some(connection) = former {
            if told {
                // It is told to end when the registry knows; what it says until then does not count.
                self.set_stage(connection, LinkStage::Registering);
            } else {
                self.close_link(step, connection);
            }
        }
        let agent_id = agent_id.clone();
        let operation = match departure {
            Departure::Unreachable(at) => Operation::MarkUnreachable {
                agent_id: agent_id.clone(),
                at,
            },
            Departure::Gone(at) => Operation::MarkGone {
                agent_id: agent_id.clone(),
                at,
            },
            Departure::Unregistered | Departure::Replaced | Departure::MachineDown => {
                Operation::RemoveAgent {
                    agent_id: agent_id.clone(),
                }
            }
        };
        let pending = Pending::Leave {
            agent_id,
            departure,
            request,
            link: former.filter(|_| told),
        };
        self.persist(step, operation, pending);
    }

    /// The registry knows that an agent is gone: its tasks are unreachable or lost, its resources
    /// leave the cluster.
    pub(super) fn remove_agent(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        departure: Departure,
    ) {
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let (tasks, executors) = (agent.tasks.clone(), agent.executors.clone());
        self.lose_operations(step, agent_id, departure);
        for (framework_id, task_id) in tasks {
            self.lose_task(step, agent_id, &framework_id, &task_id, departure);
        }
        for ((framework_id, executor_id), _) in executors {
            self.remove_executor(step, &framework_id, agent_id, &executor_id);
        }
        self.metrics.slave_removals += 1;
        match departure {
            Departure::Unreachable(at) => {
                self.unreachable.insert(agent_id.clone(), at);
                self.metrics.slave_removals_unhealthy += 1;
                self.metrics.slave_unreachable_completed += 1;
            }
            Departure::Gone(at) => {
                self.note_gone(agent_id, at);
                self.metrics.slave_removals_by_operator += 1;
            }
            Departure::MachineDown => {
                self.forget_standing(agent_id);
                self.metrics.slave_removals_by_operator += 1;
            }
            Departure::Unregistered => {
                self.forget_standing(agent_id);
                self.metrics.slave_removals_unregistered += 1;
            }
            Departure::Replaced => {
                self.forget_standing(agent_id);
                self.metrics.slave_removals_registered += 1;
            }
        }
        for framework in self.frameworks.values() {
            if let Some(connection) = framework.status.connection() {
                step.send_failure(connection, agent_id, None);
            }
        }
        self.forget_inverse_offers_of(step, agent_id);
        self.inverse.agents.remove(agent_id);
        if self.inverse.agents.is_empty() {
            self.cancel_timer(step, TimerKey::InverseOffers);
        }
        self.allocator.remove_agent(agent_id);
        self.leave_address(agent_id);
        self.agents.remove(agent_id);
        tracing::info!(%agent_id, ?departure, "agent removed");
        let removed = OperatorEvent::AgentRemoved(agent_id.clone());
        step.push(Effect::Publish(removed));
    }

    fn lose_task(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        departure: Departure,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        let ended = framework
            .tasks
            .get(task_id)
            .is_none_or(|task| task.state.is_terminal());
        let reason = Reason::AgentRemoved;
        let Departure::Unreachable(at) = departure else {
            let (state, reason, text) = match departure {
                Departure::Gone(_) => (
                    TaskState::TaskGoneByOperator,
                    Reason::AgentRemovedByOperator,
                    "an operator marked the agent as gone",
                ),
                Departure::MachineDown => {
                    (TaskState::TaskGone, reason, "the agent's machine went down")
                }
                _ => (TaskState::TaskGone, reason, "the agent was removed"),
            };
            let state = framework.loss(state);
            self.end_task(step, agent_id, framework_id, task_id, state, reason, text);
            return;
        };
        if ended {
            self.complete_task(framework_id, task_id);
            return;
        }
        let state = framework.loss(TaskState::TaskUnreachable);
        let text = "the agent is unreachable";
        let mut status = master_status(task_id, Some(agent_id), state, reason, text, step.now.wall);
        status.unreachable_time = Some(time(at));
        self.record_status(step, framework_id, task_id, state, &status);
        self.forward_status(step, framework_id, task_id, status);
        self.park_task(framework_id, task_id);
    }
}
