//! Between executors' drivers and the v1 API: calls one way, events the other.

use super::link::Outgoing;
use crate::proto::mesos::internal as wire;
use crate::proto::v1;
use crate::proto::v1::executor::{Call, Event, call, event};
use crate::proto::v1::task_status::Source;
use crate::proto::{WireError, decode, link};

/// What a message asks of an agent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    /// An executor's subscription.
    Subscribe(Box<Subscribe>),
    /// Any other call of an executor.
    Call(Box<Call>),
    /// A scheduler's bytes for an executor; its driver saves them the way over the master.
    Message(link::FrameworkMessage),
}

/// An executor's subscription.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subscribe {
    /// The call.
    pub(super) call: Call,
    /// The driver was subscribed before.
    pub(super) again: bool,
}

/// Reads a message; none if it is not one that executors' drivers send, or schedulers' to agents.
pub(super) fn read(name: &str, body: &[u8]) -> Result<Option<Asked>, WireError> {
    let Some(name) = name.strip_prefix("mesos.internal.") else {
        return Ok(None);
    };
    Ok(Some(match name {
        "RegisterExecutorMessage" => {
            let message: wire::RegisterExecutorMessage = decode(body)?;
            let call = Call {
                subscribe: Some(call::Subscribe::default()),
                ..begin(
                    message.framework_id,
                    message.executor_id,
                    call::Type::Subscribe,
                )
            };
            let again = false;
            Asked::Subscribe(Box::new(Subscribe { call, again }))
        }
        "ReregisterExecutorMessage" => Asked::Subscribe(Box::new(reregister(decode(body)?))),
        "StatusUpdateMessage" => match update(decode(body)?) {
            Some(call) => Asked::Call(Box::new(call)),
            None => return Ok(None),
        },
        "ExecutorToFrameworkMessage" => {
            let message: wire::ExecutorToFrameworkMessage = decode(body)?;
            Asked::Call(Box::new(Call {
                message: Some(call::Message { data: message.data }),
                ..begin(
                    message.framework_id,
                    message.executor_id,
                    call::Type::Message,
                )
            }))
        }
        "FrameworkToExecutorMessage" => {
            let message: wire::FrameworkToExecutorMessage = decode(body)?;
            Asked::Message(link::FrameworkMessage {
                framework_id: message.framework_id,
                executor_id: message.executor_id,
                data: message.data,
            })
        }
        _ => return Ok(None),
    }))
}

fn begin(framework_id: v1::FrameworkId, executor_id: v1::ExecutorId, kind: call::Type) -> Call {
    Call {
        framework_id,
        executor_id,
        r#type: Some(kind.into()),
        ..Call::default()
    }
}

fn reregister(message: wire::ReregisterExecutorMessage) -> Subscribe {
    let updates = message.updates.into_iter().map(|update| call::Update {
        status: status(update),
    });
    let call = Call {
        subscribe: Some(call::Subscribe {
            unacknowledged_tasks: message.tasks,
            unacknowledged_updates: updates.collect(),
        }),
        ..begin(
            message.framework_id,
            message.executor_id,
            call::Type::Subscribe,
        )
    };
    Subscribe { call, again: true }
}

/// The call for an update; none when it does not say whose executor it is of.
fn update(message: wire::StatusUpdateMessage) -> Option<Call> {
    let framework_id = message.update.framework_id.clone();
    let executor_id = message.update.executor_id.clone()?;
    let status = status(message.update);
    Some(Call {
        update: Some(call::Update { status }),
        ..begin(framework_id, executor_id, call::Type::Update)
    })
}

/// The status of an update, with what drivers say beside it put into it, as Mesos' agents do.
fn status(update: wire::StatusUpdate) -> v1::TaskStatus {
    let mut status = update.status;
    status.uuid = update.uuid.or(status.uuid);
    status.source = Some(Source::Executor.into());
    status.executor_id = status.executor_id.or(update.executor_id);
    status.agent_id = status.agent_id.or(update.slave_id);
    status.timestamp = status.timestamp.or(Some(update.timestamp));
    status
}

/// Translates for one executor that is subscribed.
#[derive(Debug)]
pub(super) struct Translator {
    framework: v1::FrameworkInfo,
    framework_id: v1::FrameworkId,
    executor_id: v1::ExecutorId,
    agent_id: v1::AgentId,
}

impl Translator {
    /// The translator of a fresh subscription, and the first message to its driver.
    pub(super) fn welcome(
        subscribed: event::Subscribed,
        call: &Call,
        again: bool,
    ) -> (Self, Outgoing) {
        let event::Subscribed {
            executor_info,
            framework_info,
            agent_info,
            ..
        } = subscribed;
        let agent_id = agent_info.id.clone().unwrap_or_default();
        let slave_info = slave_info(agent_info);
        let translator = Self {
            framework: framework_info.clone(),
            framework_id: call.framework_id.clone(),
            executor_id: call.executor_id.clone(),
            agent_id: agent_id.clone(),
        };
        let message = if again {
            Outgoing::new(&wire::ExecutorReregisteredMessage {
                slave_id: agent_id,
                slave_info,
            })
        } else {
            Outgoing::new(&wire::ExecutorRegisteredMessage {
                executor_info,
                framework_id: call.framework_id.clone(),
                framework_info,
                slave_id: agent_id,
                slave_info,
            })
        };
        (translator, message)
    }

    /// The message for an event; none for what these drivers have no message for: heartbeats, groups.
    pub(super) fn message(&self, event: Event) -> Option<Outgoing> {
        Some(match event.r#type() {
            event::Type::Launch => Outgoing::new(&wire::RunTaskMessage {
                framework_id: Some(self.framework_id.clone()),
                framework: self.framework.clone(),
                // The process of its scheduler is the master's business.
                pid: Some(String::new()),
                task: event.launch?.task,
            }),
            event::Type::Kill => {
                let kill = event.kill?;
                Outgoing::new(&wire::KillTaskMessage {
                    framework_id: self.framework_id.clone(),
                    task_id: kill.task_id,
                    kill_policy: kill.kill_policy,
                })
            }
            event::Type::Acknowledged => {
                let acknowledged = event.acknowledged?;
                Outgoing::new(&wire::StatusUpdateAcknowledgementMessage {
                    slave_id: self.agent_id.clone(),
                    framework_id: self.framework_id.clone(),
                    task_id: acknowledged.task_id,
                    uuid: acknowledged.uuid,
                })
            }
            event::Type::Message => Outgoing::new(&wire::FrameworkToExecutorMessage {
                slave_id: self.agent_id.clone(),
                framework_id: self.framework_id.clone(),
                executor_id: self.executor_id.clone(),
                data: event.message?.data,
            }),
            event::Type::Shutdown => shutdown(),
            event::Type::Subscribed
            | event::Type::LaunchGroup
            | event::Type::Heartbeat
            | event::Type::Error
            | event::Type::Unknown => return None,
        })
    }
}

/// What ends an executor; without ids, as Mesos sends it.
pub(super) fn shutdown() -> Outgoing {
    Outgoing::new(&wire::ShutdownExecutorMessage::default())
}

fn slave_info(info: v1::AgentInfo) -> wire::SlaveInfo {
    wire::SlaveInfo {
        hostname: info.hostname,
        resources: info.resources,
        attributes: info.attributes,
        id: info.id,
        checkpoint: Some(true),
        port: info.port,
        domain: info.domain,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use prost::{Message, Name};

    use super::*;

    fn asked<M: Message + Name>(message: &M) -> Option<Asked> {
        read(&M::full_name(), &message.encode_to_vec()).unwrap()
    }

    fn update_of(status: v1::TaskStatus) -> wire::StatusUpdate {
        wire::StatusUpdate {
            framework_id: "F".into(),
            executor_id: Some("E".into()),
            slave_id: Some("S".into()),
            status,
            timestamp: 5.5,
            uuid: Some(vec![1; 16]),
            latest_state: None,
        }
    }

    fn running() -> v1::TaskStatus {
        v1::TaskStatus {
            task_id: "T".into(),
            state: v1::TaskState::TaskRunning.into(),
            ..v1::TaskStatus::default()
        }
    }

    #[test]
    fn a_drivers_update_is_completed() {
        let update = update_of(running());
        let pid = Some("executor(1)@127.0.0.1:1".to_owned());
        let Some(Asked::Call(call)) = asked(&wire::StatusUpdateMessage { update, pid }) else {
            panic!("it is a call");
        };
        assert_eq!(
            (&*call.framework_id.value, &*call.executor_id.value),
            ("F", "E")
        );
        let status = call.update.unwrap().status;
        assert_eq!(status.uuid, Some(vec![1; 16]));
        assert_eq!(status.source(), Source::Executor);
        assert_eq!(status.executor_id, Some("E".into()));
        assert_eq!(status.agent_id, Some("S".into()));
        assert_eq!(status.timestamp, Some(5.5));
    }

    #[test]
    fn an_update_of_nobody_is_no_call() {
        let mut update = update_of(running());
        update.executor_id = None;
        assert_eq!(
            asked(&wire::StatusUpdateMessage { update, pid: None }),
            None
        );
    }

    #[test]
    fn a_registration_again_brings_what_is_open() {
        let message = wire::ReregisterExecutorMessage {
            executor_id: "E".into(),
            framework_id: "F".into(),
            tasks: vec![v1::TaskInfo {
                task_id: "T".into(),
                ..v1::TaskInfo::default()
            }],
            updates: vec![update_of(running())],
        };
        let Some(Asked::Subscribe(subscribe)) = asked(&message) else {
            panic!("it is a subscription");
        };
        assert!(subscribe.again);
        let body = subscribe.call.subscribe.unwrap();
        assert_eq!(body.unacknowledged_tasks.len(), 1);
        assert_eq!(
            body.unacknowledged_updates[0].status.uuid,
            Some(vec![1; 16])
        );
    }

    #[test]
    fn unknown_and_broken_messages() {
        assert_eq!(read("mesos.internal.PingSlaveMessage", b""), Ok(None));
        assert_eq!(read("mesos.scheduler.Call", b""), Ok(None));
        for name in ["RegisterExecutorMessage", "StatusUpdateMessage"] {
            let name = format!("mesos.internal.{name}");
            assert!(read(&name, b"").is_err(), "{name}: required fields");
            assert!(read(&name, b"\xff\xff").is_err(), "{name}: no protobuf");
        }
    }
}
