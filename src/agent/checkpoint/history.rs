//! What is over and still shown: the ended runs of executors and their tasks, as Mesos lists them again
//! after a restart. Bounded, so that a journal stays short.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::base::{ExecutorId, FrameworkId};
use crate::proto::v1;

use super::fold::{CheckpointedExecutor, CheckpointedTask};

/// Most runs that are remembered, and most tasks of all of them together.
const RUNS_MAX: usize = 500;
const TASKS_MAX: usize = 1_000;
/// Most ended tasks of one run.
const TASKS_OF_RUN_MAX: usize = 200;

/// One ended run of an executor.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedRun {
    /// Its framework.
    pub framework_id: FrameworkId,
    /// Its executor.
    pub executor_id: ExecutorId,
    /// The run, with its ended tasks.
    pub executor: CheckpointedExecutor,
}

/// The ended runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Oldest first.
    runs: VecDeque<EndedRun>,
    /// The frameworks of all of them.
    frameworks: BTreeMap<FrameworkId, Arc<v1::FrameworkInfo>>,
    /// How many tasks they have.
    tasks: usize,
}

impl History {
    /// Oldest first.
    pub fn runs(&self) -> impl Iterator<Item = &EndedRun> {
        self.runs.iter()
    }

    /// The frameworks that they were of.
    #[must_use]
    pub fn frameworks(&self) -> &BTreeMap<FrameworkId, Arc<v1::FrameworkInfo>> {
        &self.frameworks
    }

    /// A run is over.
    pub(super) fn add(&mut self, framework: &Arc<v1::FrameworkInfo>, run: EndedRun) {
        self.frameworks
            .insert(run.framework_id.clone(), Arc::clone(framework));
        self.tasks += run.executor.completed_tasks.len();
        self.runs.push_back(run);
        self.shrink();
    }

    /// The last update of a task was acknowledged after its run was over.
    pub(super) fn add_task(&mut self, framework_id: &FrameworkId, task: CheckpointedTask) {
        let of_task = |run: &&mut EndedRun| {
            run.framework_id == *framework_id && run.executor_id == task.executor_id
        };
        if let Some(run) = self.runs.iter_mut().rev().find(of_task) {
            self.tasks += 1;
            self.tasks -= run.executor.complete(task);
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let mut dropped = BTreeSet::new();
        while self.runs.len() > RUNS_MAX || (self.tasks > TASKS_MAX && self.runs.len() > 1) {
            let Some(oldest) = self.runs.pop_front() else {
                break;
            };
            self.tasks -= oldest.executor.completed_tasks.len();
            dropped.insert(oldest.framework_id);
        }
        for id in dropped {
            if self.runs.iter().all(|run| run.framework_id != id) {
                self.frameworks.remove(&id);
            }
        }
    }
}

impl CheckpointedExecutor {
    /// Keeps an ended task; gives how many older ones it took the place of.
    pub(super) fn complete(&mut self, task: CheckpointedTask) -> usize {
        self.completed_tasks.push_back(task);
        let over = self.completed_tasks.len().saturating_sub(TASKS_OF_RUN_MAX);
        drop(self.completed_tasks.drain(..over));
        over
    }
}
