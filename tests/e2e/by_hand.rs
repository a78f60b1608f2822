//! A framework that speaks the scheduler API word by word, as no driver would.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::agent_api::{call, request};

const LIMIT: Duration = Duration::from_secs(20);

/// A framework by hand.
pub(crate) struct ByHand {
    master: SocketAddr,
    stream: BufReader<TcpStream>,
    stream_id: String,
    id: String,
}

impl ByHand {
    pub(crate) fn subscribe(master: SocketAddr, name: &str) -> Self {
        let body = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info":
            {"user": "root", "name": name, "principal": "p", "failover_timeout": 60}}});
        Self::open(master, &body)
    }

    fn open(master: SocketAddr, body: &Value) -> Self {
        let body = body.to_string();
        let mut socket = TcpStream::connect(master).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        let mut this = Self {
            master,
            stream: BufReader::new(socket),
            stream_id: String::new(),
            id: String::new(),
        };
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(this.stream.read_line(&mut line).unwrap(), 0);
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("mesos-stream-id")
            {
                value.trim().clone_into(&mut this.stream_id);
            }
        }
        let subscribed = this.event("SUBSCRIBED");
        let id = &subscribed["subscribed"]["framework_id"]["value"];
        id.as_str().unwrap().clone_into(&mut this.id);
        this
    }

    /// The next event of this type.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next();
            if event["type"] == kind {
                return event;
            }
        }
    }

    pub(crate) fn call(&self, kind: &str, part: Value) {
        let mut call = json!({"type": kind, "framework_id": {"value": self.id}});
        if !part.is_null() {
            call[kind.to_lowercase()] = part;
        }
        let head = format!(
            "POST /api/v1/scheduler\nContent-Type: application/json\nMesos-Stream-Id: {}",
            self.stream_id
        );
        let reply = request(self.master, &head, &call.to_string());
        assert!(reply.code < 300, "{call}: {}", reply.text());
    }
}

/// Every call of a scheduler, most of them about what is not there.
pub(crate) fn calls_by_hand(master: SocketAddr) {
    let mut own = ByHand::subscribe(master, "by hand");
    let offers = own.event("OFFERS");
    let offer = offers["offers"]["offers"][0].clone();
    own.call(
        "DECLINE",
        json!({"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0.1}}),
    );
    let agent = &offer["agent_id"];
    let nothing = json!({"value": "nothing"});
    let uuid = "MDEyMzQ1Njc4OWFiY2RlZg==";
    own.call("REVIVE", Value::Null);
    own.call("SUPPRESS", Value::Null);
    own.call("REVIVE", Value::Null);
    own.call("REQUEST", json!({"requests": []}));
    own.call("KILL", json!({"task_id": nothing}));
    own.call(
        "ACKNOWLEDGE",
        json!({"agent_id": agent, "task_id": nothing, "uuid": uuid}),
    );
    own.call("RECONCILE", json!({"tasks": []}));
    own.call("RECONCILE_OPERATIONS", json!({"operations": []}));
    own.call(
        "ACKNOWLEDGE_OPERATION_STATUS",
        json!({"agent_id": agent, "uuid": uuid, "operation_id": nothing}),
    );
    own.call(
        "MESSAGE",
        json!({"agent_id": agent, "executor_id": nothing, "data": ""}),
    );
    own.call(
        "MESSAGE",
        json!({"agent_id": nothing, "executor_id": nothing, "data": ""}),
    );
    own.call(
        "ACCEPT",
        json!({"offer_ids": [offer["id"]], "operations": [{"type": "LAUNCH", "launch":
        {"task_infos": [{"name": "late", "task_id": {"value": "late"}, "agent_id": agent,
                         "command": {"value": "true"}}]}}]}),
    );
    // Gone and back under the same id.
    let again = json!({"type": "SUBSCRIBE", "framework_id": {"value": own.id}, "subscribe": {"framework_info":
        {"user": "root", "name": "by hand", "principal": "p", "failover_timeout": 60, "id": {"value": own.id}}}});
    let own = ByHand::open(master, &again);
    own.call("TEARDOWN", Value::Null);
}

impl ByHand {
    /// A framework of role `ops` with a task, which lives as long as its agent, and a reservation.
    pub(crate) fn with_task(master: SocketAddr) -> Self {
        let body = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root",
            "name": "holds", "principal": "p", "failover_timeout": 60, "roles": ["ops"],
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}]}}});
        let mut own = Self::open(master, &body);
        let offers = own.event("OFFERS");
        let offer = &offers["offers"]["offers"][0];
        let agent = &offer["agent_id"];
        let amount = |name: &str, value: f64| {
            json!({"name": name, "type": "SCALAR", "scalar": {"value": value},
                "allocation_info": {"role": "ops"}})
        };
        let mut reserved = amount("disk", 16.0);
        reserved["reservations"] = json!([{"type": "DYNAMIC", "role": "ops", "principal": "p"}]);
        let task = json!({"name": "held", "task_id": {"value": "held"}, "agent_id": agent,
            "resources": [amount("cpus", 0.5), amount("mem", 32.0)],
            "command": {"value": "exec sleep 1025"}});
        let operations = json!([
            {"type": "RESERVE", "id": {"value": "op"}, "reserve": {"resources": [reserved]}},
            {"type": "LAUNCH", "launch": {"task_infos": [task]}}]);
        own.call(
            "ACCEPT",
            json!({"offer_ids": [offer["id"]], "operations": operations,
                "filters": {"refuse_seconds": 3600}}),
        );
        let mut waited = vec!["UPDATE_OPERATION_STATUS", "TASK_STARTING", "TASK_RUNNING"];
        while !waited.is_empty() {
            let event = own.next();
            let status = match event["type"].as_str() {
                Some("UPDATE") => &event["update"]["status"],
                Some("UPDATE_OPERATION_STATUS") => {
                    let status = &event["update_operation_status"]["status"];
                    own.call(
                        "ACKNOWLEDGE_OPERATION_STATUS",
                        json!({"agent_id": agent, "operation_id": {"value": "op"},
                            "uuid": status["uuid"]["value"]}),
                    );
                    waited.retain(|one| *one != "UPDATE_OPERATION_STATUS");
                    continue;
                }
                _ => continue,
            };
            own.call(
                "ACKNOWLEDGE",
                json!({"agent_id": agent, "task_id": status["task_id"], "uuid": status["uuid"]}),
            );
            waited.retain(|one| status["state"] != *one);
        }
        own
    }

    /// Is asked to leave an agent, agrees, refuses, and then need not.
    pub(crate) fn is_asked_to_leave(&mut self, machine: &Value) {
        let far = json!({"nanoseconds": 4_000_000_000_000_000_000_u64});
        let windows = json!([{"machine_ids": [machine], "unavailability": {"start": far}}]);
        for kind in ["ACCEPT_INVERSE_OFFERS", "DECLINE_INVERSE_OFFERS"] {
            schedule(self.master, &windows);
            let event = self.event("INVERSE_OFFERS");
            let asked = event["inverse_offers"]["inverse_offers"]
                .as_array()
                .unwrap();
            let ids: Vec<&Value> = asked.iter().map(|one| &one["id"]).collect();
            self.call(
                kind,
                json!({"inverse_offer_ids": ids, "filters": {"refuse_seconds": 0.1}}),
            );
        }
        self.event("INVERSE_OFFERS");
        schedule(self.master, &json!([]));
        self.event("RESCIND_INVERSE_OFFER");
    }

    /// Gets an offer and says nothing to it.
    pub(crate) fn hold_an_offer(&mut self) {
        self.call("REVIVE", Value::Null);
        self.event("OFFERS");
    }

    fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.stream.read_line(&mut line).unwrap(),
                0,
                "the stream ends"
            );
            // Lengths of chunks and records; an event is the rest of its line.
            if let Some(at) = line.find('{') {
                return serde_json::from_str(line[at..].trim_end()).unwrap();
            }
        }
    }
}

fn schedule(master: SocketAddr, windows: &Value) {
    let order = json!({"type": "UPDATE_MAINTENANCE_SCHEDULE",
        "update_maintenance_schedule": {"schedule": {"windows": windows}}});
    let reply = call(master, &order);
    assert_eq!(reply.code, 200, "{}", reply.text());
}
