//! A master's snapshot as Mesos' operator API shows it.

use std::collections::BTreeMap;

use crate::base::FrameworkId;
use crate::master::Snapshot;
use crate::proto::v1;
use crate::proto::v1::master::response::{self, get_executors};
use crate::resources::{ReservationForm, Resources};
use crate::roles::Role;

/// GET_STATE.
pub(super) fn state(snapshot: &Snapshot) -> response::GetState {
    response::GetState {
        get_tasks: Some(tasks(snapshot)),
        get_executors: Some(executors(snapshot)),
        get_frameworks: Some(frameworks(snapshot)),
        get_agents: Some(agents(snapshot)),
    }
}

/// GET_OPERATIONS.
pub(super) fn operations(snapshot: &Snapshot) -> response::GetOperations {
    let agents = snapshot.agents.values();
    let operations = agents.flat_map(|agent| agent.operations.values());
    response::GetOperations {
        operations: operations.map(|operation| operation.to_proto()).collect(),
    }
}

/// GET_AGENTS.
pub(super) fn agents(snapshot: &Snapshot) -> response::GetAgents {
    let agents = snapshot.agents.values();
    let recovered = snapshot.recovered_agents.values();
    response::GetAgents {
        agents: agents.map(|agent| snapshot.agent_to_proto(agent)).collect(),
        recovered_agents: recovered.map(|info| v1::AgentInfo::clone(info)).collect(),
    }
}

/// GET_FRAMEWORKS.
pub(super) fn frameworks(snapshot: &Snapshot) -> response::GetFrameworks {
    let present = snapshot.frameworks.values();
    let completed = snapshot.completed_frameworks.iter();
    response::GetFrameworks {
        frameworks: present
            .map(|framework| snapshot.framework_to_proto(framework))
            .collect(),
        completed_frameworks: completed
            .map(|(_, framework)| snapshot.framework_to_proto(framework))
            .collect(),
        ..response::GetFrameworks::default()
    }
}

/// GET_EXECUTORS: those of frameworks; the built-in ones are not known to a master.
pub(super) fn executors(snapshot: &Snapshot) -> response::GetExecutors {
    let mut executors = Vec::new();
    for agent in snapshot.agents.values() {
        for executor in agent.executors.values() {
            executors.push(get_executors::Executor {
                executor_info: v1::ExecutorInfo::clone(&executor.info),
                agent_id: (&agent.id).into(),
            });
        }
    }
    response::GetExecutors {
        executors,
        ..response::GetExecutors::default()
    }
}

/// GET_TASKS.
pub(super) fn tasks(snapshot: &Snapshot) -> response::GetTasks {
    let mut all = response::GetTasks::default();
    let gone = snapshot
        .completed_frameworks
        .iter()
        .map(|(_, framework)| framework);
    for framework in snapshot.frameworks.values().chain(gone) {
        let tasks = framework.tasks.values();
        all.tasks.extend(tasks.map(|task| task.to_proto()));
        let unreachable = framework.unreachable_tasks.iter();
        all.unreachable_tasks
            .extend(unreachable.map(|(_, task)| task.to_proto()));
        let completed = framework.completed_tasks.iter();
        all.completed_tasks
            .extend(completed.map(|(_, task)| task.to_proto()));
    }
    all
}

/// GET_ROLES: every role that a framework has or holds resources in, or that has a weight or quota.
pub(super) fn roles(snapshot: &Snapshot) -> response::GetRoles {
    let mut known: BTreeMap<Role, (Vec<&FrameworkId>, Resources)> = BTreeMap::new();
    for framework in snapshot.frameworks.values() {
        for role in &framework.roles {
            known.entry(role.clone()).or_default().0.push(&framework.id);
        }
        for (role, held) in snapshot.framework_allocated(framework).allocations() {
            known
                .entry(role)
                .or_default()
                .1
                .add_all(&held.unallocated());
        }
    }
    for role in snapshot.weights.keys().chain(snapshot.quotas.keys()) {
        known.entry(role.clone()).or_default();
    }
    let roles = known
        .into_iter()
        .map(|(role, (frameworks, held))| v1::Role {
            name: role.to_string(),
            weight: snapshot
                .weights
                .get(&role)
                .copied()
                .unwrap_or_default()
                .as_f64(),
            frameworks: frameworks.into_iter().map(Into::into).collect(),
            resources: held.to_proto(ReservationForm::Stack),
        });
    response::GetRoles {
        roles: roles.collect(),
    }
}

/// GET_MASTER.
pub(super) fn master(snapshot: &Snapshot) -> response::GetMaster {
    let started = snapshot.started.as_secs_f64();
    response::GetMaster {
        master_info: Some(v1::MasterInfo::clone(&snapshot.master)),
        start_time: Some(started),
        elected_time: Some(started),
    }
}
