//! A master's metrics: under Mesos' names, and as samples for Prometheus.

use std::collections::BTreeMap;

use super::framework_metrics::{framework_samples, of_framework};
use super::role_metrics;
use crate::master::Snapshot;
use crate::master::framework_metrics::operations;
use crate::proto::v1::offer::operation::Type as Operation;
use crate::proto::v1::{OperationState, TaskState};
use crate::resources::{Quantities, ResourceName, Resources};
use crate::roles::Role;
use crate::telemetry::Sample;

/// Bytes of a megabyte, as Mesos counts them.
const MEGABYTE: f64 = 1024.0 * 1024.0;

/// A gauge of the whole cluster: Mesos' name, Prometheus' name and factor, explanation, value.
struct Gauge {
    name: String,
    prometheus: String,
    factor: f64,
    help: String,
    value: f64,
}

impl Gauge {
    fn plain(name: &str, help: &str, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            prometheus: name.to_owned(),
            factor: 1.0,
            help: help.to_owned(),
            value,
        }
    }

    fn named(self, prometheus: impl Into<String>, factor: f64) -> Self {
        Self {
            prometheus: prometheus.into(),
            factor,
            ..self
        }
    }
}

/// Everything under Mesos' names.
#[must_use]
pub fn by_name(snapshot: &Snapshot, filters: &BTreeMap<Role, usize>) -> BTreeMap<String, f64> {
    let counters = snapshot.metrics.counters().into_iter();
    let mut all: BTreeMap<_, _> = counters.map(|(name, count)| (name, count as f64)).collect();
    let passes = snapshot.allocator.passes as f64;
    all.insert("allocator/mesos/allocation_runs".to_owned(), passes);
    for gauge in gauges(snapshot) {
        all.insert(gauge.name, gauge.value);
    }
    role_metrics::by_name(snapshot, filters, &mut all);
    operations_by_name(snapshot, &mut all);
    of_principals(snapshot, &mut all);
    // Mesos has counted these under two names since it stopped shutting such agents down.
    for what in ["scheduled", "canceled", "completed"] {
        let same = all
            .get(&format!("master/slave_unreachable_{what}"))
            .copied();
        all.extend(same.map(|value| (format!("master/slave_shutdowns_{what}"), value)));
    }
    // The allocator is a part of the master's loop here; its older name is kept beside the newer one.
    let waiting = snapshot.allocation_candidates as f64;
    all.insert("allocator/event_queue_dispatches".to_owned(), waiting);
    for framework in snapshot
        .frameworks
        .values()
        .filter(|_| snapshot.frameworks_published)
    {
        of_framework(snapshot, framework, &mut all);
    }
    all
}

/// Operations by state, of all types and of each.
fn operations_by_name(snapshot: &Snapshot, all: &mut BTreeMap<String, f64>) {
    const ON_OFFERS_ALONE: [Operation; 2] = [Operation::Launch, Operation::LaunchGroup];
    let kinds = operations().filter(|kind| !ON_OFFERS_ALONE.contains(kind));
    let counted = &snapshot.metrics.operations_by_type;
    for kind in kinds {
        let kind = kind.as_str_name();
        let path = format!("master/operations/{}", kind.to_lowercase());
        for state in [
            "total",
            "finished",
            "failed",
            "error",
            "dropped",
            "unreachable",
            "gone_by_operator",
        ] {
            let count = counted.get(&(kind, state)).copied().unwrap_or(0);
            all.insert(format!("{path}/{state}"), count as f64);
        }
    }
    for ((kind, state), count) in under_way(snapshot) {
        let path = match kind {
            Some(kind) => format!("master/operations/{}/{state}", kind.to_lowercase()),
            None => format!("master/operations/{state}"),
        };
        all.insert(path, count as f64);
    }
}

/// How many operations wait for their agents, those of each type and (without one) all.
fn under_way(snapshot: &Snapshot) -> BTreeMap<(Option<&'static str>, &'static str), usize> {
    let mut counts = BTreeMap::new();
    let kinds = operations().map(|kind| kind.as_str_name());
    for kind in kinds
        .filter(|kind| !kind.starts_with("LAUNCH"))
        .map(Some)
        .chain([None])
    {
        counts.insert((kind, "pending"), 0);
        counts.insert((kind, "recovering"), 0);
    }
    let agents = snapshot.agents.values();
    for operation in agents.flat_map(|agent| agent.operations.values()) {
        let state = match operation.status.state() {
            OperationState::OperationPending => "pending",
            OperationState::OperationRecovering => "recovering",
            _ => continue,
        };
        for kind in [Some(operation.info.r#type().as_str_name()), None] {
            *counts.entry((kind, state)).or_insert(0) += 1;
        }
    }
    counts
}

/// Calls of the frameworks of each principal.
fn of_principals(snapshot: &Snapshot, all: &mut BTreeMap<String, f64>) {
    for framework in snapshot.frameworks.values() {
        let Some(principal) = framework.info.principal.as_deref() else {
            continue;
        };
        let processed: u64 = framework.metrics.calls.values().sum();
        let received = processed + framework.metrics.refused_calls;
        for (what, count) in [("received", received), ("processed", processed)] {
            let name = format!("frameworks/{principal}/messages_{what}");
            *all.entry(name).or_insert(0.0) += count as f64;
        }
    }
}

/// Everything for Prometheus.
#[must_use]
pub fn samples(snapshot: &Snapshot, filters: &BTreeMap<Role, usize>) -> Vec<Sample> {
    let counter = |name: &str, help: &str, value: u64| Sample {
        name: name.to_owned(),
        help: help.trim().to_owned(),
        counts: true,
        labels: Vec::new(),
        value: value as f64,
    };
    let described = snapshot.metrics.described().into_iter();
    let mut all: Vec<Sample> = described
        .map(|(name, help, value)| counter(name, help, value))
        .collect();
    let allocator = &snapshot.allocator;
    for (name, help, value) in [
        ("allocator/passes", "Allocation passes.", allocator.passes),
        (
            "allocator/agents_visited",
            "Agents that passes have looked at.",
            allocator.agents_visited,
        ),
        (
            "allocator/allocations",
            "Allocations made.",
            allocator.allocations,
        ),
        (
            "allocator/filters_set",
            "Filters set by declined offers.",
            allocator.filters_set,
        ),
        (
            "allocator/filters_expired",
            "Filters that ended by time.",
            allocator.filters_expired,
        ),
    ] {
        all.push(counter(name, help, value));
    }
    for (reason, times) in allocator.rejections() {
        let mut sample = counter(
            "allocator/rejections",
            "Agents that passes kept from frameworks, by reason.",
            times,
        );
        sample.labels.push(("reason", reason.to_owned()));
        all.push(sample);
    }
    for (name, times) in &snapshot.metrics.by_reason {
        let mut parts = name.split('/').skip(1);
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let mut sample = counter("master/task_ends", "Tasks that ended, by cause.", *times);
        sample.labels = vec![("state", next()), ("source", next()), ("reason", next())];
        all.push(sample);
    }
    for gauge in gauges(snapshot) {
        all.push(Sample {
            name: gauge.prometheus,
            help: gauge.help,
            counts: false,
            labels: Vec::new(),
            value: gauge.value * gauge.factor,
        });
    }
    role_metrics::samples(snapshot, filters, &mut all);
    operation_samples(snapshot, &mut all);
    for framework in snapshot
        .frameworks
        .values()
        .filter(|_| snapshot.frameworks_published)
    {
        framework_samples(snapshot, framework, &mut all);
    }
    all
}

/// Operations by type and state.
fn operation_samples(snapshot: &Snapshot, all: &mut Vec<Sample>) {
    for ((kind, state), count) in &snapshot.metrics.operations_by_type {
        let help = "Operations that were applied, and what became of them, by type.";
        all.push(Sample {
            name: "master/operations_by_type".to_owned(),
            help: help.to_owned(),
            counts: true,
            labels: vec![
                ("type", kind.to_lowercase()),
                ("state", (*state).to_owned()),
            ],
            value: *count as f64,
        });
    }
    for ((kind, state), count) in under_way(snapshot) {
        let Some(kind) = kind else { continue };
        all.push(Sample {
            name: "master/operations_under_way".to_owned(),
            help: "Operations that wait for their agents, by type.".to_owned(),
            counts: false,
            labels: vec![("type", kind.to_lowercase()), ("state", state.to_owned())],
            value: count as f64,
        });
    }
}

fn gauges(snapshot: &Snapshot) -> Vec<Gauge> {
    let mut all = Vec::new();
    let uptime = snapshot.taken.since(snapshot.started).as_secs_f64();
    let help = "Time since the master's start.";
    all.push(Gauge::plain("master/uptime_secs", help, uptime).named("master/uptime_seconds", 1.0));
    all.push(Gauge::plain(
        "master/elected",
        "1 while this master leads.",
        1.0,
    ));
    let filters = snapshot.offer_filters as f64;
    let help = "Filters of declined offers that are in force.";
    all.push(Gauge::plain(
        "allocator/mesos/offer_filters/active",
        help,
        filters,
    ));
    let waiting = snapshot.allocation_candidates as f64;
    let help = "Agents that the next allocation pass will look at.";
    let name = "allocator/mesos/event_queue_dispatches";
    all.push(Gauge::plain(name, help, waiting).named("allocator/waiting_agents", 1.0));
    let help = "Size of what the registry holds of agents.";
    let gauge = Gauge::plain(
        "registrar/registry_size_bytes",
        help,
        snapshot.registry_size() as f64,
    );
    all.push(gauge);
    counts(snapshot, &mut all);
    task_states(snapshot, &mut all);
    resources(snapshot, &mut all);
    all
}

fn counts(snapshot: &Snapshot, all: &mut Vec<Gauge>) {
    let active = snapshot.agents.values().filter(|agent| agent.is_active());
    let active = active.count();
    let agents = snapshot.agents.len();
    let connected = snapshot.frameworks.values();
    let connected = connected.filter(|known| known.is_connected()).count();
    let frameworks = snapshot.frameworks.len();
    for (name, help, count) in [
        (
            "master/slaves_active",
            "Agents whose resources are offered.",
            active,
        ),
        (
            "master/slaves_inactive",
            "Agents whose resources are not offered.",
            agents - active,
        ),
        (
            "master/slaves_connected",
            "Agents whose link is up.",
            active,
        ),
        (
            "master/slaves_disconnected",
            "Agents whose link is down.",
            agents - active,
        ),
        (
            "master/slaves_unreachable",
            "Agents that are marked unreachable.",
            snapshot.unreachable_agents.len(),
        ),
        (
            "master/frameworks_active",
            "Frameworks that get offers.",
            connected,
        ),
        (
            "master/frameworks_inactive",
            "Frameworks that get no offers.",
            frameworks - connected,
        ),
        (
            "master/frameworks_connected",
            "Frameworks with a subscribed scheduler.",
            connected,
        ),
        (
            "master/frameworks_disconnected",
            "Frameworks without a scheduler.",
            frameworks - connected,
        ),
        (
            "master/outstanding_offers",
            "Offers that wait for an answer.",
            snapshot.offers.len(),
        ),
    ] {
        all.push(Gauge::plain(name, help, count as f64));
    }
}

fn task_states(snapshot: &Snapshot, all: &mut Vec<Gauge>) {
    let mut states = [
        ("staging", TaskState::TaskStaging, 0_u32),
        ("starting", TaskState::TaskStarting, 0),
        ("running", TaskState::TaskRunning, 0),
        ("killing", TaskState::TaskKilling, 0),
    ];
    for task in snapshot.tasks() {
        for entry in &mut states {
            entry.2 += u32::from(entry.1 == task.state);
        }
    }
    for (name, _, count) in states {
        let help = format!("Tasks that are {name}.");
        all.push(Gauge::plain(
            &format!("master/tasks_{name}"),
            &help,
            f64::from(count),
        ));
    }
    let unreachable = snapshot.frameworks.values();
    let unreachable: usize = unreachable.map(|known| known.unreachable_tasks.len()).sum();
    let help = "Tasks on unreachable agents.";
    all.push(Gauge::plain(
        "master/tasks_unreachable",
        help,
        unreachable as f64,
    ));
}

/// What all agents have, and what of it tasks, executors and offers hold.
struct Sums {
    total: Quantities,
    used: Quantities,
    revocable_total: Quantities,
    revocable_used: Quantities,
    offered: Quantities,
}

impl Sums {
    fn of(snapshot: &Snapshot) -> Self {
        let mut sums = Self {
            total: Quantities::new(),
            used: Quantities::new(),
            revocable_total: Quantities::new(),
            revocable_used: Quantities::new(),
            offered: Quantities::new(),
        };
        let split = |all: &Resources| {
            let revocable = all.revocable().quantities();
            (all.nonrevocable().quantities(), revocable)
        };
        for agent in snapshot.agents.values() {
            let (firm, revocable) = split(&agent.total);
            sums.total.add(&firm);
            sums.revocable_total.add(&revocable);
            let (firm, revocable) = split(&snapshot.agent_allocated(agent));
            sums.used.add(&firm);
            sums.revocable_used.add(&revocable);
        }
        for offer in snapshot.offers.values() {
            sums.offered.add(&offer.resources.quantities());
        }
        sums
    }
}

fn resources(snapshot: &Snapshot, all: &mut Vec<Gauge>) {
    let sums = Sums::of(snapshot);
    for name in ["cpus", "mem", "disk", "gpus"] {
        let key = ResourceName::parse(name).expect("predefined names are well formed");
        let (unit, factor) = match name {
            "mem" | "disk" => ("_bytes", MEGABYTE),
            _ => ("", 1.0),
        };
        let families = [
            (name.to_owned(), &sums.total, &sums.used, ""),
            (
                format!("{name}_revocable"),
                &sums.revocable_total,
                &sums.revocable_used,
                " that can be taken back",
            ),
        ];
        for (family, total, used, which) in families {
            let (of, is) = (total.get(&key).as_f64(), used.get(&key).as_f64());
            let share = if of > 0.0 { is / of } else { 0.0 };
            for (what, value, help) in [
                (
                    "total",
                    of,
                    format!("All {name} of registered agents{which}."),
                ),
                (
                    "used",
                    is,
                    format!("The {name} that tasks and executors hold{which}."),
                ),
            ] {
                let gauge = Gauge::plain(&format!("master/{family}_{what}"), &help, value);
                let prometheus = format!("master/{family}_{what}{unit}");
                all.push(gauge.named(prometheus, factor));
            }
            let help = format!("Used part of all {name}{which}, 0 to 1.");
            let gauge = Gauge::plain(&format!("master/{family}_percent"), &help, share);
            all.push(gauge.named(format!("master/{family}_used_ratio"), 1.0));
        }
        if name == "gpus" {
            continue;
        }
        let mut held = sums.used.clone();
        held.add(&sums.offered);
        for (what, value, help) in [
            (
                "total",
                sums.total.get(&key),
                format!("All {name} that can be offered."),
            ),
            (
                "offered_or_allocated",
                held.get(&key),
                format!("The {name} that are offered or in use."),
            ),
        ] {
            let path = format!("allocator/mesos/resources/{name}/{what}");
            let gauge = Gauge::plain(&path, &help, value.as_f64());
            all.push(gauge.named(format!("{path}{unit}"), factor));
        }
    }
}
