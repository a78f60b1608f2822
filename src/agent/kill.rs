//! Ending things: tasks, executors, frameworks, the agent itself.

use std::time::Duration;

use crate::base::{ConnectionId, ContainerId, ExecutorId, FrameworkId, Now, TaskId};
use crate::proto::link;
use crate::proto::v1::{self, TaskState, task_status::Reason};

use super::checkpoint::Record;
use super::core::{Agent, Exit, Pending, TaskKey};
use super::effect::{Effect, Effects};
use super::executor::{Ending, Executor, ExecutorStatus};
use super::executors::push_event;
use super::framework::FrameworkStatus;
use super::status_updates::Report;
use super::task::Stage;
use super::timer::TimerKey;

type ExecutorKey = (FrameworkId, ExecutorId);

impl Agent {
    /// KillTask of the master.
    pub(super) fn kill_task(
        &mut self,
        now: Now,
        key: &TaskKey,
        policy: Option<v1::KillPolicy>,
        effects: &mut Effects,
    ) {
        let found = self.frameworks.get(&key.0).and_then(|framework| {
            let executor = framework.executor_of(&key.1)?;
            let task = executor.tasks.get(&key.1)?;
            Some((executor.id.clone(), task.stage, task.state))
        });
        let Some((executor_id, stage, state)) = found else {
            self.report_unknown(
                now,
                key,
                Reason::ExecutorTerminated,
                "the task to kill is not on the agent",
                effects,
            );
            return;
        };
        if state.is_terminal() {
            return;
        }
        let executor_key = (key.0.clone(), executor_id);
        match stage {
            Stage::Checkpointing | Stage::Queued => {
                self.kill_queued(now, &executor_key, &key.1, effects);
            }
            Stage::Sent => {
                let Some(executor) = self.executor_mut(&executor_key) else {
                    return;
                };
                executor.task_mut(&key.1).kill = Some(policy);
                let connection = executor.connection;
                if let Some(connection) = connection {
                    push_kill(connection, &key.1, policy, effects);
                }
            }
        }
    }

    /// A task that its executor never saw is dropped, with its whole group.
    fn kill_queued(
        &mut self,
        now: Now,
        executor_key: &ExecutorKey,
        task_id: &TaskId,
        effects: &mut Effects,
    ) {
        let Some(executor) = self.executor(executor_key) else {
            return;
        };
        let group = executor.tasks.get(task_id).and_then(|task| task.group);
        let dropped: Vec<TaskId> = executor
            .queued_tasks()
            .filter(|(id, task)| *id == task_id || (group.is_some() && task.group == group))
            .map(|(id, _)| id.clone())
            .collect();
        for task_id in dropped {
            let key = (executor_key.0.clone(), task_id);
            let report = Report::new(
                TaskState::TaskKilled,
                Reason::TaskKilledDuringLaunch,
                "killed before it was handed to its executor",
            );
            self.report(now, &key, Some(&executor_key.1), report, effects);
        }
        let useless = self.executor(executor_key).is_some_and(|executor| {
            !executor.delivered
                && executor.live_tasks().next().is_none()
                && executor.status.has_container()
        });
        if useless {
            self.end_executor(now, executor_key, Ending::Shutdown, effects);
        }
    }

    /// ShutdownExecutor of the master.
    pub(super) fn shutdown_executor(&mut self, now: Now, key: &ExecutorKey, effects: &mut Effects) {
        match self.executor(key).map(|executor| executor.status) {
            Some(ExecutorStatus::Preparing) => self.kill_preparing(now, key, effects),
            Some(_) => self.end_executor(now, key, Ending::Shutdown, effects),
            None => {}
        }
    }

    /// An executor whose container was not asked for yet: its tasks are all there is to end.
    fn kill_preparing(&mut self, now: Now, key: &ExecutorKey, effects: &mut Effects) {
        let tasks: Vec<TaskId> = self
            .executor(key)
            .map(|executor| executor.live_tasks().map(|(id, _)| id.clone()).collect())
            .unwrap_or_default();
        for task_id in tasks {
            let report = Report::new(
                TaskState::TaskKilled,
                Reason::TaskKilledDuringLaunch,
                "its executor was shut down before it was launched",
            );
            self.report(
                now,
                &(key.0.clone(), task_id),
                Some(&key.1),
                report,
                effects,
            );
        }
    }

    /// Ends a run: SHUTDOWN and a grace where somebody listens, otherwise at once.
    pub(super) fn end_executor(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        ending: Ending,
        effects: &mut Effects,
    ) {
        let Some(executor) = self.executor(key) else {
            return;
        };
        if !matches!(
            executor.status,
            ExecutorStatus::Registering | ExecutorStatus::Running
        ) {
            return;
        }
        let grace = self.shutdown_grace(executor);
        let executor = self.executor_mut(key).expect("found above");
        executor.ending = Some(ending);
        let was = executor.status;
        executor.advance(ExecutorStatus::Terminating);
        let container_id = executor.container_id.clone();
        effects.cancel_timer(TimerKey::ExecutorRegistration(container_id.clone()));
        match executor.connection {
            Some(connection) if was == ExecutorStatus::Running => {
                push_event(connection, v1::executor::event::Type::Shutdown, effects);
                let timer = TimerKey::ExecutorShutdown(container_id);
                effects.set_timer(timer, now.mono.after(grace));
            }
            _ => effects.push(Effect::DestroyContainer { container_id }),
        }
    }

    /// From SHUTDOWN to the destruction of the container.
    pub(super) fn shutdown_grace(&self, executor: &Executor) -> Duration {
        executor.info.shutdown_grace_period.map_or(
            self.config.timing.executor_shutdown_grace_period,
            v1::DurationInfo::to_duration,
        )
    }

    /// The executor did not end in its grace period.
    pub(super) fn grace_over(&mut self, container_id: &ContainerId, effects: &mut Effects) {
        if self.containers.contains_key(container_id) {
            effects.push(Effect::DestroyContainer {
                container_id: container_id.clone(),
            });
        }
    }

    /// ShutdownFramework of the master: end everything of it, and say no more about its tasks.
    pub(super) fn shutdown_framework(&mut self, now: Now, id: &FrameworkId, effects: &mut Effects) {
        let Some(framework) = self.framework_mut(id) else {
            // Only updates may be left of it.
            self.streams.retain(|key, _| key.0 != *id);
            return;
        };
        framework.status = FrameworkStatus::Terminating;
        let executors: Vec<ExecutorId> = framework.executors.keys().cloned().collect();
        for executor_id in executors {
            let key = (id.clone(), executor_id);
            let status = self.executor(&key).map(|executor| executor.status);
            match status {
                Some(ExecutorStatus::Registering | ExecutorStatus::Running) => {
                    self.end_executor(now, &key, Ending::FrameworkRemoved, effects);
                }
                Some(ExecutorStatus::Terminating) => {
                    if let Some(executor) = self.executor_mut(&key) {
                        executor.ending = Some(Ending::FrameworkRemoved);
                    }
                }
                Some(ExecutorStatus::Preparing | ExecutorStatus::Terminated) => {
                    if let Some(executor) = self.executor_mut(&key) {
                        executor.tasks.clear();
                        executor.order.clear();
                    }
                    self.forget_idle_executor(&key, effects);
                }
                None => {}
            }
        }
        self.forget_idle_framework(id, effects);
    }

    /// The master's Shutdown: the cluster has removed this agent.
    pub(super) fn removed(&mut self, shutdown: &link::Shutdown, effects: &mut Effects) {
        let reason = shutdown.message().to_owned();
        self.exit = Some(Exit {
            reason: format!("the master has removed this agent: {reason}"),
            failed: true,
            leaves_executors: false,
        });
        self.registration.recorded = Some(Record::AgentRemoved);
        self.checkpoint(Record::AgentRemoved, Pending::Removed, effects);
    }

    /// The process is asked to end.
    pub(super) fn shutdown(&mut self, destroy: bool, effects: &mut Effects) {
        if destroy {
            self.exit = Some(Exit {
                reason: "asked to end, all containers have ended".into(),
                failed: false,
                leaves_executors: false,
            });
        } else {
            self.exit.get_or_insert(Exit {
                reason: "asked to end; executors of checkpointing frameworks keep running".into(),
                failed: false,
                leaves_executors: true,
            });
        }
        self.end_when_empty(effects);
    }

    /// The run outlives this life of the agent.
    fn stays(&self, key: &ExecutorKey) -> bool {
        let leaves = self.exit.as_ref().is_some_and(|exit| exit.leaves_executors);
        leaves
            && self
                .executor(key)
                .is_some_and(|executor| executor.checkpoint)
    }

    /// Destroys every container that does not stay; the last one's end is the agent's.
    pub(super) fn end_when_empty(&mut self, effects: &mut Effects) {
        let all: Vec<ContainerId> = self.containers.keys().cloned().collect();
        for container_id in all {
            let Some(key) = self.containers.get(&container_id).cloned() else {
                continue;
            };
            if self.stays(&key) {
                continue;
            }
            match self.executor_mut(&key) {
                Some(executor) if executor.status == ExecutorStatus::Preparing => {
                    executor.tasks.clear();
                    executor.order.clear();
                    self.forget_idle_executor(&key, effects);
                }
                Some(executor) => {
                    executor.ending = Some(Ending::FrameworkRemoved);
                    if executor.status != ExecutorStatus::Terminating {
                        executor.advance(ExecutorStatus::Terminating);
                    }
                    effects.push(Effect::DestroyContainer { container_id });
                }
                None => {}
            }
        }
        self.ending_now = true;
    }

    /// Ends the process once nothing is left to wait for.
    pub(super) fn end_if_empty(&mut self, effects: &mut Effects) {
        if self.ending_now && self.containers.values().all(|key| self.stays(key)) {
            self.ending_now = false;
            if let Some(exit) = self.exit.clone() {
                let Exit {
                    reason,
                    failed,
                    leaves_executors,
                } = exit;
                if !failed && !leaves_executors {
                    let goodbye = link::from_agent::Message::Unregister(link::Unregister {});
                    self.to_master(goodbye, effects);
                }
                effects.push(Effect::Exit { reason, failed });
            }
        }
    }
}

pub(super) fn push_kill(
    connection: ConnectionId,
    task_id: &TaskId,
    policy: Option<v1::KillPolicy>,
    effects: &mut Effects,
) {
    effects.push(Effect::ToExecutor {
        connection,
        event: Box::new(v1::executor::Event {
            r#type: Some(v1::executor::event::Type::Kill as i32),
            kill: Some(v1::executor::event::Kill {
                task_id: task_id.into(),
                kill_policy: policy,
            }),
            ..Default::default()
        }),
    });
}
