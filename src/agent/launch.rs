//! Running tasks: from the master's RunTask to the LAUNCH event of the executor.
//!
//! A task goes through [`Stage`]: its record is written (checkpointing frameworks), it waits for its
//! executor, it is handed over. The executor's container is launched when the first task is written.

use std::sync::Arc;

use crate::base::{ContainerId, ExecutorId, FrameworkId, Now, TaskId};
use crate::proto::v1::{self, TaskState, framework_info::capability, task_status::Reason};
use crate::resources::Resources;

use super::checkpoint::Record;
use super::command_executor::command_executor_info;
use super::container::{ContainerConfig, ContainerKind};
use super::core::{Agent, Pending};
use super::effect::{Effect, Effects};
use super::environment::executor_environment;
use super::executor::{Executor, ExecutorStatus};
use super::framework::{FrameworkStatus, can};
use super::status_updates::Report;
use super::task::{Stage, Task};
use super::timer::TimerKey;

type ExecutorKey = (FrameworkId, ExecutorId);

/// A RunTask or RunTaskGroup on its way in.
struct Run {
    framework_id: FrameworkId,
    executor_id: ExecutorId,
    info: v1::ExecutorInfo,
    command_executor: bool,
    group: Option<u64>,
    tasks: Vec<(TaskId, Arc<v1::TaskInfo>, Resources)>,
}

impl Agent {
    pub(super) fn run_task(
        &mut self,
        now: Now,
        framework: &v1::FrameworkInfo,
        executor: Option<v1::ExecutorInfo>,
        task: v1::TaskInfo,
        effects: &mut Effects,
    ) {
        let command_executor = executor.is_none() && task.executor.is_none();
        let info = match executor.or_else(|| task.executor.clone()) {
            Some(info) => info,
            None => command_executor_info(framework, &task),
        };
        self.run(
            now,
            framework,
            info,
            command_executor,
            None,
            vec![task],
            effects,
        );
    }

    pub(super) fn run_group(
        &mut self,
        now: Now,
        framework: &v1::FrameworkInfo,
        executor: v1::ExecutorInfo,
        tasks: Vec<v1::TaskInfo>,
        effects: &mut Effects,
    ) {
        let group = Some(self.next_group());
        self.run(now, framework, executor, false, group, tasks, effects);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn run(
        &mut self,
        now: Now,
        framework: &v1::FrameworkInfo,
        info: v1::ExecutorInfo,
        command_executor: bool,
        group: Option<u64>,
        tasks: Vec<v1::TaskInfo>,
        effects: &mut Effects,
    ) {
        let Some(framework_id) = self.note_framework(framework) else {
            tracing::info!("dropped tasks of a framework without a usable id");
            return;
        };
        let ending = self.exit.is_some()
            || self.frameworks[&framework_id].status == FrameworkStatus::Terminating;
        if ending {
            tracing::info!(%framework_id, "dropped tasks of a framework that is ending");
            return;
        }
        if let Some(run) = self.check(
            now,
            framework_id.clone(),
            info,
            command_executor,
            group,
            tasks,
            effects,
        ) {
            self.enqueue(now, run, effects);
        }
        self.forget_idle_framework(&framework_id, effects);
    }

    /// Sorts out duplicates and what cannot run. The group falls with its first bad task.
    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn check(
        &mut self,
        now: Now,
        framework_id: FrameworkId,
        mut info: v1::ExecutorInfo,
        command_executor: bool,
        group: Option<u64>,
        tasks: Vec<v1::TaskInfo>,
        effects: &mut Effects,
    ) -> Option<Run> {
        info.framework_id = Some((&framework_id).into());
        let mut checked = Vec::new();
        let mut refusal = None;
        for task in tasks {
            let Ok(task_id) = TaskId::parse(&task.task_id.value) else {
                tracing::info!("dropped a task without a usable id");
                return None;
            };
            if self.knows_task(&framework_id, &task_id) {
                tracing::info!(%framework_id, %task_id, "ignored a task that is already here");
                self.counters.duplicate_tasks += 1;
                return None;
            }
            let resources = Resources::from_proto(&task.resources).unwrap_or_else(|error| {
                refusal.get_or_insert((Reason::TaskInvalid, error.to_string()));
                Resources::default()
            });
            checked.push((task_id, Arc::new(task), resources));
        }
        let executor_id = match ExecutorId::parse(&info.executor_id.value) {
            Ok(id) => Some(id),
            Err(error) => {
                refusal.get_or_insert((Reason::TaskInvalid, format!("executor_id: {error}")));
                None
            }
        };
        if let Some(id) = &executor_id {
            let refused = self.refuse(&framework_id, id, &info, command_executor);
            if let Some((reason, message)) = refused {
                refusal.get_or_insert((reason, message.to_owned()));
            }
        }
        let Some((reason, message)) = refusal else {
            return Some(Run {
                framework_id,
                executor_id: executor_id?,
                info,
                command_executor,
                group,
                tasks: checked,
            });
        };
        for (task_id, _, _) in checked {
            let key = (framework_id.clone(), task_id);
            self.refuse_task(now, &key, executor_id.as_ref(), reason, &message, effects);
        }
        None
    }

    /// The task is here, or an update of it still is.
    fn knows_task(&self, framework_id: &FrameworkId, task_id: &TaskId) -> bool {
        if planted!(self, LaunchDuplicateRunTask) {
            return false;
        }
        self.streams
            .contains_key(&(framework_id.clone(), task_id.clone()))
            || self.frameworks[framework_id].executor_of(task_id).is_some()
    }

    /// Why this executor cannot take tasks.
    fn refuse(
        &self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        info: &v1::ExecutorInfo,
        command_executor: bool,
    ) -> Option<(Reason, &'static str)> {
        if self.drain.is_some() {
            return Some((Reason::AgentDraining, "an operator drains the agent"));
        }
        if Resources::from_proto(&info.resources).is_err() {
            return Some((Reason::TaskInvalid, "executor.resources: cannot be read"));
        }
        let present = self.executor(&(framework_id.clone(), executor_id.clone()))?;
        if present.command_executor || command_executor {
            return Some((Reason::TaskInvalid, "the executor id is in use"));
        }
        if present.status.takes_tasks() {
            return None;
        }
        Some((Reason::ExecutorTerminated, "the executor is ending"))
    }

    fn refuse_task(
        &mut self,
        now: Now,
        key: &(FrameworkId, TaskId),
        executor_id: Option<&ExecutorId>,
        reason: Reason,
        message: &str,
        effects: &mut Effects,
    ) {
        let state = match reason {
            Reason::ExecutorTerminated | Reason::AgentDraining => self.dropped_state(&key.0),
            _ => TaskState::TaskError,
        };
        self.report(
            now,
            key,
            executor_id,
            Report::new(state, reason, message),
            effects,
        );
    }

    /// TASK_DROPPED for partition-aware frameworks, TASK_LOST for the others.
    pub(super) fn dropped_state(&self, framework_id: &FrameworkId) -> TaskState {
        let aware = self
            .frameworks
            .get(framework_id)
            .is_some_and(|framework| can(&framework.info, capability::Type::PartitionAware));
        if aware {
            TaskState::TaskDropped
        } else {
            TaskState::TaskLost
        }
    }

    /// TASK_GONE for partition-aware frameworks, TASK_LOST for the others.
    pub(super) fn gone_state(&self, framework_id: &FrameworkId) -> TaskState {
        match self.dropped_state(framework_id) {
            TaskState::TaskDropped => TaskState::TaskGone,
            other => other,
        }
    }

    /// Takes the tasks in and writes them down, if the framework wants that.
    fn enqueue(&mut self, now: Now, run: Run, effects: &mut Effects) {
        let key = (run.framework_id.clone(), run.executor_id.clone());
        let new = self.executor(&key).is_none();
        if new {
            self.add_executor(&key, run.info, run.command_executor);
        }
        let executor = self.executor_mut(&key).expect("added above");
        let container_id = executor.container_id.clone();
        let checkpoint = executor.checkpoint;
        let mut ids = Vec::new();
        let mut records = Vec::new();
        for (task_id, info, resources) in run.tasks {
            records.push(Record::Task {
                framework_id: key.0.clone(),
                executor_id: key.1.clone(),
                task: Arc::clone(&info),
            });
            let task = Task::new(info, resources, run.group, Stage::Checkpointing);
            executor.tasks.insert(task_id.clone(), Arc::new(task));
            executor.order.push_back(task_id.clone());
            ids.push(task_id);
        }
        if !checkpoint {
            self.run_recorded(now, &key, &container_id, &ids, effects);
            return;
        }
        if new {
            records.splice(0..0, self.executor_records(&key));
        }
        let last = records.pop();
        for record in records {
            self.checkpoint(record, Pending::Nothing, effects);
        }
        if let Some(last) = last {
            let then = Pending::Run {
                framework_id: key.0,
                executor_id: key.1,
                container_id,
                tasks: ids,
            };
            self.checkpoint(last, then, effects);
        }
    }

    fn add_executor(&mut self, key: &ExecutorKey, info: v1::ExecutorInfo, command_executor: bool) {
        let agent_id = self
            .agent_id()
            .expect("tasks are dispatched only to a registered agent");
        let container_id = ContainerId::new(self.container_rng.uuid().to_string());
        let sandbox = self.paths.sandbox(&agent_id, &key.0, &key.1, &container_id);
        // The check has read them before.
        let resources = Resources::from_proto(&info.resources).unwrap_or_default();
        let framework = self.framework_mut(&key.0).expect("noted before");
        let executor = Executor {
            id: key.1.clone(),
            framework_id: key.0.clone(),
            container_id: container_id.clone(),
            info: Arc::new(info),
            command_executor,
            checkpoint: framework.info.checkpoint(),
            status: ExecutorStatus::Preparing,
            connection: None,
            recovered: false,
            pid: None,
            driver: None,
            sandbox,
            resources,
            told: Resources::default(),
            tasks: imbl::OrdMap::new(),
            order: imbl::Vector::new(),
            completed_tasks: imbl::Vector::new(),
            delivered: false,
            ending: None,
            held: Vec::new(),
        };
        framework
            .executors
            .insert(key.1.clone(), Arc::new(executor));
        self.containers.insert(container_id, key.clone());
    }

    fn executor_records(&self, key: &ExecutorKey) -> Vec<Record> {
        let framework = &self.frameworks[&key.0];
        let executor = &framework.executors[&key.1];
        vec![
            Record::Framework {
                info: Arc::clone(&framework.info),
            },
            Record::Executor {
                framework_id: key.0.clone(),
                info: Arc::clone(&executor.info),
                container_id: executor.container_id.clone(),
                command_executor: executor.command_executor,
            },
        ]
    }

    /// The tasks are written down, or need not be: launch the executor, or hand them over.
    pub(super) fn run_recorded(
        &mut self,
        now: Now,
        key: &ExecutorKey,
        container_id: &ContainerId,
        tasks: &[TaskId],
        effects: &mut Effects,
    ) {
        // In the meantime tasks may have been killed, and the executor may have gone with them.
        let Some(executor) = self
            .executor_mut(key)
            .filter(|executor| executor.container_id == *container_id)
        else {
            return;
        };
        for task_id in tasks {
            let waiting = executor
                .tasks
                .get(task_id)
                .is_some_and(|task| task.stage == Stage::Checkpointing);
            if waiting {
                executor.task_mut(task_id).advance(Stage::Queued);
            }
        }
        match executor.status {
            // Without live tasks it waits for new ones, or for the last word about the old.
            ExecutorStatus::Preparing if executor.live_tasks().next().is_none() => {}
            ExecutorStatus::Preparing => self.launch(now, key, effects),
            ExecutorStatus::Running => self.deliver(key, effects),
            ExecutorStatus::Registering
            | ExecutorStatus::Terminating
            | ExecutorStatus::Terminated => {}
        }
    }

    fn launch(&mut self, now: Now, key: &ExecutorKey, effects: &mut Effects) {
        let config = self.container_config(key);
        let executor = self.executor_mut(key).expect("the caller has found it");
        executor.advance(ExecutorStatus::Registering);
        executor.told = config.resources.clone();
        let container_id = executor.container_id.clone();
        tracing::info!(framework_id = %key.0, executor_id = %key.1, %container_id, "launching");
        effects.push(Effect::Launch(Box::new(config)));
        let at = now
            .mono
            .after(self.config.timing.executor_registration_timeout);
        effects.set_timer(TimerKey::ExecutorRegistration(container_id), at);
    }

    pub(super) fn container_config(&self, key: &ExecutorKey) -> ContainerConfig {
        let framework = &self.frameworks[&key.0];
        let executor = &framework.executors[&key.1];
        let first = executor.order.front().and_then(|id| executor.tasks.get(id));
        let first = first.map(|task| &task.info);
        let command_task = first.filter(|_| executor.command_executor);
        let info = Arc::clone(&executor.info);
        let (kind, command) = match command_task {
            Some(task) => (ContainerKind::CommandTask(Arc::clone(task)), &task.command),
            None if info.r#type() == v1::executor_info::Type::Default => {
                (ContainerKind::TaskGroups(info), &executor.info.command)
            }
            None => (ContainerKind::Executor(info), &executor.info.command),
        };
        let command = command.clone().unwrap_or_default();
        let user = self.container_user(&framework.info, &command);
        ContainerConfig {
            container_id: executor.container_id.clone(),
            framework_id: key.0.clone(),
            executor_id: key.1.clone(),
            kind,
            user,
            sandbox: executor.sandbox.clone(),
            resources: executor.allocated(),
            limits: executor.limits(),
            volumes: self.container_volumes(&executor.allocated()),
            container: executor.info.container.clone(),
            environment: executor_environment(
                &self.config,
                &self.info,
                executor,
                command_task.map(|task| task.task_id.value.as_str()),
            ),
            shutdown_grace: self.shutdown_grace(executor),
            checkpoint: executor.checkpoint,
            recovery_timeout: self.config.timing.recovery_timeout,
            command,
        }
    }

    /// Who a container runs as; none for the agent's own user.
    fn container_user(
        &self,
        framework: &v1::FrameworkInfo,
        command: &v1::CommandInfo,
    ) -> Option<String> {
        let user = command.user.clone();
        self.config
            .switch_user
            .then(|| user.unwrap_or_else(|| framework.user.clone()))
            .filter(|user| !user.is_empty())
    }

    /// Lets a container that runs see the volumes that it gets with new tasks.
    fn link_new_volumes(&self, key: &ExecutorKey, effects: &mut Effects) {
        let Some(executor) = self.executor(key) else {
            return;
        };
        let new = &executor.allocated() - &executor.told;
        let volumes = self.container_volumes(&new);
        if volumes.is_empty() {
            return;
        }
        let framework = &self.frameworks[&key.0].info;
        let command = executor.info.command.clone().unwrap_or_default();
        effects.push(Effect::LinkVolumes {
            sandbox: executor.sandbox.clone(),
            user: self.container_user(framework, &command),
            volumes,
        });
    }

    /// Hands every queued task to a running executor, groups as a whole.
    pub(super) fn deliver(&mut self, key: &ExecutorKey, effects: &mut Effects) {
        self.link_new_volumes(key, effects);
        let Some(executor) = self.executor_mut(key) else {
            return;
        };
        let Some(connection) = executor
            .connection
            .filter(|_| executor.status == ExecutorStatus::Running)
        else {
            return;
        };
        let ready: Vec<TaskId> = executor
            .queued_tasks()
            .filter(|(_, task)| task.stage == Stage::Queued)
            .map(|(id, _)| id.clone())
            .collect();
        if ready.is_empty() {
            return;
        }
        tell_resources(executor, effects);
        let mut event: Option<(Option<u64>, Vec<v1::TaskInfo>)> = None;
        for task_id in ready {
            let task = executor.task_mut(&task_id);
            task.advance(Stage::Sent);
            let (group, info) = (task.group, (*task.info).clone());
            match &mut event {
                Some((current, tasks)) if group.is_some() && *current == group => tasks.push(info),
                _ => {
                    if let Some(done) = event.replace((group, vec![info])) {
                        push_launch(connection, done, effects);
                    }
                }
            }
        }
        executor.delivered = true;
        if let Some(done) = event {
            push_launch(connection, done, effects);
        }
    }
}

/// Tells the containerizer what the container may use, if that has changed.
pub(super) fn tell_resources(executor: &mut Executor, effects: &mut Effects) {
    let resources = executor.allocated();
    if !executor.status.has_container() || resources == executor.told {
        return;
    }
    executor.told = resources.clone();
    effects.push(Effect::UpdateContainer {
        container_id: executor.container_id.clone(),
        resources,
        limits: executor.limits(),
    });
}

fn push_launch(
    connection: crate::base::ConnectionId,
    (group, mut tasks): (Option<u64>, Vec<v1::TaskInfo>),
    effects: &mut Effects,
) {
    use v1::executor::event::{Launch, LaunchGroup, Type};
    let mut event = v1::executor::Event::default();
    if group.is_some() {
        event.r#type = Some(Type::LaunchGroup as i32);
        event.launch_group = Some(LaunchGroup {
            task_group: v1::TaskGroupInfo { tasks },
        });
    } else {
        event.r#type = Some(Type::Launch as i32);
        event.launch = tasks.pop().map(|task| Launch { task });
    }
    effects.push(Effect::ToExecutor {
        connection,
        event: Box::new(event),
    });
}
