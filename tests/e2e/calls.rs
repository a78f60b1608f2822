//! Every call of the operator APIs of a master and of an agent, as JSON and as protobuf, with the code and
//! the member of the reply that are documented; a call of the protocol that is not among them is named.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mesosd::proto::decode;
use mesosd::proto::json::{Json, from_json, to_json};
use mesosd::proto::v1::TaskState::TaskRunning;
use mesosd::proto::v1::{agent, master};
use prost::{Message, Name};
use serde_json::{Value, json};

use crate::agent_api::{Reply, get, request};
use crate::cluster::Cluster;
use crate::scheduler::{Scheduler, task};

const AGENT: &str = "cpus:4;mem:2048;disk:1024";
const LIMIT: Duration = Duration::from_secs(20);
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// Type, body, code, member of the reply that is there (none for orders).
type Case = (&'static str, Value, u16, &'static str);

fn send(address: SocketAddr, kind: &str, headers: &str, body: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         {headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.unwrap() + 4);
    let head = String::from_utf8(answer).unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { code, head, body }
}

fn encoded<C: Json + Name + Message>(kind: &str, call: &Value) -> Vec<u8> {
    let text = call.to_string().into_bytes();
    if kind == JSON {
        return text;
    }
    from_json::<C>(&text).unwrap().encode_to_vec()
}

/// The call in this encoding: the code, and the reply in JSON; what is no reply as a text.
fn ask<C, R>(address: SocketAddr, kind: &str, call: &Value) -> (u16, Value)
where
    C: Json + Name + Message,
    R: Json + Name + Message + Default,
{
    let headers = format!("Accept: {kind}\r\n");
    let reply = send(address, kind, &headers, &encoded::<C>(kind, call));
    if reply.code != 200 || reply.body.is_empty() {
        return (reply.code, Value::String(reply.text()));
    }
    let given = reply.head.to_lowercase();
    assert!(
        given.contains(&format!("content-type: {kind}\r\n")),
        "{given}"
    );
    let text = match kind {
        JSON => reply.body,
        _ => to_json(&decode::<R>(&reply.body).unwrap()),
    };
    (200, serde_json::from_slice(&text).unwrap())
}

/// Makes a call until it is answered with this code: what it builds on may still be under way.
fn expect<C, R>(address: SocketAddr, kind: &str, (name, part, code, member): &Case)
where
    C: Json + Name + Message,
    R: Json + Name + Message + Default,
{
    let mut call = json!({"type": name});
    if !part.is_null() {
        call[name.to_lowercase()] = part.clone();
    }
    let deadline = Instant::now() + LIMIT;
    let (given, reply) = loop {
        let answer = ask::<C, R>(address, kind, &call);
        if answer.0 == *code || Instant::now() > deadline {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(given, *code, "{kind} {call}: {reply}");
    if *code == 200 && !member.is_empty() {
        assert_eq!(reply["type"], *name, "{kind} {call}: {reply}");
        assert!(reply.get(*member).is_some(), "{kind} {call}: {reply}");
    } else if *code < 300 {
        assert_eq!(reply, "", "{kind} {call}: an order has no reply");
    } else {
        assert_ne!(reply, "", "{kind} {call}: nothing says what was wrong");
    }
}

/// The first record of a stream, in JSON.
fn first_record<C, R>(address: SocketAddr, kind: &str, call: &Value) -> Value
where
    C: Json + Name + Message,
    R: Json + Name + Message + Default,
{
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let body = encoded::<C>(kind, call);
    let head = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nAccept: {kind}\r\n\
         Accept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket
        .write_all(&[head.as_bytes(), &body].concat())
        .unwrap();
    let mut answer = Vec::new();
    loop {
        let mut some = [0; 4096];
        let read = socket.read(&mut some).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&some[..read]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end + 4]).to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(
            head.contains(&format!("content-type: {kind}\r\n")),
            "{head}"
        );
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        assert!(
            !head.contains("content-encoding"),
            "never compressed: {head}"
        );
        if let Some(record) = record(&answer[end + 4..]) {
            return match kind {
                JSON => serde_json::from_slice(&record).unwrap(),
                _ => serde_json::from_slice(&to_json(&decode::<R>(&record).unwrap())).unwrap(),
            };
        }
    }
}

/// The record in the first chunk, once that is there: one record is one chunk.
fn record(body: &[u8]) -> Option<Vec<u8>> {
    let line = body.windows(2).position(|two| two == b"\r\n")?;
    let length = usize::from_str_radix(std::str::from_utf8(&body[..line]).ok()?, 16).ok()?;
    let chunk = body.get(line + 2..line + 2 + length)?;
    let line = chunk.iter().position(|&byte| byte == b'\n').unwrap();
    let length: usize = std::str::from_utf8(&chunk[..line])
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(chunk.len(), line + 1 + length, "one record per chunk");
    Some(chunk[line + 1..].to_vec())
}

/// The members of Mesos' enum that no list names.
fn unnamed(
    names: impl Fn(i32) -> Option<&'static str>,
    known: &[&BTreeSet<&str>],
) -> Vec<&'static str> {
    // mesosd's own calls have numbers from 10001 on.
    let all = (1..1_000).filter_map(names);
    all.filter(|name| !known.iter().any(|known| known.contains(name)))
        .collect()
}

const READS_OF_BOTH: [(&str, &str); 9] = [
    ("GET_HEALTH", "get_health"),
    ("GET_FLAGS", "get_flags"),
    ("GET_VERSION", "get_version"),
    ("GET_METRICS", "get_metrics"),
    ("GET_LOGGING_LEVEL", "get_logging_level"),
    ("GET_STATE", "get_state"),
    ("GET_FRAMEWORKS", "get_frameworks"),
    ("GET_EXECUTORS", "get_executors"),
    ("GET_TASKS", "get_tasks"),
];

fn reads(more: &[(&'static str, &'static str)]) -> Vec<Case> {
    let all = READS_OF_BOTH.iter().chain(more);
    all.map(|(name, member)| (*name, Value::Null, 200, *member))
        .collect()
}

fn disk(role: &str, amount: u32) -> Value {
    json!({"name": "disk", "type": "SCALAR", "scalar": {"value": amount},
           "reservations": [{"type": "DYNAMIC", "role": role}]})
}

fn volume(role: &str, amount: u32) -> Value {
    let mut volume = disk(role, amount);
    volume["disk"] = json!({"persistence": {"id": role},
                            "volume": {"container_path": "data", "mode": "RW"}});
    volume
}

/// What a master is asked, in an order in which everything can be done.
fn of_master(role: &str, agent: &str, framework: &str) -> Vec<Case> {
    let mut all = reads(&[
        ("GET_AGENTS", "get_agents"),
        ("GET_OPERATIONS", "get_operations"),
        ("GET_ROLES", "get_roles"),
        ("GET_WEIGHTS", "get_weights"),
        ("GET_MASTER", "get_master"),
        ("GET_MAINTENANCE_STATUS", "get_maintenance_status"),
        ("GET_MAINTENANCE_SCHEDULE", "get_maintenance_schedule"),
        ("GET_QUOTA", "get_quota"),
    ]);
    let id = json!({"value": agent});
    let on = |key: &str, what: Value| json!({"agent_id": id, key: [what]});
    let machine = json!({"hostname": role});
    let window = json!({"machine_ids": [machine], "unavailability": {"start": {"nanoseconds": 7}}});
    let level = json!({"level": 0, "duration": {"nanoseconds": 1_000_000}});
    let quota =
        json!({"force": true, "quota_configs": [{"role": role, "limits": {"cpus": {"value": 1}}}]});
    let older = json!({"quota_request": {"force": true, "role": format!("{role}-older"), "guarantee": [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}}]}});
    let removed = json!({"role": format!("{role}-older")});
    let grown = json!({"agent_id": id, "volume": volume(role, 32), "addition": disk(role, 16)});
    let shrunk = json!({"agent_id": id, "volume": volume(role, 48), "subtract": {"value": 16}});
    let one = json!({"agent_id": id});
    let drain = json!({"agent_id": id, "max_grace_period": {"seconds": 1}});
    let nobody = json!({"agent_id": {"value": "nobody"}});
    all.extend([
        ("SET_LOGGING_LEVEL", level, 200, ""),
        ("LIST_FILES", json!({"path": "/nothing"}), 404, ""),
        (
            "READ_FILE",
            json!({"path": "/master/log", "offset": 0, "length": 9}),
            200,
            "read_file",
        ),
        (
            "UPDATE_WEIGHTS",
            json!({"weight_infos": [{"role": role, "weight": 2.0}]}),
            200,
            "",
        ),
        (
            "RESERVE_RESOURCES",
            on("resources", disk(role, 64)),
            202,
            "",
        ),
        ("CREATE_VOLUMES", on("volumes", volume(role, 32)), 202, ""),
        ("GROW_VOLUME", grown, 202, ""),
        ("SHRINK_VOLUME", shrunk, 202, ""),
        ("DESTROY_VOLUMES", on("volumes", volume(role, 32)), 202, ""),
        (
            "UNRESERVE_RESOURCES",
            on("resources", disk(role, 64)),
            202,
            "",
        ),
        (
            "UPDATE_MAINTENANCE_SCHEDULE",
            json!({"schedule": {"windows": [window]}}),
            200,
            "",
        ),
        ("START_MAINTENANCE", json!({"machines": [machine]}), 200, ""),
        ("STOP_MAINTENANCE", json!({"machines": [machine]}), 200, ""),
        ("UPDATE_QUOTA", quota, 200, ""),
        ("SET_QUOTA", older, 200, ""),
        ("REMOVE_QUOTA", removed.clone(), 200, ""),
        // A real Mesos master aborts.
        ("REMOVE_QUOTA", removed, 400, ""),
        (
            "TEARDOWN",
            json!({"framework_id": {"value": framework}}),
            200,
            "",
        ),
        (
            "TEARDOWN",
            json!({"framework_id": {"value": "nobody"}}),
            400,
            "",
        ),
        ("DEACTIVATE_AGENT", one.clone(), 200, ""),
        ("REACTIVATE_AGENT", one.clone(), 200, ""),
        ("DRAIN_AGENT", drain, 200, ""),
        ("REACTIVATE_AGENT", one, 200, ""),
        ("MARK_AGENT_GONE", nobody, 404, ""),
    ]);
    all
}

#[test]
fn every_call_to_a_master() {
    let logs = tempfile::tempdir().unwrap();
    let flag = format!("--log_dir={}", logs.path().display());
    let cluster = Cluster::with_flags(1, AGENT, &[&flag], &["--launcher=posix"]);
    let address = cluster.master.address;
    let agents = cluster.json(&["agents"]);
    let agent = agents[0]["id"].as_str().unwrap();
    let mut called = BTreeSet::new();
    for (kind, role) in [(JSON, "calls-json"), (PROTOBUF, "calls-protobuf")] {
        let framework = Scheduler::start(&cluster, role);
        for case in of_master(role, agent, &framework.id()) {
            expect::<master::Call, master::Response>(address, kind, &case);
            called.insert(case.0);
        }
        let subscribe = json!({"type": "SUBSCRIBE"});
        let event = first_record::<master::Call, master::Event>(address, kind, &subscribe);
        assert_eq!(event["type"], "SUBSCRIBED", "{kind}: {event}");
        let state = &event["subscribed"]["get_state"];
        let known = &state["get_agents"]["agents"][0]["agent_info"]["id"]["value"];
        assert_eq!(
            known, agent,
            "{kind}: the stream begins with a snapshot: {state}"
        );
        called.insert("SUBSCRIBE");
        let unknown = json!({"type": "UNKNOWN"});
        assert_eq!(
            ask::<master::Call, master::Response>(address, kind, &unknown).0,
            501
        );
    }
    let gone = json!({"agent_id": {"value": agent}});
    let gone = ("MARK_AGENT_GONE", gone, 200, "");
    expect::<master::Call, master::Response>(address, PROTOBUF, &gone);
    let name = |number| {
        let kind = master::call::Type::try_from(number).ok()?;
        Some(kind.as_str_name())
    };
    assert_eq!(unnamed(name, &[&called]), [""; 0], "calls without a case");
}

/// What an agent is asked, in an order in which everything can be done.
fn of_agent(name: &str, sandbox: &str, parent: &str) -> Vec<Case> {
    let mut all = reads(&[
        ("GET_OPERATIONS", "get_operations"),
        ("GET_AGENT", "get_agent"),
        ("GET_RESOURCE_PROVIDERS", "get_resource_providers"),
    ]);
    let level = json!({"level": 0, "duration": {"nanoseconds": 1_000_000}});
    let sleep = json!({"value": "exec sleep 1019"});
    let nested = json!({"value": name, "parent": {"value": parent}});
    let named = json!({"container_id": nested});
    let own = json!({"container_id": {"value": name}});
    let with_command = |mut part: Value| {
        part["command"] = sleep.clone();
        part
    };
    let read = json!({"path": format!("{sandbox}/stdout"), "offset": 0, "length": 9});
    let shown = json!({"show_nested": true, "show_standalone": true});
    let provider = json!({"info": {"type": "org.example", "name": "disks"}});
    let of_provider = json!({"type": "org.example", "name": "disks"});
    let provider_id = json!({"resource_provider_id": {"value": "p"}});
    all.extend([
        ("SET_LOGGING_LEVEL", level, 200, ""),
        ("LIST_FILES", json!({"path": sandbox}), 200, "list_files"),
        ("READ_FILE", read, 200, "read_file"),
        ("GET_CONTAINERS", shown, 200, "get_containers"),
        (
            "LAUNCH_NESTED_CONTAINER",
            with_command(named.clone()),
            200,
            "",
        ),
        (
            "LAUNCH_NESTED_CONTAINER",
            with_command(named.clone()),
            202,
            "",
        ),
        ("KILL_NESTED_CONTAINER", named.clone(), 200, ""),
        (
            "WAIT_NESTED_CONTAINER",
            named.clone(),
            200,
            "wait_nested_container",
        ),
        ("REMOVE_NESTED_CONTAINER", named.clone(), 200, ""),
        ("WAIT_NESTED_CONTAINER", named, 404, ""),
        ("LAUNCH_CONTAINER", with_command(own.clone()), 200, ""),
        ("LAUNCH_CONTAINER", with_command(own.clone()), 202, ""),
        ("KILL_CONTAINER", own.clone(), 200, ""),
        ("WAIT_CONTAINER", own.clone(), 200, "wait_container"),
        ("REMOVE_CONTAINER", own.clone(), 200, ""),
        ("KILL_CONTAINER", own.clone(), 404, ""),
        ("WAIT_CONTAINER", own, 404, ""),
        // What has no meaning here is refused with a reason.
        ("ADD_RESOURCE_PROVIDER_CONFIG", provider.clone(), 400, ""),
        ("UPDATE_RESOURCE_PROVIDER_CONFIG", provider, 400, ""),
        ("REMOVE_RESOURCE_PROVIDER_CONFIG", of_provider, 400, ""),
        ("MARK_RESOURCE_PROVIDER_GONE", provider_id, 404, ""),
        ("PRUNE_IMAGES", json!({}), 400, ""),
        // Streams, without what a stream needs.
        (
            "ATTACH_CONTAINER_INPUT",
            json!({"type": "CONTAINER_ID"}),
            400,
            "",
        ),
        (
            "ATTACH_CONTAINER_OUTPUT",
            json!({"container_id": {"value": "x"}}),
            406,
            "",
        ),
    ]);
    all
}

#[test]
fn every_call_to_an_agent() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    let address = cluster.agents[0].address;
    let mut scheduler = Scheduler::start(&cluster, "calls");
    scheduler.submit(task("t", "echo said; exec sleep 1020"));
    scheduler.wait_for("t", TaskRunning);
    let state = get(address, "/state").json();
    let executor = &state["frameworks"][0]["executors"][0];
    let sandbox = executor["directory"].as_str().unwrap();
    let parent = executor["container"].as_str().unwrap();
    let mut called = BTreeSet::new();
    for (kind, name) in [(JSON, "calls-json"), (PROTOBUF, "calls-protobuf")] {
        for case in of_agent(name, sandbox, parent) {
            expect::<agent::Call, agent::Response>(address, kind, &case);
            called.insert(case.0);
        }
        sessions(address, kind, parent);
        called.insert("LAUNCH_NESTED_CONTAINER_SESSION");
        let unknown = json!({"type": "UNKNOWN"});
        assert_eq!(
            ask::<agent::Call, agent::Response>(address, kind, &unknown).0,
            501
        );
    }
    let name = |number| {
        let kind = agent::call::Type::try_from(number).ok()?;
        Some(kind.as_str_name())
    };
    assert_eq!(unnamed(name, &[&called]), [""; 0], "calls without a case");
    scheduler.teardown();
    cluster.stop();
}

/// The streams of attached containers, whose records are in this encoding.
fn sessions(address: SocketAddr, kind: &str, parent: &str) {
    let streams = format!("Accept: application/recordio\r\nMessage-Accept: {kind}\r\n");
    let call = |name: &str, part: Value| {
        let call = json!({"type": name, name.to_lowercase(): part});
        encoded::<agent::Call>(kind, &call)
    };
    let inside = json!({"value": format!("session-{}", kind.len()), "parent": {"value": parent}});
    let part = json!({"container_id": inside, "command": {"value": "echo out; exit 3"}});
    let body = call("LAUNCH_NESTED_CONTAINER_SESSION", part);
    let reply = send(address, kind, &streams, &body);
    assert_eq!(reply.code, 200, "{}", reply.text());
    let head = reply.head.to_lowercase();
    assert!(
        head.contains("content-type: application/recordio\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("message-content-type: {kind}\r\n")),
        "{head}"
    );
    let first = record(&reply.body).unwrap();
    let first: agent::ProcessIo = match kind {
        JSON => from_json(&first).unwrap(),
        _ => decode(&first).unwrap(),
    };
    assert_eq!(first.data.unwrap().data.unwrap(), b"out\n", "{kind}");

    let plain = format!("Accept: {kind}\r\n");
    let attach = |id: Value| call("ATTACH_CONTAINER_OUTPUT", json!({"container_id": id}));
    let ours = json!({"value": parent});
    for (headers, id, code) in [
        (&plain, ours.clone(), 406),
        (&streams, json!({"value": "nobody"}), 404),
        // It writes to its sandbox and has nobody to talk to.
        (&streams, ours, 400),
    ] {
        let reply = send(address, kind, headers, &attach(id));
        assert_eq!(reply.code, code, "{kind} {headers}: {}", reply.text());
        assert!(!reply.body.is_empty(), "{kind} {headers}");
    }
}

/// What drains is said by master and agent, in each of their replies.
#[test]
fn draining_is_shown_everywhere() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    let (master, agent) = (cluster.master.address, cluster.agents[0].address);
    let mut scheduler = Scheduler::start(&cluster, "drained");
    scheduler.submit(task("t", "trap '' TERM; while :; do sleep 0.1; done"));
    scheduler.wait_for("t", TaskRunning);
    let id = scheduler.agent("t");
    let to_master = |call: &Value| ask::<master::Call, master::Response>(master, JSON, call);
    let read = |kind: &str| to_master(&json!({"type": kind})).1;
    let fresh = read("GET_AGENTS")["get_agents"]["agents"][0].clone();
    assert_eq!(
        (&fresh["active"], &fresh["deactivated"]),
        (&json!(true), &json!(false))
    );
    assert!(fresh.get("drain_info").is_none(), "{fresh}");
    assert!(fresh.get("estimated_drain_start_time").is_none(), "{fresh}");

    let drain = json!({"type": "DRAIN_AGENT", "drain_agent":
        {"agent_id": {"value": id}, "max_grace_period": {"seconds": 3}}});
    assert_eq!(to_master(&drain).0, 200);
    let grace = json!({"nanoseconds": 3_000_000_000_u64});
    let config = json!({"max_grace_period": grace, "mark_gone": false});
    let shown = read("GET_AGENTS")["get_agents"]["agents"][0].clone();
    assert_eq!(
        (&shown["active"], &shown["deactivated"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        shown["drain_info"],
        json!({"state": "DRAINING", "config": config})
    );
    assert!(
        shown["estimated_drain_start_time"]["nanoseconds"].is_u64(),
        "{shown}"
    );
    for path in ["/slaves", "/state", "/state-summary"] {
        let shown = get(master, path).json()["slaves"][0].clone();
        assert_eq!(
            (&shown["active"], &shown["deactivated"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(
            shown["drain_info"],
            json!({"state": "DRAINING", "config": config}),
            "{path}"
        );
        assert!(
            shown["estimated_drain_start_time_seconds"].is_f64(),
            "{path}: {shown}"
        );
    }
    // The agent has its orders in a moment.
    cluster.wait_until("the agent knows", LIMIT, || {
        get(agent, "/state").json().get("drain_config").is_some()
    });
    let state = get(agent, "/state").json();
    assert_eq!(state["drain_config"], config);
    assert!(
        state["estimated_drain_start_time_seconds"].is_f64(),
        "{state}"
    );
    let (_, own) = ask::<agent::Call, agent::Response>(agent, JSON, &json!({"type": "GET_AGENT"}));
    assert_eq!(own["get_agent"]["drain_config"], config);
    assert!(
        own["get_agent"]["estimated_drain_start_time"]["nanoseconds"].is_u64(),
        "{own}"
    );

    assert!(scheduler.end_of("t").state().is_terminal());
    scheduler.settle(Duration::from_millis(500));
    cluster.wait_until("it is drained", LIMIT, || {
        read("GET_AGENTS")["get_agents"]["agents"][0]["drain_info"]["state"] == "DRAINED"
    });
    let reactivate =
        json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": {"value": id}}});
    assert_eq!(to_master(&reactivate).0, 200);
    let shown = read("GET_AGENTS")["get_agents"]["agents"][0].clone();
    assert_eq!(
        (&shown["active"], &shown["deactivated"]),
        (&json!(true), &json!(false))
    );
    assert!(shown.get("drain_info").is_none(), "{shown}");
    scheduler.teardown();
    cluster.stop();
}

/// A level that is set is in force, is said by every way, and ends by itself.
#[test]
fn the_log_says_more_for_a_while() {
    let cluster = Cluster::with_flags(1, AGENT, &[], &["--launcher=posix"]);
    for daemon in [&cluster.master, &cluster.agents[0]] {
        let address = daemon.address;
        let toggle = |query: &str| get(address, &format!("/logging/toggle{query}"));
        let level = || {
            let call = json!({"type": "GET_LOGGING_LEVEL"});
            let (_, said) = ask::<agent::Call, agent::Response>(address, JSON, &call);
            said["get_logging_level"]["level"].as_u64().unwrap()
        };
        assert_eq!(level(), 0);
        let set = json!({"type": "SET_LOGGING_LEVEL", "set_logging_level":
            {"level": 1, "duration": {"nanoseconds": 1_500_000_000_u64}}});
        let (code, said) = ask::<agent::Call, agent::Response>(address, JSON, &set);
        assert_eq!((code, said), (200, json!("")));
        assert_eq!((level(), toggle("").text().trim()), (1, "1"));
        cluster.wait_until("it ends by itself", LIMIT, || level() == 0);

        let reply = toggle("?level=2&duration=1500ms");
        assert_eq!(reply.code, 200, "{}", reply.text());
        assert_eq!((level(), toggle("").text().trim()), (2, "2"));
        // Something that is told of at this level only.
        let stranger = "POST /master/mesos.internal.Nothing\nLibprocess-From: x(1)@127.0.0.1:1";
        request(address, stranger, "");
        cluster.wait_until("it ends by itself", LIMIT, || level() == 0);
    }
    let log = cluster.master.log();
    let detailed = log.contains("DEBUG") && log.contains("not a message for a master");
    assert!(detailed, "nothing more was said:\n{log}");
    cluster.stop();
}
