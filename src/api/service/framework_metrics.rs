//! The metrics of one framework: under Mesos' names, and as samples for Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use crate::master::Snapshot;
use crate::master::framework::Framework;
use crate::master::framework_metrics::{Counts, operations};
use crate::proto::v1::TaskState;
use crate::proto::v1::scheduler::{call, event};
use crate::telemetry::Sample;

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
pub(super) fn of_framework(
    snapshot: &Snapshot,
    framework: &Framework,
    all: &mut BTreeMap<String, f64>,
) {
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
pub(super) fn framework_samples(snapshot: &Snapshot, framework: &Framework, all: &mut Vec<Sample>) {
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
