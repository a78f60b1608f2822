//! An agent's metrics for Prometheus: each with its unit and a sentence.

use std::collections::BTreeMap;

use crate::telemetry::Sample;

/// Bytes of a megabyte, as Mesos counts them.
const MEGABYTE: f64 = 1024.0 * 1024.0;

/// Mesos' name, Prometheus' name, whether it only grows, what it says.
const KNOWN: &[(&str, &str, bool, &str)] = &[
    (
        "slave/uptime_secs",
        "slave/uptime_seconds",
        false,
        "Time since the agent's start.",
    ),
    (
        "slave/registered",
        "slave/registered",
        false,
        "1 while a master knows the agent.",
    ),
    (
        "slave/recovery_errors",
        "slave/recovery_errors",
        true,
        "Checkpointed state that could not be read.",
    ),
    (
        "slave/recovery_time_secs",
        "slave/recovery_seconds",
        false,
        "How long the agent took to find what its predecessor had left.",
    ),
    (
        "slave/frameworks_active",
        "slave/frameworks_active",
        false,
        "Frameworks with executors here.",
    ),
    (
        "slave/tasks_staging",
        "slave/tasks_staging",
        false,
        "Tasks that are staging.",
    ),
    (
        "slave/tasks_starting",
        "slave/tasks_starting",
        false,
        "Tasks that are starting.",
    ),
    (
        "slave/tasks_running",
        "slave/tasks_running",
        false,
        "Tasks that are running.",
    ),
    (
        "slave/tasks_killing",
        "slave/tasks_killing",
        false,
        "Tasks that are being killed.",
    ),
    (
        "slave/tasks_finished",
        "slave/tasks_finished",
        true,
        "Tasks that ended well.",
    ),
    (
        "slave/tasks_failed",
        "slave/tasks_failed",
        true,
        "Tasks that failed.",
    ),
    (
        "slave/tasks_killed",
        "slave/tasks_killed",
        true,
        "Tasks that were killed.",
    ),
    (
        "slave/tasks_lost",
        "slave/tasks_lost",
        true,
        "Tasks that were lost or never started.",
    ),
    (
        "slave/tasks_gone",
        "slave/tasks_gone",
        true,
        "Tasks that are not where they should be.",
    ),
    (
        "slave/executors_registering",
        "slave/executors_registering",
        false,
        "Executors that have not subscribed yet.",
    ),
    (
        "slave/executors_running",
        "slave/executors_running",
        false,
        "Executors that run.",
    ),
    (
        "slave/executors_terminating",
        "slave/executors_terminating",
        false,
        "Executors that were asked to end.",
    ),
    (
        "slave/executors_terminated",
        "slave/executors_terminated",
        true,
        "Executors that have ended.",
    ),
    (
        "slave/container_launch_errors",
        "slave/container_launch_errors",
        true,
        "Containers that never started.",
    ),
    (
        "slave/executor_directory_max_allowed_age_secs",
        "slave/executor_directory_max_allowed_age_seconds",
        false,
        "Age at which the sandbox of an ended executor is deleted, as the disk is filled now.",
    ),
    (
        "slave/valid_status_updates",
        "slave/valid_status_updates",
        true,
        "Status updates taken from executors.",
    ),
    (
        "slave/invalid_status_updates",
        "slave/invalid_status_updates",
        true,
        "Status updates of executors that were refused.",
    ),
    (
        "slave/valid_framework_messages",
        "slave/valid_framework_messages",
        true,
        "Messages passed on between executors and schedulers.",
    ),
    (
        "slave/invalid_framework_messages",
        "slave/invalid_framework_messages",
        true,
        "Messages dropped because one side was not there.",
    ),
    (
        "slave/duplicate_tasks",
        "slave/duplicate_tasks",
        true,
        "Orders to run a task that was here already.",
    ),
    (
        "gc/path_removals_pending",
        "gc/path_removals_pending",
        false,
        "Sandboxes that are to be deleted.",
    ),
    (
        "gc/path_removals_succeeded",
        "gc/path_removals_succeeded",
        true,
        "Sandboxes that were deleted.",
    ),
    (
        "gc/path_removals_failed",
        "gc/path_removals_failed",
        true,
        "Sandboxes that could not be deleted.",
    ),
];

/// The metrics of an agent's loop, for Prometheus.
#[must_use]
pub fn samples(all: BTreeMap<String, f64>) -> Vec<Sample> {
    all.into_iter()
        .filter_map(|(name, value)| sample(&name, value))
        .collect()
}

fn sample(name: &str, value: f64) -> Option<Sample> {
    let known = KNOWN.iter().find(|(known, ..)| *known == name);
    if let Some((_, prometheus, counts, help)) = known {
        return Some(Sample {
            name: (*prometheus).to_owned(),
            help: (*help).to_owned(),
            counts: *counts,
            labels: Vec::new(),
            value,
        });
    }
    of_resources(name, value)
}

/// `slave/<resource>[_revocable]_{total,used,percent}`.
fn of_resources(name: &str, value: f64) -> Option<Sample> {
    let (family, what) = name.strip_prefix("slave/")?.rsplit_once('_')?;
    let firm = family.strip_suffix("_revocable");
    let (resource, which) = match firm {
        Some(resource) => (resource, " that can be taken back"),
        None => (family, ""),
    };
    let (unit, factor) = match resource {
        "mem" | "disk" => ("_bytes", MEGABYTE),
        _ => ("", 1.0),
    };
    let (suffix, value, help) = match what {
        "total" => (
            format!("total{unit}"),
            value * factor,
            format!("All {resource} of the agent{which}."),
        ),
        "used" => (
            format!("used{unit}"),
            value * factor,
            format!("The {resource} that executors and tasks hold{which}."),
        ),
        "percent" => (
            "used_ratio".to_owned(),
            value,
            format!("Used part of all {resource}{which}, 0 to 1."),
        ),
        _ => return None,
    };
    Some(Sample {
        name: format!("slave/{family}_{suffix}"),
        help,
        counts: false,
        labels: Vec::new(),
        value,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        for (name, value, prometheus, shown) in [
            (
                "slave/mem_total",
                2.0,
                "slave/mem_total_bytes",
                2.0 * MEGABYTE,
            ),
            ("slave/cpus_used", 0.5, "slave/cpus_used", 0.5),
            ("slave/disk_percent", 0.5, "slave/disk_used_ratio", 0.5),
            (
                "slave/mem_revocable_used",
                1.0,
                "slave/mem_revocable_used_bytes",
                MEGABYTE,
            ),
            ("slave/uptime_secs", 3.0, "slave/uptime_seconds", 3.0),
        ] {
            let sample = sample(name, value).unwrap();
            assert_eq!((sample.name.as_str(), sample.value), (prometheus, shown));
            assert!(sample.help.ends_with('.'), "{}", sample.help);
        }
        assert_eq!(sample("slave/nothing", 1.0), None);
    }
}
