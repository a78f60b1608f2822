//! Decoders that a stranger can reach, fed with damaged recordings: nothing panics, nothing takes long,
//! and what is read is written and read again as the same.
//!
//! One run is a fixed number of inputs per decoder from one seed, so that it is the same everywhere.
//! `MESOSD_FUZZ_SEED` and `MESOSD_FUZZ_COUNT` choose others; a failure names both and the input's number.
#![expect(clippy::unwrap_used, reason = "tests")]

mod executors;
mod requests;
mod sdk;
mod stored;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mesosd::base::{Rng, parse_duration};
use mesosd::proto::json::{Json, from_json, to_json};
use mesosd::proto::{decode, link, v1};
use mesosd::resources::Resources;
use mesosd::roles::Role;
use mesosd::{attributes, resources};
use prost::{Message, Name};

/// Longest input, in bytes.
const LENGTH_MAX: usize = 4_096;

/// Longest time that one input may take; generous, as tests run beside each other.
const TIME_MAX: Duration = Duration::from_secs(2);

fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Feeds `target` with inputs made of `samples`.
fn fuzz(name: &str, samples: &[Vec<u8>], target: impl Fn(&[u8])) {
    fuzz_some(name, 2_000, samples, target);
}

/// As [`fuzz`], with as many inputs as a slower target can take.
fn fuzz_some(name: &str, count: u64, samples: &[Vec<u8>], target: impl Fn(&[u8])) {
    assert!(!samples.is_empty(), "{name} has no samples");
    let seed = from_env("MESOSD_FUZZ_SEED", 1);
    let mut rng = Rng::seeded(seed, name);
    for number in 0..from_env("MESOSD_FUZZ_COUNT", count) {
        let input = damaged(samples, &mut rng);
        let begin = Instant::now();
        let survived = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let took = begin.elapsed();
        assert!(
            survived.is_ok() && took < TIME_MAX,
            "{name}: input {number} of seed {seed} ({took:?}): {:?}",
            String::from_utf8_lossy(&input)
        );
    }
}

/// Texts that decoders treat in a special way.
const WORDS: &[&[u8]] = &[
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"-0",
    b"1e999",
    b"-1",
    b"18446744073709551616",
    b"Infinity",
    b"\\ud800",
    b"\\u0000",
    b"\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x0a\x00",
    b"[1-0]",
    b"(*)",
    b"..",
    b"/",
    b";",
    b":",
    b"%",
    b"NaN",
    b"[[[[[[[[[[",
    b"{\"a\":{\"a\":",
];

fn damaged(samples: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let pick = |rng: &mut Rng, length: usize| rng.below(length as u64 + 1) as usize;
    let mut input = samples[rng.below(samples.len() as u64) as usize].clone();
    for _ in 0..=rng.below(4) {
        let at = pick(rng, input.len());
        match rng.below(7) {
            0 if !input.is_empty() => {
                let at = at.min(input.len() - 1);
                input[at] ^= 1 << rng.below(8);
            }
            1 => input.truncate(at),
            2 => {
                let word = WORDS[rng.below(WORDS.len() as u64) as usize];
                input.splice(at..at, word.iter().copied());
            }
            3 => {
                let end = at + pick(rng, (input.len() - at).min(16));
                input.drain(at..end);
            }
            4 => {
                let end = at + pick(rng, (input.len() - at).min(200));
                let piece = input[at..end].to_vec();
                for _ in 0..=rng.below(3) {
                    input.splice(at..at, piece.iter().copied());
                }
            }
            5 => {
                let other = &samples[rng.below(samples.len() as u64) as usize];
                let begin = pick(rng, other.len());
                input.truncate(at);
                input.extend_from_slice(&other[begin..]);
            }
            _ => {
                let word = rng.next_u64().to_le_bytes();
                input.splice(at..at, word);
            }
        }
        input.truncate(LENGTH_MAX);
    }
    input
}

/// Recordings of a real Mesos below `tests/golden/`, cut to size.
fn recordings(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found: Vec<PathBuf> = fs::read_dir(root.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    found.sort();
    let read = |path: &PathBuf| {
        let mut bytes = fs::read(path).unwrap();
        bytes.truncate(LENGTH_MAX);
        bytes
    };
    found.iter().map(read).collect()
}

/// Bodies of the recorded calls: from each `{"` to the end of its line.
fn calls() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for recording in recordings("wire", ".c2s") {
        let text = String::from_utf8_lossy(&recording).into_owned();
        for (at, _) in text.match_indices("\r\n\r\n{\"") {
            let body = &text[at + 4..];
            let end = body
                .find("\r\nHost")
                .or(body.find("POST /"))
                .unwrap_or(body.len());
            all.push(body.as_bytes()[..end].to_vec());
        }
    }
    all.push(br#"{"type":"TEARDOWN","framework_id":{"value":"F"}}"#.to_vec());
    all
}

fn json<M: Json + Name + Message>(bytes: &[u8]) {
    let Ok(message) = from_json::<M>(bytes) else {
        return;
    };
    let text = to_json(&message);
    let again: M = from_json(&text).unwrap();
    assert_eq!(to_json(&again), text);
}

fn protobuf<M: Json + Name + Message + Default>(bytes: &[u8]) {
    let Ok(message) = decode::<M>(bytes) else {
        return;
    };
    let encoded = message.encode_to_vec();
    let again: M = decode(&encoded).unwrap();
    assert_eq!(again.encode_to_vec(), encoded);
    // Its JSON is a line of ASCII.
    assert!(
        to_json(&message)
            .iter()
            .all(|byte| (b' '..=b'~').contains(byte) || *byte == 0x7f)
    );
}

#[test]
fn json_of_calls() {
    let samples = calls();
    fuzz("json/scheduler", &samples, json::<v1::scheduler::Call>);
    fuzz("json/executor", &samples, json::<v1::executor::Call>);
    fuzz("json/master", &samples, json::<v1::master::Call>);
    fuzz("json/agent", &samples, json::<v1::agent::Call>);
}

#[test]
fn json_of_replies() {
    let samples = recordings("v1", ".json");
    fuzz(
        "json/master-response",
        &samples,
        json::<v1::master::Response>,
    );
    fuzz("json/agent-response", &samples, json::<v1::agent::Response>);
}

#[test]
fn protobuf_of_calls_and_replies() {
    let mut samples = recordings("v1", ".pb");
    for text in calls() {
        if let Ok(call) = from_json::<v1::scheduler::Call>(&text) {
            samples.push(call.encode_to_vec());
        }
        if let Ok(call) = from_json::<v1::executor::Call>(&text) {
            samples.push(call.encode_to_vec());
        }
    }
    fuzz(
        "protobuf/scheduler",
        &samples,
        protobuf::<v1::scheduler::Call>,
    );
    fuzz(
        "protobuf/executor",
        &samples,
        protobuf::<v1::executor::Call>,
    );
    fuzz("protobuf/master", &samples, protobuf::<v1::master::Call>);
    fuzz("protobuf/agent", &samples, protobuf::<v1::agent::Call>);
    fuzz(
        "protobuf/master-response",
        &samples,
        protobuf::<v1::master::Response>,
    );
}

#[test]
fn messages_of_the_agent_link() {
    let mut samples = recordings("v1", ".pb");
    let pong = link::from_agent::Message::Pong(link::Pong { sequence: 7 });
    samples.push(
        link::FromAgent {
            message: Some(pong),
        }
        .encode_to_vec(),
    );
    fuzz("protobuf/from-agent", &samples, |bytes| {
        if let Ok(message) = decode::<link::FromAgent>(bytes) {
            let encoded = message.encode_to_vec();
            let again: link::FromAgent = decode(&encoded).unwrap();
            assert_eq!(again, message);
        }
    });
}

#[test]
fn texts_of_resources_attributes_roles_and_durations() {
    let samples: Vec<Vec<u8>> = [
        "cpus:4;mem:4096;disk:20480;ports:[33000-34000, 1-2]",
        "cpus(role/sub):0.125;names:{a,b}",
        r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":4},"role":"*"}]"#,
        "rack:r1;zone:[1-3];level:10",
        "a/b/c",
        "1.5hrs",
        "512MB",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    let text = |target: fn(&str)| {
        move |bytes: &[u8]| {
            if let Ok(text) = std::str::from_utf8(bytes) {
                target(text);
            }
        }
    };
    fuzz(
        "text/resources",
        &samples,
        text(|text| {
            if let Ok(resources) = resources::parse(text, &Role::default()) {
                let again = resources::parse(&resources.to_string(), &Role::default());
                assert_eq!(again.unwrap(), resources);
            }
        }),
    );
    fuzz(
        "text/resources-json",
        &samples,
        text(|text| {
            if let Ok(resources) = Resources::from_json(text) {
                assert_eq!(
                    Resources::from_json(&resources.to_json()).unwrap(),
                    resources
                );
            }
        }),
    );
    fuzz(
        "text/attributes",
        &samples,
        text(|text| drop(attributes::parse(text))),
    );
    fuzz(
        "text/role",
        &samples,
        text(|text| {
            if let Ok(role) = Role::parse(text) {
                assert_eq!(role.as_str(), text);
            }
        }),
    );
    fuzz(
        "text/duration",
        &samples,
        text(|text| drop(parse_duration(text))),
    );
}
