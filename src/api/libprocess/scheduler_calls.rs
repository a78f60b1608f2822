//! What schedulers' drivers ask, as the calls of the v1 API.

use prost::Name;

use crate::proto::mesos::internal as wire;
use crate::proto::mesos::scheduler as v0;
use crate::proto::v1;
use crate::proto::v1::scheduler::{Call, call};
use crate::proto::{WireError, decode};

/// What a message asks of a master.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    /// A subscription.
    Subscribe(Box<Subscribe>),
    /// Any other call.
    Call(Box<Call>),
    /// No more offers until the next subscription.
    Deactivate(v1::FrameworkId),
    /// To prove who it is.
    Authenticate,
    /// The message contradicts itself; the driver is told this.
    Refused(&'static str),
}

/// A driver's subscription.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subscribe {
    /// Its content.
    pub(super) subscribe: call::Subscribe,
    /// It may take a framework over from another process.
    pub(super) force: bool,
}

impl Subscribe {
    /// The framework that exists already, if any.
    pub(super) fn framework_id(&self) -> Option<&v1::FrameworkId> {
        let id = self.subscribe.framework_info.id.as_ref();
        id.filter(|id| !id.value.is_empty())
    }
}

/// Reads a message; none if it is not one that schedulers' drivers send.
pub(super) fn read(name: &str, body: &[u8]) -> Result<Option<Asked>, WireError> {
    if name == v0::Call::full_name() {
        return any_call(body).map(Some);
    }
    let Some(name) = name.strip_prefix("mesos.internal.") else {
        return Ok(None);
    };
    let asked = match name {
        "RegisterFrameworkMessage" => {
            let message: wire::RegisterFrameworkMessage = decode(body)?;
            register(message.framework)
        }
        "ReregisterFrameworkMessage" => {
            let message: wire::ReregisterFrameworkMessage = decode(body)?;
            reregister(message.framework, message.failover)
        }
        "DeactivateFrameworkMessage" => {
            let message: wire::DeactivateFrameworkMessage = decode(body)?;
            Asked::Deactivate(message.framework_id)
        }
        "AuthenticateMessage" => {
            decode::<wire::AuthenticateMessage>(body)?;
            Asked::Authenticate
        }
        _ => match older_call(name, body)? {
            Some(call) => Asked::Call(Box::new(call)),
            None => return Ok(None),
        },
    };
    Ok(Some(asked))
}

/// `mesos.scheduler.Call`, which drivers since Mesos 0.24 send.
fn any_call(body: &[u8]) -> Result<Asked, WireError> {
    let head: v0::Call = decode(body)?;
    if head.r#type != Some(call::Type::Subscribe.into()) {
        return Ok(Asked::Call(Box::new(decode(body)?)));
    }
    let Some(subscribe) = head.subscribe else {
        return Ok(Asked::Refused("Expecting 'subscribe' to be present"));
    };
    Ok(Asked::Subscribe(Box::new(Subscribe {
        subscribe: call::Subscribe {
            framework_info: subscribe.framework_info,
            suppressed_roles: subscribe.suppressed_roles,
            offer_constraints: subscribe.offer_constraints,
        },
        force: subscribe.force.unwrap_or(false),
    })))
}

fn register(framework_info: v1::FrameworkInfo) -> Asked {
    let subscribe = Subscribe {
        subscribe: call::Subscribe {
            framework_info,
            ..call::Subscribe::default()
        },
        force: false,
    };
    if subscribe.framework_id().is_some() {
        return Asked::Refused("Registering with 'id' already set");
    }
    Asked::Subscribe(Box::new(subscribe))
}

fn reregister(framework_info: v1::FrameworkInfo, force: bool) -> Asked {
    let subscribe = Subscribe {
        subscribe: call::Subscribe {
            framework_info,
            ..call::Subscribe::default()
        },
        force,
    };
    if subscribe.framework_id().is_none() {
        return Asked::Refused("Re-registering without an 'id'");
    }
    Asked::Subscribe(Box::new(subscribe))
}

/// The messages that are calls of their own in drivers up to Mesos 0.23 and in most drivers in other
/// languages than C++.
fn older_call(name: &str, body: &[u8]) -> Result<Option<Call>, WireError> {
    let call = match name {
        "UnregisterFrameworkMessage" => {
            let message: wire::UnregisterFrameworkMessage = decode(body)?;
            begin(message.framework_id, call::Type::Teardown)
        }
        "ResourceRequestMessage" => {
            let message: wire::ResourceRequestMessage = decode(body)?;
            Call {
                request: Some(call::Request {
                    requests: message.requests,
                }),
                ..begin(message.framework_id, call::Type::Request)
            }
        }
        "LaunchTasksMessage" => launch(decode(body)?),
        "KillTaskMessage" => {
            let message: wire::KillTaskMessage = decode(body)?;
            Call {
                kill: Some(call::Kill {
                    task_id: message.task_id,
                    agent_id: None,
                    kill_policy: message.kill_policy,
                }),
                ..begin(message.framework_id, call::Type::Kill)
            }
        }
        "StatusUpdateAcknowledgementMessage" => {
            let message: wire::StatusUpdateAcknowledgementMessage = decode(body)?;
            Call {
                acknowledge: Some(call::Acknowledge {
                    agent_id: message.slave_id,
                    task_id: message.task_id,
                    uuid: message.uuid,
                }),
                ..begin(message.framework_id, call::Type::Acknowledge)
            }
        }
        "FrameworkToExecutorMessage" => {
            let message: wire::FrameworkToExecutorMessage = decode(body)?;
            Call {
                message: Some(call::Message {
                    agent_id: message.slave_id,
                    executor_id: message.executor_id,
                    data: message.data,
                }),
                ..begin(message.framework_id, call::Type::Message)
            }
        }
        "ReconcileTasksMessage" => reconcile(decode(body)?),
        "ReviveOffersMessage" => {
            let message: wire::ReviveOffersMessage = decode(body)?;
            Call {
                revive: Some(call::Revive {
                    roles: message.roles,
                }),
                ..begin(message.framework_id, call::Type::Revive)
            }
        }
        "SuppressOffersMessage" => {
            let message: wire::SuppressOffersMessage = decode(body)?;
            Call {
                suppress: Some(call::Suppress {
                    roles: message.roles,
                }),
                ..begin(message.framework_id, call::Type::Suppress)
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(call))
}

fn begin(framework_id: v1::FrameworkId, kind: call::Type) -> Call {
    Call {
        framework_id: Some(framework_id),
        r#type: Some(kind.into()),
        ..Call::default()
    }
}

/// The message has no DECLINE of its own: it is a launch of nothing.
fn launch(message: wire::LaunchTasksMessage) -> Call {
    let wire::LaunchTasksMessage {
        framework_id,
        tasks,
        filters,
        offer_ids,
    } = message;
    let filters = Some(filters);
    if tasks.is_empty() {
        return Call {
            decline: Some(call::Decline { offer_ids, filters }),
            ..begin(framework_id, call::Type::Decline)
        };
    }
    let operation = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Launch.into()),
        launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
        ..v1::offer::Operation::default()
    };
    Call {
        accept: Some(call::Accept {
            offer_ids,
            operations: vec![operation],
            filters,
        }),
        ..begin(framework_id, call::Type::Accept)
    }
}

fn reconcile(message: wire::ReconcileTasksMessage) -> Call {
    let tasks = message
        .statuses
        .into_iter()
        .map(|status| call::reconcile::Task {
            task_id: status.task_id,
            agent_id: status.agent_id,
        });
    Call {
        reconcile: Some(call::Reconcile {
            tasks: tasks.collect(),
        }),
        ..begin(message.framework_id, call::Type::Reconcile)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use prost::Message;

    use super::*;

    fn info(id: Option<&str>) -> v1::FrameworkInfo {
        v1::FrameworkInfo {
            user: "u".to_owned(),
            name: "n".to_owned(),
            id: id.map(Into::into),
            ..v1::FrameworkInfo::default()
        }
    }

    fn asked<M: Message + Name>(message: &M) -> Asked {
        read(&M::full_name(), &message.encode_to_vec())
            .unwrap()
            .unwrap()
    }

    fn subscription(asked: Asked) -> Subscribe {
        match asked {
            Asked::Subscribe(subscribe) => *subscribe,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn registrations_are_subscriptions() {
        let first = subscription(asked(&wire::RegisterFrameworkMessage {
            framework: info(None),
        }));
        assert!(!first.force && first.framework_id().is_none());
        let again = subscription(asked(&wire::ReregisterFrameworkMessage {
            framework: info(Some("F")),
            failover: true,
        }));
        assert!(again.force);
        assert_eq!(again.framework_id().unwrap().value, "F");
        for (framework, failover) in [(info(None), true), (info(Some("")), false)] {
            let message = wire::ReregisterFrameworkMessage {
                framework,
                failover,
            };
            assert!(matches!(asked(&message), Asked::Refused(_)));
        }
        let framework = info(Some("F"));
        let message = wire::RegisterFrameworkMessage { framework };
        assert!(matches!(asked(&message), Asked::Refused(_)));
    }

    #[test]
    fn the_call_of_newer_drivers_has_its_own_subscribe() {
        let call = v0::Call {
            framework_id: Some("F".into()),
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(v0::call::Subscribe {
                framework_info: info(Some("F")),
                force: Some(true),
                suppressed_roles: vec!["dev".to_owned()],
                offer_constraints: None,
            }),
        };
        let subscribe = subscription(asked(&call));
        assert!(subscribe.force);
        assert_eq!(subscribe.subscribe.suppressed_roles, ["dev"]);

        let kill = Call {
            kill: Some(call::Kill {
                task_id: "T".into(),
                ..call::Kill::default()
            }),
            ..begin("F".into(), call::Type::Kill)
        };
        let bytes = kill.encode_to_vec();
        let read = read("mesos.scheduler.Call", &bytes).unwrap();
        assert_eq!(read, Some(Asked::Call(Box::new(kill))));
    }

    #[test]
    fn a_launch_of_nothing_declines() {
        let mut message = wire::LaunchTasksMessage {
            framework_id: "F".into(),
            tasks: Vec::new(),
            filters: v1::Filters {
                refuse_seconds: Some(7.0),
            },
            offer_ids: vec!["O".into()],
        };
        let Asked::Call(call) = asked(&message) else {
            panic!("it is a call");
        };
        let decline = call.decline.unwrap();
        assert_eq!(decline.offer_ids, ["O".into()]);
        assert_eq!(decline.filters.unwrap().refuse_seconds, Some(7.0));
        message.tasks.push(v1::TaskInfo::default());
        let Asked::Call(call) = asked(&message) else {
            panic!("it is a call");
        };
        assert_eq!(call.accept.unwrap().operations.len(), 1);
    }

    #[test]
    fn unknown_and_broken_messages() {
        assert_eq!(read("mesos.internal.PongSlaveMessage", b""), Ok(None));
        assert_eq!(read("no.Such", b""), Ok(None));
        for name in [
            "RegisterFrameworkMessage",
            "LaunchTasksMessage",
            "AuthenticateMessage",
            "KillTaskMessage",
        ] {
            let name = format!("mesos.internal.{name}");
            assert!(read(&name, b"").is_err(), "{name}: required fields");
            assert!(read(&name, b"\xff\xff\xff").is_err(), "{name}: no protobuf");
        }
    }
}
