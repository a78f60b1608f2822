//! Everything that can reach a master core.

use std::collections::BTreeSet;

use crate::base::{ConnectionId, FrameworkId, RequestId};
use crate::proto::{link, v1};
use crate::registry::RegistryRefused;

use super::call::{OperatorCall, Question, SchedulerCall};
use super::effect::Token;
use super::timer::TimerKey;

/// One thing that happened, in the order in which the shell saw it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A scheduler opened an event stream. Refusals come as an ERROR event, then the stream closes.
    SchedulerSubscribed {
        /// The stream.
        connection: ConnectionId,
        /// The framework; with `id` it is a resubscription.
        framework: Box<v1::FrameworkInfo>,
        /// Roles that want no offers for now; replaces what was suppressed before.
        suppressed_roles: Vec<String>,
        /// Which agents it wants offers of; replaces what was said before.
        offer_constraints: Option<Box<v1::scheduler::OfferConstraints>>,
        /// Who the front end found the peer to be.
        principal: Option<String>,
    },
    /// The subscribed scheduler is a v0 driver, which has a process to be shown.
    SchedulerNamed {
        /// Its stream.
        connection: ConnectionId,
        /// Its process, `scheduler(1)@ip:port`.
        process: String,
    },
    /// A scheduler's call; answered with one `Reply`.
    SchedulerCall {
        /// The request to answer.
        request: RequestId,
        /// The framework that calls.
        framework_id: FrameworkId,
        /// The stream that the caller named; must be the framework's current one.
        connection: Option<ConnectionId>,
        /// The call.
        call: SchedulerCall,
    },
    /// A scheduler has read most of what it was sent; answers `AwaitRoom`.
    SchedulerHasRoom {
        /// The stream.
        connection: ConnectionId,
    },
    /// A scheduler's event stream ended.
    SchedulerDisconnected {
        /// The stream.
        connection: ConnectionId,
    },
    /// Only agents of these hosts are offered; all without hosts.
    Whitelisted(Option<BTreeSet<String>>),
    /// An agent opened its link.
    AgentConnected {
        /// The link.
        connection: ConnectionId,
        /// The peer's address, host and port.
        peer: String,
    },
    /// An agent says something.
    AgentMessage {
        /// The link.
        connection: ConnectionId,
        /// What it says.
        message: Box<link::from_agent::Message>,
    },
    /// An agent's link ended.
    AgentDisconnected {
        /// The link.
        connection: ConnectionId,
    },
    /// An operator's call; answered with one `Reply`.
    OperatorCall {
        /// The request to answer.
        request: RequestId,
        /// The call.
        call: OperatorCall,
    },
    /// A reader wants the state; answered with `Reply::Snapshot`.
    SnapshotRequested {
        /// The request to answer.
        request: RequestId,
    },
    /// A reader wants to know why a framework gets the offers that it gets; answered with
    /// `Reply::Explanation`.
    ExplainRequested {
        /// The request to answer.
        request: RequestId,
        /// What is asked.
        question: Question,
    },
    /// A reader wants to know how many filters there are; answered with `Reply::Filters`.
    FiltersRequested {
        /// The request to answer.
        request: RequestId,
    },
    /// A registry operation ended.
    Persisted {
        /// The token of its `Persist`.
        token: Token,
        /// Stored, or refused by the registry.
        result: Result<(), RegistryRefused>,
    },
    /// A timer's deadline passed.
    TimerFired(TimerKey),
    /// The process is asked to end: no more offers, schedulers and agents are let go.
    Shutdown,
}
