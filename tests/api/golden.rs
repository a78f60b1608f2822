//! Recordings of a real Mesos 1.12: what it has sent is read and written again without a loss, JSON
//! and protobuf alike. `tests/golden/` holds them.

use std::fs;
use std::path::PathBuf;

use mesosd::proto::json::{Json, from_json, to_json};
use mesosd::proto::v1::{agent, executor, master, scheduler};
use prost::{Message, Name};
use serde_json::Value;

/// Files below `tests/golden/` whose names begin and end so.
fn recordings(folder: &str, begin: &str, end: &str) -> Vec<(String, Vec<u8>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(begin) && name.ends_with(end) {
            found.push((name, fs::read(path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "no recording {folder}/{begin}*{end}");
    found
}

/// Read and written again, a text of Mesos says the same.
fn same_json<M: Json + Name>(name: &str, text: &[u8]) -> M {
    let message: M = from_json(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut ours: Value = serde_json::from_slice(&to_json(&message)).unwrap();
    let mut theirs: Value = serde_json::from_slice(text).unwrap();
    comparable(&mut ours);
    comparable(&mut theirs);
    assert_eq!(ours, theirs, "{name}");
    message
}

/// Takes out the last digit of fractions, which `serde_json` does not read exactly. The rest must be the
/// same.
fn comparable(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(comparable);
        }
        Value::Array(entries) => entries.iter_mut().for_each(comparable),
        Value::Number(number) if number.is_f64() => {
            *value = Value::from(format!("{:.5}", number.as_f64().unwrap()));
        }
        _ => {}
    }
}

fn same_responses<M: Json + Name + Message + Default + PartialEq>(who: &str) {
    for (name, text) in recordings("v1", who, ".json") {
        same_json::<M>(&name, &text);
    }
    for (name, bytes) in recordings("v1", who, ".pb") {
        let message: M = mesosd::proto::decode(&bytes).unwrap();
        let back: M = from_json(&to_json(&message)).unwrap();
        // Defaults that were not there are written out as values.
        assert_eq!(to_json(&back), to_json(&message), "{name}");
        assert_eq!(
            message.encoded_len(),
            bytes.len(),
            "{name}: a field was lost"
        );
    }
}

#[test]
fn operator_replies_keep_every_field() {
    same_responses::<master::Response>("master_");
    same_responses::<agent::Response>("agent_");
}

/// The bodies of chunked or plain messages, one after the other, in one direction of a connection.
fn bodies(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        bytes = &bytes[end + 4..];
        if head.contains("transfer-encoding: chunked") {
            while let Some(line) = bytes.windows(2).position(|two| two == b"\r\n") {
                let length = std::str::from_utf8(&bytes[..line]).unwrap();
                let length = usize::from_str_radix(length, 16).unwrap();
                let Some(chunk) = bytes.get(line + 2..line + 2 + length) else {
                    return all; // The recording ends in the middle of a chunk.
                };
                bytes = bytes.get(line + 4 + length..).unwrap_or_default();
                if length == 0 {
                    break;
                }
                all.push(chunk.to_vec());
            }
        } else {
            let length = head
                .split_once("content-length: ")
                .map_or("0", |(_, rest)| rest);
            let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
            let length = length.min(bytes.len());
            if length > 0 {
                all.push(bytes[..length].to_vec());
            }
            bytes = &bytes[length..];
        }
    }
    all
}

/// Every chunk is one record; its text is read and written again without a loss.
fn same_events<M: Json + Name>(begin: &str) {
    let mut events = 0;
    for (name, bytes) in recordings("wire", begin, ".s2c") {
        for chunk in bodies(&bytes) {
            let line = chunk.iter().position(|&byte| byte == b'\n').unwrap();
            let length: usize = std::str::from_utf8(&chunk[..line])
                .unwrap()
                .parse()
                .unwrap();
            let text = &chunk[line + 1..];
            assert_eq!(text.len(), length, "{name}: one record per chunk");
            same_json::<M>(&name, text);
            events += 1;
        }
    }
    assert!(events > 3, "{begin}: {events} events");
}

#[test]
fn events_keep_every_field() {
    same_events::<scheduler::Event>("scheduler_json");
    same_events::<executor::Event>("executor_json");
    same_events::<master::Event>("operator_subscribe_json");
}

#[test]
fn calls_of_real_clients_are_read() {
    let mut calls = 0;
    for (name, bytes) in recordings("wire", "scheduler_json", ".c2s") {
        for body in bodies(&bytes) {
            let call: scheduler::Call =
                from_json(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(call.r#type.is_some(), "{name}");
            calls += 1;
        }
    }
    for (name, bytes) in recordings("wire", "executor_json", ".c2s") {
        for body in bodies(&bytes) {
            let call: executor::Call =
                from_json(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(call.r#type.is_some(), "{name}");
            calls += 1;
        }
    }
    assert!(calls > 20, "{calls}");
}
