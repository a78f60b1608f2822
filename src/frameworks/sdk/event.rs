//! What a framework hears.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::config::Acknowledgement;
use super::handle::Handle;
use crate::proto::v1;
use crate::proto::v1::scheduler as wire;

/// One event, in the words of the scheduler protocol; heartbeats stay in the driver.
#[derive(Clone, Debug)]
pub enum Event {
    /// The framework is subscribed, for the first time or again.
    Subscribed {
        /// Its id, the same ever after: keep it to come back after a restart of the program.
        framework_id: v1::FrameworkId,
        /// The master.
        master: Option<v1::MasterInfo>,
        /// It was subscribed before; all offers from then are void.
        again: bool,
    },
    /// The connection is lost; the driver is working on another one. All offers are void.
    Disconnected {
        /// One line for people.
        reason: String,
    },
    /// Resources to use or to decline.
    Offers(Vec<v1::Offer>),
    /// An offer is void.
    Rescinded(v1::OfferId),
    /// An agent wants its resources back for maintenance.
    InverseOffers(Vec<v1::InverseOffer>),
    /// An inverse offer is void.
    InverseOfferRescinded(v1::OfferId),
    /// A task has changed its state.
    Update(Box<v1::TaskStatus>),
    /// An operation has changed its state.
    OperationUpdate(Box<v1::OperationStatus>),
    /// An executor sent bytes.
    Message {
        /// Where it runs.
        agent_id: v1::AgentId,
        /// The sender.
        executor_id: v1::ExecutorId,
        /// The bytes.
        data: Vec<u8>,
    },
    /// An agent was removed, or with an executor id: an executor has ended.
    Failure {
        /// The agent.
        agent_id: Option<v1::AgentId>,
        /// The executor.
        executor_id: Option<v1::ExecutorId>,
        /// Its wait status.
        status: Option<i32>,
    },
    /// The last event: the master has ended the subscription for good, or refuses it, or the program
    /// has torn the framework down.
    Ended {
        /// One line for people.
        reason: String,
    },
}

impl Event {
    /// The event of a message; `None` for what a framework need not hear, or a kind that is newer than
    /// this program.
    pub(super) fn from_wire(event: wire::Event) -> Option<Self> {
        use wire::event::Type;
        match event.r#type() {
            Type::Offers => Some(Self::Offers(event.offers?.offers)),
            Type::Rescind => Some(Self::Rescinded(event.rescind?.offer_id)),
            Type::InverseOffers => Some(Self::InverseOffers(event.inverse_offers?.inverse_offers)),
            Type::RescindInverseOffer => Some(Self::InverseOfferRescinded(
                event.rescind_inverse_offer?.inverse_offer_id,
            )),
            Type::Update => Some(Self::Update(Box::new(event.update?.status))),
            Type::UpdateOperationStatus => Some(Self::OperationUpdate(Box::new(
                event.update_operation_status?.status,
            ))),
            Type::Message => event.message.map(|message| Self::Message {
                agent_id: message.agent_id,
                executor_id: message.executor_id,
                data: message.data,
            }),
            Type::Failure => event.failure.map(|failure| Self::Failure {
                agent_id: failure.agent_id,
                executor_id: failure.executor_id,
                status: failure.status,
            }),
            Type::Subscribed | Type::Error | Type::Heartbeat | Type::Unknown => None,
        }
    }
}

/// The events of one driver, in order. Dropping them ends the driver and closes the connection; the
/// master then waits for the framework's failover timeout.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    handle: Handle,
    acknowledgement: Acknowledgement,
    /// An update that the program is dealing with.
    unacknowledged: Option<Box<v1::TaskStatus>>,
    _driver: Arc<Driver>,
}

/// Ends the task of the driver with its owner.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Events {
    pub(super) fn new(
        queue: mpsc::Receiver<Event>,
        handle: Handle,
        acknowledgement: Acknowledgement,
        driver: JoinHandle<()>,
    ) -> Self {
        Self {
            queue,
            handle,
            acknowledgement,
            unacknowledged: None,
            _driver: Arc::new(Driver(driver)),
        }
    }

    /// The next event; `None` after [`Event::Ended`]. Acknowledges the update that was returned before,
    /// if the driver is to do that. May be cancelled and called again.
    pub async fn next(&mut self) -> Option<Event> {
        if let Some(status) = &self.unacknowledged {
            // Lost with the connection: then the agent sends the update again.
            let _again = self.handle.acknowledge(status).await;
            self.unacknowledged = None;
        }
        let event = self.queue.recv().await?;
        if let Event::Update(status) = &event
            && self.acknowledgement == Acknowledgement::Automatic
        {
            self.unacknowledged = Some(status.clone());
        }
        Some(event)
    }
}
