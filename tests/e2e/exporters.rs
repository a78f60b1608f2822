//! What exporters that were made for Mesos take out of its endpoints: Telegraf's input `mesos`, Datadog's checks
//! `mesos_master` and `mesos_slave`, and the Prometheus exporter `mesos_exporter`. Names and types are those that
//! they ask for; what Mesos itself may leave out is not here.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::Value;

use crate::agent_api::get;

/// Names below `master/` or `slave/` that all of them want of both daemons.
const OF_BOTH: &str = "
    cpus_percent cpus_total cpus_used mem_percent mem_total mem_used disk_percent disk_total disk_used
    gpus_percent gpus_total gpus_used cpus_revocable_percent cpus_revocable_total cpus_revocable_used
    mem_revocable_percent mem_revocable_total mem_revocable_used disk_revocable_percent disk_revocable_total
    disk_revocable_used gpus_revocable_percent gpus_revocable_total gpus_revocable_used uptime_secs
    tasks_failed tasks_finished tasks_killed tasks_lost tasks_running tasks_staging tasks_starting
    invalid_status_updates valid_status_updates frameworks_active";

/// Names of every daemon.
const SYSTEM: &str = "
    system/cpus_total system/load_15min system/load_5min system/load_1min system/mem_free_bytes
    system/mem_total_bytes";

/// Names below `master/`.
const OF_MASTER: &str = "
    elected slave_registrations slave_removals slave_reregistrations slave_shutdowns_scheduled
    slave_shutdowns_canceled slave_shutdowns_completed slaves_active slaves_connected slaves_disconnected
    slaves_inactive slave_unreachable_canceled slave_unreachable_completed slave_unreachable_scheduled
    slaves_unreachable frameworks_connected frameworks_disconnected frameworks_inactive outstanding_offers
    tasks_error tasks_dropped tasks_gone tasks_gone_by_operator tasks_killing tasks_unreachable
    invalid_executor_to_framework_messages invalid_framework_to_executor_messages
    invalid_status_update_acknowledgements dropped_messages messages_authenticate
    messages_deactivate_framework messages_decline_offers messages_executor_to_framework
    messages_exited_executor messages_framework_to_executor messages_kill_task messages_launch_tasks
    messages_reconcile_tasks messages_register_framework messages_register_slave
    messages_reregister_framework messages_reregister_slave messages_resource_request
    messages_revive_offers messages_status_update messages_status_update_acknowledgement
    messages_unregister_framework messages_unregister_slave messages_update_slave recovery_slave_removals
    slave_removals/reason_registered slave_removals/reason_unhealthy slave_removals/reason_unregistered
    valid_framework_to_executor_messages valid_status_update_acknowledgements
    valid_executor_to_framework_messages invalid_operation_status_update_acknowledgements
    messages_operation_status_update_acknowledgement messages_reconcile_operations
    messages_suppress_offers valid_operation_status_update_acknowledgements event_queue_dispatches
    event_queue_http_requests event_queue_messages operator_event_stream_subscribers";

/// A leader's names elsewhere; timers come with the parts in [`PARTS`].
const OF_LEADER: &str = "
    registrar/log/recovered registrar/queued_operations registrar/registry_size_bytes
    registrar/state_fetch_ms allocator/mesos/allocation_runs allocator/mesos/event_queue_dispatches
    allocator/mesos/resources/cpus/total allocator/mesos/resources/cpus/offered_or_allocated
    allocator/mesos/resources/mem/total allocator/mesos/resources/mem/offered_or_allocated
    allocator/mesos/resources/disk/total allocator/mesos/resources/disk/offered_or_allocated";

const TIMERS: [&str; 3] = [
    "registrar/state_store_ms",
    "allocator/mesos/allocation_run_ms",
    "allocator/mesos/allocation_run_latency_ms",
];

const PARTS: &str = "/count /max /min /p50 /p90 /p95 /p99 /p999 /p9999";

/// An agent's names below `slave/`, but for `executors_preempted` and `tasks_error`: nothing is preempted here,
/// and the other does not exist in Mesos either.
const OF_AGENT: &str = "
    registered container_launch_errors executor_directory_max_allowed_age_secs executors_registering
    executors_running executors_terminated executors_terminating recovery_errors
    invalid_framework_messages valid_framework_messages";

/// Members of one executor's statistics: those that there always are, and those that need an isolator.
const STATISTICS: (&str, &str) = (
    "cpus_system_time_secs cpus_user_time_secs mem_limit_bytes mem_rss_bytes timestamp",
    "processes threads cpus_limit cpus_throttled_time_secs cpus_nr_periods cpus_nr_throttled
     mem_total_bytes mem_cache_bytes mem_swap_bytes disk_limit_bytes disk_used_bytes",
);

/// Names of a daemon that are not there, or are no numbers: exporters decode all of them as floats.
fn missing(address: SocketAddr, wanted: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    // As Telegraf asks.
    let all = get(address, "/metrics/snapshot?timeout=100ms").json();
    let all = all.as_object().unwrap();
    let text = all.iter().filter(|(_, value)| !value.is_number());
    let text: BTreeSet<String> = text.map(|(name, _)| name.clone()).collect();
    let wanted = wanted.into_iter().filter(|name| !all.contains_key(name));
    text.into_iter().chain(wanted).collect()
}

fn below<'a>(prefix: &'a str, names: &'a str) -> impl Iterator<Item = String> + 'a {
    let names = names.split_whitespace();
    names.map(move |name| format!("{prefix}{name}"))
}

fn is_number(value: &Value, path: &str) {
    let found = value.pointer(path);
    assert!(found.is_some_and(Value::is_number), "{path}: {found:?}");
}

fn is_text(value: &Value, path: &str) {
    let found = value.pointer(path);
    assert!(found.is_some_and(Value::is_string), "{path}: {found:?}");
}

fn amounts(value: &Value, path: &str) {
    for name in ["cpus", "mem", "disk"] {
        is_number(value, &format!("{path}/{name}"));
    }
}

/// The state of the leader, as Datadog's check and `mesos_exporter` read it.
fn master_state(master: SocketAddr) {
    for path in ["/state", "/state.json"] {
        let state = get(master, path).json();
        assert_eq!(state["leader"], state["pid"]);
        let version = state["version"].as_str().unwrap();
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()));
        for agent in state["slaves"].as_array().unwrap() {
            is_text(agent, "/pid");
            for part in ["used_resources", "unreserved_resources", "resources"] {
                amounts(agent, &format!("/{part}"));
            }
            let ports = agent.pointer("/resources/ports");
            assert!(ports.is_none_or(|ports| ports.as_str().unwrap().starts_with('[')));
            assert!(agent["attributes"].is_object());
        }
        let frameworks = state["frameworks"].as_array().unwrap();
        assert!(!frameworks.is_empty());
        for framework in frameworks {
            is_text(framework, "/name");
            assert!(framework["active"].is_boolean());
            amounts(framework, "/used_resources");
            for list in ["tasks", "completed_tasks"] {
                framework[list].as_array().unwrap().iter().for_each(task);
            }
        }
    }
    let roles = get(master, "/roles").json();
    for role in roles["roles"].as_array().unwrap() {
        is_text(role, "/name");
        is_number(role, "/weight");
        assert!(role["frameworks"].is_array() && role["resources"].is_object());
    }
}

fn task(task: &Value) {
    for name in [
        "name",
        "id",
        "executor_id",
        "framework_id",
        "slave_id",
        "state",
    ] {
        is_text(task, &format!("/{name}"));
    }
    amounts(task, "/resources");
    for status in task["statuses"].as_array().unwrap() {
        is_text(status, "/state");
        is_number(status, "/timestamp");
    }
}

/// The state of an agent with a task, and what its executors use.
fn agent_state(agent: SocketAddr) {
    let state = get(agent, "/state.json").json();
    for name in ["pid", "id", "version", "master_hostname"] {
        is_text(&state, &format!("/{name}"));
    }
    let mut tasks = 0;
    for framework in state["frameworks"].as_array().unwrap() {
        for executor in framework["executors"].as_array().unwrap() {
            for one in executor["tasks"].as_array().unwrap() {
                task(one);
                assert_eq!(one["slave_id"], state["id"]);
                tasks += 1;
            }
        }
    }
    assert!(tasks > 0, "{state}");
    let (always, sometimes) = STATISTICS;
    for path in ["/monitor/statistics", "/slave(1)/monitor/statistics.json"] {
        let all = get(agent, path).json();
        let all = all.as_array().unwrap();
        assert!(!all.is_empty(), "{path}");
        for one in all {
            for name in ["executor_id", "executor_name", "framework_id", "source"] {
                is_text(one, &format!("/{name}"));
            }
            for name in always.split_whitespace() {
                is_number(one, &format!("/statistics/{name}"));
            }
            let found = |name: &&str| one["statistics"].get(name).is_some();
            for name in sometimes.split_whitespace().filter(found) {
                is_number(one, &format!("/statistics/{name}"));
            }
        }
    }
}

/// All that exporters look for at a leader, and at an agent that runs something.
pub(crate) fn find_what_they_need(master: SocketAddr, agent: SocketAddr) {
    let timers = TIMERS.into_iter().flat_map(|timer| {
        let parts = PARTS.split_whitespace();
        parts
            .map(move |part| format!("{timer}{part}"))
            .chain([timer.to_owned()])
    });
    let of_master = below("master/", OF_BOTH).chain(below("master/", OF_MASTER));
    let of_master = of_master
        .chain(below("", SYSTEM))
        .chain(below("", OF_LEADER));
    let missing_there = missing(master, of_master.chain(timers));
    assert!(missing_there.is_empty(), "master: {missing_there:?}");
    let of_agent = below("slave/", OF_BOTH).chain(below("slave/", OF_AGENT));
    let errors = "containerizer/mesos/container_destroy_errors".to_owned();
    let of_agent = of_agent.chain(below("", SYSTEM)).chain([errors]);
    let missing_there = missing(agent, of_agent);
    assert!(missing_there.is_empty(), "agent: {missing_there:?}");
    master_state(master);
    agent_state(agent);
}
