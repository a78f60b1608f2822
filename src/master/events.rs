//! The events that schedulers are sent, built in one place.

use crate::base::{AgentId, ConnectionId, ExecutorId, FrameworkId, OfferId, TaskId, Timestamp};
use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::proto::v1::master_info;
use crate::proto::v1::scheduler::{Event, event};
use crate::proto::v1::task_status::{Reason, Source};

use super::core::Step;
use super::effect::Effect;

/// Seconds between two heartbeats, which the front end sends.
const HEARTBEAT_SECONDS: f64 = 15.0;

impl Step<'_> {
    fn tell(&mut self, connection: ConnectionId, kind: event::Type, mut event: Event) {
        event.r#type = Some(kind.into());
        self.push(Effect::ToScheduler {
            connection,
            event: Box::new(event),
        });
    }

    pub(super) fn send_subscribed(
        &mut self,
        connection: ConnectionId,
        framework_id: &FrameworkId,
        master: &v1::MasterInfo,
    ) {
        let event = Event {
            subscribed: Some(event::Subscribed {
                framework_id: framework_id.into(),
                heartbeat_interval_seconds: Some(HEARTBEAT_SECONDS),
                master_info: Some(for_schedulers(master)),
            }),
            ..Event::default()
        };
        self.tell(connection, event::Type::Subscribed, event);
    }

    /// Sends an ERROR and ends the stream.
    pub(super) fn send_error(&mut self, connection: ConnectionId, message: impl Into<String>) {
        let event = Event {
            error: Some(event::Error {
                message: message.into(),
            }),
            ..Event::default()
        };
        self.tell(connection, event::Type::Error, event);
        self.push(Effect::CloseScheduler { connection });
    }

    pub(super) fn send_offers(&mut self, connection: ConnectionId, offers: Vec<v1::Offer>) {
        let event = Event {
            offers: Some(event::Offers { offers }),
            ..Event::default()
        };
        self.tell(connection, event::Type::Offers, event);
    }

    pub(super) fn send_rescind(&mut self, connection: ConnectionId, offer_id: &OfferId) {
        let event = Event {
            rescind: Some(event::Rescind {
                offer_id: offer_id.into(),
            }),
            ..Event::default()
        };
        self.tell(connection, event::Type::Rescind, event);
    }

    pub(super) fn send_inverse_offers(
        &mut self,
        connection: ConnectionId,
        inverse_offers: Vec<v1::InverseOffer>,
    ) {
        let event = Event {
            inverse_offers: Some(event::InverseOffers { inverse_offers }),
            ..Event::default()
        };
        self.tell(connection, event::Type::InverseOffers, event);
    }

    pub(super) fn send_rescind_inverse(&mut self, connection: ConnectionId, offer_id: &OfferId) {
        let event = Event {
            rescind_inverse_offer: Some(event::RescindInverseOffer {
                inverse_offer_id: offer_id.into(),
            }),
            ..Event::default()
        };
        self.tell(connection, event::Type::RescindInverseOffer, event);
    }

    pub(super) fn send_update(&mut self, connection: ConnectionId, status: v1::TaskStatus) {
        let event = Event {
            update: Some(event::Update { status }),
            ..Event::default()
        };
        self.tell(connection, event::Type::Update, event);
    }

    pub(super) fn send_operation_update(
        &mut self,
        connection: ConnectionId,
        status: v1::OperationStatus,
    ) {
        let event = Event {
            update_operation_status: Some(event::UpdateOperationStatus { status }),
            ..Event::default()
        };
        self.tell(connection, event::Type::UpdateOperationStatus, event);
    }

    pub(super) fn send_message(
        &mut self,
        connection: ConnectionId,
        agent_id: &AgentId,
        executor_id: v1::ExecutorId,
        data: Vec<u8>,
    ) {
        let event = Event {
            message: Some(event::Message {
                agent_id: agent_id.into(),
                executor_id,
                data,
            }),
            ..Event::default()
        };
        self.tell(connection, event::Type::Message, event);
    }

    /// Tells that an agent is lost, or that one of its executors ended.
    pub(super) fn send_failure(
        &mut self,
        connection: ConnectionId,
        agent_id: &AgentId,
        executor: Option<(&ExecutorId, i32)>,
    ) {
        let event = Event {
            failure: Some(event::Failure {
                agent_id: Some(agent_id.into()),
                executor_id: executor.map(|(executor_id, _)| executor_id.into()),
                status: executor.map(|(_, status)| status),
            }),
            ..Event::default()
        };
        self.tell(connection, event::Type::Failure, event);
    }
}

/// The master as SUBSCRIBED describes it: without the capabilities that came after Mesos 1.5. Strict
/// decoders of that time (the crate async-mesos, mesos-go with JSON) refuse the whole event for a value
/// that they do not know, and no scheduler asks for them; `/state`, GET_MASTER and the znode have all.
fn for_schedulers(master: &v1::MasterInfo) -> v1::MasterInfo {
    let mut info = master.clone();
    info.capabilities
        .retain(|capability| capability.r#type() == master_info::capability::Type::AgentUpdate);
    info
}

/// A status that the master makes up: without uuid, not to be acknowledged, not sent again.
pub(super) fn master_status(
    task_id: &TaskId,
    agent_id: Option<&AgentId>,
    state: TaskState,
    reason: Reason,
    message: impl Into<String>,
    at: Timestamp,
) -> v1::TaskStatus {
    v1::TaskStatus {
        task_id: task_id.into(),
        agent_id: agent_id.map(Into::into),
        state: state.into(),
        source: Some(Source::Master.into()),
        reason: Some(reason.into()),
        message: Some(message.into()),
        timestamp: Some(at.as_secs_f64()),
        ..v1::TaskStatus::default()
    }
}
