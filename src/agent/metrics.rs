//! The agent's metrics under Mesos' names (`slave/...`, `gc/...`), from a snapshot.

use std::collections::BTreeMap;

use crate::proto::v1::TaskState;
use crate::resources::{ResourceName, Resources};

use super::executor::ExecutorStatus;
use super::snapshot::Snapshot;

/// What an agent counts since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Terminal updates taken, by state.
    pub tasks_ended: BTreeMap<&'static str, u64>,
    /// Status updates taken from executors.
    pub valid_status_updates: u64,
    /// Status updates refused: unknown task, or a state after the terminal one.
    pub invalid_status_updates: u64,
    /// Messages passed on between executors and schedulers.
    pub valid_framework_messages: u64,
    /// Messages dropped because one side was not there.
    pub invalid_framework_messages: u64,
    /// Containers that never started.
    pub container_launch_errors: u64,
    /// Executors that have ended.
    pub executors_terminated: u64,
    /// Duplicate RunTask messages ignored.
    pub duplicate_tasks: u64,
    /// Checkpointed state that could not be read.
    pub recovery_errors: u64,
    /// Deleted sandboxes.
    pub path_removals_succeeded: u64,
    /// Sandboxes that could not be deleted.
    pub path_removals_failed: u64,
}

impl Counters {
    pub(super) fn ended(&mut self, state: TaskState) {
        let name = match state {
            TaskState::TaskFinished => "slave/tasks_finished",
            TaskState::TaskFailed | TaskState::TaskError => "slave/tasks_failed",
            TaskState::TaskKilled => "slave/tasks_killed",
            TaskState::TaskGone | TaskState::TaskGoneByOperator => "slave/tasks_gone",
            TaskState::TaskLost | TaskState::TaskDropped => "slave/tasks_lost",
            TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown => return,
        };
        *self.tasks_ended.entry(name).or_default() += 1;
    }
}

/// Names whose counters start at zero, so that a reader finds them before the first task.
const TASK_COUNTERS: [&str; 5] = [
    "slave/tasks_failed",
    "slave/tasks_finished",
    "slave/tasks_gone",
    "slave/tasks_killed",
    "slave/tasks_lost",
];

impl Snapshot {
    /// Every metric of the core by its Mesos name.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        self.counter_metrics(&mut all);
        self.task_metrics(&mut all);
        self.resource_metrics(&mut all);
        all
    }

    fn counter_metrics(&self, all: &mut BTreeMap<String, f64>) {
        let counters = &self.counters;
        for name in TASK_COUNTERS {
            let count = counters.tasks_ended.get(name).copied().unwrap_or(0);
            all.insert(name.into(), count as f64);
        }
        let uptime = self.now.wall.since(self.started);
        if let Some(at) = self.recovered_at {
            let took = at.since(self.started).as_secs_f64();
            all.insert("slave/recovery_time_secs".into(), took);
        }
        for (name, value) in [
            ("slave/uptime_secs", uptime.as_secs_f64()),
            ("slave/registered", f64::from(u8::from(self.registered))),
            ("slave/recovery_errors", counters.recovery_errors as f64),
            (
                "slave/valid_status_updates",
                counters.valid_status_updates as f64,
            ),
            (
                "slave/invalid_status_updates",
                counters.invalid_status_updates as f64,
            ),
            (
                "slave/valid_framework_messages",
                counters.valid_framework_messages as f64,
            ),
            (
                "slave/invalid_framework_messages",
                counters.invalid_framework_messages as f64,
            ),
            (
                "slave/container_launch_errors",
                counters.container_launch_errors as f64,
            ),
            (
                "slave/executors_terminated",
                counters.executors_terminated as f64,
            ),
            (
                "slave/executor_directory_max_allowed_age_secs",
                self.gc_age_secs as f64,
            ),
            ("slave/duplicate_tasks", counters.duplicate_tasks as f64),
            ("gc/path_removals_pending", self.gc_pending as f64),
            (
                "gc/path_removals_succeeded",
                counters.path_removals_succeeded as f64,
            ),
            (
                "gc/path_removals_failed",
                counters.path_removals_failed as f64,
            ),
        ] {
            all.insert(name.into(), value);
        }
    }

    fn task_metrics(&self, all: &mut BTreeMap<String, f64>) {
        let mut states = [
            ("slave/tasks_staging", TaskState::TaskStaging, 0_u32),
            ("slave/tasks_starting", TaskState::TaskStarting, 0),
            ("slave/tasks_running", TaskState::TaskRunning, 0),
            ("slave/tasks_killing", TaskState::TaskKilling, 0),
        ];
        let mut executors = [
            ("slave/executors_registering", 0_u32),
            ("slave/executors_running", 0),
            ("slave/executors_terminating", 0),
        ];
        for executor in self.executors() {
            match executor.status {
                ExecutorStatus::Preparing | ExecutorStatus::Registering => executors[0].1 += 1,
                ExecutorStatus::Running => executors[1].1 += 1,
                ExecutorStatus::Terminating => executors[2].1 += 1,
                ExecutorStatus::Terminated => {}
            }
            for task in executor.tasks.values() {
                for entry in &mut states {
                    entry.2 += u32::from(entry.1 == task.state && !task.state.is_terminal());
                }
            }
        }
        for (name, _, count) in states {
            all.insert(name.into(), f64::from(count));
        }
        for (name, count) in executors {
            all.insert(name.into(), f64::from(count));
        }
        let active = self.frameworks.len();
        all.insert("slave/frameworks_active".into(), active as f64);
    }

    fn resource_metrics(&self, all: &mut BTreeMap<String, f64>) {
        let mut used = Resources::default();
        for executor in self.executors() {
            used += &executor.allocated();
        }
        for (of, is, which) in [
            (self.total.nonrevocable(), used.nonrevocable(), ""),
            (self.total.revocable(), used.revocable(), "_revocable"),
        ] {
            let (of, is) = (of.quantities(), is.quantities());
            for name in ["cpus", "mem", "disk", "gpus"] {
                let parsed = ResourceName::parse(name).expect("predefined names are well formed");
                let (of, is) = (of.get(&parsed).as_f64(), is.get(&parsed).as_f64());
                let share = if of > 0.0 { is / of } else { 0.0 };
                for (what, value) in [("total", of), ("used", is), ("percent", share)] {
                    all.insert(format!("slave/{name}{which}_{what}"), value);
                }
            }
        }
    }
}
