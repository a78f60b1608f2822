//! What a master core wants done, and the buffer it writes it to.

use std::sync::Arc;

use crate::base::{AgentId, ConnectionId, FrameworkId, Instant, RequestId};
use crate::proto::{link, v1};
use crate::registry;

use super::agent::Agent;
use super::call::{CallError, Reply};
use super::framework::Framework;
use super::task::Task;
use super::timer::TimerKey;

/// Names one registry operation that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// One deed, performed by the shell after the step and in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send an event to a scheduler.
    ToScheduler {
        /// The stream.
        connection: ConnectionId,
        /// The event.
        event: Box<v1::scheduler::Event>,
    },
    /// End a scheduler's stream, after what was sent before.
    CloseScheduler {
        /// The stream.
        connection: ConnectionId,
    },
    /// Say, with `SchedulerHasRoom`, when a scheduler has read most of what it was sent.
    AwaitRoom {
        /// The stream.
        connection: ConnectionId,
    },
    /// Send a message to an agent.
    ToAgent {
        /// The link.
        connection: ConnectionId,
        /// The message.
        message: Box<link::from_master::Message>,
    },
    /// End an agent's link, after what was sent before.
    CloseAgent {
        /// The link.
        connection: ConnectionId,
    },
    /// Store a change; answered with `Persisted`.
    Persist {
        /// Comes back with the answer.
        token: Token,
        /// The change.
        operation: registry::Operation,
    },
    /// Set a timer, in place of one with the same key.
    SetTimer {
        /// Which timer.
        key: TimerKey,
        /// Its deadline.
        at: Instant,
    },
    /// Forget a timer.
    CancelTimer {
        /// Which timer.
        key: TimerKey,
    },
    /// Answer a request.
    Reply {
        /// Which request.
        request: RequestId,
        /// The answer.
        result: Result<Reply, CallError>,
    },
    /// Tell the operators' event streams.
    Publish(OperatorEvent),
}

/// A change that operators watch, as shared records; the shell encodes it only if somebody listens.
#[derive(Clone, Debug)]
pub enum OperatorEvent {
    /// A task was accepted.
    TaskAdded(Arc<Task>),
    /// A task's state or status changed.
    TaskUpdated {
        /// The task's framework.
        framework_id: FrameworkId,
        /// The newest status, without `data`.
        status: Box<v1::TaskStatus>,
        /// The newest state.
        state: v1::TaskState,
    },
    /// An agent was admitted, or came back.
    AgentAdded(Arc<Agent>),
    /// An agent left or became unreachable.
    AgentRemoved(AgentId),
    /// A framework subscribed for the first time, or was reported by an agent.
    FrameworkAdded(Arc<Framework>),
    /// A framework came back or changed its description.
    FrameworkUpdated(Arc<Framework>),
    /// A framework is gone.
    FrameworkRemoved(Arc<v1::FrameworkInfo>),
    /// A framework wants offers and gets none.
    FrameworkStarving(Box<v1::master::FrameworkStarving>),
}

/// The effects of one step, in order.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// No effects yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one at the end.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Takes all, in order; the buffer can be used again.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.0.drain(..)
    }

    /// What is in the buffer, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.0.iter()
    }

    /// How many effects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
