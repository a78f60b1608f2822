//! A master's metrics: under Mesos' names, and as samples for Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use crate::master::Snapshot;
use crate::master::framework::Framework;
use crate::master::framework_metrics::{Counts, operations};
use crate::proto::v1::TaskState;
use crate::proto::v1::scheduler::{call, event};
use crate::resources::{Quantities, ResourceName, Resources};
use crate::roles::Role;
use crate::telemetry::Sample;

use super::role_metrics;

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
    for framework in snapshot.frameworks.values() {
        of_framework(snapshot, framework, &mut all);
    }
    all
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
    for framework in snapshot.frameworks.values() {
        framework_samples(snapshot, framework, &mut all);
    }
    all
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

/// The states of tasks that live.
const ACTIVE: [TaskState; 5] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskUnreachable,
];

/// The states of tasks that ended.
const ENDED: [TaskState; 8] = [
    TaskState::TaskFinished,
    TaskState::TaskFailed,
    TaskState::TaskKilled,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskDropped,
    TaskState::TaskGone,
    TaskState::TaskGoneByOperator,
];

fn active(framework: &Framework) -> BTreeMap<TaskState, usize> {
    let mut counts: BTreeMap<TaskState, usize> = ACTIVE.map(|state| (state, 0)).into();
    for task in framework.tasks.values() {
        if let Some(count) = counts.get_mut(&task.state) {
            *count += 1;
        }
    }
    let lost = framework.unreachable_tasks.len();
    counts.insert(TaskState::TaskUnreachable, lost);
    counts
}

/// The names of an enum's values that are counted.
fn calls() -> impl Iterator<Item = &'static str> {
    let known = (1..64).filter_map(|number| call::Type::try_from(number).ok());
    known.map(|kind| kind.as_str_name())
}

fn events() -> impl Iterator<Item = &'static str> {
    let known = (1..64).filter_map(|number| event::Type::try_from(number).ok());
    let known = known.filter(|kind| *kind != event::Type::Heartbeat);
    known.map(|kind| kind.as_str_name())
}

/// One framework's metrics under Mesos' names.
fn of_framework(snapshot: &Snapshot, framework: &Framework, all: &mut BTreeMap<String, f64>) {
    let name = encoded(&framework.info.name);
    let prefix = format!("master/frameworks/{name}/{}", framework.id);
    let mut put = |path: &str, value: f64| {
        all.insert(format!("{prefix}/{path}"), value);
    };
    put("subscribed", f64::from(u8::from(framework.is_connected())));
    put("offers/longest_held_secs", held(snapshot, framework));
    let metrics = &framework.metrics;
    let mut family = |path: &str, counts: &Counts, names: BTreeSet<&'static str>, whole: bool| {
        for name in names {
            let count = counts.get(name).copied().unwrap_or(0);
            put(&format!("{path}/{}", name.to_lowercase()), count as f64);
        }
        if whole {
            put(path, counts.values().sum::<u64>() as f64);
        }
    };
    family("calls", &metrics.calls, calls().collect(), true);
    family("events", &metrics.events, events().collect(), true);
    let kinds = operations().map(|kind| kind.as_str_name());
    family("operations", &metrics.operations, kinds.collect(), true);
    let offers = ["sent", "accepted", "declined", "rescinded"];
    family("offers", &metrics.offers, offers.into(), false);
    let ends = ENDED.map(|state| state.as_str_name());
    family("tasks/terminal", &metrics.ended, ends.into(), false);
    for (state, count) in active(framework) {
        let state = state.as_str_name().to_lowercase();
        put(&format!("tasks/active/{state}"), count as f64);
    }
    for role in &framework.roles {
        let suppressed = framework.suppressed_roles.contains(role);
        let suppressed = f64::from(u8::from(suppressed));
        put(&format!("roles/{role}/suppressed"), suppressed);
    }
}

/// One framework's metrics for Prometheus.
fn framework_samples(snapshot: &Snapshot, framework: &Framework, all: &mut Vec<Sample>) {
    let labels = |more: Option<(&'static str, String)>| {
        let mut labels = vec![
            ("framework", framework.info.name.clone()),
            ("framework_id", framework.id.to_string()),
        ];
        labels.extend(more);
        labels
    };
    let mut put = |name: &str, help: &str, counts, more, value| {
        all.push(Sample {
            name: name.to_owned(),
            help: help.to_owned(),
            counts,
            labels: labels(more),
            value,
        });
    };
    let metrics = &framework.metrics;
    for (name, help, label, counts) in [
        (
            "master/framework_calls",
            "Calls of a scheduler, by type.",
            "type",
            &metrics.calls,
        ),
        (
            "master/framework_events",
            "Events sent to a scheduler, by type.",
            "type",
            &metrics.events,
        ),
        (
            "master/framework_offers",
            "Offers to a framework, by fate.",
            "fate",
            &metrics.offers,
        ),
        (
            "master/framework_operations",
            "Operations on offers, by type.",
            "type",
            &metrics.operations,
        ),
        (
            "master/framework_task_ends",
            "Ended tasks, by state.",
            "state",
            &metrics.ended,
        ),
    ] {
        for (kind, count) in counts {
            let more = Some((label, kind.to_lowercase()));
            put(name, help, true, more, *count as f64);
        }
    }
    for (state, count) in active(framework) {
        let more = Some(("state", state.as_str_name().to_lowercase()));
        let help = "Tasks that have not ended, by state.";
        put("master/framework_tasks", help, false, more, count as f64);
    }
    let subscribed = f64::from(u8::from(framework.is_connected()));
    let help = "1 while the scheduler is subscribed.";
    put("master/framework_subscribed", help, false, None, subscribed);
    let held = held(snapshot, framework);
    let help = "How long a framework has held the offer that it has held longest.";
    put(
        "master/framework_longest_held_offer_seconds",
        help,
        false,
        None,
        held,
    );
}

/// Who hoards: seconds since the oldest offer that a framework has not answered.
fn held(snapshot: &Snapshot, framework: &Framework) -> f64 {
    snapshot
        .longest_held(framework)
        .unwrap_or_default()
        .as_secs_f64()
}

/// A name as part of a path: what is not a letter, a digit or one of `-_.~` is written `%XX`.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_frameworks_are_one_part_of_a_path() {
        assert_eq!(encoded("golden pymesos"), "golden%20pymesos");
        assert_eq!(encoded("a/b_c-1.0~\u{e4}"), "a%2Fb_c-1.0~%C3%A4");
    }
}
