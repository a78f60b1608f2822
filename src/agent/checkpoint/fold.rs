//! The records of a journal, folded into what a restarted agent needs; and back into the fewest records
//! that say the same, for a journal that has grown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::{ContainerId, ExecutorId, FrameworkId, TaskId, Timestamp, Uuid};
use crate::proto::v1;

use super::history::{EndedRun, History};
use super::record::Record;
use crate::agent::task::STATUSES_MAX;

/// What an agent has written down, as of its last record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpointed {
    /// The agent itself, if it ever registered and was not removed.
    pub agent: Option<CheckpointedAgent>,
    /// Frameworks with something left here.
    pub frameworks: BTreeMap<FrameworkId, Arc<v1::FrameworkInfo>>,
    /// Runs whose containers may still live.
    pub executors: BTreeMap<(FrameworkId, ExecutorId), CheckpointedExecutor>,
    /// Tasks whose last update is not acknowledged.
    pub tasks: BTreeMap<(FrameworkId, TaskId), CheckpointedTask>,
    /// Updates that are not acknowledged, oldest first.
    pub updates: BTreeMap<(FrameworkId, TaskId), CheckpointedUpdates>,
    /// All dynamic reservations and persistent volumes. They belong to the host, not to the agent's
    /// id: they stay when that goes.
    pub converted: Vec<v1::Resource>,
    /// Operations whose end the master has not acknowledged.
    pub operations: BTreeMap<Uuid, Arc<v1::Operation>>,
    /// The drain that is under way, and since when.
    pub drain: Option<(v1::DrainConfig, Timestamp)>,
    /// What is over.
    pub history: History,
    /// Records or parts of them that could not be read.
    pub errors: u64,
}

/// The agent itself.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointedAgent {
    /// With id.
    pub info: Arc<v1::AgentInfo>,
    /// The boot in which the record was written.
    pub boot_id: String,
    /// The highest leadership number seen.
    pub epoch: u64,
}

/// One run of an executor.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointedExecutor {
    /// Its description.
    pub info: Arc<v1::ExecutorInfo>,
    /// The run.
    pub container_id: ContainerId,
    /// Made up by the agent.
    pub command_executor: bool,
    /// The supervisor's process id, once it was started.
    pub pid: Option<u32>,
    /// The process of its driver, if it has one of the older protocol.
    pub driver: Option<String>,
    /// Its tasks whose end the scheduler has seen, oldest first.
    pub completed_tasks: VecDeque<CheckpointedTask>,
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointedTask {
    /// Its executor.
    pub executor_id: ExecutorId,
    /// Its description.
    pub info: Arc<v1::TaskInfo>,
    /// Its statuses, acknowledged or not, as [`crate::agent::Task`] keeps them.
    pub statuses: Vec<Arc<v1::TaskStatus>>,
}

impl CheckpointedExecutor {
    /// The run and those of its tasks that are over.
    fn records(&self, framework_id: &FrameworkId, records: &mut Vec<Record>) {
        let container_id = || self.container_id.clone();
        records.push(Record::Executor {
            framework_id: framework_id.clone(),
            info: Arc::clone(&self.info),
            container_id: container_id(),
            command_executor: self.command_executor,
        });
        if let Some(pid) = self.pid {
            let container_id = container_id();
            records.push(Record::Launched { container_id, pid });
        }
        if let Some(driver) = self.driver.clone() {
            let container_id = container_id();
            records.push(Record::Driver {
                container_id,
                driver,
            });
        }
        for task in &self.completed_tasks {
            task.records(framework_id, |_| true, records);
        }
    }
}

impl CheckpointedTask {
    /// The task and what it has gone through as far as the scheduler has seen it.
    fn records(
        &self,
        framework_id: &FrameworkId,
        seen: impl Fn(&[u8]) -> bool,
        records: &mut Vec<Record>,
    ) {
        let task_id = TaskId::new(self.info.task_id.value.as_str());
        records.push(Record::Task {
            framework_id: framework_id.clone(),
            executor_id: self.executor_id.clone(),
            task: Arc::clone(&self.info),
        });
        for status in &self.statuses {
            let uuid = Uuid::from_slice(status.uuid());
            let Some(uuid) = uuid.filter(|_| seen(status.uuid())) else {
                continue;
            };
            records.push(Record::Update {
                framework_id: framework_id.clone(),
                executor_id: Some(self.executor_id.clone()),
                status: Arc::clone(status),
            });
            records.push(Record::Acknowledged {
                framework_id: framework_id.clone(),
                task_id: task_id.clone(),
                uuid,
            });
        }
    }

    fn record(&mut self, status: &Arc<v1::TaskStatus>) {
        let last = self.statuses.last();
        if last.is_some_and(|last| last.state == status.state) {
            self.statuses.pop();
        }
        self.statuses.push(Arc::clone(status));
        if self.statuses.len() > STATUSES_MAX {
            self.statuses.remove(0);
        }
    }
}

/// The open updates of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointedUpdates {
    /// Its executor, if it had one here.
    pub executor_id: Option<ExecutorId>,
    /// Oldest first.
    pub queue: Vec<Arc<v1::TaskStatus>>,
}

impl CheckpointedUpdates {
    fn ends_its_task(&self) -> bool {
        let last = self.queue.last();
        last.is_some_and(|status| status.state().is_terminal())
    }
}

impl Checkpointed {
    /// Takes the next record.
    pub fn apply(&mut self, record: &Record) {
        if self.agent.is_none() && !record.outlives_the_agent() {
            return;
        }
        match record {
            Record::Agent {
                info,
                boot_id,
                epoch,
            } => {
                self.agent = Some(CheckpointedAgent {
                    info: Arc::clone(info),
                    boot_id: boot_id.clone(),
                    epoch: *epoch,
                });
            }
            Record::AgentRemoved => self.remove_agent(),
            Record::Restarted => self.restart(),
            Record::Framework { info } => {
                if let Some(id) = &info.id {
                    let id = FrameworkId::new(id.value.as_str());
                    self.frameworks.insert(id, Arc::clone(info));
                }
            }
            Record::FrameworkEnded { framework_id } => self.end_framework(framework_id),
            Record::Executor {
                framework_id,
                info,
                container_id,
                command_executor,
            } => {
                let executor_id = ExecutorId::new(info.executor_id.value.as_str());
                let executor = CheckpointedExecutor {
                    info: Arc::clone(info),
                    container_id: container_id.clone(),
                    command_executor: *command_executor,
                    pid: None,
                    driver: None,
                    completed_tasks: VecDeque::new(),
                };
                self.executors
                    .insert((framework_id.clone(), executor_id), executor);
            }
            Record::Launched { container_id, pid } => {
                self.change(container_id, |run| run.pid = Some(*pid));
            }
            Record::Driver {
                container_id,
                driver,
            } => self.change(container_id, |run| run.driver = Some(driver.clone())),
            Record::ExecutorEnded {
                framework_id,
                executor_id,
                container_id,
            } => {
                let key = (framework_id.clone(), executor_id.clone());
                self.end_executor(&key, container_id);
            }
            Record::Task {
                framework_id,
                executor_id,
                task,
            } => self.add_task(framework_id, executor_id, task),
            Record::Update {
                framework_id,
                executor_id,
                status,
            } => self.update(framework_id, executor_id.as_ref(), status),
            Record::Draining { config, since } => self.drain = Some((*config, *since)),
            Record::Drained => self.drain = None,
            Record::Acknowledged {
                framework_id,
                task_id,
                uuid,
            } => self.acknowledge(framework_id, task_id, *uuid),
            Record::Operation {
                operation,
                converted,
            } => self.operate(operation, converted),
            Record::OperationAcknowledged { uuid } => {
                self.operations.remove(uuid);
            }
        }
    }

    fn add_task(
        &mut self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
        task: &Arc<v1::TaskInfo>,
    ) {
        let task_id = TaskId::new(task.task_id.value.as_str());
        let written = CheckpointedTask {
            executor_id: executor_id.clone(),
            info: Arc::clone(task),
            statuses: Vec::new(),
        };
        self.tasks.insert((framework_id.clone(), task_id), written);
    }

    /// Changes the run in a container, if there is one.
    fn change(&mut self, container_id: &ContainerId, make: impl FnOnce(&mut CheckpointedExecutor)) {
        let mut executors = self.executors.values_mut();
        if let Some(run) = executors.find(|it| it.container_id == *container_id) {
            make(run);
        }
    }

    fn end_executor(&mut self, key: &(FrameworkId, ExecutorId), container_id: &ContainerId) {
        let executor = self.executors.get(key);
        if executor.is_none_or(|executor| executor.container_id != *container_id) {
            return;
        }
        let executor = self.executors.remove(key);
        // One without process and tasks was never more than planned.
        let lived = |executor: &CheckpointedExecutor| {
            executor.pid.is_some() || !executor.completed_tasks.is_empty()
        };
        if let Some(executor) = executor.filter(lived)
            && let Some(framework) = self.frameworks.get(&key.0)
        {
            let run = EndedRun {
                framework_id: key.0.clone(),
                executor_id: key.1.clone(),
                executor,
            };
            self.history.add(framework, run);
        }
        // Of tasks that ended without a word (their framework was removed) nothing is news any more.
        let of_executor = |framework_id: &FrameworkId, executor_id: Option<&ExecutorId>| {
            *framework_id == key.0 && executor_id == Some(&key.1)
        };
        self.updates.retain(|task, updates| {
            !of_executor(&task.0, updates.executor_id.as_ref()) || updates.ends_its_task()
        });
        let updates = &self.updates;
        self.tasks.retain(|task, written| {
            !of_executor(&task.0, Some(&written.executor_id)) || updates.contains_key(task)
        });
    }

    /// The agent's id goes with all that belongs to it.
    fn remove_agent(&mut self) {
        let converted = std::mem::take(&mut self.converted);
        *self = Self {
            converted,
            ..Self::default()
        };
    }

    fn operate(&mut self, operation: &Arc<v1::Operation>, converted: &[v1::Resource]) {
        self.converted = converted.to_vec();
        if let Some(uuid) = Uuid::from_slice(&operation.uuid.value)
            && self.agent.is_some()
        {
            self.operations.insert(uuid, Arc::clone(operation));
        }
    }

    fn update(
        &mut self,
        framework_id: &FrameworkId,
        executor_id: Option<&ExecutorId>,
        status: &Arc<v1::TaskStatus>,
    ) {
        let task_id = TaskId::new(status.task_id.value.as_str());
        let key = (framework_id.clone(), task_id);
        let updates = self
            .updates
            .entry(key.clone())
            .or_insert_with(|| CheckpointedUpdates {
                executor_id: executor_id.cloned(),
                queue: Vec::new(),
            });
        if updates.queue.iter().all(|known| known.uuid != status.uuid) {
            updates.queue.push(Arc::clone(status));
            if let Some(task) = self.tasks.get_mut(&key) {
                task.record(status);
            }
        }
    }

    fn acknowledge(&mut self, framework_id: &FrameworkId, task_id: &TaskId, uuid: Uuid) {
        let key = (framework_id.clone(), task_id.clone());
        let Some(updates) = self.updates.get_mut(&key) else {
            return;
        };
        let first = updates.queue.first();
        if first.is_none_or(|status| status.uuid() != uuid.0) {
            return;
        }
        let status = updates.queue.remove(0);
        if updates.queue.is_empty() {
            self.updates.remove(&key);
        }
        if !status.state().is_terminal() {
            return;
        }
        let Some(task) = self.tasks.remove(&key) else {
            return;
        };
        let run = (framework_id.clone(), task.executor_id.clone());
        match self.executors.get_mut(&run) {
            Some(executor) => drop(executor.complete(task)),
            None => self.history.add_task(framework_id, task),
        }
    }

    /// A new life begins. Without its end a task's story is over all the same: its executor is gone, and
    /// the master tells so when the agent comes back without it. Old states would contradict that.
    pub fn restart(&mut self) {
        self.updates.retain(|_, updates| updates.ends_its_task());
        let updates = &self.updates;
        self.tasks.retain(|key, _| updates.contains_key(key));
    }

    fn end_framework(&mut self, id: &FrameworkId) {
        self.frameworks.remove(id);
        self.executors.retain(|key, _| key.0 != *id);
        self.tasks.retain(|key, _| key.0 != *id);
        // Updates that nobody has acknowledged outlive the framework's work here.
    }

    /// The fewest records that fold into this.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some(agent) = &self.agent {
            records.push(Record::Agent {
                info: Arc::clone(&agent.info),
                boot_id: agent.boot_id.clone(),
                epoch: agent.epoch,
            });
        }
        if let Some((config, since)) = self.drain {
            records.push(Record::Draining { config, since });
        }
        self.history_records(&mut records);
        for info in self.frameworks.values() {
            let info = Arc::clone(info);
            records.push(Record::Framework { info });
        }
        for ((framework_id, _), executor) in &self.executors {
            executor.records(framework_id, &mut records);
        }
        for (key, task) in &self.tasks {
            let open = self.updates.get(key);
            let open = open.map_or(&[][..], |updates| updates.queue.as_slice());
            let seen = |uuid: &[u8]| open.iter().all(|waiting| waiting.uuid() != uuid);
            task.records(&key.0, seen, &mut records);
        }
        for ((framework_id, _), updates) in &self.updates {
            for status in &updates.queue {
                records.push(Record::Update {
                    framework_id: framework_id.clone(),
                    executor_id: updates.executor_id.clone(),
                    status: Arc::clone(status),
                });
            }
        }
        records.extend(self.operation_records());
        records
    }

    /// What is over, from beginning to end.
    fn history_records(&self, records: &mut Vec<Record>) {
        let ended = self.history.frameworks();
        for info in ended.values() {
            let info = Arc::clone(info);
            records.push(Record::Framework { info });
        }
        for run in self.history.runs() {
            run.executor.records(&run.framework_id, records);
            records.push(Record::ExecutorEnded {
                framework_id: run.framework_id.clone(),
                executor_id: run.executor_id.clone(),
                container_id: run.executor.container_id.clone(),
            });
        }
        for id in ended.keys() {
            records.push(Record::FrameworkEnded {
                framework_id: id.clone(),
            });
        }
    }

    /// Every open operation, with what all of them have led to. Without any, an operation of its own
    /// that was acknowledged says it.
    fn operation_records(&self) -> Vec<Record> {
        let record = |operation: &Arc<v1::Operation>| Record::Operation {
            operation: Arc::clone(operation),
            converted: self.converted.clone(),
        };
        if self.operations.is_empty() && !self.converted.is_empty() {
            let uuid = Uuid([0; 16]);
            let carrier = Arc::new(v1::Operation {
                uuid: (&uuid).into(),
                ..v1::Operation::default()
            });
            return vec![record(&carrier), Record::OperationAcknowledged { uuid }];
        }
        self.operations.values().map(record).collect()
    }
}
