//! The master's events as the messages of schedulers' drivers.

use std::collections::BTreeMap;

use super::link::Outgoing;
use crate::proto::mesos::internal as wire;
use crate::proto::v1;
use crate::proto::v1::scheduler::{Event, event};

/// Agents whose processes are remembered; when there are more, all are forgotten and learned anew.
const AGENTS_MAX: usize = 100_000;

/// Translates for one scheduler.
#[derive(Debug)]
pub(super) struct Translator {
    framework_id: v1::FrameworkId,
    /// The processes of agents by their ids.
    pids: BTreeMap<String, String>,
}

/// The first message to a scheduler. `known`: this master had its framework already, or it is new.
pub(super) fn welcome(subscribed: event::Subscribed, known: bool) -> Option<Outgoing> {
    let framework_id = subscribed.framework_id;
    let master_info = subscribed.master_info?;
    Some(if known {
        Outgoing::new(&wire::FrameworkRegisteredMessage {
            framework_id,
            master_info,
        })
    } else {
        Outgoing::new(&wire::FrameworkReregisteredMessage {
            framework_id,
            master_info,
        })
    })
}

/// What a driver must end with.
pub(super) fn error(message: impl Into<String>) -> Outgoing {
    let message = message.into();
    Outgoing::new(&wire::FrameworkErrorMessage { message })
}

/// The process of an agent.
pub(super) fn agent_pid(ip: &str, port: i32) -> String {
    if ip.contains(':') {
        format!("slave(1)@[{ip}]:{port}")
    } else {
        format!("slave(1)@{ip}:{port}")
    }
}

impl Translator {
    /// A translator that knows no agent yet.
    pub(super) fn new(framework_id: v1::FrameworkId) -> Self {
        Self {
            framework_id,
            pids: BTreeMap::new(),
        }
    }

    /// Remembers the process of an agent.
    pub(super) fn learn(&mut self, agent_id: String, pid: String) {
        if self.pids.len() >= AGENTS_MAX {
            self.pids.clear();
        }
        self.pids.insert(agent_id, pid);
    }

    /// The agent whose process must be learned before this event can be told.
    pub(super) fn unknown_agent<'a>(&self, event: &'a Event) -> Option<&'a str> {
        let status = &event.update.as_ref()?.status;
        status.uuid.as_ref()?;
        let agent_id = status.agent_id.as_ref()?.value.as_str();
        (!self.pids.contains_key(agent_id)).then_some(agent_id)
    }

    /// The message for an event; none for what these drivers have no message for: heartbeats, inverse
    /// offers, operations.
    pub(super) fn message(&mut self, event: Event) -> Option<Outgoing> {
        Some(match event.r#type() {
            event::Type::Offers => self.offers(event.offers?),
            event::Type::Rescind => Outgoing::new(&wire::RescindResourceOfferMessage {
                offer_id: event.rescind?.offer_id,
            }),
            event::Type::Update => self.update(event.update?.status),
            event::Type::Message => {
                let message = event.message?;
                Outgoing::new(&wire::ExecutorToFrameworkMessage {
                    slave_id: message.agent_id,
                    framework_id: self.framework_id.clone(),
                    executor_id: message.executor_id,
                    data: message.data,
                })
            }
            event::Type::Failure => self.failure(event.failure?)?,
            event::Type::Error => error(event.error?.message),
            event::Type::Subscribed
            | event::Type::Heartbeat
            | event::Type::InverseOffers
            | event::Type::RescindInverseOffer
            | event::Type::UpdateOperationStatus
            | event::Type::Unknown => return None,
        })
    }

    fn offers(&mut self, offers: event::Offers) -> Outgoing {
        let mut pids = Vec::with_capacity(offers.offers.len());
        for offer in &offers.offers {
            let address = offer.url.as_ref().map(|url| &url.address);
            let pid = address.map_or_else(String::new, |address| {
                agent_pid(address.ip.as_deref().unwrap_or_default(), address.port)
            });
            self.learn(offer.agent_id.value.clone(), pid.clone());
            pids.push(pid);
        }
        let offers = offers.offers;
        Outgoing::new(&wire::ResourceOffersMessage { offers, pids })
    }

    /// An update with a uuid names the agent's process: drivers take one without for their own.
    fn update(&self, status: v1::TaskStatus) -> Outgoing {
        let agent_id = status.agent_id.as_ref().map(|id| id.value.as_str());
        let pid = agent_id
            .filter(|_| status.uuid.is_some())
            .and_then(|id| self.pids.get(id).cloned());
        let update = wire::StatusUpdate {
            framework_id: self.framework_id.clone(),
            executor_id: status.executor_id.clone(),
            slave_id: status.agent_id.clone(),
            timestamp: status.timestamp.unwrap_or_default(),
            uuid: status.uuid.clone(),
            latest_state: Some(status.state),
            status,
        };
        Outgoing::new(&wire::StatusUpdateMessage { update, pid })
    }

    fn failure(&self, failure: event::Failure) -> Option<Outgoing> {
        let slave_id = failure.agent_id?;
        Some(match failure.executor_id {
            Some(executor_id) => Outgoing::new(&wire::ExitedExecutorMessage {
                slave_id,
                framework_id: self.framework_id.clone(),
                executor_id,
                status: failure.status.unwrap_or(-1),
            }),
            None => Outgoing::new(&wire::LostSlaveMessage { slave_id }),
        })
    }
}
