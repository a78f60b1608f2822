//! The names of the unversioned endpoints of master and agent, and the pages of `/tasks`.

use std::net::SocketAddr;

use mesosd::proto::v1::TaskState::{TaskFinished, TaskRunning};
use serde_json::Value;

use crate::agent_api::{get, request};
use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";

/// Endpoints of the daemon's own process: at the root, below the process's name, with `.json`.
const MASTERS: &[&str] = &[
    "/state",
    "/state-summary",
    "/slaves",
    "/frameworks",
    "/tasks",
    "/roles",
    "/weights",
    "/quota",
    "/maintenance/schedule",
    "/maintenance/status",
    "/flags",
    "/version",
];
const AGENTS: &[&str] = &[
    "/state",
    "/containers",
    "/monitor/statistics",
    "/flags",
    "/version",
];
/// Endpoints of other processes of the daemon: at the root alone.
const OTHERS: &[&str] = &["/metrics/snapshot", "/system/stats.json", "/files/debug"];

fn every_name(address: SocketAddr, process: &str, paths: &[&str]) {
    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object();
        object.map_or_else(Vec::new, |object| object.keys().cloned().collect())
    };
    for path in paths {
        let plain = get(address, path).json();
        for alias in [
            format!("{path}.json"),
            format!("{path}/"),
            format!("/{process}{path}"),
            format!("/{process}{path}.json"),
            format!("/{process}{path}/"),
        ] {
            let same = get(address, &alias).json();
            assert_eq!(keys(&same), keys(&plain), "{alias}");
        }
        scripted(address, path);
    }
    for path in OTHERS {
        assert!(get(address, path).json().is_object(), "{path}");
        assert_eq!(get(address, &format!("{path}/")).code, 200, "{path}/");
        let below = format!("/{process}{path}");
        assert_eq!(get(address, &below).code, 404, "{below}");
        scripted(address, path);
    }
    for path in ["/health", &format!("/{process}/health"), "/health.json"] {
        let reply = get(address, path);
        assert_eq!((reply.code, reply.body.len()), (200, 0), "{path}");
    }
    for path in [
        "/nothing",
        &format!("/{process}/nothing"),
        "/statement",
        "/other/state",
    ] {
        assert_eq!(get(address, path).code, 404, "{path}");
    }
}

fn scripted(address: SocketAddr, path: &str) {
    let script = get(address, &format!("{path}?jsonp=a.b"));
    assert_eq!(script.code, 200, "{path}");
    let head = script.head.to_lowercase();
    assert!(
        head.contains("content-type: text/javascript\r\n"),
        "{path}: {head}"
    );
    let text = script.text();
    let inner = text
        .strip_prefix("a.b(")
        .and_then(|text| text.strip_suffix(')'));
    let inner: Value = serde_json::from_str(inner.unwrap()).unwrap();
    assert!(inner.is_object() || inner.is_array(), "{path}");
}

/// What the help lists is there, under the name that it gives.
fn help(address: SocketAddr, wanted: &[&str]) {
    let help = get(address, "/help").text();
    let listed: Vec<&str> = help.split("href=\"").skip(1).collect();
    let listed: Vec<&str> = listed
        .iter()
        .map(|rest| rest.split_once('"').unwrap().0)
        .collect();
    for path in wanted {
        assert!(
            listed.contains(path),
            "{path} is not in the help: {listed:?}"
        );
    }
    for path in listed {
        let code = get(address, path).code;
        assert!(![404, 500, 501].contains(&code), "{path}: {code}");
        assert_eq!(get(address, &format!("/help{path}")).code, 200, "{path}");
    }
}

#[test]
fn every_endpoint_has_all_its_names() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    let (master, agent) = (cluster.master.address, cluster.agents[0].address);
    every_name(master, "master", MASTERS);
    every_name(agent, "slave(1)", AGENTS);
    let writes = [
        "/machine/down",
        "/machine/up",
        "/reserve",
        "/unreserve",
        "/create-volumes",
        "/destroy-volumes",
        "/teardown",
    ];
    for path in writes {
        for name in [
            path.to_owned(),
            format!("/master{path}"),
            format!("{path}.json"),
        ] {
            let read = get(master, &name);
            assert_eq!(read.code, 405, "{name}");
            assert!(
                read.head.to_lowercase().contains("allow: post\r\n"),
                "{name}"
            );
            let empty = request(master, &format!("POST {name}"), "");
            assert_eq!(empty.code, 400, "{name}: {}", empty.text());
            assert!(!empty.body.is_empty(), "{name}");
        }
    }
    for name in ["/redirect", "/master/redirect", "/redirect/"] {
        let reply = get(master, name);
        assert_eq!(reply.code, 307, "{name}");
        let location = format!("location: //localhost:{}\r\n", master.port());
        assert!(
            reply.head.to_lowercase().contains(&location),
            "{name}: {}",
            reply.head
        );
    }
    let files = [
        "/files/browse",
        "/files/read",
        "/files/download",
        "/files/debug",
    ];
    let both = [
        "/api/v1",
        "/health",
        "/version",
        "/flags",
        "/metrics/snapshot",
        "/metrics",
        "/logging/toggle",
        "/system/stats.json",
        "/help",
    ];
    let of = |own: &[&'static str], more: &[&'static str]| -> Vec<&'static str> {
        [own, more, &files, &both].concat()
    };
    help(
        master,
        &of(
            MASTERS,
            &[&writes[..], &["/api/v1/scheduler", "/redirect"]].concat(),
        ),
    );
    help(agent, &of(AGENTS, &["/api/v1/executor"]));
    // People who open it in a browser see what runs.
    for (address, words) in [
        (master, ["mesosd master", "agents", "of 4 cpus"]),
        (agent, ["mesosd agent", "registered", "cpus"]),
    ] {
        let page = get(address, "/").text();
        for word in &words[..1] {
            assert!(page.contains(word), "{page}");
        }
        assert!(page.contains("href=help"), "{page}");
        assert!(address != master || page.contains(words[2]), "{page}");
    }
    cluster.stop();
}

#[test]
fn tasks_come_in_pages() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    let master = cluster.master.address;
    let mut scheduler = Scheduler::start(&cluster, "pages");
    for id in ["a", "b", "c"] {
        scheduler.submit(task(id, "true"));
        let end = scheduler.end_of(id);
        assert_eq!(end.state(), TaskFinished);
        assert!(scheduler.no_more_than(&end));
    }
    scheduler.submit(task("d", "exec sleep 1021"));
    scheduler.wait_for("d", TaskRunning);
    let framework = scheduler.id();
    let page = |query: &str| -> String {
        let all = get(master, &format!("/tasks?{query}")).json();
        let all = all["tasks"].as_array().unwrap().clone();
        all.iter()
            .map(|task| task["id"].as_str().unwrap())
            .collect()
    };
    for (query, expected) in [
        ("", "dcba"),
        ("order=desc", "dcba"),
        ("order=asc", "abcd"),
        ("order=other", "dcba"),
        ("limit=2", "dc"),
        ("limit=2&order=asc", "ab"),
        ("limit=2&offset=1", "cb"),
        ("limit=2&offset=1&order=asc", "bc"),
        ("offset=3", "a"),
        ("offset=4", ""),
        ("limit=0", ""),
        ("limit=-1", "dcba"),
        ("limit=x", "dcba"),
        ("task_id=b", "b"),
        ("task_id=none", ""),
        ("framework_id=none", ""),
        ("framework_id=none&task_id=b", ""),
    ] {
        assert_eq!(page(query), expected, "{query}");
    }
    let own = format!("framework_id={framework}");
    assert_eq!(page(&own), "dcba");
    assert_eq!(page(&format!("{own}&task_id=c")), "c");
    assert_eq!(page(&format!("{own}&limit=1&offset=1")), "c");
    // A framework that has ended keeps its tasks.
    scheduler.teardown();
    cluster.wait_until(
        "the task is over",
        std::time::Duration::from_secs(20),
        || {
            page(&format!("{own}&order=asc")) == "abcd"
                && get(master, "/frameworks").json()["frameworks"] == serde_json::json!([])
        },
    );
    cluster.stop();
}
