//! A restarted agent: what it takes back of its earlier lives.
//!
//! Executors of checkpointing frameworks run on while the agent is away. The new life knows them, their
//! tasks and the updates that no scheduler has acknowledged from its journal. The containerizer takes
//! their containers back, they subscribe again within `--executor_reregistration_timeout`, and the
//! master is told of all of it when the agent re-registers.
//!
//! ```text
//! Agent::new reads --> Effect::Recover --> Event::Recovered --> (re-)registration
//!                                             each executor: SUBSCRIBE, or the end of its patience
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use imbl::{OrdMap, Vector};

use crate::base::{ExecutorId, FrameworkId, Now, TaskId, Uuid};
use crate::proto::v1;
use crate::resources::Resources;

use super::checkpoint::{Checkpointed, CheckpointedExecutor, CheckpointedTask, Record};
use super::config::{AgentConfig, Reconfiguration};
use super::core::{Agent, Exit, Pending};
use super::effect::{Effect, Effects};
use super::executor::{Ending, Executor, ExecutorStatus};
use super::framework::Framework;
use super::task::{Stage, Task};
use super::timer::TimerKey;
use super::update_stream::{Seen, UpdateStream};

type Tasks = BTreeMap<(FrameworkId, TaskId), CheckpointedTask>;

/// Why an agent with this description must not take back what is written down: its executors would
/// run with resources that it has no more. `None` if it may, or if there is nothing to take back.
#[must_use]
pub(super) fn refused(config: &AgentConfig, checkpointed: &Checkpointed) -> Option<String> {
    let earlier = checkpointed.agent.as_ref()?;
    let count = checkpointed.executors.len();
    let now = config.agent_info();
    let (policy, fits) = match config.reconfiguration {
        Reconfiguration::Equal => ("equal", equal(&earlier.info, &now)),
        Reconfiguration::Additive => ("additive", compatible(&earlier.info, &now)),
    };
    // What ran did not survive the boot: nothing depends on what the agent was.
    let rebooted = earlier.boot_id != config.boot_id;
    if fits || count == 0 || config.cleanup || rebooted {
        return None;
    }
    Some(format!(
        "--reconfiguration_policy={policy}: host name, port, domain, resources or attributes are not \
         those of the agent's last run, which has left {count} executors: start it with the flags of \
         then, or with --recover=cleanup to end them"
    ))
}

impl Agent {
    pub(super) fn recover(&mut self, checkpointed: Checkpointed, now: Now) {
        self.counters.recovery_errors = checkpointed.errors;
        let Some(earlier) = &checkpointed.agent else {
            return;
        };
        if self.config.cleanup {
            self.operations = OrdMap::new();
            return;
        }
        if !compatible(&earlier.info, &self.info) {
            tracing::info!(
                "the agent's description has changed, it will register anew under another id"
            );
            self.first_record = Some(Record::AgentRemoved);
            self.operations = OrdMap::new();
            return;
        }
        self.drain = checkpointed.drain;
        Arc::make_mut(&mut self.info)
            .id
            .clone_from(&earlier.info.id);
        self.registration.epoch = earlier.epoch;
        self.registration.recorded = Some(Record::Agent {
            info: Arc::clone(&earlier.info),
            boot_id: earlier.boot_id.clone(),
            epoch: earlier.epoch,
        });
        self.recover_updates(&checkpointed);
        for ((framework_id, executor_id), executor) in &checkpointed.executors {
            match checkpointed.frameworks.get(framework_id) {
                Some(info) => {
                    self.recover_executor(framework_id, info, executor_id, executor, &checkpointed);
                }
                None => self.forget_sandbox(now, framework_id, executor_id, executor),
            }
        }
        for (key, written) in &checkpointed.tasks {
            let run = (key.0.clone(), written.executor_id.clone());
            let framework = checkpointed.frameworks.get(&key.0);
            if let Some(framework) = framework
                && !checkpointed.executors.contains_key(&run)
                && self.streams.contains_key(key)
            {
                let task = recovered_task(key, written, &self.streams);
                self.over.insert(key.clone(), (Arc::clone(framework), task));
            }
        }
        self.recover_history(&checkpointed);
    }

    /// Updates that no scheduler has acknowledged; for tasks that go on also which it has.
    fn recover_updates(&mut self, checkpointed: &Checkpointed) {
        for (key, updates) in &checkpointed.updates {
            let mut stream = UpdateStream::new(updates.executor_id.clone(), true);
            for status in &updates.queue {
                if let Some(uuid) = Uuid::from_slice(status.uuid()) {
                    stream.push(uuid, Arc::clone(status), true);
                }
            }
            self.streams.insert(key.clone(), stream);
        }
        for (key, task) in &checkpointed.tasks {
            let run = (key.0.clone(), task.executor_id.clone());
            let lives = checkpointed.executors.contains_key(&run)
                && checkpointed.frameworks.contains_key(&key.0);
            if !lives || task.statuses.is_empty() {
                continue;
            }
            let executor_id = Some(task.executor_id.clone());
            let stream = self
                .streams
                .entry(key.clone())
                .or_insert_with(|| UpdateStream::new(executor_id, true));
            for status in &task.statuses {
                if let Some(uuid) = Uuid::from_slice(status.uuid())
                    && stream.seen(uuid) == Seen::New
                {
                    stream.remember(uuid);
                }
            }
        }
    }

    fn recover_executor(
        &mut self,
        framework_id: &FrameworkId,
        framework: &Arc<v1::FrameworkInfo>,
        executor_id: &ExecutorId,
        run: &CheckpointedExecutor,
        checkpointed: &Checkpointed,
    ) {
        let Some(mut executor) = self.recovered_run(framework_id, executor_id, run) else {
            return;
        };
        let tasks = recovered_tasks(
            framework_id,
            executor_id,
            &checkpointed.tasks,
            &self.streams,
        );
        executor.order = tasks.keys().cloned().collect();
        executor.delivered = !tasks.is_empty();
        executor.tasks = tasks;
        executor.told = executor.allocated();
        let key = (framework_id.clone(), executor_id.clone());
        self.containers.insert(run.container_id.clone(), key);
        let framework = self
            .frameworks
            .entry(framework_id.clone())
            .or_insert_with(|| {
                let framework = Framework::new(framework_id.clone(), Arc::clone(framework));
                Arc::new(framework)
            });
        Arc::make_mut(framework)
            .executors
            .insert(executor_id.clone(), Arc::new(executor));
    }

    /// A run as it was written down, without the tasks that it still has.
    fn recovered_run(
        &self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        run: &CheckpointedExecutor,
    ) -> Option<Executor> {
        let agent_id = self.agent_id()?;
        let container_id = &run.container_id;
        let sandbox = self
            .paths
            .sandbox(&agent_id, framework_id, executor_id, container_id);
        let completed = run.completed_tasks.iter();
        let acknowledged = BTreeMap::new();
        Some(Executor {
            id: executor_id.clone(),
            framework_id: framework_id.clone(),
            container_id: container_id.clone(),
            info: Arc::clone(&run.info),
            command_executor: run.command_executor,
            checkpoint: true,
            status: ExecutorStatus::Registering,
            connection: None,
            recovered: true,
            pid: run.pid,
            driver: run.driver.clone(),
            sandbox,
            // They were read before they were written down.
            resources: Resources::from_proto(&run.info.resources).unwrap_or_default(),
            told: Resources::default(),
            delivered: true,
            tasks: OrdMap::new(),
            order: Vector::new(),
            completed_tasks: completed
                .map(|task| {
                    let task_id = TaskId::new(task.info.task_id.value.as_str());
                    let key = (framework_id.clone(), task_id);
                    Arc::new(recovered_task(&key, task, &acknowledged))
                })
                .collect(),
            ending: None,
            held: Vec::new(),
        })
    }

    fn forget_sandbox(
        &mut self,
        now: Now,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        run: &CheckpointedExecutor,
    ) {
        if let Some(agent_id) = self.agent_id() {
            let container_id = &run.container_id;
            let sandbox = self
                .paths
                .sandbox(&agent_id, framework_id, executor_id, container_id);
            self.gc.schedule(now, sandbox);
        }
    }

    /// What had ended is shown as before: runs of frameworks that go on with these, others with the
    /// frameworks that were.
    fn recover_history(&mut self, checkpointed: &Checkpointed) {
        let max = self.config.completed_executors_max;
        for run in checkpointed.history.runs() {
            let id = &run.framework_id;
            let Some(info) = checkpointed.history.frameworks().get(id) else {
                continue;
            };
            let Some(mut executor) = self.recovered_run(id, &run.executor_id, &run.executor) else {
                continue;
            };
            executor.status = ExecutorStatus::Terminated;
            executor.recovered = false;
            let executor = Arc::new(executor);
            match self.frameworks.get_mut(id) {
                Some(framework) => Arc::make_mut(framework).remember(executor, max),
                None => {
                    let mut framework = Framework::new(id.clone(), Arc::clone(info));
                    framework.remember(executor, max);
                    self.remember_framework(Arc::new(framework));
                }
            }
        }
    }

    /// Asks for the containers that were recovered.
    pub(super) fn take_back(&mut self, effects: &mut Effects) {
        let keys: Vec<_> = self.containers.values().cloned().collect();
        let known = keys.iter().map(|key| self.container_config(key)).collect();
        self.recovering = true;
        effects.push(Effect::Recover(known));
    }

    /// The containers are there, or have gone: now the executors are waited for, and the master may be
    /// told.
    pub(super) fn recovered(&mut self, now: Now, effects: &mut Effects) {
        self.recovering = false;
        self.recovered_at = Some(now.wall);
        if self.config.cleanup {
            self.exit = Some(Exit {
                reason: "--recover=cleanup: all containers have ended".into(),
                failed: false,
                leaves_executors: false,
            });
            self.checkpoint(Record::AgentRemoved, Pending::Removed, effects);
            return;
        }
        let timeout = self.config.timing.executor_reregistration_timeout;
        let waiting: Vec<_> = self
            .containers
            .iter()
            .map(|(container_id, key)| (container_id.clone(), key.clone()))
            .collect();
        for (container_id, key) in waiting {
            let Some(executor) = self.executor(&key).filter(|executor| executor.recovered) else {
                continue;
            };
            if executor.command_executor && executor.tasks.is_empty() {
                // Its task is over and everybody knows.
                self.end_executor(now, &key, Ending::Shutdown, effects);
            } else {
                let timer = TimerKey::ExecutorRegistration(container_id);
                effects.set_timer(timer, now.mono.after(timeout));
            }
        }
        self.register_after_recovery(now, effects);
    }

    /// What earlier lives left on the disk is collected in its time, whichever agent id it was left
    /// under; but not what has become the sandbox of a run of this life meanwhile.
    pub(super) fn sandboxes_found(&mut self, now: Now, sandboxes: Vec<(PathBuf, Duration)>) {
        let live: BTreeSet<&PathBuf> = self
            .frameworks
            .values()
            .flat_map(|framework| framework.executors.values())
            .map(|executor| &executor.sandbox)
            .collect();
        for (path, age) in sandboxes {
            if !live.contains(&path) {
                self.gc.schedule_aged(now, path, age);
            }
        }
    }
}

/// The tasks of one executor as they were when the agent last wrote of them.
fn recovered_tasks(
    framework_id: &FrameworkId,
    executor_id: &ExecutorId,
    all: &Tasks,
    streams: &BTreeMap<(FrameworkId, TaskId), UpdateStream>,
) -> OrdMap<TaskId, Arc<Task>> {
    let of_framework = all
        .iter()
        .skip_while(|(key, _)| key.0 != *framework_id)
        .take_while(|(key, _)| key.0 == *framework_id);
    let mut tasks = OrdMap::new();
    for (key, written) in of_framework {
        if written.executor_id != *executor_id {
            continue;
        }
        let task = recovered_task(key, written, streams);
        tasks.insert(key.1.clone(), Arc::new(task));
    }
    tasks
}

/// A task as it was when the agent last wrote of it.
fn recovered_task(
    key: &(FrameworkId, TaskId),
    written: &CheckpointedTask,
    streams: &BTreeMap<(FrameworkId, TaskId), UpdateStream>,
) -> Task {
    let resources = Resources::from_proto(&written.info.resources).unwrap_or_default();
    // Whether it was handed over is not known; its executor will tell.
    let mut task = Task::new(Arc::clone(&written.info), resources, None, Stage::Sent);
    for status in &written.statuses {
        task.record(status);
    }
    let oldest = streams.get(key).and_then(UpdateStream::to_send);
    let oldest = oldest.map(|update| &update.status);
    task.forwarded = oldest
        .or_else(|| written.statuses.last())
        .map(|status| (status.state(), status.uuid().to_vec()));
    task
}

/// Nothing that the master was told has changed.
fn equal(earlier: &v1::AgentInfo, now: &v1::AgentInfo) -> bool {
    let resources = |info: &v1::AgentInfo| Resources::from_proto(&info.resources).ok();
    resources(earlier) == resources(now)
        && earlier.hostname == now.hostname
        && earlier.port == now.port
        && earlier.domain == now.domain
        && earlier.attributes == now.attributes
}

/// Mesos' additive rule: host name and port stay, the domain may be added, resources may grow,
/// attributes may be added.
fn compatible(earlier: &v1::AgentInfo, now: &v1::AgentInfo) -> bool {
    let resources = |info: &v1::AgentInfo| Resources::from_proto(&info.resources).ok();
    let grown = match (resources(earlier), resources(now)) {
        (Some(earlier), Some(now)) => now.contains(&earlier),
        _ => false,
    };
    grown
        && earlier.hostname == now.hostname
        && earlier.port == now.port
        && (earlier.domain.is_none() || earlier.domain == now.domain)
        && earlier
            .attributes
            .iter()
            .all(|attribute| now.attributes.contains(attribute))
}
