//! Recorded connections of a real Mesos with two kinds of drivers, and damage done to them.

use axum::body::Body;
use axum::extract::Request;
use prost::{Message, Name};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::incoming::{self, Incoming};
use super::link::Outgoing;
use super::pid::Pid;
use super::scheduler_events::Translator;
use super::{executor_messages, scheduler_calls, scheduler_events};
use crate::proto::mesos::internal as wire;
use crate::proto::v1;
use crate::proto::v1::scheduler::{Event, event};
use crate::proto::{decode, v1::executor};

/// One recorded request: its head, its content, and all its bytes.
struct Recorded {
    head: String,
    body: Vec<u8>,
    bytes: Vec<u8>,
}

impl Recorded {
    /// The name of its message.
    fn name(&self) -> &str {
        let path = self.head.split(' ').nth(1).unwrap();
        path.rsplit('/').next().unwrap()
    }

    fn is<M: Message + Name>(&self) -> bool {
        self.name() == M::full_name()
    }

    fn request(&self) -> Request {
        let mut lines = self.head.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let mut builder = http::Request::post(path);
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            builder = builder.header(name, value);
        }
        builder.body(Body::from(self.body.clone())).unwrap()
    }
}

/// The requests of one direction of a recorded connection.
fn recorded(file: &str) -> Vec<Recorded> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/libprocess");
    let bytes = std::fs::read(format!("{folder}/{file}.c2s")).unwrap();
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (head, after) = split(rest, b"\r\n\r\n");
        let head = String::from_utf8(head.to_vec()).unwrap();
        let (body, after) = if head.contains("Transfer-Encoding: chunked") {
            chunks(after)
        } else {
            let length = head
                .split_once("Content-Length: ")
                .map_or(0, |(_, text)| text.lines().next().unwrap().parse().unwrap());
            (after[..length].to_vec(), &after[length..])
        };
        let bytes = rest[..rest.len() - after.len()].to_vec();
        all.push(Recorded { head, body, bytes });
        rest = after;
    }
    all
}

fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = bytes.windows(mark.len()).position(|part| part == mark);
    let at = at.unwrap();
    (&bytes[..at], &bytes[at + mark.len()..])
}

fn chunks(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let (length, after) = split(rest, b"\r\n");
        let length = usize::from_str_radix(std::str::from_utf8(length).unwrap(), 16).unwrap();
        body.extend_from_slice(&after[..length]);
        rest = &after[length + 2..];
        if length == 0 {
            return (body, rest);
        }
    }
}

/// Recordings of what drivers send to a master.
const TO_MASTER: [&str; 2] = ["018_56352-25050", "033_56396-25050"];
/// Of what drivers of executors send to an agent.
const TO_AGENT: [&str; 6] = [
    "020_40604-25051",
    "022_40618-25051",
    "023_40630-25051",
    "024_40644-25051",
    "028_40654-25051",
    "037_40668-25051",
];
/// Of what a master sends to drivers.
const FROM_MASTER: [&str; 2] = ["019_53304-41295", "034_38284-46277"];
/// Of what an agent sends to drivers of executors.
const FROM_AGENT: [&str; 6] = [
    "021_44818-35435",
    "025_48056-40563",
    "026_57756-34787",
    "027_58450-36817",
    "029_36560-42049",
    "038_32850-32775",
];

async fn incoming(request: &Recorded) -> Incoming {
    incoming::read(request.request()).await.unwrap()
}

#[tokio::test]
async fn what_drivers_send_is_understood() {
    let mut calls = 0;
    for request in TO_MASTER.iter().flat_map(|file| recorded(file)) {
        let message = incoming(&request).await;
        assert_eq!(message.to, "master");
        assert!(
            message
                .from
                .to_string()
                .starts_with("scheduler(1)@127.0.0.1:")
        );
        let asked = scheduler_calls::read(&message.name, &message.body).unwrap();
        assert!(asked.is_some(), "{}", message.name);
        calls += 1;
    }
    assert_eq!(calls, 33);
    let mut updates = 0;
    for request in TO_AGENT.iter().flat_map(|file| recorded(file)) {
        let message = incoming(&request).await;
        assert_eq!(message.to, "slave(1)");
        match executor_messages::read(&message.name, &message.body) {
            Ok(Some(executor_messages::Asked::Call(call))) => {
                let parsed = crate::agent::ParsedCall::from_wire(*call);
                assert!(parsed.is_ok(), "{parsed:?}");
                updates += 1;
            }
            other => assert!(matches!(other, Ok(Some(_))), "{}: {other:?}", message.name),
        }
    }
    assert_eq!(updates, 21);
}

/// Between real masters and agents: read as requests, but nothing that is served.
#[tokio::test]
async fn what_agents_send_is_not_for_this_master() {
    for request in recorded("016_56350-25050") {
        let message = incoming(&request).await;
        let asked = scheduler_calls::read(&message.name, &message.body);
        assert_eq!(asked, Ok(None), "{}", message.name);
    }
}

/// The bytes that a message of this type, decoded and sent on, has on the wire.
fn resent<M: Message + Name + Default>(request: &Recorded) -> Vec<u8> {
    let message: M = decode(&request.body).unwrap();
    on_wire(request, &Outgoing::new(&message))
}

fn on_wire(request: &Recorded, message: &Outgoing) -> Vec<u8> {
    let header = |name: &str| {
        let (_, value) = request.head.split_once(name).unwrap();
        value.lines().next().unwrap().to_owned()
    };
    let to = request.head.split('/').nth(1).unwrap();
    let to: Pid = format!("{to}@{}", header("Host: ")).parse().unwrap();
    message.frame(&header("Libprocess-From: "), &to)
}

fn same(ours: &[u8], theirs: &[u8]) {
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    assert_eq!(shown(ours), shown(theirs));
}

/// Everything that Mesos says in these messages is known here, and written as Mesos writes it.
#[test]
fn messages_to_drivers_are_written_as_mesos_does() {
    let mut count = 0;
    let files = FROM_MASTER.iter().chain(&FROM_AGENT);
    for request in files.flat_map(|file| recorded(file)) {
        let bytes = match request.name().strip_prefix("mesos.internal.").unwrap() {
            "FrameworkRegisteredMessage" => resent::<wire::FrameworkRegisteredMessage>(&request),
            "ResourceOffersMessage" => resent::<wire::ResourceOffersMessage>(&request),
            "StatusUpdateMessage" => resent::<wire::StatusUpdateMessage>(&request),
            "ExecutorRegisteredMessage" => resent::<wire::ExecutorRegisteredMessage>(&request),
            "RunTaskMessage" => resent::<wire::RunTaskMessage>(&request),
            "StatusUpdateAcknowledgementMessage" => {
                resent::<wire::StatusUpdateAcknowledgementMessage>(&request)
            }
            "KillTaskMessage" => resent::<wire::KillTaskMessage>(&request),
            "ShutdownExecutorMessage" => resent::<wire::ShutdownExecutorMessage>(&request),
            other => panic!("{other}"),
        };
        same(&bytes, &request.bytes);
        count += 1;
    }
    assert!(count > 30, "{count}");
}

fn event(kind: event::Type) -> Event {
    Event {
        r#type: Some(kind.into()),
        ..Event::default()
    }
}

/// The events of the v1 API that say the same become the recorded bytes.
#[test]
fn events_of_a_master_become_what_mesos_sends() {
    for file in FROM_MASTER {
        let mut translator: Option<Translator> = None;
        for request in recorded(file) {
            let mut wanted = request.bytes.clone();
            let message = if request.is::<wire::FrameworkRegisteredMessage>() {
                let message: wire::FrameworkRegisteredMessage = decode(&request.body).unwrap();
                translator = Some(Translator::new(message.framework_id.clone()));
                let subscribed = event::Subscribed {
                    framework_id: message.framework_id,
                    master_info: Some(message.master_info),
                    ..event::Subscribed::default()
                };
                scheduler_events::welcome(subscribed, true).unwrap()
            } else if request.is::<wire::ResourceOffersMessage>() {
                let message: wire::ResourceOffersMessage = decode(&request.body).unwrap();
                let offers = message.offers;
                translator
                    .as_mut()
                    .unwrap()
                    .message(Event {
                        offers: Some(event::Offers { offers }),
                        ..event(event::Type::Offers)
                    })
                    .unwrap()
            } else {
                let mut message: wire::StatusUpdateMessage = decode(&request.body).unwrap();
                // The newest state that the agent knows, which an event does not tell; drivers skip it.
                message.update.latest_state = Some(message.update.status.state);
                wanted = on_wire(&request, &Outgoing::new(&message));
                let status = message.update.status;
                let update = Event {
                    update: Some(event::Update { status }),
                    ..event(event::Type::Update)
                };
                // The offers have named the agent.
                assert_eq!(translator.as_ref().unwrap().unknown_agent(&update), None);
                translator.as_mut().unwrap().message(update).unwrap()
            };
            same(&on_wire(&request, &message), &wanted);
        }
    }
}

/// The same for an agent, but for the scheduler's process, which only a master knows, and the framework's id
/// beside its description.
#[test]
fn events_of_an_agent_become_what_mesos_sends() {
    for file in FROM_AGENT {
        let mut translator = None;
        for request in recorded(file) {
            let mut wanted = request.bytes.clone();
            let message = match request.name().strip_prefix("mesos.internal.").unwrap() {
                "ExecutorRegisteredMessage" => {
                    let (new, message) = registered(decode(&request.body).unwrap());
                    translator = Some(new);
                    message
                }
                "RunTaskMessage" => {
                    let mut message: wire::RunTaskMessage = decode(&request.body).unwrap();
                    message.pid = Some(String::new());
                    // Older drivers insist on it.
                    message.framework_id.clone_from(&message.framework.id);
                    wanted = on_wire(&request, &Outgoing::new(&message));
                    let launch = executor::event::Launch { task: message.task };
                    let event = executor::Event {
                        r#type: Some(executor::event::Type::Launch.into()),
                        launch: Some(launch),
                        ..executor::Event::default()
                    };
                    translator.as_ref().unwrap().message(event).unwrap()
                }
                "StatusUpdateAcknowledgementMessage" => {
                    let message: wire::StatusUpdateAcknowledgementMessage =
                        decode(&request.body).unwrap();
                    let event = executor::Event {
                        r#type: Some(executor::event::Type::Acknowledged.into()),
                        acknowledged: Some(executor::event::Acknowledged {
                            task_id: message.task_id,
                            uuid: message.uuid,
                        }),
                        ..executor::Event::default()
                    };
                    translator.as_ref().unwrap().message(event).unwrap()
                }
                "KillTaskMessage" => {
                    let message: wire::KillTaskMessage = decode(&request.body).unwrap();
                    let event = executor::Event {
                        r#type: Some(executor::event::Type::Kill.into()),
                        kill: Some(executor::event::Kill {
                            task_id: message.task_id,
                            kill_policy: message.kill_policy,
                        }),
                        ..executor::Event::default()
                    };
                    translator.as_ref().unwrap().message(event).unwrap()
                }
                _ => executor_messages::shutdown(),
            };
            same(&on_wire(&request, &message), &wanted);
        }
    }
}

fn registered(
    message: wire::ExecutorRegisteredMessage,
) -> (executor_messages::Translator, Outgoing) {
    let slave = message.slave_info;
    let subscribed = executor::event::Subscribed {
        executor_info: message.executor_info.clone(),
        framework_info: message.framework_info,
        agent_info: v1::AgentInfo {
            hostname: slave.hostname,
            resources: slave.resources,
            attributes: slave.attributes,
            id: slave.id,
            port: slave.port,
            domain: slave.domain,
            ..v1::AgentInfo::default()
        },
        container_id: None,
    };
    let call = executor::Call {
        framework_id: message.framework_id,
        executor_id: message.executor_info.executor_id,
        ..executor::Call::default()
    };
    executor_messages::Translator::welcome(subscribed, &call, false)
}

/// Whatever is done to the content of a message, reading it returns; nothing is ever half read.
#[test]
fn damaged_messages_are_survived() {
    let mut rng = Pcg64Mcg::seed_from_u64(20_261_121);
    let files = TO_MASTER.iter().chain(&TO_AGENT);
    let all: Vec<_> = files.flat_map(|file| recorded(file)).collect();
    let names: Vec<_> = all
        .iter()
        .map(|request| request.name().to_owned())
        .collect();
    let below = |rng: &mut Pcg64Mcg, bound: usize| rng.next_u32() as usize % bound.max(1);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut body = all[below(&mut rng, all.len())].body.clone();
        for _ in 0..=below(&mut rng, 4) {
            let at = below(&mut rng, body.len());
            match below(&mut rng, 4) {
                0 => body.truncate(at),
                1 => body.insert(at, rng.next_u32().to_le_bytes()[0]),
                2 if at < body.len() => body[at] ^= 1 << below(&mut rng, 8),
                _ => body.extend_from_within(at.min(body.len())..),
            }
        }
        // Often under a name that is not its own.
        let name = &names[below(&mut rng, names.len())];
        let to_master = scheduler_calls::read(name, &body);
        let any_call = scheduler_calls::read("mesos.scheduler.Call", &body);
        let to_agent = executor_messages::read(name, &body);
        refused += usize::from(to_master.is_err() || any_call.is_err() || to_agent.is_err());
    }
    assert!(refused > 1_000, "{refused}");
}
