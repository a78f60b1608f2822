//! The replies of a master that is in the situation in which a real Mesos was recorded: the same codes,
//! headers, keys, types and order of keys. What differs is in a table, each with its reason; an entry of
//! the table that nothing needs is an error too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mesosd::proto::json::to_json;
use mesosd::proto::v1;
use mesosd::proto::v1::TaskState::{TaskFailed, TaskFinished, TaskRunning};
use mesosd::proto::v1::framework_info::{Capability, capability};
use prost::Message as _;

use crate::cluster::Cluster;
use crate::golden_differences::DIFFERENCES;
use crate::outline::{Shape, shape};
use crate::scheduler::{Scheduler, resources, shell, task};

/// An HTTP reply.
struct Reply {
    code: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    /// Head and body as they were on the wire.
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let code = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Self {
            code: code.parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn recorded(name: &str) -> Self {
        Self::parse(&fs::read(golden(&format!("http/{name}.http"))).unwrap())
    }
}

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(path)
}

/// Sends a request and reads the reply to its end.
fn ask(address: SocketAddr, request: &str, headers: &str, body: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    let mut reply = Reply::parse(&bytes);
    // Ours: the request asked for it.
    reply.headers.remove("connection");
    reply
}

/// A custom executor that this test plays itself.
struct Executor {
    agent: SocketAddr,
    framework_id: String,
    events: BufReader<TcpStream>,
}

impl Executor {
    fn subscribe(agent: SocketAddr, framework_id: &str) -> Self {
        let body = format!(
            r#"{{"type":"SUBSCRIBE","executor_id":{{"value":"gold-exec"}},"subscribe":{{}},
               "framework_id":{{"value":"{framework_id}"}}}}"#
        );
        let mut socket = TcpStream::connect(agent).unwrap();
        write!(
            socket,
            "POST /api/v1/executor HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut events = BufReader::new(socket);
        let mut line = String::new();
        events.read_line(&mut line).unwrap();
        assert!(line.contains("200"), "{line}");
        Self {
            agent,
            framework_id: framework_id.to_owned(),
            events,
        }
    }

    /// Waits until the stream has said this; no recorded stream of an executor has a heartbeat.
    fn expect(&mut self, text: &str) {
        let mut said = String::new();
        while !said.contains(text) {
            assert!(
                self.events.read_line(&mut said).unwrap() > 0,
                "{text}: {said}"
            );
        }
        assert!(!said.contains("HEARTBEAT"), "{said}");
    }

    fn update(&self, task: &str, state: &str, number: u8, more: &str) {
        let body = format!(
            r#"{{"type":"UPDATE","executor_id":{{"value":"gold-exec"}},
               "framework_id":{{"value":"{}"}},"update":{{"status":{{"task_id":{{"value":"{task}"}},
               "state":"{state}","source":"SOURCE_EXECUTOR","timestamp":1795200522.5,
               "uuid":"AAAAAAAAAAAAAAAAAAA{number:02}A=="{more}}}}}}}"#,
            self.framework_id
        );
        let json = "Content-Type: application/json\r\n";
        let request = "POST /api/v1/executor";
        let reply = ask(self.agent, request, json, body.as_bytes());
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.code, 202, "{said}");
    }
}

/// A cluster in the recorded situation.
struct Situation {
    cluster: Cluster,
    _logs: tempfile::TempDir,
    _scheduler: Scheduler,
    _executor: Executor,
}

fn custom(id: &str) -> v1::TaskInfo {
    let mut custom = task(id, "");
    custom.command = None;
    custom.resources = resources(0.02, 8.0);
    custom.executor = Some(v1::ExecutorInfo {
        executor_id: "gold-exec".into(),
        name: Some("gold".to_owned()),
        resources: resources(0.05, 48.0),
        command: Some(v1::CommandInfo {
            shell: Some(true),
            ..shell("exec sleep 600")
        }),
        ..Default::default()
    });
    custom
}

/// Subscribes as soon as both tasks have been launched, and runs them.
fn play(master: SocketAddr, agent: SocketAddr, framework_id: &str) -> Executor {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let state = ask(master, "GET /state", "", b"").body;
        if String::from_utf8_lossy(&state).contains("g-wait") {
            break;
        }
        assert!(Instant::now() < deadline, "the tasks are not launched");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut executor = Executor::subscribe(agent, framework_id);
    executor.expect("g-wait");
    executor.update("g-env", "TASK_RUNNING", 11, r#","message":"on it""#);
    executor.update("g-wait", "TASK_RUNNING", 22, r#","message":"on it""#);
    let more = r#","healthy":true,"labels":{"labels":[{"key":"a","value":"b"}]}"#;
    executor.update("g-env", "TASK_FINISHED", 33, more);
    executor
}

impl Situation {
    fn bring_about() -> Self {
        let resources_of_agent = "cpus:4;mem:4096;disk:20480;ports:[33000-34000]";
        let logs = tempfile::tempdir().unwrap();
        let cluster = Cluster::with_flags(
            1,
            resources_of_agent,
            &[
                "--cluster=holdout",
                "--hostname=127.0.0.1",
                &format!("--log_dir={}", logs.path().display()),
            ],
            &[
                "--attributes=rack:r1",
                "--launcher=posix",
                "--isolation=posix/cpu,posix/mem",
            ],
        );
        let mut scheduler = Scheduler::with(&cluster, "golden pymesos", |info| {
            info.hostname = Some("localhost".to_owned());
            info.failover_timeout = Some(60.0);
            info.checkpoint = Some(false);
            info.roles.clear();
            info.capabilities = vec![Capability {
                r#type: Some(capability::Type::GpuResources.into()),
            }];
        });
        let small = |id: &str, command: &str| v1::TaskInfo {
            resources: resources(0.02, 8.0),
            ..task(id, command)
        };
        scheduler.submit(small("g-echo", "echo hello"));
        scheduler.submit(small("g-fail", "exit 3"));
        scheduler.submit(v1::TaskInfo {
            labels: Some(v1::Labels {
                labels: vec![v1::Label {
                    key: "k".to_owned(),
                    value: Some("v".to_owned()),
                }],
            }),
            discovery: Some(v1::DiscoveryInfo {
                visibility: v1::discovery_info::Visibility::Cluster.into(),
                name: Some("svc".to_owned()),
                ..Default::default()
            }),
            ..small("g-long", "sleep 600")
        });
        scheduler.wait_for("g-echo", TaskFinished);
        scheduler.wait_for("g-fail", TaskFailed);
        scheduler.wait_for("g-long", TaskRunning);
        scheduler.submit(custom("g-env"));
        scheduler.submit(custom("g-wait"));
        let (agent, master) = (cluster.agents[0].address, cluster.master.address);
        let id = scheduler.id();
        let executor = std::thread::spawn(move || play(master, agent, &id));
        scheduler.wait_for("g-wait", TaskRunning);
        scheduler.wait_for("g-env", TaskFinished);
        let executor = executor.join().unwrap();
        scheduler.settle(Duration::from_millis(300));
        cluster.wait_until("all is acknowledged", Duration::from_secs(20), || {
            let state = ask(cluster.master.address, "GET /state", "", b"").body;
            let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
            let framework = &state["frameworks"][0];
            let count = |key: &str| framework[key].as_array().map_or(0, Vec::len);
            count("completed_tasks") == 3 && count("tasks") == 2 && count("offers") == 0
        });
        Self {
            cluster,
            _logs: logs,
            _scheduler: scheduler,
            _executor: executor,
        }
    }
}

#[test]
fn replies_are_as_recorded() {
    let situation = Situation::bring_about();
    let master = situation.cluster.master.address;
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(golden("http")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.strip_suffix(".http").unwrap();
        let (who, path) = name.split_once('_').unwrap();
        let daemon = if who == "agent" {
            Daemon {
                prefix: "agent ",
                address: situation.cluster.agents[0].address,
            }
        } else {
            Daemon {
                prefix: "",
                address: master,
            }
        };
        compare_plain(daemon, path, &Reply::recorded(name), &mut found);
    }
    for entry in fs::read_dir(golden("v1")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(call) = file.strip_prefix("master_") else {
            continue;
        };
        compare_call(
            master,
            call,
            &fs::read(golden(&format!("v1/{file}"))).unwrap(),
            &mut found,
        );
    }
    compare_leader(master, &mut found);
    both_codings_agree(master);
    let covers = |entry: &(&str, &str, &str), one: &(String, String)| {
        let (reply, path, _) = entry;
        *reply == one.0
            && match path.strip_suffix('*') {
                Some(family) => one.1.starts_with(family),
                None => *path == one.1,
            }
    };
    let unexplained: Vec<_> = found
        .iter()
        .filter(|one| !DIFFERENCES.iter().any(|entry| covers(entry, one)))
        .collect();
    let needless: Vec<_> = DIFFERENCES
        .iter()
        .filter(|entry| !found.iter().any(|one| covers(entry, one)))
        .collect();
    assert!(
        unexplained.is_empty() && needless.is_empty(),
        "not in the table: {unexplained:#?}\nin the table for nothing: {needless:#?}"
    );
    situation.cluster.stop();
}

type Found = BTreeSet<(String, String)>;

/// The path that a recording's name stands for.
fn path_of(name: &str) -> String {
    let known = [
        ("master_state.json", "/master/state.json"),
        ("state-jsonp=cb", "/state?jsonp=cb"),
        ("no_such", "/no/such"),
        ("api_v1_scheduler", "/api/v1/scheduler"),
        ("api_v1", "/api/v1"),
        ("system_stats.json", "/system/stats.json"),
        ("slave1_state", "/slave(1)/state"),
        ("monitor_statistics.json", "/monitor/statistics.json"),
    ];
    let known = known.into_iter().find(|(of, _)| *of == name);
    known.map_or_else(
        || format!("/{}", name.replace('_', "/")),
        |(_, path)| path.to_owned(),
    )
}

fn note(found: &mut Found, reply: &str, what: impl Into<String>) {
    found.insert((reply.to_owned(), what.into()));
}

fn compare_shapes(reply: &str, theirs: &Shape, ours: &Shape, found: &mut Found) {
    let differences = ours.differences(theirs);
    if reply.ends_with("/metrics/snapshot") {
        // A framework's own metrics differ in its id, which is taken out here.
        let names: BTreeSet<String> = differences.iter().map(|one| metric(one)).collect();
        let both = |name: &str| {
            let (_, rest) = name.split_at(1);
            names.contains(&format!("+{rest}")) && names.contains(&format!("-{rest}"))
        };
        for name in names.iter().filter(|name| !both(name)) {
            note(found, reply, name.clone());
        }
        return;
    }
    for difference in differences {
        if let Some((sign, flag)) = difference.split_once(".flags.") {
            let (flag, _) = flag.split_once(": ").unwrap();
            let who = if reply.starts_with("agent") {
                "agent "
            } else {
                ""
            };
            note(found, &format!("{who}flags"), format!("{sign}{flag}"));
        } else {
            note(found, reply, difference);
        }
    }
}

/// A metric without its type, and without the name and id of a framework.
fn metric(difference: &str) -> String {
    let (sign, rest) = difference.split_at(1);
    let (name, _) = rest.trim_start_matches('.').split_once(": ").unwrap();
    let own = name.strip_prefix("master/frameworks/golden%20pymesos/");
    let own = own.and_then(|own| own.split_once('/'));
    match own {
        Some((_, of)) => format!("{sign}<framework>/{of}"),
        None => format!("{sign}{name}"),
    }
}

fn json_of(body: &[u8]) -> Option<Shape> {
    shape(std::str::from_utf8(body).ok()?)
}

/// Whom to ask; its name goes before the paths in the table.
#[derive(Clone, Copy)]
struct Daemon {
    prefix: &'static str,
    address: SocketAddr,
}

fn compare_plain(daemon: Daemon, name: &str, theirs: &Reply, found: &mut Found) {
    let path = path_of(name);
    let master = daemon.address;
    let ours = ask(master, &format!("GET {path}"), "", b"");
    let path = format!("{}{path}", daemon.prefix);
    if path.ends_with("?jsonp=cb") {
        // It is what is compared elsewhere, in other clothes.
        let plain = ask(master, "GET /state", "", b"").body;
        assert_eq!(ours.body, [b"cb(", plain.as_slice(), b")"].concat());
        assert_eq!(ours.headers["content-type"], theirs.headers["content-type"]);
        return;
    }
    if ours.code != theirs.code {
        note(
            found,
            &path,
            format!("{} and not {}", ours.code, theirs.code),
        );
        return;
    }
    let names = |reply: &Reply| -> BTreeSet<String> { reply.headers.keys().cloned().collect() };
    for header in names(&ours).symmetric_difference(&names(theirs)) {
        note(found, &path, format!("header {header}"));
    }
    let kind = |reply: &Reply| reply.headers.get("content-type").cloned();
    if kind(theirs).is_some_and(|kind| kind == "text/html") {
        let kind = kind(&ours).unwrap();
        assert!(kind.starts_with("text/html"), "{path}: {kind}");
        if ours.body != theirs.body {
            note(found, &path, "another page");
        }
        return;
    }
    assert_eq!(kind(&ours), kind(theirs), "{path}");
    if path == "agent /files/debug" {
        assert_eq!(sandboxes(&ours.body), sandboxes(&theirs.body), "{path}");
        return;
    }
    match (json_of(&theirs.body), json_of(&ours.body)) {
        (Some(theirs), Some(ours)) => compare_shapes(&path, &theirs, &ours, found),
        _ => assert_eq!(
            String::from_utf8_lossy(&ours.body),
            String::from_utf8_lossy(&theirs.body),
            "{path}"
        ),
    }
}

/// Names and places of files, with `*` for what is an id or the agent's folder.
fn sandboxes(body: &[u8]) -> BTreeSet<(String, String)> {
    let all: BTreeMap<String, String> = serde_json::from_slice(body).unwrap();
    let is_id = |part: &str| part.len() >= 36 && part.matches('-').count() >= 4;
    let general = |path: &str| -> String {
        let path = path.find("/slaves/").map_or(path, |at| &path[at..]);
        let parts = path.split('/');
        let parts: Vec<&str> = parts
            .map(|part| if is_id(part) { "*" } else { part })
            .collect();
        parts.join("/")
    };
    all.iter()
        .map(|(name, place)| (general(name), general(place)))
        .collect()
}

fn compare_call(master: SocketAddr, file: &str, theirs: &[u8], found: &mut Found) {
    let (call, protobuf) = match file.split_once('.').unwrap() {
        (call, "json" | "json.400") => (call, false),
        (call, _) => (call, true),
    };
    let headers = format!(
        "Content-Type: application/json\r\nAccept: application/{}\r\n",
        if protobuf { "x-protobuf" } else { "json" }
    );
    let body = format!(r#"{{"type":"{call}"}}"#);
    let ours = ask(master, "POST /api/v1", &headers, body.as_bytes());
    let refused = file.ends_with(".400");
    assert_eq!(ours.code, if refused { 400 } else { 200 }, "{file}");
    if refused {
        return;
    }
    let texts = if protobuf {
        let text = |bytes: &[u8]| to_json(&v1::master::Response::decode(bytes).unwrap());
        [text(theirs), text(&ours.body)]
    } else {
        [theirs.to_vec(), ours.body]
    };
    let [theirs, mut ours] = texts.map(|text| json_of(&text).unwrap());
    if !protobuf {
        // The recorded files are parsed replies, with sorted keys.
        ours.forget_order();
    }
    compare_shapes(call, &theirs, &ours, found);
}

/// What is encoded entry by entry is, byte for byte, what the generated code makes of the whole.
fn both_codings_agree(master: SocketAddr) {
    for call in ["STATE", "AGENTS", "FRAMEWORKS", "EXECUTORS", "TASKS"] {
        let body = format!(r#"{{"type":"GET_{call}"}}"#);
        let ask = |accept: &str| {
            let headers = format!("Content-Type: application/json\r\nAccept: {accept}\r\n");
            ask(master, "POST /api/v1", &headers, body.as_bytes()).body
        };
        let (json, bytes) = (ask("application/json"), ask("application/x-protobuf"));
        let message = v1::master::Response::decode(bytes.as_slice()).unwrap();
        assert_eq!(message.encode_to_vec(), bytes, "{call}");
        let (ours, whole) = (
            String::from_utf8(json),
            String::from_utf8(to_json(&message)),
        );
        assert_eq!(ours, whole, "{call}");
    }
}

/// What ZooKeeper holds of a leader is what GET_MASTER says of it.
fn compare_leader(master: SocketAddr, found: &mut Found) {
    let recorded: serde_json::Value =
        serde_json::from_slice(&fs::read(golden("zookeeper.json")).unwrap()).unwrap();
    let headers = "Content-Type: application/json\r\n";
    let ours = ask(master, "POST /api/v1", headers, br#"{"type":"GET_MASTER"}"#);
    let ours: serde_json::Value = serde_json::from_slice(&ours.body).unwrap();
    let ours = shape(&ours["get_master"]["master_info"].to_string()).unwrap();
    let theirs = shape(&recorded["nodes"][0]["data"].to_string()).unwrap();
    compare_shapes("MasterInfo", &theirs, &ours, found);
}
