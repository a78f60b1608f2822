//! A master's snapshot as Mesos' operator API shows it.

use std::collections::BTreeMap;

use crate::base::FrameworkId;
use crate::master::Snapshot;
use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::proto::v1::master::response::{self, get_executors};
use crate::resources::{ReservationForm, ResourceName, Resources};
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
            resources: held.to_proto(ReservationForm::Flat),
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

/// The master's metrics under Mesos' names.
pub(in crate::api) fn metrics(snapshot: &Snapshot) -> BTreeMap<String, f64> {
    let counters = snapshot.metrics.counters().into_iter();
    let mut all: BTreeMap<_, _> = counters.map(|(name, count)| (name, count as f64)).collect();
    let uptime = snapshot.taken.since(snapshot.started);
    all.insert("master/uptime_secs".to_owned(), uptime.as_secs_f64());
    all.insert("master/elected".to_owned(), 1.0);
    counts(snapshot, &mut all);
    task_states(snapshot, &mut all);
    resources(snapshot, &mut all);
    all
}

fn counts(snapshot: &Snapshot, all: &mut BTreeMap<String, f64>) {
    let active = snapshot
        .agents
        .values()
        .filter(|agent| agent.is_active())
        .count();
    let agents = snapshot.agents.len();
    let connected = snapshot
        .frameworks
        .values()
        .filter(|known| known.is_connected())
        .count();
    let frameworks = snapshot.frameworks.len();
    for (name, count) in [
        ("master/slaves_active", active),
        ("master/slaves_inactive", agents - active),
        ("master/slaves_connected", active),
        ("master/slaves_disconnected", agents - active),
        (
            "master/slaves_unreachable",
            snapshot.unreachable_agents.len(),
        ),
        ("master/frameworks_active", connected),
        ("master/frameworks_inactive", frameworks - connected),
        ("master/frameworks_connected", connected),
        ("master/frameworks_disconnected", frameworks - connected),
        ("master/outstanding_offers", snapshot.offers.len()),
    ] {
        all.insert(name.to_owned(), count as f64);
    }
}

fn task_states(snapshot: &Snapshot, all: &mut BTreeMap<String, f64>) {
    let mut states = [
        ("master/tasks_staging", TaskState::TaskStaging, 0_u32),
        ("master/tasks_starting", TaskState::TaskStarting, 0),
        ("master/tasks_running", TaskState::TaskRunning, 0),
        ("master/tasks_killing", TaskState::TaskKilling, 0),
    ];
    for task in snapshot.tasks() {
        for entry in &mut states {
            entry.2 += u32::from(entry.1 == task.state);
        }
    }
    for (name, _, count) in states {
        all.insert(name.to_owned(), f64::from(count));
    }
    let unreachable = snapshot
        .frameworks
        .values()
        .map(|known| known.unreachable_tasks.len());
    let unreachable: usize = unreachable.sum();
    all.insert("master/tasks_unreachable".to_owned(), unreachable as f64);
}

fn resources(snapshot: &Snapshot, all: &mut BTreeMap<String, f64>) {
    let mut total = Resources::new();
    let mut used = Resources::new();
    for agent in snapshot.agents.values() {
        total.add_all(&agent.total);
        used.add_all(&snapshot.agent_allocated(agent));
    }
    let (total, used) = (total.quantities(), used.quantities());
    for name in ["cpus", "mem", "disk", "gpus"] {
        let key = ResourceName::parse(name).expect("predefined names are well formed");
        let (of, is) = (total.get(&key).as_f64(), used.get(&key).as_f64());
        all.insert(format!("master/{name}_total"), of);
        all.insert(format!("master/{name}_used"), is);
        let share = if of > 0.0 { is / of } else { 0.0 };
        all.insert(format!("master/{name}_percent"), share);
        for kind in ["total", "used", "percent"] {
            all.insert(format!("master/{name}_revocable_{kind}"), 0.0);
        }
    }
}
