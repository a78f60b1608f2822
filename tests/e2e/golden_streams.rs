//! Event streams: what clients sent to a real Mesos to subscribe is sent again, byte for byte, and what
//! comes back is compared with what the real one said: headers, framing, and the structure of each event.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use mesosd::proto::json::to_json;
use mesosd::proto::v1::{master, scheduler};
use prost::Message as _;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::outline::shape;

/// Recorded subscriptions of schedulers; the first one is of the framework that operators were told of
/// first.
const SCHEDULERS: &[&str] = &[
    "scheduler_json_pymesos_02",
    "scheduler_json_mesosgo_01",
    "scheduler_json_node_01",
    "scheduler_protobuf_async_mesos_01",
    "scheduler_protobuf_mesosgo_01",
];

/// Connections on which the same clients sent calls; the last one ends with the end of the framework.
const CALLS: &[(&str, &[u8])] = &[
    ("scheduler_json_mesosgo", &[2]),
    ("scheduler_json_node", &[3, 2]),
    ("scheduler_json_pymesos", &[3]),
    (
        "scheduler_protobuf_async_mesos",
        &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 17],
    ),
    ("scheduler_protobuf_mesosgo", &[2]),
];

/// Recorded subscriptions of operators.
const OPERATORS: &[&str] = &[
    "operator_subscribe_json_01",
    "operator_subscribe_protobuf_01",
];

/// What an event may lack: the beginning of its kind's name, path. Any other difference is an error, but for the
/// order of members: JSON knows none; Mesos writes them as its files declare them, mesosd by their numbers.
const SOMETIMES: &[(&str, &str)] = &[
    // An executor may report before its containerizer has said which process it is.
    (
        "TASK_",
        "-.update.status.container_status.executor_pid: integer",
    ),
    (
        "TASK_UPDATED",
        "-.task_updated.status.container_status.executor_pid: integer",
    ),
];

fn recorded(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire");
    fs::read(folder.join(name)).unwrap()
}

/// An answer that goes on.
struct Stream<R> {
    code: String,
    headers: BTreeMap<String, String>,
    chunks: R,
}

impl<R: BufRead> Stream<R> {
    fn begin(mut source: R) -> Self {
        let mut line = String::new();
        source.read_line(&mut line).unwrap();
        let code = line.trim().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            source.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(": ") else {
                break;
            };
            headers.insert(name.to_owned(), value.to_owned());
        }
        Self {
            code,
            headers,
            chunks: source,
        }
    }

    /// The next event as JSON: one chunk, one record, one line. None at the end of a recording.
    fn event(&mut self, of_operator: bool) -> Option<String> {
        let mut line = String::new();
        self.chunks.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        if length == 0 {
            return None;
        }
        let mut chunk = vec![0; length + 2];
        self.chunks.read_exact(&mut chunk).ok()?;
        chunk.truncate(length);
        let end = chunk.iter().position(|&byte| byte == b'\n').unwrap();
        let record = &chunk[end + 1..];
        let length: usize = std::str::from_utf8(&chunk[..end]).unwrap().parse().unwrap();
        assert_eq!(record.len(), length, "one record per chunk");
        if self.headers["Content-Type"] == "application/json" {
            assert!(!record.contains(&b'\n'));
            return Some(String::from_utf8(record.to_vec()).unwrap());
        }
        let text = if of_operator {
            to_json(&master::Event::decode(record).unwrap())
        } else {
            to_json(&scheduler::Event::decode(record).unwrap())
        };
        Some(String::from_utf8(text).unwrap())
    }
}

fn kind(event: &str) -> String {
    let event: Value = serde_json::from_str(event).unwrap();
    let state = &event["update"]["status"]["state"];
    let kind = event["type"].as_str().unwrap();
    state.as_str().unwrap_or(kind).to_owned()
}

/// The first event of each kind.
fn all_of(name: &str, of_operator: bool) -> (Stream<Cursor<Vec<u8>>>, BTreeMap<String, String>) {
    let mut stream = Stream::begin(Cursor::new(recorded(&format!("{name}.s2c"))));
    let mut first = BTreeMap::new();
    while let Some(event) = stream.event(of_operator) {
        first.entry(kind(&event)).or_insert(event);
    }
    (stream, first)
}

fn same_head<A, B>(name: &str, ours: &Stream<A>, theirs: &Stream<B>) {
    assert_eq!(ours.code, theirs.code, "{name}");
    let names = |headers: &BTreeMap<String, String>| -> BTreeSet<String> {
        // Ours answers a client that asks for it in the same words.
        let names = headers.keys().filter(|name| *name != "Connection");
        names.cloned().collect()
    };
    assert_eq!(names(&ours.headers), names(&theirs.headers), "{name}");
    for header in ["Content-Type", "Transfer-Encoding"] {
        assert_eq!(ours.headers[header], theirs.headers[header], "{name}");
    }
}

fn open(master: SocketAddr, name: &str) -> Stream<BufReader<TcpStream>> {
    let mut socket = TcpStream::connect(master).unwrap();
    let limit = Some(Duration::from_secs(30));
    socket.set_read_timeout(limit).unwrap();
    socket.write_all(&recorded(&format!("{name}.c2s"))).unwrap();
    Stream::begin(BufReader::new(socket))
}

/// A call in JSON, whatever the stream is in; it must be accepted.
fn call(master: SocketAddr, stream: &str, body: &Value) {
    let body = body.to_string();
    let mut socket = TcpStream::connect(master).unwrap();
    write!(
        socket,
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/json\r\nMesos-Stream-Id: {stream}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 Accepted"), "{answer}");
}

/// Plays the client until its task has ended; gives the first event of each kind.
fn play(master: SocketAddr, name: &str) -> BTreeMap<String, String> {
    let mut stream = open(master, name);
    let (theirs, _) = all_of(name, false);
    same_head(name, &stream, &theirs);
    let id = stream.headers["Mesos-Stream-Id"].clone();
    let mut first = BTreeMap::new();
    let mut framework = Value::Null;
    loop {
        let text = stream.event(false).unwrap();
        let event: Value = serde_json::from_str(&text).unwrap();
        if event["type"] == "SUBSCRIBED" {
            framework = event["subscribed"]["framework_id"].clone();
        }
        let begin = |kind: &str| json!({"type": kind, "framework_id": framework});
        match kind(&text).as_str() {
            "OFFERS" if !first.contains_key("OFFERS") => {
                let offer = &event["offers"]["offers"][0];
                let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
                let task = json!({"name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"],
                    "command": {"value": "exit 3"}, "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]});
                let mut accept = begin("ACCEPT");
                accept["accept"] = json!({"offer_ids": [offer["id"]],
                    "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}]});
                call(master, &id, &accept);
            }
            "TASK_FAILED" => {
                call(master, &id, &begin("TEARDOWN"));
                first.insert("TASK_FAILED".to_owned(), text);
                return first;
            }
            _ => {}
        }
        let status = &event["update"]["status"];
        if !status.is_null() {
            let mut acknowledge = begin("ACKNOWLEDGE");
            acknowledge["acknowledge"] = json!({"agent_id": status["agent_id"],
                "task_id": status["task_id"], "uuid": status["uuid"]});
            call(master, &id, &acknowledge);
        }
        first.entry(kind(&text)).or_insert(text);
    }
}

/// Where the first of these is in the bytes.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

/// Every occurrence of one text replaced by another of the same length, so that lengths around it hold.
fn replace(bytes: &mut [u8], old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let mut at = 0;
    while let Some(next) = find(&bytes[at..], old.as_bytes()) {
        at += next;
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
        at += new.len();
    }
}

/// The requests to the scheduler API on a recorded connection, each with its head and its body as sent.
fn requests(name: &str) -> Vec<Vec<u8>> {
    let bytes = recorded(&format!("{name}.c2s"));
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while let Some(end) = find(rest, b"\r\n\r\n") {
        let head = String::from_utf8(rest[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let length: Option<usize> = head
            .split_once("content-length: ")
            .map(|(_, rest)| rest.lines().next().unwrap().parse().unwrap());
        let body = match length {
            Some(length) => length,
            None if head.contains("chunked") => find(&rest[end..], b"\r\n0\r\n\r\n").unwrap() + 3,
            None => 0,
        };
        let (request, after) = rest.split_at((end + 4 + body).min(rest.len()));
        if head.starts_with("post /api/v1/scheduler") {
            all.push(request.to_vec());
        }
        rest = after;
    }
    all
}

/// The answer to a request, on a connection that stays.
fn answer(connection: &mut BufReader<TcpStream>, request: &[u8]) -> Stream<()> {
    connection.get_mut().write_all(request).unwrap();
    let Stream { code, headers, .. } = Stream::begin(&mut *connection);
    let length = headers["Content-Length"].parse().unwrap();
    connection.read_exact(&mut vec![0; length]).unwrap();
    Stream {
        code,
        headers,
        chunks: (),
    }
}

/// Each call that a client sent on its other connections, byte for byte but for the ids of stream and
/// framework, is answered as Mesos answered it. What it asks for is not there any more, which is no reason
/// to refuse it.
#[test]
fn calls_are_answered_as_recorded() {
    let cluster = Cluster::start(1, "cpus:4;mem:4096;disk:20480;ports:[33000-34000]");
    let master = cluster.master.address;
    let mut answered = 0;
    for (client, connections) in CALLS {
        let subscription = if *client == "scheduler_json_pymesos" {
            2
        } else {
            1
        };
        let name = format!("{client}_{subscription:02}");
        let mut stream = open(master, &name);
        let (theirs, events) = all_of(&name, false);
        let id_in = |event: &str| -> String {
            let event: Value = serde_json::from_str(event).unwrap();
            let id = &event["subscribed"]["framework_id"]["value"];
            id.as_str().unwrap().to_owned()
        };
        let framework = id_in(&stream.event(false).unwrap());
        let framework_then = id_in(&events["SUBSCRIBED"]);
        for number in *connections {
            let name = format!("{client}_{number:02}");
            let socket = TcpStream::connect(master).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            let mut connection = BufReader::new(socket);
            for mut request in requests(&name) {
                replace(
                    &mut request,
                    &theirs.headers["Mesos-Stream-Id"],
                    &stream.headers["Mesos-Stream-Id"],
                );
                replace(&mut request, &framework_then, &framework);
                let answer = answer(&mut connection, &request);
                // As in every recording of them.
                let shown = request.escape_ascii();
                assert_eq!(answer.code, "HTTP/1.1 202 Accepted", "{name}: {shown}");
                let names: Vec<&str> = answer.headers.keys().map(String::as_str).collect();
                assert_eq!(names, ["Content-Length", "Date"], "{name}: {shown}");
                assert_eq!(answer.headers["Content-Length"], "0", "{name}: {shown}");
                answered += 1;
            }
        }
    }
    assert_eq!(answered, 9 + 38 + 3 + 19 + 17 + 9);
    cluster.stop();
}

#[test]
fn event_streams_are_as_recorded() {
    let cluster = Cluster::with_flags(
        1,
        "cpus:4;mem:4096;disk:20480;ports:[33000-34000]",
        &["--hostname=127.0.0.1"],
        &["--attributes=rack:r1"],
    );
    let master = cluster.master.address;
    let mut compared = BTreeMap::new();
    let mut found = BTreeSet::new();
    let mut compare = |name: &str, ours: &BTreeMap<String, String>| {
        let (_, theirs) = all_of(name, OPERATORS.contains(&name));
        for (kind, theirs) in theirs {
            let Some(ours) = ours.get(&kind) else {
                continue;
            };
            *compared.entry(kind.clone()).or_insert(0) += 1;
            let mut ours = shape(ours).unwrap();
            ours.forget_order();
            for difference in ours.differences(&shape(&theirs).unwrap()) {
                found.insert((kind.clone(), format!("{name} {difference}")));
            }
        }
    };
    let mut operators: Vec<_> = OPERATORS.iter().map(|name| open(master, name)).collect();
    for name in SCHEDULERS {
        compare(name, &play(master, name));
    }
    for (name, stream) in OPERATORS.iter().zip(&mut operators) {
        let (theirs, expected) = all_of(name, true);
        same_head(name, stream, &theirs);
        let mut first = BTreeMap::new();
        while first.len() < expected.len() {
            let event = stream.event(true).unwrap();
            let position = first.len();
            if position < 2 {
                assert_eq!(
                    kind(&event),
                    ["SUBSCRIBED", "HEARTBEAT"][position],
                    "{name}"
                );
            }
            first.entry(kind(&event)).or_insert(event);
        }
        // What is in the state is compared elsewhere.
        let members = |event: &str| -> Vec<String> {
            let event: Value = serde_json::from_str(event).unwrap();
            let subscribed = event["subscribed"].as_object().unwrap();
            subscribed.keys().cloned().collect()
        };
        let ours = first.remove("SUBSCRIBED").unwrap();
        assert_eq!(members(&ours), members(&expected["SUBSCRIBED"]), "{name}");
        compare(name, &first);
    }
    let counts = [
        ("HEARTBEAT", 7),
        ("OFFERS", 5),
        ("SUBSCRIBED", 5),
        ("TASK_ADDED", 2),
    ];
    for (kind, count) in counts {
        assert_eq!(compared.get(kind), Some(&count), "{compared:?}");
    }
    found.retain(|(kind, difference)| {
        !SOMETIMES
            .iter()
            .any(|(begin, path)| kind.starts_with(begin) && difference.ends_with(path))
    });
    assert!(found.is_empty(), "{found:#?}");
    cluster.stop();
}
