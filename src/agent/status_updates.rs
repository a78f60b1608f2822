//! Status updates: from executors (or made here) into streams, to the master, and back as
//! acknowledgements. Written down before anybody hears of them, for checkpointing frameworks.

use std::sync::Arc;

use crate::base::{ContainerId, ExecutorId, FrameworkId, Now, TaskId, Uuid};
use crate::proto::link;
use crate::proto::v1::{self, TaskState, task_status::Reason};

use super::call::CallRefused;
use super::checkpoint::Record;
use super::core::{Agent, Pending, TaskKey};
use super::effect::{Effect, Effects};
use super::executor::{ExecutorStatus, Held};
use super::launch::tell_resources;
use super::timer::TimerKey;
use super::update_stream::{Seen, UpdateStream};

type ExecutorKey = (FrameworkId, ExecutorId);

/// How long a "killed by SIGKILL" report waits for the limit that may explain it.
const LIMITATION_GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// A terminal status that the agent makes itself.
#[derive(Clone, Debug)]
pub(super) struct Report {
    state: TaskState,
    reason: Reason,
    message: String,
    limitation: Option<Vec<v1::Resource>>,
}

impl Report {
    pub(super) fn new(state: TaskState, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            state,
            reason,
            message: message.into(),
            limitation: None,
        }
    }

    pub(super) fn with_state(self, state: TaskState) -> Self {
        Self { state, ..self }
    }

    pub(super) fn limited(mut self, resources: Vec<v1::Resource>) -> Self {
        self.limitation = Some(resources);
        self
    }
}

impl Agent {
    /// UPDATE of an executor.
    pub(super) fn executor_update(
        &mut self,
        now: Now,
        executor_key: &ExecutorKey,
        task_id: TaskId,
        uuid: Uuid,
        status: v1::TaskStatus,
        effects: &mut Effects,
    ) -> Result<(), CallRefused> {
        let key = (executor_key.0.clone(), task_id);
        let seen = self
            .streams
            .get(&key)
            .map_or(Seen::New, |stream| stream.seen(uuid));
        match seen {
            Seen::Recorded => {
                self.acknowledge_executor(executor_key, &key.1, uuid, effects);
                return Ok(());
            }
            Seen::Unrecorded => return Ok(()),
            Seen::New => {}
        }
        let Some(executor) = self.executor(executor_key) else {
            return Err(unknown_executor(executor_key));
        };
        let Some(task) = executor.tasks.get(&key.1) else {
            return self.update_without_task(executor_key, &key.1, uuid, effects);
        };
        if task.state.is_terminal() {
            self.counters.invalid_status_updates += 1;
            self.acknowledge_executor(executor_key, &key.1, uuid, effects);
            return Ok(());
        }
        let told = |held: &Held| held.status.task_id.value == key.1.as_str();
        if executor.held.iter().any(told) {
            return Ok(());
        }
        let hold = executor.is_built_in()
            && executor.status != ExecutorStatus::Terminated
            && looks_killed(&status, !executor.held.is_empty());
        self.counters.valid_status_updates += 1;
        if hold {
            let executor = self.executor_mut(executor_key).expect("found above");
            executor.held.push(Held { uuid, status });
            if executor.held.len() == 1 {
                let container_id = executor.container_id.clone();
                let at = now.mono.after(LIMITATION_GRACE);
                effects.set_timer(TimerKey::LimitationGrace(container_id), at);
            }
            return Ok(());
        }
        self.take_update(now, &key, Some(&executor_key.1), uuid, status, effects);
        Ok(())
    }

    /// An update of a task that has ended here is acknowledged again, so that its executor rests.
    fn update_without_task(
        &mut self,
        executor_key: &ExecutorKey,
        task_id: &TaskId,
        uuid: Uuid,
        effects: &mut Effects,
    ) -> Result<(), CallRefused> {
        self.counters.invalid_status_updates += 1;
        let ended = self.executor(executor_key).is_some_and(|executor| {
            executor
                .completed_tasks
                .iter()
                .any(|task| task.info.task_id.value == task_id.as_str())
        });
        if ended {
            self.acknowledge_executor(executor_key, task_id, uuid, effects);
            return Ok(());
        }
        Err(CallRefused::Invalid(format!(
            "status.task_id: executor '{}' has no task '{task_id}'",
            executor_key.1
        )))
    }

    /// Held reports were not explained by a limit: they stand as they are.
    pub(super) fn release_held(
        &mut self,
        now: Now,
        container_id: &ContainerId,
        effects: &mut Effects,
    ) {
        let Some(executor_key) = self.containers.get(container_id).cloned() else {
            return;
        };
        let held = self
            .executor_mut(&executor_key)
            .map(|executor| std::mem::take(&mut executor.held));
        for held in held.unwrap_or_default() {
            self.take_held(now, &executor_key, held, effects);
        }
    }

    pub(super) fn take_held(
        &mut self,
        now: Now,
        executor_key: &ExecutorKey,
        Held { uuid, status }: Held,
        effects: &mut Effects,
    ) {
        let task_id = TaskId::new(status.task_id.value.as_str());
        let key = (executor_key.0.clone(), task_id);
        self.take_update(now, &key, Some(&executor_key.1), uuid, status, effects);
    }

    /// A status that the agent makes: the task, if it is here, must not be terminal yet.
    pub(super) fn report(
        &mut self,
        now: Now,
        key: &TaskKey,
        executor_id: Option<&ExecutorId>,
        report: Report,
        effects: &mut Effects,
    ) {
        let uuid = self.update_rng.uuid();
        let status = v1::TaskStatus {
            task_id: (&key.1).into(),
            state: report.state as i32,
            message: Some(report.message),
            source: Some(v1::task_status::Source::Agent as i32),
            reason: Some(report.reason as i32),
            limitation: report
                .limitation
                .map(|resources| v1::TaskResourceLimitation { resources }),
            ..Default::default()
        };
        self.take_update(now, key, executor_id, uuid, status, effects);
    }

    /// Answers for a task that the master believes here and that is not.
    pub(super) fn report_unknown(
        &mut self,
        now: Now,
        key: &TaskKey,
        reason: Reason,
        message: &str,
        effects: &mut Effects,
    ) {
        let known = self.streams.contains_key(key)
            || self
                .frameworks
                .get(&key.0)
                .is_some_and(|framework| framework.executor_of(&key.1).is_some());
        if !known {
            let state = self.dropped_state(&key.0);
            self.report(now, key, None, Report::new(state, reason, message), effects);
        }
    }

    /// Every new update passes here once.
    fn take_update(
        &mut self,
        now: Now,
        key: &TaskKey,
        executor_id: Option<&ExecutorId>,
        uuid: Uuid,
        mut status: v1::TaskStatus,
        effects: &mut Effects,
    ) {
        let terminal = status.state().is_terminal();
        if terminal && planted!(self, DropTerminalUpdate) {
            return;
        }
        self.decorate(now, key, executor_id, uuid, &mut status);
        if terminal {
            self.counters.ended(status.state());
        }
        self.record_state(key, executor_id, &status, effects);
        let checkpoint = self
            .frameworks
            .get(&key.0)
            .is_some_and(|framework| framework.info.checkpoint());
        let stream = self
            .streams
            .entry(key.clone())
            .or_insert_with(|| UpdateStream::new(executor_id.cloned(), checkpoint));
        let checkpoint = stream.checkpoint;
        let status = Arc::new(status);
        stream.push(uuid, Arc::clone(&status), !checkpoint);
        if planted!(self, UpdateSentOutOfOrder)
            && let Some(stream) = self.streams.get_mut(key)
        {
            stream.newest_first();
        }
        if checkpoint {
            let record = Record::Update {
                framework_id: key.0.clone(),
                executor_id: executor_id.cloned(),
                status,
            };
            if planted!(self, AckExecutorBeforeCheckpoint)
                && let Some(executor_id) = executor_id
            {
                let executor_key = (key.0.clone(), executor_id.clone());
                self.acknowledge_executor(&executor_key, &key.1, uuid, effects);
            }
            let key = key.clone();
            self.checkpoint(record, Pending::Update { key, uuid }, effects);
        } else {
            self.update_safe(now, key, uuid, effects);
        }
    }

    /// Fills in what the agent knows better than the executor.
    fn decorate(
        &self,
        now: Now,
        key: &TaskKey,
        executor_id: Option<&ExecutorId>,
        uuid: Uuid,
        status: &mut v1::TaskStatus,
    ) {
        status.uuid = Some(uuid.0.to_vec());
        status.agent_id = self.info.id.clone();
        if status.timestamp.is_none() {
            status.timestamp = Some(now.wall.as_secs_f64());
        }
        let Some(executor_id) = executor_id else {
            return;
        };
        status.executor_id = Some(executor_id.into());
        if let Some(executor) = self.executor(&(key.0.clone(), executor_id.clone())) {
            let container = status.container_status.get_or_insert_default();
            let nested = container
                .container_id
                .as_ref()
                .and_then(|id| id.parent.as_ref())
                .is_some_and(|parent| parent.value == executor.container_id.as_str());
            if !nested {
                container.container_id = Some((&executor.container_id).into());
            }
            container.executor_pid = executor.pid;
            if container.network_infos.is_empty() {
                container.network_infos.push(self.network());
            }
        }
    }

    /// The network of containers without one of their own: the agent's.
    fn network(&self) -> v1::NetworkInfo {
        let six = self.config.ip.contains(':');
        let protocol = if six {
            v1::network_info::Protocol::IPv6
        } else {
            v1::network_info::Protocol::IPv4
        };
        v1::NetworkInfo {
            ip_addresses: vec![v1::network_info::IpAddress {
                protocol: Some(protocol.into()),
                ip_address: Some(self.config.ip.clone()),
            }],
            ..v1::NetworkInfo::default()
        }
    }

    /// Notes the state with the task; a terminal one gives its resources back at once.
    fn record_state(
        &mut self,
        key: &TaskKey,
        executor_id: Option<&ExecutorId>,
        status: &v1::TaskStatus,
        effects: &mut Effects,
    ) {
        let Some(executor_id) = executor_id else {
            return;
        };
        let Some(executor) = self.executor_mut(&(key.0.clone(), executor_id.clone())) else {
            return;
        };
        if !executor.tasks.contains_key(&key.1) {
            return;
        }
        executor.task_mut(&key.1).record(status);
        // A command executor ends with its task; shrinking its container first would be wasted.
        if status.state().is_terminal() && !executor.command_executor {
            tell_resources(executor, effects);
        }
    }

    /// The update is written down.
    pub(super) fn update_recorded(
        &mut self,
        now: Now,
        key: &TaskKey,
        uuid: Uuid,
        effects: &mut Effects,
    ) {
        let waiting = self
            .streams
            .get_mut(key)
            .is_some_and(|stream| stream.recorded(uuid));
        if waiting {
            self.update_safe(now, key, uuid, effects);
        }
    }

    /// The update counts: its executor may forget it, the master may hear of it.
    fn update_safe(&mut self, now: Now, key: &TaskKey, uuid: Uuid, effects: &mut Effects) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if let Some(executor_id) = stream.executor_id.clone() {
            let executor_key = (key.0.clone(), executor_id);
            self.acknowledge_executor(&executor_key, &key.1, uuid, effects);
        }
        let first = self
            .streams
            .get(key)
            .and_then(UpdateStream::to_send)
            .is_some_and(|update| update.uuid == uuid);
        if first {
            self.send_update(now, key, effects);
        }
    }

    fn acknowledge_executor(
        &self,
        executor_key: &ExecutorKey,
        task_id: &TaskId,
        uuid: Uuid,
        effects: &mut Effects,
    ) {
        let Some(connection) = self
            .executor(executor_key)
            .and_then(|executor| executor.connection)
        else {
            return;
        };
        effects.push(Effect::ToExecutor {
            connection,
            event: Box::new(v1::executor::Event {
                r#type: Some(v1::executor::event::Type::Acknowledged as i32),
                acknowledged: Some(v1::executor::event::Acknowledged {
                    task_id: task_id.into(),
                    uuid: uuid.0.to_vec(),
                }),
                ..Default::default()
            }),
        });
    }

    /// Sends the oldest update of a task, and again after a while. Nothing while disconnected.
    pub(super) fn send_update(&mut self, now: Now, key: &TaskKey, effects: &mut Effects) {
        if self.registration.registered_connection().is_none() {
            return;
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(update) = stream.to_send() else {
            return;
        };
        let (status, executor_id) = (Arc::clone(&update.status), stream.executor_id.clone());
        let latest = stream.latest().unwrap_or(status.state());
        let wait = stream.next_retry();
        let message = link::StatusUpdate {
            framework_id: (&key.0).into(),
            executor_id: executor_id.as_ref().map(Into::into),
            status: (*status).clone(),
            latest_state: latest as i32,
        };
        self.to_master(link::from_agent::Message::StatusUpdate(message), effects);
        if !planted!(self, ForgetRetry) {
            let timer = TimerKey::UpdateRetry(key.0.clone(), key.1.clone());
            effects.set_timer(timer, now.mono.after(wait));
        }
        let Some(executor_id) = executor_id else {
            return;
        };
        if let Some(executor) = self.executor_mut(&(key.0.clone(), executor_id))
            && executor.tasks.contains_key(&key.1)
        {
            let forwarded = (status.state(), status.uuid().to_vec());
            executor.task_mut(&key.1).forwarded = Some(forwarded);
        }
    }

    /// After a (re-)registration every stream starts over.
    pub(super) fn resume_updates(&mut self, now: Now, effects: &mut Effects) {
        let keys: Vec<TaskKey> = self.streams.keys().cloned().collect();
        for key in keys {
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.restart();
            }
            self.send_update(now, &key, effects);
        }
    }

    /// The scheduler has seen an update.
    pub(super) fn acknowledged(
        &mut self,
        now: Now,
        key: TaskKey,
        uuid: Uuid,
        effects: &mut Effects,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if !stream.acknowledge(uuid) {
            return;
        }
        effects.cancel_timer(TimerKey::UpdateRetry(key.0.clone(), key.1.clone()));
        if stream.checkpoint {
            let record = Record::Acknowledged {
                framework_id: key.0.clone(),
                task_id: key.1.clone(),
                uuid,
            };
            self.checkpoint(record, Pending::Acknowledged { key, uuid }, effects);
        } else {
            self.acknowledgement_recorded(now, &key, uuid, effects);
        }
    }

    /// The acknowledgement is written down: the next update may go, or the task is over.
    pub(super) fn acknowledgement_recorded(
        &mut self,
        now: Now,
        key: &TaskKey,
        uuid: Uuid,
        effects: &mut Effects,
    ) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let Some(update) = stream.pop().filter(|update| update.uuid == uuid) else {
            return;
        };
        if !update.status.state().is_terminal() {
            self.send_update(now, key, effects);
            return;
        }
        let executor_id = stream.executor_id.clone();
        self.streams.remove(key);
        if let Some(executor_id) = executor_id {
            self.complete_task(now, &(key.0.clone(), executor_id), &key.1, effects);
        }
    }
}

/// A failure that an out-of-memory kill would also look like.
fn looks_killed(status: &v1::TaskStatus, others: bool) -> bool {
    let state = match status.state() {
        TaskState::TaskFailed => true,
        // Killed with the others of its group, whose failure is the one to be explained.
        TaskState::TaskKilled => others,
        _ => false,
    };
    state && status.reason.is_none() && status.message().contains("signal Killed")
}

pub(super) fn unknown_executor(key: &ExecutorKey) -> CallRefused {
    let (framework_id, executor_id) = key;
    CallRefused::NotSubscribed(format!(
        "executor '{executor_id}' of framework '{framework_id}' is not on this agent"
    ))
}
