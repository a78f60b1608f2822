//! Shell: one match over what the core wants done; never waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use prost::Message as _;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::base::{ConnectionId, Instant, RequestId};
use crate::proto::{link, v1};
use crate::registrar::Registrar;
use crate::runtime::{Lease, Outbox, Rejected, SystemClock, TimerTable};
use crate::telemetry::{Counter, Gauge, Metrics, Timer, as_f64};

use super::call::{CallError, Reply};
use super::effect::{Effect, OperatorEvent, Token};
use super::event::Event;
use super::snapshot::Snapshot;
use super::timer::TimerKey;

/// What an event weighs besides its content, in bytes: about its size in memory.
const EVENT_SIZE: usize = 512;

/// What an agent is told. In a box: a queue has room for 32 of them from its start, and there are as many
/// queues as agents.
pub(super) type ToAgent = Box<link::from_master::Message>;

/// One agent's link.
struct AgentSink {
    messages: mpsc::Sender<ToAgent>,
    /// Until the agent was answered.
    admission: Option<OwnedSemaphorePermit>,
}

/// Everybody that the core's effects reach.
pub(super) struct Peers {
    /// Nobody is told anything without it.
    lease: Lease,
    /// Where the loop hears of those that have read.
    ends: mpsc::UnboundedSender<Event>,
    registrar: Registrar<Token>,
    schedulers: BTreeMap<ConnectionId, Outbox<v1::scheduler::Event>>,
    agents: BTreeMap<ConnectionId, AgentSink>,
    watchers: VecDeque<Outbox<Arc<v1::master::Event>>>,
    /// The oldest of more watchers makes room.
    watchers_max: usize,
    replies: BTreeMap<RequestId, oneshot::Sender<Result<Reply, CallError>>>,
    ended: VecDeque<Event>,
    schedulers_full: Counter,
    agents_full: Counter,
    watchers_full: Counter,
    /// Who watches, for people.
    watching: Gauge,
    /// When each write began that is not stored yet.
    writes: BTreeMap<Token, Instant>,
    writes_waiting: Gauge,
    write_time: Timer,
}

impl Peers {
    pub(super) fn new(
        registrar: Registrar<Token>,
        watchers_max: usize,
        lease: Lease,
        ends: mpsc::UnboundedSender<Event>,
        metrics: &Metrics,
    ) -> Self {
        let full = |name: &str| {
            metrics.counter(
                &format!("queues/{name}/full"),
                "peers that were let go because they read too slowly",
            )
        };
        Self {
            lease,
            ends,
            registrar,
            schedulers: BTreeMap::new(),
            agents: BTreeMap::new(),
            watchers: VecDeque::new(),
            watchers_max,
            replies: BTreeMap::new(),
            ended: VecDeque::new(),
            schedulers_full: full("master_to_scheduler"),
            agents_full: full("master_to_agent"),
            watchers_full: full("master_to_watcher"),
            watching: metrics.gauge(
                "master/operator_event_stream_subscribers",
                "operators' event streams that are open",
            ),
            writes: BTreeMap::new(),
            writes_waiting: metrics.gauge(
                "registrar/queued_operations",
                "changes of the registry that are not stored yet",
            ),
            write_time: metrics.timer(
                "registrar/state_store_ms",
                "time from a change of the registry to its being stored",
            ),
        }
    }

    /// True while this master leads.
    pub(super) fn may_promise(&self) -> bool {
        self.lease.is_held()
    }

    pub(super) fn add_scheduler(
        &mut self,
        connection: ConnectionId,
        sink: Outbox<v1::scheduler::Event>,
    ) {
        self.schedulers.insert(connection, sink);
    }

    pub(super) fn add_agent(
        &mut self,
        connection: ConnectionId,
        messages: mpsc::Sender<ToAgent>,
        admission: OwnedSemaphorePermit,
    ) {
        let sink = AgentSink {
            messages,
            admission: Some(admission),
        };
        self.agents.insert(connection, sink);
    }

    /// A peer that has gone away is not kept, nor its place among those that register.
    pub(super) fn forget(&mut self, event: &Event) {
        match event {
            Event::AgentDisconnected { connection } => drop(self.agents.remove(connection)),
            Event::SchedulerDisconnected { connection } => {
                drop(self.schedulers.remove(connection));
            }
            _ => {}
        }
    }

    pub(super) fn add_watcher(&mut self, sink: Outbox<Arc<v1::master::Event>>) {
        // Those who have gone make room first.
        self.watchers.retain(|watcher| !watcher.is_closed());
        while self.watchers.len() >= self.watchers_max {
            self.watchers.pop_front();
        }
        self.watchers.push_back(sink);
        self.watching.set(as_f64(self.watchers.len()));
    }

    pub(super) fn expect_reply(
        &mut self,
        request: RequestId,
        reply: oneshot::Sender<Result<Reply, CallError>>,
    ) {
        self.replies.insert(request, reply);
    }

    /// A change of the registry is stored, or was refused.
    pub(super) fn stored(&mut self, token: Token) {
        if let Some(begin) = self.writes.remove(&token) {
            self.write_time.record(SystemClock.now().mono.since(begin));
            self.writes_waiting.set(as_f64(self.writes.len()));
        }
    }

    /// The next peer that `perform` has let go, as the event that tells the core.
    pub(super) fn take_ended(&mut self) -> Option<Event> {
        self.ended.pop_front()
    }

    /// Carries out one effect; `snapshot` is asked only when somebody watches.
    pub(super) fn perform(
        &mut self,
        effect: Effect,
        timers: &mut TimerTable<TimerKey>,
        snapshot: impl FnOnce() -> Snapshot,
    ) {
        // Before every promise: the process may have stood still since the last one.
        if !self.may_promise() {
            return;
        }
        match effect {
            Effect::ToScheduler { connection, event } => self.send_scheduler(connection, *event),
            Effect::AwaitRoom { connection } => {
                let sink = self.schedulers.get(&connection);
                if sink.is_some_and(Outbox::await_room) {
                    // In its turn: others want something as well. The receiver is the loop itself.
                    let _ = self.ends.send(Event::SchedulerHasRoom { connection });
                }
            }
            Effect::CloseScheduler { connection } => drop(self.schedulers.remove(&connection)),
            Effect::ToAgent {
                connection,
                message,
            } => self.send_agent(connection, message),
            Effect::CloseAgent { connection } => drop(self.agents.remove(&connection)),
            Effect::Persist { token, operation } => {
                self.writes.insert(token, SystemClock.now().mono);
                self.writes_waiting.set(as_f64(self.writes.len()));
                self.registrar.submit(token, operation);
            }
            Effect::SetTimer { key, at } => timers.set(key, at),
            Effect::CancelTimer { key } => drop(timers.cancel(&key)),
            Effect::Reply { request, result } => {
                if let Some(reply) = self.replies.remove(&request) {
                    // Whoever asked may have left.
                    let _ = reply.send(result);
                }
            }
            Effect::Publish(event) => self.publish(&event, snapshot),
        }
    }

    fn send_scheduler(&mut self, connection: ConnectionId, event: v1::scheduler::Event) {
        let Some(sink) = self.schedulers.get(&connection) else {
            return;
        };
        let weight = EVENT_SIZE + event.encoded_len();
        let Err(error) = sink.offer(weight, event) else {
            return;
        };
        if matches!(error, Rejected::Full(_)) {
            self.schedulers_full.increment();
            tracing::warn!(
                connection = connection.0,
                "scheduler reads too slowly, let go"
            );
        }
        self.schedulers.remove(&connection);
        self.ended
            .push_back(Event::SchedulerDisconnected { connection });
    }

    fn send_agent(&mut self, connection: ConnectionId, message: ToAgent) {
        let Some(sink) = self.agents.get_mut(&connection) else {
            return;
        };
        // Whatever it is, the agent knows where it stands.
        sink.admission = None;
        let Err(error) = sink.messages.try_send(message) else {
            return;
        };
        if matches!(error, TrySendError::Full(_)) {
            self.agents_full.increment();
            tracing::warn!(connection = connection.0, "agent reads too slowly, let go");
        }
        self.agents.remove(&connection);
        self.ended
            .push_back(Event::AgentDisconnected { connection });
    }

    fn publish(&mut self, event: &OperatorEvent, snapshot: impl FnOnce() -> Snapshot) {
        if self.watchers.is_empty() {
            return;
        }
        let event = Arc::new(event.to_proto(&snapshot()));
        let weight = EVENT_SIZE + event.encoded_len();
        let full = &self.watchers_full;
        self.watchers
            .retain(|sink| match sink.offer(weight, Arc::clone(&event)) {
                Ok(()) => true,
                Err(Rejected::Full(_)) => {
                    full.increment();
                    false
                }
                Err(Rejected::Closed(_)) => false,
            });
        self.watching.set(as_f64(self.watchers.len()));
    }
}
