//! Agents that come back, and what they bring: the master believes what an agent says that it runs,
//! and names what it should run but does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{AgentId, ConnectionId, ExecutorId, FrameworkId, TaskId};
use crate::proto::link::from_master::Message as FromMaster;
use crate::proto::v1::TaskState;
use crate::proto::v1::task_status::Reason;
use crate::proto::{link, v1};
use crate::registry::Operation;
use crate::resources::Resources;
use crate::validation::agent::{ValidAgent, check};
use crate::validation::framework;

use super::agent::{AgentStatus, Executor, TaskKey};
use super::core::{Master, Step};
use super::effect::Effect;
use super::events::master_status;
use super::kill::kill_message;
use super::pending::{Pending, with_id};
use super::register::LinkStage;
use super::task::{Forwarded, Task};
use super::timer::TimerKey;

/// What followed from the tasks that an agent reported.
#[derive(Debug, Default)]
struct Adopted {
    /// Tasks that were given up and are back.
    returning: Vec<TaskKey>,
    /// Tasks whose ids were used again elsewhere meanwhile.
    duplicates: Vec<TaskKey>,
    /// Tasks that the agent should have reported.
    missing: Vec<link::ReconcileTasks>,
}

impl Master {
    /// An agent that has an id. What is wrong is logged and the link closed; the agent tries again.
    pub(super) fn reregister(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        stage: &LinkStage,
        message: link::Reregister,
    ) {
        self.metrics.messages_reregister_slave += 1;
        if *stage == LinkStage::Registering {
            return;
        }
        let hostname = message.agent.hostname.clone();
        let agent_id = match check(&message.agent, &message.total) {
            Ok(ValidAgent { id: Some(id), .. }) => id,
            Ok(_) => {
                tracing::warn!(hostname, "an agent registers again without an id, refused");
                self.close_link(step, connection);
                return;
            }
            Err(error) => {
                tracing::warn!(hostname, %error, "registration of an agent refused");
                self.close_link(step, connection);
                return;
            }
        };
        if let Some(problem) = self.domain_problem(&message.agent) {
            tracing::warn!(hostname, problem, "registration of an agent refused");
            self.close_link(step, connection);
            return;
        }
        if self.gone.contains_key(&agent_id) {
            let text = format!("agent {agent_id} was marked gone");
            self.turn_away(step, connection, &hostname, text);
            return;
        }
        if self.is_machine_down(&message.agent, &self.peer(connection)) {
            let text = "the machine is down for maintenance".to_owned();
            self.turn_away(step, connection, &hostname, text);
            return;
        }
        if self.writing.contains(&agent_id) {
            tracing::info!(%agent_id, "agent registers while the registry is being told of it");
            self.close_link(step, connection);
            return;
        }
        let operation = match self.agents.get(&agent_id) {
            Some(agent) if agent.info.hostname != hostname => {
                self.refuse_impostor(step, connection, &agent_id, &hostname);
                return;
            }
            Some(agent) if *agent.info == message.agent => {
                self.readmitted(step, connection, &agent_id, message);
                return;
            }
            Some(_) => Operation::UpdateAgent {
                agent_id: agent_id.clone(),
                info: with_id(&message.agent, &agent_id),
            },
            None => Operation::MarkReachable {
                agent_id: agent_id.clone(),
                info: with_id(&message.agent, &agent_id),
            },
        };
        self.set_stage(connection, LinkStage::Registering);
        self.writing.insert(agent_id.clone());
        let message = Box::new(message);
        let pending = Pending::Return {
            connection,
            agent_id,
            message,
        };
        self.persist(step, operation, pending);
    }

    /// An id that belongs to a registered agent, from another host.
    fn refuse_impostor(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        agent_id: &AgentId,
        hostname: &str,
    ) {
        let text = format!("agent {agent_id} is registered from another host");
        self.turn_away(step, connection, hostname, text);
    }

    /// The registry knows that the agent is back.
    pub(super) fn readmitted(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        agent_id: &AgentId,
        message: link::Reregister,
    ) {
        let was_unreachable = self.unreachable.remove(agent_id).is_some();
        if !self.links.contains_key(&connection) {
            self.returned_and_gone(step, agent_id, &message.agent);
            return;
        }
        let Ok(valid) = check(&message.agent, &message.total) else {
            return;
        };
        self.metrics.slave_reregistrations += 1;
        self.cancel_removal(step, agent_id);
        self.cancel_timer(step, TimerKey::Reregistration(agent_id.clone()));
        self.recovered.remove(agent_id);
        let info = with_id(&message.agent, agent_id);
        let stayed = self.agents.contains_key(agent_id);
        if stayed {
            self.take_over(step, connection, agent_id, info, valid, &message.version);
        } else {
            let version = message.version.clone();
            self.insert_agent(step, connection, agent_id, info, valid, version);
        }
        let at = step.now.wall;
        let draining = self.standing(agent_id).drain.is_some();
        if let Some(agent) = self.agent_mut(agent_id) {
            agent.reregistered = Some(at);
            if draining && agent.drain_started.is_none() {
                agent.drain_started = Some(at);
            }
        }
        self.adopt(step, connection, agent_id, message, stayed);
        if was_unreachable {
            let text = "the agent is back without the task";
            let (state, reason) = (TaskState::TaskGone, Reason::AgentReregistered);
            self.give_up_parked(step, agent_id, state, reason, text);
        }
        self.follow_standing(step, agent_id);
        self.start_pings(step, agent_id);
        self.publish_agent(step, agent_id);
        tracing::info!(%agent_id, was_unreachable, "agent registered again");
    }

    /// The link broke while the registry was being told.
    fn returned_and_gone(&mut self, step: &mut Step<'_>, agent_id: &AgentId, info: &v1::AgentInfo) {
        let info = with_id(info, agent_id);
        if let Some(agent) = self.agent_mut(agent_id) {
            agent.info = info;
            return;
        }
        self.recovered.insert(agent_id.clone(), info);
        let deadline = step.now.mono.after(self.config.agent_reregister_timeout);
        self.set_timer(step, TimerKey::Reregistration(agent_id.clone()), deadline);
    }

    /// A known agent comes over a new link.
    fn take_over(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        agent_id: &AgentId,
        info: Arc<v1::AgentInfo>,
        valid: ValidAgent,
        version: &str,
    ) {
        self.rescind_offers_of(step, agent_id);
        let former = self
            .agents
            .get(agent_id)
            .and_then(|agent| agent.status.connection());
        if let Some(former) = former.filter(|former| *former != connection) {
            self.close_link(step, former);
        }
        self.set_stage(connection, LinkStage::Registered(agent_id.clone()));
        let peer = self.peer(connection);
        let address = self.address(connection, &info);
        self.leave_address(agent_id);
        self.addresses.insert(address.clone(), agent_id.clone());
        let maintained = self.maintained(&info, &peer);
        self.set_maintained(agent_id, maintained);
        self.plan_inverse_offers(step, false);
        if let Some(agent) = self.agent_mut(agent_id) {
            let next = AgentStatus::Active(connection);
            assert!(agent.status.may_follow(next), "{agent_id}: {next:?}");
            agent.status = next;
            agent.info = info;
            version.clone_into(&mut agent.version);
            agent.peer = peer;
            agent.address = address;
            agent.total = valid.total;
        }
    }

    /// Makes the records agree with what the agent reports, and answers it. An agent that `stayed`
    /// was known all the time: a task that it brings was given up before.
    fn adopt(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        agent_id: &AgentId,
        message: link::Reregister,
        stayed: bool,
    ) {
        for info in &message.frameworks {
            self.adopt_framework(step, agent_id, info);
        }
        self.adopt_executors(agent_id, &message.executors);
        let mut adopted = Adopted::default();
        if !planted!(self, ForgetTaskOnReregister) {
            self.adopt_tasks(step, agent_id, message.tasks, stayed, &mut adopted);
        }
        let operations = self.adopt_operations(step, agent_id, message.operations);
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let (spec, used) = (self.agent_spec(agent_id), self.used_on(agent));
        self.allocator.readd_agent(agent_id.clone(), spec, &used);
        let answer = FromMaster::Reregistered(link::Reregistered {
            agent_id: agent_id.into(),
            master: v1::MasterInfo::clone(&self.info),
            epoch: self.config.epoch,
            total_ping_timeout_seconds: self.ping_timeout().as_secs_f64(),
            reconciliations: adopted.missing,
            operations,
        });
        step.push(Effect::ToAgent {
            connection,
            message: Box::new(answer),
        });
        self.follow_up(step, agent_id, &message.frameworks);
        for (framework_id, task_id) in adopted.duplicates {
            let kill = kill_message(&framework_id, &task_id, None);
            self.send_agent(step, agent_id, kill);
        }
        for (framework_id, task_id) in adopted.returning {
            self.tell_returned(step, &framework_id, &task_id);
        }
    }

    /// What the agent has to be told after its answer: frameworks that ended or changed while it
    /// was away, and kills that wait.
    fn follow_up(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        frameworks: &[v1::FrameworkInfo],
    ) {
        for info in frameworks {
            let Some(framework_id) = info.id.as_ref().map(|id| FrameworkId::new(&*id.value)) else {
                continue;
            };
            let message = match self.frameworks.get(&framework_id) {
                Some(framework) if *framework.info == *info => continue,
                Some(framework) => FromMaster::UpdateFramework(link::UpdateFramework {
                    framework: v1::FrameworkInfo::clone(&framework.info),
                }),
                None => FromMaster::ShutdownFramework(link::ShutdownFramework {
                    framework_id: (&framework_id).into(),
                }),
            };
            self.send_agent(step, agent_id, message);
        }
        let kills = self
            .agent_mut(agent_id)
            .map(|agent| std::mem::take(&mut agent.kills));
        for ((framework_id, task_id), policy) in kills.into_iter().flatten() {
            let message = kill_message(&framework_id, &task_id, policy);
            self.send_agent(step, agent_id, message);
        }
    }

    /// A framework that this master has not heard of runs on: until its scheduler comes.
    fn adopt_framework(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        info: &v1::FrameworkInfo,
    ) {
        let valid = match framework::check(info, &[], None) {
            Ok(valid) => valid,
            Err(error) => {
                tracing::warn!(%agent_id, %error, "the agent reports a framework that is not valid");
                return;
            }
        };
        let Some(framework_id) = valid.id.clone() else {
            return;
        };
        if !self.frameworks.contains_key(&framework_id) && !self.completed.contains(&framework_id) {
            self.add_framework(step, &framework_id, info, valid, None);
        }
    }

    fn adopt_executors(&mut self, agent_id: &AgentId, reported: &[v1::ExecutorInfo]) {
        let mut alive = BTreeSet::new();
        for info in reported {
            let framework_id = info.framework_id.as_ref();
            let framework_id = framework_id.map(|id| FrameworkId::new(&*id.value));
            let Some(framework_id) = framework_id.filter(|id| self.frameworks.contains_key(id))
            else {
                continue;
            };
            let executor_id = ExecutorId::new(&*info.executor_id.value);
            let key = (framework_id.clone(), executor_id.clone());
            alive.insert(key.clone());
            let known = self
                .agents
                .get(agent_id)
                .is_some_and(|agent| agent.executors.contains_key(&key));
            if known {
                continue;
            }
            match Resources::from_proto(&info.resources) {
                Ok(resources) => {
                    let record = Executor {
                        info: Arc::new(info.clone()),
                        resources,
                    };
                    self.insert_executor(&framework_id, agent_id, &executor_id, record);
                }
                Err(error) => {
                    tracing::warn!(%agent_id, %executor_id, %error, "executor with unreadable resources");
                }
            }
        }
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let known = agent.executors.keys();
        let ended: Vec<_> = known.filter(|key| !alive.contains(*key)).cloned().collect();
        for (framework_id, executor_id) in ended {
            if let Some(framework) = self.framework_mut(&framework_id) {
                let key = (agent_id.clone(), executor_id.clone());
                framework.executors.remove(&key);
            }
            if let Some(agent) = self.agent_mut(agent_id) {
                agent.executors.remove(&(framework_id, executor_id));
            }
        }
    }

    /// Adds and brings up to date what the agent reports, and notes what it should have reported.
    fn adopt_tasks(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        reported: Vec<v1::Task>,
        stayed: bool,
        adopted: &mut Adopted,
    ) {
        let mut seen = BTreeSet::new();
        for message in reported {
            let framework_id = FrameworkId::new(&*message.framework_id.value);
            let task_id = TaskId::new(&*message.task_id.value);
            let key = (framework_id.clone(), task_id.clone());
            let Some(framework) = self.framework_mut(&framework_id) else {
                continue;
            };
            match framework
                .tasks
                .get(&task_id)
                .map(|known| known.agent_id == *agent_id)
            {
                Some(true) => {
                    if let (Some(next), Some(task)) =
                        (next_update(&message), framework.tasks.get_mut(&task_id))
                        && task.forwarded.is_none()
                    {
                        Arc::make_mut(task).forwarded = Some(next);
                    }
                    let newest = TaskState::try_from(message.state);
                    let status = message.statuses.last().cloned();
                    if let (Ok(newest), Some(status)) = (newest, status) {
                        self.note_progress(step, &framework_id, &task_id, newest, &status);
                    }
                    seen.insert(key);
                }
                Some(false) => adopted.duplicates.push(key),
                None => {
                    let parked = framework.unreachable_tasks.remove(&task_id);
                    let came_back = parked.is_some_and(|parked| parked.agent_id == *agent_id);
                    if let Some(task) = read_task(&framework_id, agent_id, message) {
                        if (came_back || stayed) && !task.state.is_terminal() {
                            adopted.returning.push(key.clone());
                        }
                        self.insert_task(Arc::new(task));
                        seen.insert(key);
                    }
                }
            }
        }
        let Some(agent) = self.agents.get(agent_id) else {
            return;
        };
        let mut missing: BTreeMap<FrameworkId, Vec<v1::TaskId>> = BTreeMap::new();
        for (framework_id, task_id) in agent.tasks.iter().filter(|key| !seen.contains(*key)) {
            let tasks = missing.entry(framework_id.clone()).or_default();
            tasks.push(task_id.into());
        }
        let missing = missing.into_iter().filter_map(|(framework_id, tasks)| {
            let framework = v1::FrameworkInfo::clone(&self.frameworks.get(&framework_id)?.info);
            Some(link::ReconcileTasks { framework, tasks })
        });
        adopted.missing.extend(missing);
    }

    /// A task that both know went on while the link was down. Its resources are free if it ended;
    /// the scheduler hears of it by the agent's own updates.
    fn note_progress(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        newest: TaskState,
        status: &v1::TaskStatus,
    ) {
        let framework = self.frameworks.get(framework_id);
        let known = framework.and_then(|framework| framework.tasks.get(task_id));
        if known.is_some_and(|known| known.state != newest) {
            self.record_status(step, framework_id, task_id, newest, status);
        }
    }

    /// Tells a scheduler that a task that was unreachable is back.
    fn tell_returned(&mut self, step: &mut Step<'_>, framework_id: &FrameworkId, task_id: &TaskId) {
        let framework = self.frameworks.get(framework_id);
        let Some(task) = framework.and_then(|framework| framework.tasks.get(task_id)) else {
            return;
        };
        let status = master_status(
            task_id,
            Some(&task.agent_id),
            task.state,
            Reason::AgentReregistered,
            "the agent is back",
            step.now.wall,
        );
        if let Some(connection) = self.connection_of(framework_id) {
            step.send_update(connection, status);
        }
    }

    /// Tasks that were unreachable with an agent, and that it did not bring back or cannot, are gone.
    pub(super) fn give_up_parked(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        state: TaskState,
        reason: Reason,
        text: &str,
    ) {
        let mut gone = Vec::new();
        for framework in self.frameworks.values() {
            let parked = framework.unreachable_tasks.iter();
            let here = parked.filter(|(_, task)| task.agent_id == *agent_id);
            gone.extend(here.map(|(task_id, _)| (framework.id.clone(), task_id.clone())));
        }
        for (framework_id, task_id) in gone {
            let Some(framework) = self.framework_mut(&framework_id) else {
                continue;
            };
            let Some(mut record) = framework.unreachable_tasks.remove(&task_id) else {
                continue;
            };
            let connection = framework.status.connection();
            let told = record.state.is_terminal();
            let status = master_status(
                &task_id,
                Some(agent_id),
                framework.loss(state),
                reason,
                text,
                step.now.wall,
            );
            if !told {
                let task = Arc::make_mut(&mut record);
                task.state = status.state();
                task.record_status(status.clone());
            }
            framework.complete(record);
            if let (Some(connection), false) = (connection, told) {
                self.metrics.count_task(status.state(), &status);
                step.send_update(connection, status);
            }
        }
    }
}

/// How far a task's updates are: its newest state may be ahead of them, and they go on where they were.
fn next_update(message: &v1::Task) -> Option<Forwarded> {
    let state = TaskState::try_from(message.status_update_state?).ok()?;
    Some(Forwarded { state, uuid: None })
}

/// A task as an agent reports it; none if it makes no sense, which is logged.
fn read_task(
    framework_id: &FrameworkId,
    agent_id: &AgentId,
    mut message: v1::Task,
) -> Option<Task> {
    let task_id = TaskId::new(&*message.task_id.value);
    let state = TaskState::try_from(message.state).ok()?;
    let resources = match Resources::from_proto(&message.resources) {
        Ok(resources) => resources,
        Err(error) => {
            tracing::warn!(%agent_id, %task_id, %error, "task with unreadable resources");
            return None;
        }
    };
    let statuses = std::mem::take(&mut message.statuses);
    // As it was read it has room for twice as many, and each is large.
    message.resources.shrink_to_fit();
    let executor_id = message.executor_id.as_ref();
    let executor_id = executor_id.map(|id| ExecutorId::new(&*id.value));
    let forwarded = next_update(&message);
    let mut task = Task {
        id: task_id,
        framework_id: framework_id.clone(),
        agent_id: agent_id.clone(),
        executor_id,
        resources,
        state,
        statuses: Vec::new(),
        forwarded,
        description: Arc::new(message),
    };
    for status in statuses {
        task.record_status(status);
    }
    Some(task)
}
