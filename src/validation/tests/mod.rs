//! Tables of good and bad messages, one file per kind.

mod any;
mod framework;
mod group;
mod operation;
mod task;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::proto::v1;
use crate::resources::{ReservationForm, Resources, parse};
use crate::roles::Role;

use super::{Context, Known};

/// What the master of the tests knows.
#[derive(Default)]
struct World {
    live: BTreeSet<TaskId>,
    unreachable: BTreeSet<TaskId>,
    executors: BTreeMap<ExecutorId, v1::ExecutorInfo>,
    shared: BTreeMap<ExecutorId, bool>,
}

impl Known for World {
    fn has_live_task(&self, task: &TaskId) -> bool {
        self.live.contains(task)
    }

    fn has_unreachable_task(&self, task: &TaskId) -> bool {
        self.unreachable.contains(task)
    }

    fn executor(&self, executor: &ExecutorId) -> Option<&v1::ExecutorInfo> {
        self.executors.get(executor)
    }

    fn share_cgroups(&self, executor: &ExecutorId) -> Option<bool> {
        self.shared.get(executor).copied()
    }
}

/// Runs `test` with a context over `world`.
fn with_context<T>(world: &World, test: impl FnOnce(&Context<'_>) -> T) -> T {
    let role = Role::parse("ads").unwrap();
    test(&Context {
        framework_id: &FrameworkId::new("f"),
        framework_user: "nobody",
        agent_id: &AgentId::new("s"),
        role: &role,
        agent_takes_limits: true,
        root_submissions: false,
        known: world,
    })
}

fn bag(text: &str) -> Resources {
    parse(text, &Role::DEFAULT).unwrap()
}

/// What the offers of the tests hold.
fn offered() -> Resources {
    bag("cpus:4;mem:512;disk:100;ports:[31000-31009]").allocate(&Role::parse("ads").unwrap())
}

fn messages(text: &str) -> Vec<v1::Resource> {
    bag(text).to_proto(ReservationForm::Flat)
}

/// A command task that passes.
fn sleeper(id: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: "sleeper".to_owned(),
        task_id: id.into(),
        agent_id: "s".into(),
        resources: messages("cpus:1;mem:64"),
        command: Some(shell("sleep 10")),
        ..Default::default()
    }
}

fn shell(text: &str) -> v1::CommandInfo {
    v1::CommandInfo {
        value: Some(text.to_owned()),
        ..Default::default()
    }
}

/// An executor that passes as a task's own, and with a type also as a group's.
fn executor(id: &str) -> v1::ExecutorInfo {
    v1::ExecutorInfo {
        executor_id: id.into(),
        command: Some(shell("./executor")),
        resources: messages("cpus:0.1;mem:32;disk:10"),
        ..Default::default()
    }
}
