//! An agent's endpoints beside what a real Mesos has answered, and its files.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::{TaskFinished, TaskRunning};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, task};
use crate::shape::{assert_same_shape, differences};

const AGENT: &str = "cpus:4;mem:2048;disk:1024;ports:[31000-31009]";

/// Code, head and body of a reply.
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn request(address: SocketAddr, head: &str, body: &str) -> Reply {
    let mut socket = TcpStream::connect(address).unwrap();
    let (first, rest) = head.split_once('\n').unwrap_or((head, ""));
    let rest: String = rest.lines().map(|line| format!("{line}\r\n")).collect();
    write!(
        socket,
        "{first} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.unwrap() + 4);
    let head = String::from_utf8(answer).unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { code, head, body }
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Reply {
    request(address, &format!("GET {path}"), "")
}

pub(crate) fn call(address: SocketAddr, call: &Value) -> Reply {
    let head = "POST /api/v1\nContent-Type: application/json";
    request(address, head, &call.to_string())
}

fn golden(path: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read(root.join(path)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// An agent as the recorded one, with a task that runs and one that has ended.
fn scene() -> (Cluster, Scheduler) {
    let flags = [
        "--launcher=posix",
        "--isolation=posix/cpu,posix/mem",
        "--attributes=rack:r1",
    ];
    let cluster = Cluster::with_flags(1, AGENT, &[], &flags);
    let mut scheduler = Scheduler::with(&cluster, "golden", |info| {
        info.capabilities = vec![v1::framework_info::Capability {
            r#type: Some(v1::framework_info::capability::Type::GpuResources.into()),
        }];
        info.roles.clear();
        info.hostname = Some("localhost".to_owned());
        info.principal = Some("me".to_owned());
    });
    let mut long = task("long", "exec sleep 1013");
    long.labels = Some(v1::Labels {
        labels: vec![v1::Label {
            key: "k".to_owned(),
            value: Some("v".to_owned()),
        }],
    });
    long.discovery = Some(v1::DiscoveryInfo {
        visibility: v1::discovery_info::Visibility::Cluster.into(),
        name: Some("svc".to_owned()),
        ports: Some(v1::Ports {
            ports: vec![v1::Port {
                number: 80,
                name: Some("http".to_owned()),
                protocol: Some("tcp".to_owned()),
                ..Default::default()
            }],
        }),
        ..Default::default()
    });
    scheduler.submit(long);
    scheduler.wait_for("long", TaskRunning);
    scheduler.submit(task(
        "ended",
        "echo 0123456789; mkdir sub; ln -s /etc/passwd out",
    ));
    let end = scheduler.end_of("ended");
    assert_eq!(end.state(), TaskFinished);
    // It is acknowledged with the next look at the events.
    assert!(scheduler.no_more_than(&end));
    let agent = cluster.agents[0].address;
    cluster.wait_until(
        "the first executor is over",
        Duration::from_secs(10),
        || {
            let state = get(agent, "/state").json();
            state
                .pointer("/frameworks/0/completed_executors/0")
                .is_some()
        },
    );
    (cluster, scheduler)
}

/// Removes members whose keys are data.
fn without(mut value: Value, keys: &[&str]) -> Value {
    if let Value::Object(object) = &mut value {
        object.retain(|key, _| !keys.contains(&key.as_str()));
    }
    value
}

#[test]
fn replies_have_the_structure_of_mesos() {
    let (cluster, scheduler) = scene();
    let agent = cluster.agents[0].address;
    // Flags are this agent's own, and so is what it was built from.
    let own = ["flags", "git_sha", "git_tag", "build_date", "build_time"];
    let state = without(get(agent, "/state").json(), &own);
    let theirs = without(golden("unversioned/agent_state.json"), &own);
    assert_same_shape("/state", &state, &theirs, &[]);
    assert_eq!(state["pid"], format!("slave(1)@{agent}"));
    assert_eq!(state["attributes"], json!({"rack": "r1"}));
    let framework = &state["frameworks"][0];
    assert_eq!(framework["role"], "*");
    let executor = &framework["executors"][0];
    assert_eq!(executor["id"], "long");
    assert_eq!(executor["resources"]["cpus"], 0.2);
    let task = &executor["tasks"][0];
    let states: Vec<_> = task["statuses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(states, ["TASK_STARTING", "TASK_RUNNING"]);
    let status = &task["statuses"][0]["container_status"];
    assert_eq!(status["container_id"]["value"], executor["container"]);
    assert_eq!(
        status["network_infos"][0]["ip_addresses"][0]["ip_address"],
        "127.0.0.1"
    );
    assert_eq!(
        framework["completed_executors"][0]["completed_tasks"][0]["id"],
        "ended"
    );
    for alias in ["/slave(1)/state", "/state.json", "/slave(1)/state.json"] {
        assert_eq!(get(agent, alias).json()["id"], state["id"], "{alias}");
    }
    let script = get(agent, "/state?jsonp=cb");
    assert!(
        script.text().starts_with("cb({\"version\":"),
        "{}",
        script.head
    );

    // The built-in executor is one small process, so its threads and processes are known for nothing.
    let counted = [".statistics.processes", ".statistics.threads"];
    let more = |prefix: &str| counted.map(|key| format!("{prefix}{key}: is not in Mesos' reply"));
    for (path, recording) in [
        ("/containers", "unversioned/agent_containers.json"),
        (
            "/monitor/statistics",
            "unversioned/agent_monitor_statistics.json",
        ),
        (
            "/slave(1)/monitor/statistics.json",
            "unversioned/agent_monitor_statistics.json",
        ),
    ] {
        let ours = get(agent, path).json();
        assert_eq!(ours[0]["executor_id"], "long", "{path}: {ours}");
        let expected = more("[]");
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_same_shape(path, &ours, &golden(recording), &expected);
    }
    assert_eq!(get(agent, "/containers?container_id=x").json(), json!([]));
    let id = executor["container"].as_str().unwrap();
    let one = get(agent, &format!("/containers?container_id={id}")).json();
    assert_eq!(one[0]["status"]["container_id"]["value"], id);
    let theirs = golden("unversioned/agent_system_stats.json");
    assert_same_shape(
        "host",
        &get(agent, "/system/stats.json").json(),
        &theirs,
        &[],
    );
    v1_replies(agent);
    scheduler.teardown();
    cluster.stop();
}

/// Members of the operator API's replies that the recordings lack, each for a reason.
const MORE: &[(&str, &str)] = &[
    (".resource_statistics.processes", "known for nothing"),
    (".resource_statistics.threads", "known for nothing"),
    (".framework_info.principal", "the recorded one had none"),
    (".discovery.ports", "the recorded tasks had none"),
    (
        ".executor_info.shutdown_grace_period",
        "a command executor ends a second after its task's grace",
    ),
];

/// The operator API beside its recordings.
fn v1_replies(agent: SocketAddr) {
    for name in [
        "GET_AGENT",
        "GET_CONTAINERS",
        "GET_EXECUTORS",
        "GET_FRAMEWORKS",
        "GET_HEALTH",
        "GET_LOGGING_LEVEL",
        "GET_METRICS",
        "GET_OPERATIONS",
        "GET_RESOURCE_PROVIDERS",
        "GET_STATE",
        "GET_TASKS",
    ] {
        let ours = call(agent, &json!({"type": name})).json();
        let mut found = differences(&ours, &golden(&format!("v1/agent_{name}.json")));
        found.retain(|line| {
            !MORE
                .iter()
                .any(|(end, _)| line.contains(&format!("{end}: is ")))
        });
        assert_eq!(found, [""; 0], "{name}");
    }
}

/// Metrics that a Mesos agent has and this one has not, each for a reason.
const NOT_HERE: &[(&str, &str)] = &[
    ("containerizer/fetcher/cache_size", "there is no cache"),
    ("containerizer/mesos/provisioner/", "there are no images"),
    (
        "slave/executors_preempted",
        "there is no controller of the quality of service",
    ),
    (
        "resource_provider_manager/",
        "there are no resource providers",
    ),
];

#[test]
fn metrics_have_the_names_of_mesos() {
    let (cluster, scheduler) = scene();
    let agent = cluster.agents[0].address;
    let ours = get(agent, "/metrics/snapshot").json();
    let ours = ours.as_object().unwrap();
    let theirs = golden("unversioned/agent_metrics_snapshot.json");
    for name in theirs.as_object().unwrap().keys() {
        let excused = NOT_HERE.iter().any(|(begin, _)| name.starts_with(begin));
        assert_eq!(ours.contains_key(name), !excused, "{name}");
    }
    for (name, value) in ours {
        assert!(value.is_f64(), "{name}: {value}");
    }
    assert_eq!(ours["slave/tasks_running"], 1.0);
    assert_eq!(ours["slave/tasks_finished"], 1.0);
    assert_eq!(ours["slave/executors_running"], 1.0);
    scheduler.teardown();
    cluster.stop();
}

#[test]
fn files_of_sandboxes_and_logs() {
    let (cluster, scheduler) = scene();
    let agent = cluster.agents[0].address;
    let state = get(agent, "/state").json();
    let ended = &state["frameworks"][0]["completed_executors"][0];
    let sandbox = ended["directory"].as_str().unwrap();
    let latest = format!("/frameworks/{}/executors/ended/runs/latest", scheduler.id());

    let entries = get(agent, &format!("/files/browse?path={sandbox}")).json();
    let names: Vec<_> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["out", "stderr", "stdout", "sub"].map(|name| format!("{sandbox}/{name}"))
    );
    let keys: Vec<_> = entries[2].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["gid", "mode", "mtime", "nlink", "path", "size", "uid"]
    );
    assert_eq!(entries[2]["mode"], "-rw-r--r--");
    assert_eq!(entries[2]["size"], 11);
    assert!(entries[2]["mtime"].is_f64());
    assert_eq!(
        entries[3]["mode"].as_str().unwrap().chars().next(),
        Some('d')
    );
    assert_eq!(
        entries[0]["mode"].as_str().unwrap().chars().next(),
        Some('l')
    );

    let read = |query: &str| get(agent, &format!("/files/read?path={latest}/stdout{query}"));
    assert_eq!(read("").json(), json!({"data": "", "offset": 11}));
    assert_eq!(read("&offset=-1").json(), json!({"data": "", "offset": 11}));
    assert_eq!(
        read("&offset=0").json(),
        json!({"data": "0123456789\n", "offset": 0})
    );
    assert_eq!(
        read("&offset=3&length=2").json(),
        json!({"data": "34", "offset": 3})
    );
    assert_eq!(
        read("&offset=8&length=-1").json(),
        json!({"data": "89\n", "offset": 8})
    );
    assert_eq!(read("&offset=50").json(), json!({"data": "", "offset": 11}));
    assert_eq!(
        read("&offset=0&jsonp=f").text(),
        "f({\"data\":\"0123456789\\n\",\"offset\":0})"
    );

    let whole = get(agent, &format!("/files/download?path={latest}/stdout"));
    assert_eq!((whole.code, whole.text().as_str()), (200, "0123456789\n"));
    let head = whole.head.to_lowercase();
    assert!(
        head.contains("content-disposition: attachment; filename=stdout\r\n"),
        "{head}"
    );
    assert!(
        head.contains("content-type: application/octet-stream\r\n"),
        "{head}"
    );
    assert!(head.contains("content-length: 11\r\n"), "{head}");

    let names = get(agent, "/files/debug").json();
    assert_eq!(names[&latest], sandbox);
    assert_eq!(names[sandbox], sandbox);

    for (path, code) in [
        ("/files/browse".to_owned(), 400),
        ("/files/read?path=".to_owned(), 400),
        ("/files/download".to_owned(), 400),
        (format!("/files/browse?path={latest}/stdout"), 400),
        (format!("/files/read?path={latest}"), 400),
        (format!("/files/download?path={latest}/sub"), 400),
        (format!("/files/read?path={latest}/stdout&offset=x"), 400),
        (format!("/files/read?path={latest}/stdout&offset=-2"), 400),
        (
            format!("/files/read?path={latest}/stdout&length=99999999999999999999"),
            400,
        ),
        (format!("/files/read?path={latest}/out"), 400),
        (
            format!("/files/download?path={latest}/../latest/../../../../../../../etc/passwd"),
            400,
        ),
        (format!("/files/browse?path={latest}/.."), 400),
        (format!("/files/read?path={latest}/nothing"), 404),
        ("/files/read?path=/etc/passwd".to_owned(), 404),
        ("/files/browse?path=/".to_owned(), 404),
        ("/files/read?path=/slave/log".to_owned(), 404),
        (
            format!("/files/read?path={latest}/{}", "x".repeat(5_000)),
            404,
        ),
        (format!("/files/read?path={latest}/%00"), 404),
    ] {
        let reply = get(agent, &path);
        assert_eq!(reply.code, code, "{path}: {}", reply.text());
    }
    v1_files(agent, sandbox);
    scheduler.teardown();
    cluster.stop();
}

/// LIST_FILES and READ_FILE beside their recordings.
fn v1_files(agent: SocketAddr, sandbox: &str) {
    let listed = call(
        agent,
        &json!({"type": "LIST_FILES", "list_files": {"path": sandbox}}),
    )
    .json();
    assert_same_shape(
        "LIST_FILES",
        &listed,
        &golden("v1/agent_LIST_FILES.json"),
        &[],
    );
    let read = |path: String| {
        let read = json!({"path": path, "offset": 1, "length": 2});
        call(agent, &json!({"type": "READ_FILE", "read_file": read}))
    };
    let part = read(format!("{sandbox}/stdout")).json();
    assert_same_shape("READ_FILE", &part, &golden("v1/agent_READ_FILE.json"), &[]);
    assert_eq!(part["read_file"], json!({"size": 11, "data": "MTI="}));
    for (path, code) in [("nothing", 404), ("sub", 400), ("out", 400)] {
        assert_eq!(read(format!("{sandbox}/{path}")).code, code, "{path}");
    }
}

#[test]
fn daemons_that_log_to_a_file_show_it() {
    let logs = tempfile::tempdir().unwrap();
    let flag = format!("--log_dir={}", logs.path().display());
    let cluster = Cluster::with_flags(1, AGENT, &[&flag], &[&flag]);
    for (address, name, file) in [
        (cluster.master.address, "/master/log", "mesosd-master.log"),
        (cluster.agents[0].address, "/slave/log", "mesosd-agent.log"),
    ] {
        let path = logs.path().join(file);
        assert_eq!(
            get(address, "/files/debug").json()[name],
            path.to_str().unwrap()
        );
        let begin = get(
            address,
            &format!("/files/read?path={name}&offset=0&length=9"),
        )
        .json();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(begin["data"], text[..9]);
        assert_eq!(
            get(address, &format!("/files/browse?path={name}")).code,
            400
        );
        let read = json!({"path": name, "offset": 0, "length": 9});
        let part = call(address, &json!({"type": "READ_FILE", "read_file": read})).json();
        assert!(part["read_file"]["size"].as_u64() >= Some(9));
    }
    cluster.stop();
}
