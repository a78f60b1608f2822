//! What strangers may do to a master and to an agent: each thing gets its code and a text that says what
//! was wrong, nobody else is delayed, nothing grows.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mesosd::proto::v1::TaskState::TaskRunning;
use serde_json::{Value, json};

use crate::agent_api::{get, request};
use crate::cluster::{Cluster, Daemon};
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";

/// Code and text of the answer to these bytes; 0 if the connection is closed without one.
fn answer(address: SocketAddr, bytes: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // What is too long is answered before it is read to its end.
    let _ = socket.write_all(bytes);
    let mut text = vec![0; 4096];
    let mut length = 0;
    // The head and the text may come apart.
    while let Ok(read) = socket.read(&mut text[length..])
        && read > 0
    {
        length += read;
        let so_far = String::from_utf8_lossy(&text[..length]).to_lowercase();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else {
            continue;
        };
        let told = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if told.is_none_or(|told| told.parse() == Ok(body.len())) {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    (code.unwrap_or(0), text)
}

fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// What is refused before it is a request at all, without a word.
const UNREAD: &[&str] = &[
    "no HTTP",
    "a version of HTTP",
    "a NUL in a path",
    "a long path",
    "a long header",
    "a length of 20 digits",
    "a negative length",
    "two lengths",
];

/// What both daemons get: name, bytes, code.
fn of_both(read: &str) -> Vec<(&'static str, Vec<u8>, u16)> {
    let nested = "[".repeat(100_000);
    let objects = r#"{"a":"#.repeat(100_000);
    // A message in a message, as deep as 64 KiB take it.
    let mut deep = Vec::new();
    for _ in 0..8_000 {
        let length = u32::try_from(deep.len()).unwrap();
        let mut outer = vec![0x0a];
        let mut rest = length;
        while rest >= 0x80 {
            outer.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        outer.push(u8::try_from(rest).unwrap());
        outer.extend_from_slice(&deep);
        deep = outer;
    }
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let raw = |text: &str| text.as_bytes().to_vec();
    let long = "x".repeat(70_000);
    let many = format!("{read}?{}", "a&".repeat(1_001));
    let operator = |kind: &str, body: &[u8]| post("/api/v1", kind, body);
    vec![
        ("no HTTP", raw("nonsense\r\n\r\n"), 400),
        (
            "a version of HTTP",
            raw("GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
            400,
        ),
        ("a NUL in a path", get("/\0"), 400),
        ("a long path", get(&format!("/{long}")), 431),
        (
            "a long header",
            raw(&format!("GET {read} HTTP/1.1\r\nX: {long}\r\n\r\n")),
            431,
        ),
        ("many parameters", get(&many), 400),
        ("a broken escape", get(&format!("{read}?jsonp=%zz")), 400),
        (
            "a script for a name",
            get(&format!("{read}?jsonp=alert(1)")),
            400,
        ),
        (
            "a length of 20 digits",
            raw("POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            400,
        ),
        (
            "a negative length",
            raw("POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
            400,
        ),
        (
            "two lengths",
            raw(
                "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            ),
            400,
        ),
        (
            "a body of 17 MB, told",
            raw(
                "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: 17000000\r\n\r\nx",
            ),
            413,
        ),
        (
            "a huge chunk",
            raw(
                "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
            ),
            400,
        ),
        (
            "a chunk without a length",
            raw(
                "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n",
            ),
            400,
        ),
        ("no JSON", operator(JSON, b"{"), 400),
        (
            "JSON that is not UTF-8",
            operator(JSON, b"{\"type\":\"\xff\"}"),
            400,
        ),
        ("a list for an object", operator(JSON, b"[]"), 400),
        (
            "a number for a name",
            operator(JSON, br#"{"type":[1]}"#),
            400,
        ),
        (
            "a text for a number",
            operator(
                JSON,
                br#"{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":"x"}}}"#,
            ),
            400,
        ),
        (
            "an object for bytes",
            operator(
                JSON,
                br#"{"type":"READ_FILE","read_file":{"path":{},"offset":0}}"#,
            ),
            400,
        ),
        (
            "a number that is too large",
            operator(
                JSON,
                br#"{"type":"READ_FILE","read_file":{"path":"x","offset":18446744073709551616}}"#,
            ),
            400,
        ),
        ("lists in lists", operator(JSON, nested.as_bytes()), 400),
        (
            "objects in objects",
            operator(JSON, objects.as_bytes()),
            400,
        ),
        ("no protobuf", operator(PROTOBUF, b"\xff\xff\xff\xff"), 400),
        (
            "a field of another type",
            operator(PROTOBUF, &[0x0a, 1, b'x']),
            400,
        ),
        (
            "a length without content",
            operator(PROTOBUF, &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            400,
        ),
        ("messages in messages", operator(PROTOBUF, &deep), 400),
        (
            "a type that is none",
            operator(PROTOBUF, &[0x08, 0x63]),
            400,
        ),
    ]
}

/// What only a master reads: lists with limits, and forms.
fn of_master() -> Vec<(&'static str, Vec<u8>, u16)> {
    let raw = |text: &str| text.as_bytes().to_vec();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let form = |rest: &str| raw(&format!("POST /teardown HTTP/1.1\r\nHost: x\r\n{rest}"));
    let huge = format!("/tasks?limit={}", "9".repeat(30));
    let scheduler = |body: &[u8]| post("/api/v1/scheduler", JSON, body);
    vec![
        ("no host", raw("GET /state HTTP/1.1\r\n\r\n"), 200),
        ("a broken escape in a limit", get("/tasks?limit=%zz"), 400),
        ("a huge limit", get(&huge), 200),
        (
            "negative limits",
            get("/tasks?limit=-5&offset=-7&order=up"),
            200,
        ),
        (
            "a form of 17 MB, told",
            form("Content-Length: 17000000\r\n\r\nx"),
            413,
        ),
        (
            "a form with a huge chunk",
            form("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx"),
            400,
        ),
        (
            "a form that is not UTF-8",
            [form("Content-Length: 2\r\n\r\n"), b"\xff\xff".to_vec()].concat(),
            400,
        ),
        ("a scheduler's nonsense", scheduler(b"{"), 400),
        ("a scheduler without type", scheduler(b"{}"), 400),
        (
            "a scheduler without a part",
            scheduler(br#"{"type":"SUBSCRIBE"}"#),
            400,
        ),
        (
            "a scheduler that says too much",
            scheduler(&vec![b' '; 17 << 20]),
            413,
        ),
    ]
}

/// What only an agent reads: records of ATTACH_CONTAINER_INPUT, and calls of executors.
fn of_agent() -> Vec<(&'static str, Vec<u8>, u16)> {
    let stream = |message: &str, body: &[u8]| {
        let head = format!(
            "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/recordio\r\n{message}\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let json = "Message-Content-Type: application/json\r\n";
    let executor = |body: &[u8]| post("/api/v1/executor", JSON, body);
    let ids = r#""executor_id":{"value":"e"},"framework_id":{"value":"f"}"#;
    let of = |kind: &str| format!(r#"{{"type":"{kind}",{ids}}}"#).into_bytes();
    let subscribe = format!(r#"{{"type":"SUBSCRIBE",{ids},"subscribe":{{}}}}"#);
    vec![
        ("records of unknown kind", stream("", b"1\nx"), 400),
        (
            "records of a wrong kind",
            stream("Message-Content-Type: text/xml\r\n", b"1\nx"),
            415,
        ),
        ("a record without length", stream(json, b"x\n{}"), 400),
        ("a length of a line", stream(json, &[b'1'; 64]), 400),
        ("a negative record", stream(json, b"-1\nx"), 400),
        ("a huge record", stream(json, b"99999999\nx"), 413),
        (
            "a length of 30 digits",
            stream(json, b"999999999999999999999999999999\nx"),
            400,
        ),
        ("a record that is no call", stream(json, b"2\n[]"), 400),
        (
            "a record of another call",
            stream(json, b"21\n{\"type\":\"GET_HEALTH\"}"),
            400,
        ),
        (
            "plain calls with kinds of records",
            {
                let head = "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                            Message-Content-Type: application/json\r\nContent-Length: 21\r\n\r\n";
                [head.as_bytes(), br#"{"type":"GET_HEALTH"}"#].concat()
            },
            415,
        ),
        (
            "an executor's method",
            b"PUT /api/v1/executor HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            405,
        ),
        (
            "an executor without a kind",
            b"POST /api/v1/executor HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
            400,
        ),
        (
            "an executor's kind",
            post("/api/v1/executor", "text/xml", b"{}"),
            415,
        ),
        ("an executor's nonsense", executor(b"{"), 400),
        ("an executor without type", executor(b"{}"), 400),
        (
            "an executor without a part",
            executor(&of("SUBSCRIBE")),
            400,
        ),
        ("an executor that is alive", executor(&of("HEARTBEAT")), 202),
        ("an unknown executor", executor(subscribe.as_bytes()), 400),
        (
            "an executor that reads nothing",
            {
                let head = format!(
                    "POST /api/v1/executor HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                     Accept: text/plain\r\nContent-Length: {}\r\n\r\n{subscribe}",
                    subscribe.len()
                );
                head.into_bytes()
            },
            406,
        ),
        (
            "an executor that says too much",
            executor(&vec![b' '; 17 << 20]),
            413,
        ),
    ]
}

#[test]
fn malformed_requests_have_their_codes() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    let (master, agent) = (cluster.master.address, cluster.agents[0].address);
    let mut wrong = Vec::new();
    let mut check = |who, address, cases: Vec<(&str, Vec<u8>, u16)>| {
        for (what, bytes, code) in cases {
            let begin = Instant::now();
            let (given, text) = answer(address, &bytes);
            let said = text
                .split_once("\r\n\r\n")
                .is_some_and(|(_, body)| !body.trim().is_empty());
            // What is no HTTP at all is refused before anybody could say why.
            let explained = said || code == 202 || UNREAD.contains(&what);
            if given != code || !explained || begin.elapsed() > Duration::from_secs(5) {
                wrong.push(format!("{who}: {what}: {given} and not {code}: {text}"));
            }
        }
    };
    check("master", master, of_both("/state"));
    check("master", master, of_master());
    check("agent", agent, of_both("/state"));
    check("agent", agent, of_agent());
    assert!(wrong.is_empty(), "{wrong:#?}");
    for address in [master, agent] {
        assert_eq!(get(address, "/health").code, 200);
    }
    cluster.stop();
}

/// Memory that a daemon has, in KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The slowest of some requests while something goes on.
fn slowest(address: SocketAddr) -> Duration {
    let mut slowest = Duration::ZERO;
    for path in ["/health", "/state", "/metrics/snapshot"].repeat(10) {
        let begin = Instant::now();
        assert_eq!(get(address, path).code, 200, "{path}");
        slowest = slowest.max(begin.elapsed());
    }
    slowest
}

/// Opens connections, says so, and holds them until its standard input ends.
const HOLD: &str = "import socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = [socket.create_connection((host, port)) for _ in range(count)]
print('open', flush=True)
sys.stdin.read()
";

/// Idle connections, held by a process of their own.
struct Idle(Child);

impl Idle {
    fn open(address: SocketAddr, count: usize) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", HOLD, &address.ip().to_string()])
            .args([address.port().to_string(), count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "open\n");
        Self(child)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

#[test]
fn idle_and_slow_connections_delay_nobody() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    for daemon in [&cluster.master, &cluster.agents[0]] {
        let before = resident(daemon);
        let idle = Idle::open(daemon.address, 10_000);
        // Bodies that trickle in beside them.
        let trickling: Vec<TcpStream> = (0..50)
            .map(|_| {
                let mut socket = TcpStream::connect(daemon.address).unwrap();
                let head = "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                            Content-Length: 100000\r\n\r\n{";
                socket.write_all(head.as_bytes()).unwrap();
                socket
            })
            .collect();
        let slowest = slowest(daemon.address);
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        let grown = resident(daemon).saturating_sub(before);
        assert!(grown < 10_000 * 32, "{grown} KiB for 10,000 connections");
        drop((idle, trickling));
    }
    cluster.stop();
}

/// A container that never stops to talk, to somebody who never listens: what it says waits in pipes, not in
/// the agent, and it ends when its listener goes.
#[test]
fn a_listener_that_never_reads_costs_nothing() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    let agent = &cluster.agents[0];
    let mut scheduler = Scheduler::start(&cluster, "talks");
    scheduler.submit(task("t", "exec sleep 1022"));
    scheduler.wait_for("t", TaskRunning);
    let all = get(agent.address, "/containers").json();
    let parent = json!({"value": all[0]["container_id"]});
    let before = resident(agent);
    let mut deaf = Vec::new();
    for number in 0..4 {
        let id = json!({"value": format!("deaf-{number}"), "parent": parent});
        let call = json!({"type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session":
            {"container_id": id, "command": {"value": "yes 0123456789012345678901234567890123456789"}}});
        let body = call.to_string();
        let head = format!(
            "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Accept: application/recordio\r\nMessage-Accept: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = TcpStream::connect(agent.address).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        deaf.push(socket);
    }
    std::thread::sleep(Duration::from_secs(2));
    let slowest = slowest(agent.address);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let grown = resident(agent).saturating_sub(before);
    assert!(
        grown < 128 * 1024,
        "{grown} KiB for four listeners that do not read"
    );
    drop(deaf);
    let nested = json!({"type": "GET_CONTAINERS", "get_containers": {"show_nested": true}});
    cluster.wait_until(
        "they end with their listeners",
        Duration::from_secs(20),
        || {
            let all = crate::agent_api::call(agent.address, &nested).json();
            all["get_containers"]["containers"]
                .as_array()
                .unwrap()
                .len()
                == 1
        },
    );
    scheduler.teardown();
    cluster.stop();
}

/// A stream that is opened and then never read; with its id.
fn deaf(address: SocketAddr, path: &str, call: &Value) -> (TcpStream, String, String) {
    let body = call.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    let mut said = String::new();
    let mut some = [0; 1024];
    while !said.contains("\"SUBSCRIBED\"") {
        let read = socket.read(&mut some).unwrap();
        assert!(read > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    let after = |mark: &str, end: char| {
        let (_, rest) = said.split_once(mark).unwrap_or_default();
        rest.split(end).next().unwrap_or_default().to_owned()
    };
    let stream_id = after("Mesos-Stream-Id: ", '\r');
    (
        socket,
        stream_id,
        after("\"framework_id\":{\"value\":\"", '"'),
    )
}

/// Reads a stream and counts what it says of a kind, until the stream ends.
fn counting(mut socket: TcpStream, kind: &'static str) -> Arc<AtomicUsize> {
    let heard = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heard);
    std::thread::spawn(move || {
        let (mut some, mut rest) = (vec![0; 1 << 20], Vec::new());
        while let Ok(read) = socket.read(&mut some)
            && read > 0
        {
            rest.extend_from_slice(&some[..read]);
            let text = String::from_utf8_lossy(&rest).into_owned();
            counted.fetch_add(text.matches(kind).count(), Ordering::Relaxed);
            // A mark may come in two reads.
            let kept = kind.len() - 1;
            rest.drain(..rest.len().saturating_sub(kept));
        }
    });
    heard
}

const SCHEDULERS: &str = "/api/v1/scheduler";

fn by_scheduler(master: SocketAddr, stream_id: &str, call: &Value) -> u16 {
    let head =
        format!("POST {SCHEDULERS}\nContent-Type: application/json\nMesos-Stream-Id: {stream_id}");
    request(master, &head, &call.to_string()).code
}

/// A scheduler and an operator that subscribe and never read: each is cut off when what waits for it has
/// its bound, whoever reads gets everything, and the master keeps nothing of it.
#[test]
fn subscribers_that_never_read_are_cut_off() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    let master = cluster.master.address;
    let before = resident(&cluster.master);
    let info = |name: &str| json!({"user": "root", "name": name, "failover_timeout": 60});
    let subscribe =
        |name: &str| json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info(name)}});
    let (_scheduler, stream_id, framework) = deaf(master, SCHEDULERS, &subscribe("deaf"));
    let (_other, other_stream, other) = deaf(master, SCHEDULERS, &subscribe("speaks"));
    let watch = json!({"type": "SUBSCRIBE"});
    let (_operator, _, _) = deaf(master, "/api/v1", &watch);
    let (listener, _, _) = deaf(master, "/api/v1", &watch);
    let heard = counting(listener, "\"type\":\"FRAMEWORK_UPDATED\"");

    // Each answer has the name that is asked about: a megabyte.
    let long = "x".repeat(1 << 20);
    let kill = json!({"type": "KILL", "framework_id": {"value": framework},
        "kill": {"task_id": {"value": long}}});
    let answered = (0..60).take_while(|_| by_scheduler(master, &stream_id, &kill) == 202);
    let answered = answered.count();
    assert!((8..60).contains(&answered), "cut off after {answered} MB");
    let frameworks = get(master, "/frameworks").json();
    let all = frameworks["frameworks"].as_array().unwrap();
    let is_there = |id: &str| {
        let found = all.iter().find(|one| one["id"] == id).unwrap();
        found["connected"] == true
    };
    assert!(!is_there(&framework) && is_there(&other), "{frameworks}");

    const UPDATES: usize = 60;
    for number in 0..UPDATES {
        let mut info = info("speaks");
        info["id"] = json!({"value": other});
        info["labels"] = json!({"labels": [{"key": number.to_string(), "value": long}]});
        let update = json!({"type": "UPDATE_FRAMEWORK", "framework_id": {"value": other},
            "update_framework": {"framework_info": info}});
        assert_eq!(by_scheduler(master, &other_stream, &update), 200);
    }
    let slowest = slowest(master);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let limit = Duration::from_secs(20);
    cluster.wait_until("one operator is left, who hears everything", limit, || {
        let metrics = get(master, "/metrics/snapshot").json();
        let left = &metrics["master/operator_event_stream_subscribers"];
        *left == 1.0 && heard.load(Ordering::Relaxed) == UPDATES
    });
    let grown = resident(&cluster.master).saturating_sub(before);
    assert!(grown < 128 * 1024, "{grown} KiB");
    cluster.stop();
}
