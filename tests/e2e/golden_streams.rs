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

/// Recorded subscriptions of schedulers.
const SCHEDULERS: &[&str] = &[
    "scheduler_json_mesosgo_01",
    "scheduler_json_node_01",
    "scheduler_json_pymesos_02",
    "scheduler_protobuf_async_mesos_01",
    "scheduler_protobuf_mesosgo_01",
];

/// Where the events differ from the recorded ones: event, path, reason. An entry that nothing needs is an
/// error.
const DIFFERENCES: &[(&str, &str, &str)] = &[];

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

#[test]
fn event_streams_are_as_recorded() {
    let cluster = Cluster::with_flags(
        1,
        "cpus:4;mem:4096;disk:20480;ports:[33000-34000]",
        &["--hostname=127.0.0.1"],
        &["--attributes=rack:r1"],
    );
    let master = cluster.master.address;
    let mut found = BTreeSet::new();
    let mut compared = BTreeMap::new();
    for name in SCHEDULERS {
        let ours = play(master, name);
        let (_, theirs) = all_of(name, false);
        for (kind, theirs) in theirs {
            let Some(ours) = ours.get(&kind) else {
                continue;
            };
            *compared.entry(kind.clone()).or_insert(0) += 1;
            let differences = shape(ours).unwrap().differences(&shape(&theirs).unwrap());
            for difference in differences {
                found.insert((kind.clone(), format!("{name} {difference}")));
            }
        }
    }
    for name in [
        "operator_subscribe_json_01",
        "operator_subscribe_protobuf_01",
    ] {
        let mut stream = open(master, name);
        let (theirs, events) = all_of(name, true);
        same_head(name, &stream, &theirs);
        for kind_of in ["SUBSCRIBED", "HEARTBEAT"] {
            let event = stream.event(true).unwrap();
            assert_eq!(kind(&event), kind_of, "{name}");
            // What is in the state is compared elsewhere.
            let members = |text: &str| -> Vec<String> {
                let event: Value = serde_json::from_str(text).unwrap();
                let subscribed = event["subscribed"].as_object();
                subscribed.map_or_else(Vec::new, |members| members.keys().cloned().collect())
            };
            assert_eq!(members(&event), members(&events[kind_of]), "{name}");
        }
    }
    for kind in ["SUBSCRIBED", "HEARTBEAT", "OFFERS"] {
        assert!(
            compared.get(kind).is_some_and(|count| *count > 3),
            "{compared:?}"
        );
    }
    let covers = |entry: &(&str, &str, &str), one: &(String, String)| {
        entry.0 == one.0 && one.1.ends_with(entry.1)
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
        "not in the table: {unexplained:#?}\nin the table for nothing: {needless:#?}\n{compared:?}"
    );
    cluster.stop();
}
