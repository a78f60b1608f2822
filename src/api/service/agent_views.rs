//! An agent's snapshot as Mesos' operator API shows it.

use std::sync::Arc;

use super::measure::{Measured, MeasuredStandalone};
use crate::agent::{Executor, Framework, Snapshot, Stage};
use crate::proto::v1;
use crate::proto::v1::agent::response::{self, get_containers, get_executors, get_frameworks};

/// GET_STATE.
pub(super) fn state(snapshot: &Snapshot) -> response::GetState {
    response::GetState {
        get_tasks: Some(tasks(snapshot)),
        get_executors: Some(executors(snapshot)),
        get_frameworks: Some(frameworks(snapshot)),
    }
}

/// GET_AGENT.
pub(super) fn agent(snapshot: &Snapshot) -> response::GetAgent {
    response::GetAgent {
        agent_info: Some(v1::AgentInfo::clone(&snapshot.info)),
        drain_config: snapshot.drain.map(|(config, _)| config),
        estimated_drain_start_time: snapshot.drain.map(|(_, since)| v1::TimeInfo {
            nanoseconds: i64::try_from(since.0).unwrap_or(i64::MAX),
        }),
    }
}

/// GET_FRAMEWORKS.
pub(super) fn frameworks(snapshot: &Snapshot) -> response::GetFrameworks {
    let shown = |framework: &Arc<Framework>| get_frameworks::Framework {
        framework_info: v1::FrameworkInfo::clone(&framework.info),
    };
    response::GetFrameworks {
        frameworks: snapshot.frameworks.values().map(shown).collect(),
        completed_frameworks: snapshot.completed_frameworks.iter().map(shown).collect(),
    }
}

/// GET_EXECUTORS.
pub(super) fn executors(snapshot: &Snapshot) -> response::GetExecutors {
    let shown = |executor: &Arc<Executor>| get_executors::Executor {
        executor_info: v1::ExecutorInfo::clone(&executor.info),
    };
    response::GetExecutors {
        executors: snapshot.executors().map(shown).collect(),
        completed_executors: completed_executors(snapshot).map(shown).collect(),
    }
}

/// GET_TASKS. Queued tasks wait for their executor, launched ones were handed to it, terminated ones
/// wait for their last acknowledgement.
pub(super) fn tasks(snapshot: &Snapshot) -> response::GetTasks {
    let mut all = response::GetTasks::default();
    for executor in snapshot.executors() {
        for task in executor.tasks.values() {
            let list = match task.stage {
                _ if task.state.is_terminal() => &mut all.terminated_tasks,
                Stage::Sent => &mut all.launched_tasks,
                Stage::Checkpointing | Stage::Queued => &mut all.queued_tasks,
            };
            list.push(executor.task_to_proto(task));
        }
    }
    for executor in snapshot.executors().chain(completed_executors(snapshot)) {
        let ended = executor.completed_tasks.iter();
        all.completed_tasks
            .extend(ended.map(|task| executor.task_to_proto(task)));
    }
    all
}

/// GET_CONTAINERS: those of executors and, if wanted, those of the tasks in them.
pub(super) fn containers(
    measured: &[Measured],
    nested: bool,
    guests: &[(v1::ContainerId, u32)],
) -> response::GetContainers {
    let mut containers = Vec::new();
    for one in measured {
        let executor = &one.executor;
        let container = |status: v1::ContainerStatus, container_id| get_containers::Container {
            framework_id: Some((&executor.framework_id).into()),
            executor_id: Some((&executor.id).into()),
            executor_name: Some(executor.info.name().to_owned()),
            container_id,
            container_status: Some(status),
            resource_statistics: None,
        };
        let own = container(one.status.clone(), (&executor.container_id).into());
        containers.push(get_containers::Container {
            resource_statistics: one.statistics.clone(),
            ..own
        });
        for (id, pid) in guests {
            if outermost(id) == executor.container_id.as_str() {
                containers.push(container(status_of(id, *pid), id.clone()));
            }
        }
        let tasks = executor.live_tasks().filter(|_| nested);
        containers.extend(tasks.filter_map(|(_, task)| {
            let status = task.statuses.last()?.container_status.clone()?;
            let id = status.container_id.clone()?;
            id.parent.is_some().then(|| container(status, id))
        }));
    }
    response::GetContainers { containers }
}

/// GET_CONTAINERS: those that operators have launched, and what is in them.
pub(super) fn standalone_containers(
    measured: &[MeasuredStandalone],
    guests: &[(v1::ContainerId, u32)],
) -> Vec<get_containers::Container> {
    let container = |id: v1::ContainerId, pid| get_containers::Container {
        container_status: Some(status_of(&id, pid)),
        container_id: id,
        ..get_containers::Container::default()
    };
    let mut containers = Vec::new();
    for one in measured {
        containers.push(get_containers::Container {
            resource_statistics: one.statistics.clone(),
            ..container((&one.container_id).into(), one.pid)
        });
        let own = |id: &v1::ContainerId| outermost(id) == one.container_id.as_str();
        let inside = guests.iter().filter(|(id, _)| own(id));
        containers.extend(inside.map(|(id, pid)| container(id.clone(), *pid)));
    }
    containers
}

fn status_of(id: &v1::ContainerId, pid: u32) -> v1::ContainerStatus {
    v1::ContainerStatus {
        container_id: Some(id.clone()),
        executor_pid: Some(pid),
        ..v1::ContainerStatus::default()
    }
}

/// The container that all others of this name are in.
fn outermost(id: &v1::ContainerId) -> &str {
    match &id.parent {
        Some(parent) => outermost(parent),
        None => &id.value,
    }
}

fn completed_executors(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Executor>> {
    let gone = snapshot.completed_frameworks.iter();
    let all = snapshot.frameworks.values().chain(gone);
    all.flat_map(|framework| framework.completed_executors.iter())
}
