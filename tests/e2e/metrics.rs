//! Metrics: what dashboards and alerts name is there, with units and help; and whatever is served is more than
//! zero once something has happened.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use mesosd::proto::v1::TaskState::{TaskFailed, TaskFinished, TaskKilled, TaskRunning};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::agent_api::{call, get, request};
use crate::by_hand::{ByHand, calls_by_hand};
use crate::cluster::Cluster;
use crate::exporters;
use crate::scheduler::{Scheduler, task, uri};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const LIMIT: Duration = Duration::from_secs(20);

/// Reservations and volumes of an operator, and of one that asks for too much.
fn operations(cluster: &Cluster, agent: &str) {
    let master = cluster.master.address;
    let id = json!({"value": agent});
    let disk = |amount: u32| {
        json!({"name": "disk", "type": "SCALAR", "scalar": {"value": amount},
               "reservations": [{"type": "DYNAMIC", "role": "ops"}]})
    };
    let mut volume = disk(32);
    volume["disk"] =
        json!({"persistence": {"id": "v"}, "volume": {"container_path": "d", "mode": "RW"}});
    let mut grown = volume.clone();
    grown["scalar"]["value"] = json!(48);
    for (kind, part) in [
        (
            "RESERVE_RESOURCES",
            json!({"agent_id": id, "resources": [disk(64)]}),
        ),
        (
            "CREATE_VOLUMES",
            json!({"agent_id": id, "volumes": [volume]}),
        ),
        (
            "GROW_VOLUME",
            json!({"agent_id": id, "volume": volume, "addition": disk(16)}),
        ),
        (
            "SHRINK_VOLUME",
            json!({"agent_id": id, "volume": grown, "subtract": {"value": 16}}),
        ),
        (
            "DESTROY_VOLUMES",
            json!({"agent_id": id, "volumes": [volume]}),
        ),
        (
            "UNRESERVE_RESOURCES",
            json!({"agent_id": id, "resources": [disk(64)]}),
        ),
    ] {
        let order = json!({"type": kind, kind.to_lowercase(): part});
        cluster.wait_until(kind, LIMIT, || call(master, &order).code == 202);
    }
}

/// The metrics that were ever more than zero.
fn moved(addresses: &[SocketAddr], seen: &mut BTreeMap<String, bool>) {
    for address in addresses {
        let all = get(*address, "/metrics/snapshot").json();
        for (name, value) in all.as_object().unwrap() {
            *seen.entry(name.clone()).or_default() |= value.as_f64() != Some(0.0);
        }
    }
}

/// What this test does not bring about, and why. `*` stands for any text.
const STILL: &[(&str, &str)] = &[
    ("*/tasks_staging", "for a moment only"),
    ("*/tasks_starting", "for a moment only"),
    ("*/tasks_killing", "for a moment only"),
    ("slave/executors_registering", "for a moment only"),
    ("slave/executors_terminating", "for a moment only"),
    ("*/event_queue_*", "for a moment only"),
    ("queues/master/length", "for a moment only"),
    ("registrar/queued_operations", "for a moment only"),
    ("master/agents_registering", "for a moment only"),
    (
        "master/invalid_status_updates",
        "agents that err: tests of updates in src/master",
    ),
    (
        "master/messages_exited_executor",
        "executors of frameworks' own: tests/e2e/executors.rs",
    ),
    (
        "master/messages_update_slave",
        "an agent whose total changes: tests of src/master",
    ),
    (
        "*/full",
        "a queue overflows: unit tests of mailboxes and sinks",
    ),
    ("http/connections_refused", "tests/api/slow.rs"),
    (
        "master/frameworks_starving",
        "tests of demand in src/master",
    ),
    ("*hoarded", "tests of demand in src/master"),
    (
        "*_revocable_*",
        "an agent with revocable resources: scripts of the simulation",
    ),
    ("*gpus_*", "an agent with GPUs: scripts of the simulation"),
    (
        "master/frameworks/*/*",
        "of each framework the same calls that master/* counts",
    ),
    (
        "master/operations/*",
        "ends of operations: tests of operations in src/master",
    ),
    (
        "master/recovery_slave_removals",
        "an agent is lost: tests/e2e/partitions.rs",
    ),
    (
        "master/tasks_dropped",
        "an agent restarts before a launch: tests of src/agent",
    ),
    (
        "master/tasks_gone",
        "a task is not where it should be: tests of reconciliation in src/master",
    ),
    (
        "master/dropped_messages",
        "tests of stray messages in src/master",
    ),
    (
        "*_to_framework_messages",
        "executors that send messages: tests/python",
    ),
    (
        "master/messages_executor_to_framework",
        "executors that send messages: tests/python",
    ),
    (
        "slave/valid_framework_messages",
        "executors that send messages: tests/python",
    ),
    (
        "slave/invalid_status_updates",
        "executors that err: tests of src/agent",
    ),
    (
        "slave/container_launch_errors",
        "tests of launches in src/agent",
    ),
    (
        "slave/duplicate_tasks",
        "a master that repeats itself: tests of src/agent",
    ),
    (
        "slave/recovery_errors",
        "a damaged journal: tests of src/agent",
    ),
    ("slave/tasks_gone", "tests of src/agent"),
    ("slave/tasks_lost", "tests of src/agent"),
    (
        "containerizer/mesos/container_destroy_errors",
        "a container that cannot be ended",
    ),
    (
        "gc/path_removals_failed",
        "a sandbox that cannot be deleted: tests of src/agent",
    ),
    (
        "master/invalid_operation_status_updates",
        "agents that err: tests of operations in src/master",
    ),
    (
        "master/slave_removals/reason_registered",
        "an agent that comes as a new one from the same place: tests of src/master",
    ),
    (
        "master/slave_*_canceled",
        "an agent that is back while it is given up: tests of src/master",
    ),
    (
        "gc/path_removals_succeeded",
        "a sandbox of last week: tests of src/agent",
    ),
    ("libprocess/messages_dropped", "tests/api/libprocess.rs"),
];

/// Whether a name has this pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|begin| name.strip_prefix(begin)) else {
        return false;
    };
    let more: Vec<&str> = parts.collect();
    let Some((last, between)) = more.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn what_is_served_moves() {
    // An agent that says nothing is soon given up.
    let soon = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=3"];
    let mut cluster = Cluster::with_flags(1, AGENT, &soon, &["--launcher=posix"]);
    let addresses = [cluster.master.address, cluster.agents[0].address];
    let (master, mut seen) = (addresses[0], BTreeMap::new());
    let agents = cluster.json(&["agents"]);
    let agent = agents[0]["id"].as_str().unwrap().to_owned();
    let mut scheduler = Scheduler::with(&cluster, "moves", |info| {
        info.principal = Some("p".to_owned());
    });
    for (id, command, state) in [
        ("ends", "true", TaskFinished),
        ("fails", "exit 3", TaskFailed),
    ] {
        scheduler.submit(task(id, command));
        assert_eq!(scheduler.end_of(id).state(), state);
    }
    let mut fetches = task("fetches", "cat hostname; sleep 0.5");
    fetches
        .resources
        .push(mesosd::frameworks::sdk::scalar("disk", 16.0));
    fetches.command.as_mut().unwrap().uris = vec![uri("/etc/hostname")];
    scheduler.submit(fetches);
    scheduler.wait_for("fetches", TaskRunning);
    moved(&addresses, &mut seen);
    assert_eq!(scheduler.end_of("fetches").state(), TaskFinished);
    let mut unfetched = task("unfetched", "true");
    unfetched.command.as_mut().unwrap().uris = vec![uri("/nothing/of/that/name")];
    scheduler.submit(unfetched);
    assert_eq!(scheduler.end_of("unfetched").state(), TaskFailed);
    let mut invalid = task("bad/id", "true");
    invalid.name = "bad".to_owned();
    scheduler.submit(invalid);
    scheduler.end_of("bad/id");
    scheduler.submit(task("killed", "exec sleep 1023"));
    scheduler.wait_for("killed", TaskRunning);
    moved(&addresses, &mut seen);
    scheduler.kill("killed", None);
    assert_eq!(scheduler.end_of("killed").state(), TaskKilled);
    scheduler.settle(Duration::from_millis(300));
    calls_by_hand(master);
    operations(&cluster, &agent);
    moved(&addresses, &mut seen);

    assert_eq!(get(master, "/state").code, 200);
    // The agent dies and comes back, with what runs on it.
    scheduler.submit(task("stays", "exec sleep 1024"));
    scheduler.wait_for("stays", TaskRunning);
    moved(&addresses, &mut seen);
    exporters::find_what_they_need(master, addresses[1]);
    let mut holds = ByHand::with_task(master);
    moved(&addresses, &mut seen);
    let machine = json!({"hostname": agents[0]["hostname"], "ip": "127.0.0.1"});
    holds.is_asked_to_leave(&machine);
    limited(master);
    holds.hold_an_offer();
    together(&cluster);
    moved(&addresses, &mut seen);
    cluster.agents[0].signal(Signal::SIGKILL);
    cluster.wait_until("the master notices, and gives the agent up", LIMIT, || {
        moved(&addresses[..1], &mut seen);
        seen["master/slaves_disconnected"] && seen["master/slaves_unreachable"]
    });
    assert_eq!(
        holds.event("UPDATE")["update"]["status"]["state"],
        "TASK_LOST"
    );
    drop(holds);
    cluster.agents[0].crash_and_restart();
    cluster.wait_until("the agent is back", LIMIT, || {
        moved(&addresses[..1], &mut seen);
        seen["master/slave_reregistrations"]
    });
    let subscribe = "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                     Content-Length: 20\r\n\r\n{\"type\":\"SUBSCRIBE\"}";
    let mut watcher = TcpStream::connect(master).unwrap();
    watcher.write_all(subscribe.as_bytes()).unwrap();
    // A driver's process, and the id of a framework.
    for (name, body) in [
        ("AuthenticateMessage", "\n\u{1}x"),
        ("DeactivateFrameworkMessage", "\n\u{3}\n\u{1}x"),
    ] {
        let head = format!("POST /master/mesos.internal.{name}\nLibprocess-From: x(1)@127.0.0.1:1");
        request(master, &head, body);
    }
    std::thread::sleep(Duration::from_millis(300));
    moved(&addresses, &mut seen);
    prometheus(&addresses, &seen);
    page_is_true(&seen);
    // Given up by an operator, with its task.
    let gone =
        json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": agent}}});
    assert_eq!(call(master, &gone).code, 200);
    assert!(scheduler.end_of("stays").state().is_terminal());
    moved(&addresses[..1], &mut seen);
    for name in [
        "master/slave_removals/reason_by_operator",
        "master/tasks_gone_by_operator",
    ] {
        assert!(seen[name], "{name}");
    }
    scheduler.teardown();
    // Another one leaves by itself.
    cluster.add_agent(AGENT, &["--launcher=posix"]);
    cluster.wait_until("it is there", LIMIT, || {
        let metrics = get(master, "/metrics/snapshot").json();
        metrics["master/slave_registrations"] == 2.0
    });
    cluster.agents[1].signal(Signal::SIGUSR1);
    cluster.wait_until("it has left", LIMIT, || {
        moved(&addresses[..1], &mut seen);
        seen["master/slave_removals/reason_unregistered"]
    });

    let still: BTreeSet<&String> = seen
        .iter()
        .filter(|(_, moved)| !**moved)
        .map(|(name, _)| name)
        .collect();
    let excused = |name: &str| STILL.iter().any(|(pattern, _)| matches(pattern, name));
    let left: Vec<_> = still.iter().filter(|name| !excused(name)).collect();
    assert!(left.is_empty(), "always zero: {left:#?}");
}

/// A role with a guarantee and a limit.
fn limited(master: SocketAddr) {
    let cpus = |value: u32| json!({"cpus": {"value": value}});
    let quota = json!({"type": "UPDATE_QUOTA", "update_quota": {"force": true, "quota_configs":
        [{"role": "ops", "guarantees": cpus(1), "limits": cpus(2)}]}});
    let reply = call(master, &quota);
    assert_eq!(reply.code, 200, "{}", reply.text());
}

/// Readers of the same at the same time.
fn together(cluster: &Cluster) {
    let master = cluster.master.address;
    cluster.wait_until("one reply serves two", LIMIT, || {
        let readers = (0..8).map(|_| std::thread::spawn(move || get(master, "/state").code));
        let readers: Vec<_> = readers.collect();
        let codes = readers.into_iter().map(|reader| reader.join().unwrap());
        assert!(codes.into_iter().all(|code| code == 200));
        get(master, "/metrics/snapshot").json()["master/http_cache_hits"] != 0.0
    });
}

/// `{a,b}` in a name stands for each of these.
fn expanded(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return vec![pattern.to_owned()];
    };
    let (choices, behind) = rest.split_once('}').unwrap();
    let choices = choices.split(',');
    choices
        .flat_map(|choice| expanded(&format!("{before}{choice}{behind}")))
        .collect()
}

/// The page about metrics says what is served: no more, no less.
fn page_is_true(seen: &BTreeMap<String, bool>) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (mut wrong, mut told) = (Vec::new(), BTreeSet::new());
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    for row in rows {
        let mut cells = row.split(" | ");
        let names = cells.next().unwrap().trim_start_matches("| ");
        let says = cells.next().unwrap();
        for name in names
            .split(", ")
            .flat_map(|name| expanded(name.trim_matches('`')))
        {
            let is_it = |served: &str| {
                let part_of_timer = served.starts_with(&name)
                    && served[name.len()..].starts_with('/')
                    && says.contains("a timer");
                matches(&name, served) || part_of_timer
            };
            let served: Vec<&String> = seen.keys().filter(|served| is_it(served)).collect();
            match (says.starts_with("no: "), served.is_empty()) {
                (true, false) => wrong.push(format!("{name} is served, and the page denies it")),
                (false, true) if !says.contains("first use") => {
                    wrong.push(format!("{name} is not served"));
                }
                _ => told.extend(served),
            }
        }
    }
    let untold = seen.keys().filter(|name| !told.contains(name));
    wrong.extend(untold.map(|name| format!("{name} is not on the page")));
    assert!(wrong.is_empty() && told.len() > 200, "{wrong:#?}");
}

/// Dashboard and alerts name only what is there; each metric has a sentence.
fn prometheus(addresses: &[SocketAddr], seen: &BTreeMap<String, bool>) {
    let mut served = BTreeSet::new();
    for address in addresses {
        let text = get(*address, "/metrics").text();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(name.starts_with("mesosd_"), "{line}");
                assert!(help.len() > 8 && !help.contains("Mesos' metric"), "{line}");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                served.insert(name.to_owned());
            }
        }
    }
    assert!(served.len() > 100 && seen.len() > 100, "{served:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for file in ["grafana/mesosd.json", "prometheus/alerts.yml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let mut named = BTreeSet::new();
        for (at, _) in text.match_indices("mesosd_") {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            named.insert(&rest[..end.unwrap_or(rest.len())]);
        }
        assert!(named.len() > 10, "{file}: {named:?}");
        let missing: Vec<_> = named
            .iter()
            .filter(|name| !served.contains(**name))
            .collect();
        assert!(
            missing.is_empty(),
            "{file} names what nothing measures: {missing:?}"
        );
    }
}
