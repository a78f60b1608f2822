//! The life of executors: subscription, calls, the end of their containers, and what is left of them.

use std::sync::Arc;

use crate::base::{ConnectionId, ContainerId, ExecutorId, FrameworkId, Now, TaskId};
use crate::proto::link;
use crate::proto::v1::{self, TaskState, task_status::Reason};

use super::call::{CallRefused, ExecutorCall, check_status};
use super::checkpoint::Record;
use super::container::Ended;
use super::core::{Agent, Pending};
use super::effect::{Effect, Effects};
use super::executor::{Ending, ExecutorStatus};
use super::framework::FrameworkStatus;
use super::status_updates::{Report, unknown_executor};
use super::task::Stage;
use super::timer::TimerKey;

type ExecutorKey = (FrameworkId, ExecutorId);

impl Agent {
    /// SUBSCRIBE. Gives false if the executor was turned away.
    pub(super) fn executor_subscribed(
        &mut self,
        connection: ConnectionId,
        key: &ExecutorKey,
        container: Option<&ContainerId>,
        effects: &mut Effects,
    ) -> bool {
        let welcome = self.executor(key).is_some_and(|executor| {
            executor.status.has_container()
                && container.is_none_or(|named| *named == executor.container_id)
        });
        if !welcome {
            push_event(connection, v1::executor::event::Type::Shutdown, effects);
            effects.push(Effect::CloseExecutor { connection });
            return false;
        }
        let executor = self.executor_mut(key).expect("found above");
        let earlier = executor.connection.replace(connection);
        let container_id = executor.container_id.clone();
        let again = executor.status != ExecutorStatus::Registering;
        executor.recovered = false;
        if !again {
            executor.advance(ExecutorStatus::Running);
        }
        let ending = executor.status == ExecutorStatus::Terminating;
        if let Some(earlier) = earlier.filter(|earlier| *earlier != connection) {
            self.connections.remove(&earlier);
            effects.push(Effect::CloseExecutor {
                connection: earlier,
            });
        }
        self.connections.insert(connection, key.clone());
        effects.cancel_timer(TimerKey::ExecutorRegistration(container_id));
        self.push_subscribed(connection, key, effects);
        if ending {
            push_event(connection, v1::executor::event::Type::Shutdown, effects);
        }
        true
    }

    fn push_subscribed(&self, connection: ConnectionId, key: &ExecutorKey, effects: &mut Effects) {
        let framework = &self.frameworks[&key.0];
        let executor = &framework.executors[&key.1];
        effects.push(Effect::ToExecutor {
            connection,
            event: Box::new(v1::executor::Event {
                r#type: Some(v1::executor::event::Type::Subscribed as i32),
                subscribed: Some(v1::executor::event::Subscribed {
                    executor_info: (*executor.info).clone(),
                    framework_info: (*framework.info).clone(),
                    agent_info: (*self.info).clone(),
                    container_id: Some((&executor.container_id).into()),
                }),
                ..Default::default()
            }),
        });
    }

    /// What a subscribing executor brings: updates that it thinks lost, and the tasks that it has. Then
    /// it gets what it missed.
    pub(super) fn executor_replays(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        tasks: &[v1::TaskInfo],
        updates: Vec<v1::TaskStatus>,
        effects: &mut Effects,
    ) {
        for status in updates {
            // The parser has checked them already where the executor is a stranger.
            if let Ok((task_id, uuid)) = check_status(&key.1, &status) {
                let result = self.executor_update(now, key, task_id, uuid, status, effects);
                if let Err(error) = result {
                    tracing::info!(%error, executor_id = %key.1, "refused a replayed update");
                }
            }
        }
        let Some(executor) = self.executor(key) else {
            return;
        };
        let connection = executor.connection;
        let mut never_arrived = Vec::new();
        let mut kills = Vec::new();
        for (task_id, task) in executor.live_tasks() {
            let arrived = task.state != TaskState::TaskStaging
                || tasks.iter().any(|info| info.task_id == task.info.task_id);
            if task.stage == Stage::Sent && !arrived {
                never_arrived.push(task_id.clone());
            } else if let Some(policy) = &task.kill {
                kills.push((task_id.clone(), *policy));
            }
        }
        let useless = executor.command_executor && !never_arrived.is_empty();
        for task_id in never_arrived {
            let state = self.dropped_state(&key.0);
            let report = Report::new(
                state,
                Reason::AgentRestarted,
                "the task was lost on its way to the executor",
            );
            self.report(
                now,
                &(key.0.clone(), task_id),
                Some(&key.1),
                report,
                effects,
            );
        }
        for (task_id, policy) in kills {
            if let Some(connection) = connection {
                super::kill::push_kill(connection, &task_id, policy, effects);
            }
        }
        self.deliver(key, effects);
        if useless {
            // It is for one task, which it will not get.
            self.end_executor(now, key, Ending::Shutdown, effects);
        }
    }

    /// Any call but SUBSCRIBE.
    pub(super) fn executor_call(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        connection: Option<ConnectionId>,
        call: ExecutorCall,
        effects: &mut Effects,
    ) -> Result<(), CallRefused> {
        let executor = self.executor(key).ok_or_else(|| unknown_executor(key))?;
        if executor.connection.is_none() && executor.status != ExecutorStatus::Terminated {
            return Err(CallRefused::NotSubscribed(format!(
                "executor '{}' has not subscribed",
                key.1
            )));
        }
        if connection.is_some_and(|from| executor.connection != Some(from)) {
            return Err(CallRefused::NotSubscribed(format!(
                "executor '{}' has subscribed on another connection",
                key.1
            )));
        }
        match call {
            ExecutorCall::Update {
                task_id,
                uuid,
                status,
            } => self.executor_update(now, key, task_id, uuid, *status, effects),
            ExecutorCall::Message { data } => {
                let message = link::ExecutorMessage {
                    framework_id: (&key.0).into(),
                    executor_id: (&key.1).into(),
                    data,
                };
                let message = link::from_agent::Message::ExecutorMessage(message);
                if self.to_master(message, effects) {
                    self.counters.valid_framework_messages += 1;
                } else {
                    self.counters.invalid_framework_messages += 1;
                }
                Ok(())
            }
            ExecutorCall::Heartbeat => Ok(()),
        }
    }

    /// Writes down whom the next life has to call back.
    pub(super) fn executor_driver(
        &mut self,
        key: &ExecutorKey,
        driver: String,
        effects: &mut Effects,
    ) {
        let Some(executor) = self.executor_mut(key) else {
            return;
        };
        if executor.driver.as_ref() == Some(&driver) {
            return;
        }
        executor.driver = Some(driver.clone());
        if executor.checkpoint {
            let record = Record::Driver {
                container_id: executor.container_id.clone(),
                driver,
            };
            self.checkpoint(record, Pending::Nothing, effects);
        }
    }

    pub(super) fn executor_disconnected(&mut self, connection: ConnectionId) {
        let Some(key) = self.connections.remove(&connection) else {
            return;
        };
        if let Some(executor) = self.executor_mut(&key)
            && executor.connection == Some(connection)
        {
            executor.connection = None;
        }
    }

    pub(super) fn container_launched(
        &mut self,
        container_id: &ContainerId,
        pid: u32,
        effects: &mut Effects,
    ) {
        let Some(key) = self.containers.get(container_id).cloned() else {
            return;
        };
        let Some(executor) = self.executor_mut(&key) else {
            return;
        };
        executor.pid = Some(pid);
        executor.name_supervisor(pid);
        if executor.checkpoint {
            let record = Record::Launched {
                container_id: container_id.clone(),
                pid,
            };
            self.checkpoint(record, Pending::Nothing, effects);
        }
    }

    pub(super) fn registration_timed_out(
        &mut self,
        now: Now,
        container_id: &ContainerId,
        effects: &mut Effects,
    ) {
        let Some(key) = self.containers.get(container_id).cloned() else {
            return;
        };
        let registering = self
            .executor(&key)
            .is_some_and(|executor| executor.status == ExecutorStatus::Registering);
        if registering {
            tracing::info!(framework_id = %key.0, executor_id = %key.1, "executor did not register");
            let recovered = self.executor(&key).is_some_and(|one| one.recovered);
            let ending = if recovered {
                Ending::ReregistrationTimeout
            } else {
                Ending::RegistrationTimeout
            };
            self.end_executor(now, &key, ending, effects);
        }
    }

    /// A container is gone: its live tasks get their last word, and the sandbox an age.
    pub(super) fn container_ended(
        &mut self,
        now: Now,
        container_id: &ContainerId,
        ended: Ended,
        effects: &mut Effects,
    ) {
        let Some(key) = self.containers.remove(container_id) else {
            return;
        };
        let Some(executor) = self.executor_mut(&key) else {
            return;
        };
        let held = std::mem::take(&mut executor.held);
        let connection = executor.connection.take();
        let launched = executor.pid.is_some() || executor.status != ExecutorStatus::Registering;
        executor.advance(ExecutorStatus::Terminated);
        let ending = executor.ending.clone();
        if let Some(connection) = connection {
            self.connections.remove(&connection);
            effects.push(Effect::CloseExecutor { connection });
        }
        for timer in [
            TimerKey::ExecutorRegistration(container_id.clone()),
            TimerKey::ExecutorShutdown(container_id.clone()),
            TimerKey::LimitationGrace(container_id.clone()),
        ] {
            effects.cancel_timer(timer);
        }
        self.counters.executors_terminated += 1;
        if !launched {
            self.counters.container_launch_errors += 1;
        }
        if ended.reason.is_none() {
            for held in held {
                self.take_held(now, &key, held, effects);
            }
        }
        if ending != Some(Ending::FrameworkRemoved) {
            let mut report = last_word(&ended, ending.as_ref(), launched);
            if ending == Some(Ending::ReregistrationTimeout) {
                report = report.with_state(self.gone_state(&key.0));
            }
            self.report_live_tasks(now, &key, &report, effects);
        }
        self.executor_over(now, &key, &ended, effects);
    }

    fn report_live_tasks(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        report: &Report,
        effects: &mut Effects,
    ) {
        let Some(executor) = self.executor(key) else {
            return;
        };
        let live: Vec<TaskId> = executor.live_tasks().map(|(id, _)| id.clone()).collect();
        for task_id in live {
            let task_key = (key.0.clone(), task_id);
            self.report(now, &task_key, Some(&key.1), report.clone(), effects);
        }
    }

    /// Tells the master, writes it down, gives the sandbox to the collector.
    fn executor_over(&mut self, now: Now, key: &ExecutorKey, ended: &Ended, effects: &mut Effects) {
        let Some(executor) = self.executor(key).map(Arc::clone) else {
            return;
        };
        if !executor.command_executor {
            self.tell_exited(key, ended.wait_status.unwrap_or(-1), effects);
        }
        if executor.checkpoint {
            let record = Record::ExecutorEnded {
                framework_id: key.0.clone(),
                executor_id: key.1.clone(),
                container_id: executor.container_id.clone(),
            };
            self.checkpoint(record, Pending::Nothing, effects);
        }
        self.gc.schedule(now, executor.sandbox.clone());
        if executor.ending == Some(Ending::FrameworkRemoved) {
            self.drop_streams_of(key, effects);
            if let Some(executor) = self.executor_mut(key) {
                executor.tasks.clear();
            }
        }
        self.forget_idle_executor(key, effects);
    }

    fn tell_exited(&self, key: &ExecutorKey, wait_status: i32, effects: &mut Effects) {
        let message = link::ExitedExecutor {
            framework_id: (&key.0).into(),
            executor_id: (&key.1).into(),
            wait_status,
        };
        self.to_master(link::from_agent::Message::ExitedExecutor(message), effects);
    }

    /// Nobody will acknowledge the updates of a removed framework.
    fn drop_streams_of(&mut self, key: &ExecutorKey, effects: &mut Effects) {
        let Some(executor) = self.executor(key).map(Arc::clone) else {
            return;
        };
        for task_id in executor.tasks.keys() {
            let task_key = (key.0.clone(), task_id.clone());
            if self.streams.remove(&task_key).is_some() {
                effects.cancel_timer(TimerKey::UpdateRetry(task_key.0, task_key.1));
            }
        }
    }

    /// The terminal update of a task was acknowledged.
    pub(super) fn complete_task(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        task_id: &TaskId,
        effects: &mut Effects,
    ) {
        let completed_max = self.config.completed_tasks_max;
        let Some(executor) = self.executor_mut(key) else {
            return;
        };
        if let Some(task) = executor.tasks.remove(task_id) {
            executor.order.retain(|id| id != task_id);
            executor.completed_tasks.push_back(task);
            while executor.completed_tasks.len() > completed_max {
                executor.completed_tasks.pop_front();
            }
        }
        let executor = &*executor;
        // One that never got a task, because all were killed on the way, has no reason to live.
        let useless = executor.tasks.is_empty()
            && !executor.delivered
            && executor.status.takes_tasks()
            && executor.status != ExecutorStatus::Preparing;
        if useless {
            self.end_executor(now, key, Ending::Shutdown, effects);
        }
        self.forget_idle_executor(key, effects);
    }

    /// A run without container and without open updates moves to the history.
    pub(super) fn forget_idle_executor(&mut self, key: &ExecutorKey, effects: &mut Effects) {
        let completed_max = self.config.completed_executors_max;
        let Some(framework) = self.framework_mut(&key.0) else {
            return;
        };
        let idle = framework
            .executors
            .get(&key.1)
            .is_some_and(|executor| !executor.status.has_container() && executor.tasks.is_empty());
        if !idle {
            return;
        }
        let executor = framework.executors.remove(&key.1).expect("found above");
        if executor.status == ExecutorStatus::Terminated {
            framework.remember(executor, completed_max);
        } else {
            // It was never launched; its container id dies with it, and the master counts it no more.
            self.containers.remove(&executor.container_id);
            if !executor.command_executor {
                self.tell_exited(key, -1, effects);
            }
            if executor.checkpoint {
                let record = Record::ExecutorEnded {
                    framework_id: key.0.clone(),
                    executor_id: key.1.clone(),
                    container_id: executor.container_id.clone(),
                };
                self.checkpoint(record, Pending::Nothing, effects);
            }
        }
        self.forget_idle_framework(&key.0, effects);
    }

    /// A framework without executors moves to the history.
    pub(super) fn forget_idle_framework(&mut self, id: &FrameworkId, effects: &mut Effects) {
        let idle = self
            .frameworks
            .get(id)
            .is_some_and(|framework| framework.executors.is_empty());
        if !idle {
            return;
        }
        let framework = self.frameworks.remove(id).expect("found above");
        let removed = framework.status == FrameworkStatus::Terminating;
        if removed {
            let gone: Vec<_> = self
                .streams
                .keys()
                .filter(|key| key.0 == *id)
                .cloned()
                .collect();
            for key in gone {
                self.streams.remove(&key);
                effects.cancel_timer(TimerKey::UpdateRetry(key.0, key.1));
            }
        }
        if framework.info.checkpoint() {
            let framework_id = id.clone();
            let record = Record::FrameworkEnded { framework_id };
            self.checkpoint(record, Pending::Nothing, effects);
        }
        self.remember_framework(framework);
    }

    /// Keeps an ended framework visible, merged with what is remembered of its earlier time here.
    pub(super) fn remember_framework(&mut self, mut framework: Arc<super::framework::Framework>) {
        let earlier = self
            .completed_frameworks
            .iter()
            .position(|known| known.id == framework.id);
        if let Some(index) = earlier {
            let known = self.completed_frameworks.remove(index);
            let kept = Arc::make_mut(&mut framework);
            let mut all = known.completed_executors.clone();
            all.append(std::mem::take(&mut kept.completed_executors));
            while all.len() > self.config.completed_executors_max {
                all.pop_front();
            }
            kept.completed_executors = all;
        }
        if framework.completed_executors.is_empty() {
            return;
        }
        self.completed_frameworks.push_back(framework);
        while self.completed_frameworks.len() > self.config.completed_frameworks_max {
            self.completed_frameworks.pop_front();
        }
    }
}

/// What the tasks of an ended container that said nothing themselves are reported with.
fn last_word(ended: &Ended, ending: Option<&Ending>, launched: bool) -> Report {
    let failed = |reason, message: String| Report::new(TaskState::TaskFailed, reason, message);
    if let Some(limit) = &ended.reason {
        return failed(limit.reason, limit.message.clone()).limited(limit.resources.clone());
    }
    let message = if ended.message.is_empty() {
        "Executor terminated".to_owned()
    } else {
        ended.message.clone()
    };
    match ending {
        Some(Ending::RegistrationTimeout) => failed(
            Reason::ExecutorRegistrationTimeout,
            "the executor did not register in time".into(),
        ),
        Some(Ending::ReregistrationTimeout) => failed(
            Reason::ExecutorReregistrationTimeout,
            "the executor did not register again in time".into(),
        ),
        Some(Ending::Shutdown | Ending::FrameworkRemoved) | None if launched => {
            failed(Reason::ExecutorTerminated, message)
        }
        Some(Ending::Shutdown | Ending::FrameworkRemoved) | None => {
            failed(Reason::ContainerLaunchFailed, message)
        }
    }
}

pub(super) fn push_event(
    connection: ConnectionId,
    kind: v1::executor::event::Type,
    effects: &mut Effects,
) {
    effects.push(Effect::ToExecutor {
        connection,
        event: Box::new(v1::executor::Event {
            r#type: Some(kind as i32),
            ..Default::default()
        }),
    });
}
