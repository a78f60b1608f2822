//! The operator's reads of the whole cluster, encoded entry by entry and by several threads, so that no
//! second copy of the cluster is made in between. What comes out is what the whole message would give.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::media::Media;
use super::tasks;
use crate::api::http::ahead;
use crate::api::http::parts::{Expected, Parts, Segments, by_threads};
use crate::master::Snapshot;
use crate::master::agent::{Agent, Executor};
use crate::master::framework::Framework;
use crate::master::task::Task;
use crate::proto::json::Json;
use crate::proto::v1::AgentInfo;
use crate::proto::v1::master::call::Type as Call;
use crate::proto::v1::master::response;
use crate::proto::v1::master::response::get_executors;

/// Entries of a list that one thread encodes at a time.
const BLOCK: usize = 512;

/// A read that is encoded entry by entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Large {
    State,
    Agents,
    Frameworks,
    Executors,
    Tasks,
}

impl Large {
    /// The read of this call.
    pub(super) fn of(call: Call) -> Option<Self> {
        match call {
            Call::GetState => Some(Self::State),
            Call::GetAgents => Some(Self::Agents),
            Call::GetFrameworks => Some(Self::Frameworks),
            Call::GetExecutors => Some(Self::Executors),
            Call::GetTasks => Some(Self::Tasks),
            _ => None,
        }
    }

    /// Key of the member, the field's number, the response's type.
    fn names(self) -> (&'static str, u32, response::Type) {
        match self {
            Self::State => ("\"get_state\":", 9, response::Type::GetState),
            Self::Agents => ("\"get_agents\":", 10, response::Type::GetAgents),
            Self::Frameworks => ("\"get_frameworks\":", 11, response::Type::GetFrameworks),
            Self::Executors => ("\"get_executors\":", 12, response::Type::GetExecutors),
            Self::Tasks => ("\"get_tasks\":", 13, response::Type::GetTasks),
        }
    }

    /// The whole reply.
    pub(super) fn encode(self, media: Media, snapshot: &Snapshot) -> Segments {
        let (key, number, kind) = self.names();
        let lists = Lists::of(snapshot);
        match media {
            Media::Json => {
                let mut parts = Parts::default();
                let w = parts.text();
                w.open();
                w.key("\"type\":");
                w.string(kind.as_str_name());
                w.key(key);
                lists.write(self, &mut parts, snapshot);
                parts.text().close();
                parts.finish()
            }
            Media::Protobuf => {
                let mut head = Vec::new();
                encode_key(1, WireType::Varint, &mut head);
                encode_varint(u64::from(kind as u32), &mut head);
                let mut whole = Segments::from(head);
                whole.append(nested(number, lists.encode(self, snapshot)));
                whole
            }
        }
    }
}

/// Everything that is listed, in order.
struct Lists<'a> {
    tasks: Vec<&'a Task>,
    unreachable: Vec<&'a Task>,
    completed: Vec<&'a Task>,
    executors: Vec<(&'a Agent, &'a Executor)>,
    frameworks: Vec<&'a Framework>,
    ended: Vec<&'a Framework>,
    agents: Vec<&'a Agent>,
    recovered: Vec<&'a AgentInfo>,
}

impl<'a> Lists<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let frameworks: Vec<&Framework> = snapshot.frameworks.values().map(Arc::as_ref).collect();
        let ended = snapshot.completed_frameworks.iter();
        let ended: Vec<&Framework> = ended.map(|(_, framework)| framework.as_ref()).collect();
        let agents: Vec<&Agent> = snapshot.agents.values().map(Arc::as_ref).collect();
        let mut lists = Self {
            tasks: Vec::new(),
            unreachable: Vec::new(),
            completed: Vec::new(),
            executors: Vec::new(),
            frameworks,
            ended,
            agents,
            recovered: snapshot
                .recovered_agents
                .values()
                .map(Arc::as_ref)
                .collect(),
        };
        for framework in lists.frameworks.iter().chain(&lists.ended) {
            lists
                .tasks
                .extend(framework.tasks.values().map(Arc::as_ref));
            let lost = framework.unreachable_tasks.iter();
            lists
                .unreachable
                .extend(lost.map(|(_, task)| task.as_ref()));
            let ended = framework.completed_tasks.iter();
            lists.completed.extend(ended.map(|(_, task)| task.as_ref()));
        }
        for agent in &lists.agents {
            let executors = agent.executors.values();
            lists
                .executors
                .extend(executors.map(|executor| (*agent, executor)));
        }
        lists
    }

    /// The JSON of one read.
    fn write(&self, read: Large, parts: &mut Parts<'a>, snapshot: &'a Snapshot) {
        parts.text().open();
        match read {
            Large::State => {
                for (key, part) in [
                    ("\"get_tasks\":", Large::Tasks),
                    ("\"get_executors\":", Large::Executors),
                    ("\"get_frameworks\":", Large::Frameworks),
                    ("\"get_agents\":", Large::Agents),
                ] {
                    parts.text().key(key);
                    self.write(part, parts, snapshot);
                }
            }
            Large::Tasks => {
                for (key, list) in [
                    ("\"tasks\":", &self.tasks),
                    ("\"completed_tasks\":", &self.completed),
                    ("\"unreachable_tasks\":", &self.unreachable),
                ] {
                    parts.text().key(key);
                    parts.tasks(list.clone(), tasks::write);
                }
            }
            Large::Executors => {
                parts.text().key("\"executors\":");
                parts.values(self.executors.clone(), |w, one| executor(one).write(w));
            }
            Large::Frameworks => {
                for (key, list) in [
                    ("\"frameworks\":", &self.frameworks),
                    ("\"completed_frameworks\":", &self.ended),
                ] {
                    parts.text().key(key);
                    parts.list(list.clone(), |w, one| {
                        snapshot.framework_to_proto(one).write(w);
                    });
                }
            }
            Large::Agents => {
                parts.text().key("\"agents\":");
                parts.list(self.agents.clone(), |w, one| {
                    snapshot.agent_to_proto(one).write(w);
                });
                parts.text().key("\"recovered_agents\":");
                parts.list(self.recovered.clone(), |w, info| info.write(w));
            }
        }
        parts.text().close();
    }

    /// The protobuf fields of one read.
    fn encode(&self, read: Large, snapshot: &Snapshot) -> Segments {
        let mut all = Segments::default();
        match read {
            Large::State => {
                for (number, part) in [
                    (1, Large::Tasks),
                    (2, Large::Executors),
                    (3, Large::Frameworks),
                    (4, Large::Agents),
                ] {
                    all.append(nested(number, self.encode(part, snapshot)));
                }
            }
            Large::Tasks => {
                for (number, list) in [
                    (2, &self.tasks),
                    (3, &self.completed),
                    (5, &self.unreachable),
                ] {
                    let encode = |task: &&Task, out: &mut Vec<u8>| tasks::encode(task, out);
                    all.append(repeated(number, list, ahead::tasks, encode));
                }
            }
            Large::Executors => all.append(messages(1, &self.executors, executor)),
            Large::Frameworks => {
                for (number, list) in [(1, &self.frameworks), (2, &self.ended)] {
                    all.append(messages(number, list, |one| {
                        snapshot.framework_to_proto(one)
                    }));
                }
            }
            Large::Agents => {
                all.append(messages(1, &self.agents, |one| {
                    snapshot.agent_to_proto(one)
                }));
                all.append(messages(2, &self.recovered, |info| AgentInfo::clone(info)));
            }
        }
        all
    }
}

fn executor((agent, executor): &(&Agent, &Executor)) -> get_executors::Executor {
    get_executors::Executor {
        executor_info: executor.info.as_ref().clone(),
        agent_id: (&agent.id).into(),
    }
}

/// A field that is a message.
fn nested(number: u32, content: Segments) -> Segments {
    let mut head = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut head);
    encode_varint(content.len() as u64, &mut head);
    let mut whole = Segments::from(head);
    whole.append(content);
    whole
}

/// A field that is a list of messages, whose content `encode` appends, after `fetch` of some of them.
fn repeated<T: Sync>(
    number: u32,
    entries: &[T],
    fetch: impl Fn(&[T]) + Sync,
    encode: impl Fn(&T, &mut Vec<u8>) + Sync,
) -> Segments {
    let blocks: Vec<&[T]> = entries.chunks(BLOCK).collect();
    let expected = Expected::default();
    let pieces = by_threads(blocks.len(), |at| {
        let mut bytes = Vec::with_capacity(expected.size());
        let mut content = Vec::new();
        for turn in blocks[at].chunks(ahead::TURN) {
            fetch(turn);
            for entry in turn {
                content.clear();
                encode(entry, &mut content);
                encode_key(number, WireType::LengthDelimited, &mut bytes);
                encode_varint(content.len() as u64, &mut bytes);
                bytes.extend_from_slice(&content);
            }
        }
        expected.saw(bytes.len());
        Bytes::from(bytes)
    });
    Segments::from_iter(pieces)
}

/// A field that is a list of messages.
fn messages<T: Sync, M: Message>(
    number: u32,
    entries: &[T],
    make: impl Fn(&T) -> M + Sync,
) -> Segments {
    repeated(number, entries, ahead::nothing, |entry, out| {
        make(entry).encode_raw(out);
    })
}
