//! Shell: the only loop of a master: takes what arrives, steps the core, performs the effects.
//!
//! ```text
//! Handle --mailbox--> loop { step(now, event) -> effects -> perform } --> sinks, registrar, timers
//! ```
//!
//! Bounds: the mailbox holds `MAILBOX_MAX` commands and pushes back when full; a scheduler's, an
//! agent's or a watcher's sink that is full ends that peer, and a metric counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::base::{ConnectionId, FrameworkId, Now, RequestId};
use crate::proto::{link, v1};
use crate::registrar::{self, Answer, RegistrarError, Storage};
use crate::roles::Role;
use crate::runtime::{Inbox, Lease, Outbox, Sender, SystemClock, TimerTable, mailbox, outbox};
use crate::telemetry::{Counter, Metrics, Timer, as_f64};

use super::call::{CallError, OperatorCall, Question, Reply, SchedulerCall};
use super::config::MasterConfig;
use super::core::Master;
use super::effect::{Effect, Effects, Token};
use super::event::Event;
use super::overdue::Overdue;
use super::perform::{Peers, ToAgent};
use super::snapshot::Snapshot;
use super::timer::TimerKey;
use super::waiting::Waiting;

/// Commands that wait for the loop.
const MAILBOX_MAX: usize = 4096;
/// Commands taken out of the mailbox at once.
const BATCH_MAX: usize = 256;
/// Bytes of the events that wait for one scheduler: what one step can say, such as the loss of an agent
/// with ten thousand of its tasks, is far below it.
const SCHEDULER_SINK_MAX: usize = 16 << 20;
/// Agents whose registration is under way: between their first word and the answer. More wait for their
/// turn, outside of the loop's queue, so that everybody else's calls are heard in between; a turn is about
/// what the registry stores at once.
const ADMISSIONS_MAX: usize = 512;
/// Messages that wait for one agent.
const AGENT_SINK_MAX: usize = 4096;
/// Bytes of the events that wait for one operator's stream.
const WATCHER_SINK_MAX: usize = 16 << 20;

/// Why a master's loop ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The registry failed; whoever leads next starts from what is stored.
    #[error("the master cannot go on without its registry")]
    Registrar(#[source] RegistrarError),
    /// The registrar's task ended without saying why.
    #[error("the registrar's task ended")]
    RegistrarGone,
    /// The right to lead has ended.
    #[error("this master does not lead any more")]
    Deposed,
}

/// One thing for the loop to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Step the core.
    Event(Box<Event>),
    /// Step the core and answer.
    Request(
        RequestId,
        Box<Event>,
        oneshot::Sender<Result<Reply, CallError>>,
    ),
    /// Know a scheduler's sink, then step.
    Subscribe(ConnectionId, Outbox<v1::scheduler::Event>, Box<Event>),
    /// Know an agent's sink, then step.
    Connect(
        ConnectionId,
        mpsc::Sender<ToAgent>,
        OwnedSemaphorePermit,
        Box<Event>,
    ),
    /// Send all that is published from now on, and the state of this moment.
    Watch(Outbox<Arc<v1::master::Event>>, oneshot::Sender<Snapshot>),
}

/// The way to talk to a running master; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    mailbox: Sender<Command>,
    ends: mpsc::UnboundedSender<Event>,
    ids: Arc<AtomicU64>,
    waiting: Waiting,
    /// Held from an agent's first word until it is answered.
    admissions: Arc<Semaphore>,
    lease: Lease,
}

/// One scheduler's event stream. Dropping it means that the scheduler has gone away.
#[derive(Debug)]
pub struct Subscription {
    connection: ConnectionId,
    events: Inbox<v1::scheduler::Event>,
    ends: mpsc::UnboundedSender<Event>,
    lease: Lease,
}

/// One agent's link, the master's half. Dropping it means that the link is broken.
#[derive(Debug)]
pub struct AgentLink {
    connection: ConnectionId,
    messages: mpsc::Receiver<ToAgent>,
    ends: mpsc::UnboundedSender<Event>,
    lease: Lease,
}

/// What operators' streams get, after a first snapshot. Ends when it is read too slowly.
pub type Watch = Inbox<Arc<v1::master::Event>>;

impl Subscription {
    /// The stream's number, which calls of the scheduler must name.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// How many events waited, if the master has closed the stream because no more fit.
    #[must_use]
    pub fn overflow(&self) -> Option<usize> {
        self.events.overflow()
    }

    /// Lets the master go on when it waits until most has been read.
    fn say_room(&self) {
        if self.events.room_is_wanted() {
            let connection = self.connection;
            // A closed queue means that the master has ended.
            let _ = self.ends.send(Event::SchedulerHasRoom { connection });
        }
    }

    /// The next event; none when the master has closed the stream. Cancel safe.
    pub async fn recv(&mut self) -> Option<v1::scheduler::Event> {
        let event = self.events.recv().await;
        self.say_room();
        event.filter(|_| self.lease.is_held())
    }
}

impl AgentLink {
    /// The link's number, for [`Handle::agent_message`].
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The next message; none when the master has closed the link. Cancel safe.
    pub async fn recv(&mut self) -> Option<link::FromMaster> {
        let message = self.messages.recv().await;
        message.filter(|_| self.lease.is_held()).map(unboxed)
    }
}

impl Stream for Subscription {
    type Item = v1::scheduler::Event;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let event = this.events.poll_recv(context);
        this.say_room();
        // What was promised before and has waited here is a promise all the same.
        event.map(|event| event.filter(|_| this.lease.is_held()))
    }
}

impl Stream for AgentLink {
    type Item = link::FromMaster;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let message = this.messages.poll_recv(context);
        message.map(|message| message.filter(|_| this.lease.is_held()).map(unboxed))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let connection = self.connection;
        // A closed queue means that the master has ended.
        let _ = self.ends.send(Event::SchedulerDisconnected { connection });
    }
}

impl Drop for AgentLink {
    fn drop(&mut self) {
        // Before the word of it, which may overtake the one that opens the link.
        self.messages.close();
        let connection = self.connection;
        // A closed queue means that the master has ended.
        let _ = self.ends.send(Event::AgentDisconnected { connection });
    }
}

/// As it goes over the link.
fn unboxed(message: ToAgent) -> link::FromMaster {
    link::FromMaster {
        message: Some(*message),
    }
}

fn ended() -> CallError {
    CallError::unavailable("the master is shutting down; try again with the next leader")
}

impl Handle {
    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    async fn send(&self, command: Command) -> Result<(), CallError> {
        let kind = self.waiting.add(&command);
        let sent = self.mailbox.send(command).await;
        if sent.is_err() {
            kind.fetch_sub(1, Ordering::Relaxed);
        }
        sent.map_err(|_| ended())
    }

    async fn request(&self, make: impl FnOnce(RequestId) -> Event) -> Result<Reply, CallError> {
        let request = RequestId(self.next_id());
        let (reply, answer) = oneshot::channel();
        let event = Box::new(make(request));
        self.send(Command::Request(request, event, reply)).await?;
        answer.await.map_err(|_| ended())?
    }

    /// Subscribes a scheduler. Refusals come as an ERROR event, then the stream ends.
    pub async fn subscribe(
        &self,
        framework: v1::FrameworkInfo,
        suppressed_roles: Vec<String>,
        principal: Option<String>,
    ) -> Result<Subscription, CallError> {
        self.subscribe_wanting(framework, suppressed_roles, None, principal)
            .await
    }

    /// The same for a scheduler that wants offers of certain agents only.
    pub async fn subscribe_wanting(
        &self,
        framework: v1::FrameworkInfo,
        suppressed_roles: Vec<String>,
        offer_constraints: Option<v1::scheduler::OfferConstraints>,
        principal: Option<String>,
    ) -> Result<Subscription, CallError> {
        let connection = ConnectionId(self.next_id());
        let (sink, events) = outbox(SCHEDULER_SINK_MAX);
        let event = Event::SchedulerSubscribed {
            connection,
            framework: Box::new(framework),
            suppressed_roles,
            offer_constraints: offer_constraints.map(Box::new),
            principal,
        };
        self.send(Command::Subscribe(connection, sink, Box::new(event)))
            .await?;
        Ok(Subscription {
            connection,
            events,
            ends: self.ends.clone(),
            lease: self.lease.clone(),
        })
    }

    /// Says which process a scheduler that has just subscribed is, for readers.
    pub async fn name_scheduler(
        &self,
        connection: ConnectionId,
        process: String,
    ) -> Result<(), CallError> {
        let event = Event::SchedulerNamed {
            connection,
            process,
        };
        self.send(Command::Event(Box::new(event))).await
    }

    /// Only agents of these hosts are offered from now on; all without hosts.
    pub async fn whitelist(&self, hosts: Option<BTreeSet<String>>) -> Result<(), CallError> {
        let event = Event::Whitelisted(hosts);
        self.send(Command::Event(Box::new(event))).await
    }

    /// A scheduler's call other than SUBSCRIBE; `connection` is the stream that the caller named.
    pub async fn scheduler_call(
        &self,
        framework_id: FrameworkId,
        connection: Option<ConnectionId>,
        call: SchedulerCall,
    ) -> Result<Reply, CallError> {
        self.request(|request| Event::SchedulerCall {
            request,
            framework_id,
            connection,
            call,
        })
        .await
    }

    /// Opens the link of an agent that has something to say; `peer` is its address, host and port. Waits
    /// while as many others as may be are about to be registered.
    pub async fn connect_agent(&self, peer: String) -> Result<AgentLink, CallError> {
        let admission = Arc::clone(&self.admissions).acquire_owned();
        let admission = admission.await.map_err(|_| ended())?;
        let connection = ConnectionId(self.next_id());
        let (sink, messages) = mpsc::channel(AGENT_SINK_MAX);
        let event = Box::new(Event::AgentConnected { connection, peer });
        self.send(Command::Connect(connection, sink, admission, event))
            .await?;
        Ok(AgentLink {
            connection,
            messages,
            ends: self.ends.clone(),
            lease: self.lease.clone(),
        })
    }

    /// Hands over what an agent said; waits while the master has too much to do.
    pub async fn agent_message(
        &self,
        connection: ConnectionId,
        message: impl Into<Box<link::from_agent::Message>>,
    ) -> Result<(), CallError> {
        let event = Event::AgentMessage {
            connection,
            message: message.into(),
        };
        self.send(Command::Event(Box::new(event))).await
    }

    /// An operator's call that changes state.
    pub async fn operator_call(&self, call: OperatorCall) -> Result<Reply, CallError> {
        self.request(|request| Event::OperatorCall { request, call })
            .await
    }

    /// The state at this moment.
    pub async fn snapshot(&self) -> Result<Snapshot, CallError> {
        let reply = self
            .request(|request| Event::SnapshotRequested { request })
            .await?;
        match reply {
            Reply::Snapshot(snapshot) => Ok(*snapshot),
            Reply::Accepted | Reply::Explanation(_) | Reply::Filters(_) => Err(ended()),
        }
    }

    /// How many filters of declined offers there are, by role.
    pub async fn filters(&self) -> Result<BTreeMap<Role, usize>, CallError> {
        let reply = self
            .request(|request| Event::FiltersRequested { request })
            .await?;
        match reply {
            Reply::Filters(counts) => Ok(counts),
            Reply::Accepted | Reply::Snapshot(_) | Reply::Explanation(_) => Err(ended()),
        }
    }

    /// Why a framework gets the offers that it gets.
    pub async fn explain(&self, question: Question) -> Result<v1::master::Explanation, CallError> {
        let reply = self
            .request(|request| Event::ExplainRequested { request, question })
            .await?;
        match reply {
            Reply::Explanation(explanation) => Ok(*explanation),
            Reply::Accepted | Reply::Snapshot(_) | Reply::Filters(_) => Err(ended()),
        }
    }

    /// The state at this moment and everything that is published after it.
    pub async fn watch(&self) -> Result<(Snapshot, Watch), CallError> {
        let (sink, events) = outbox(WATCHER_SINK_MAX);
        let (reply, answer) = oneshot::channel();
        self.send(Command::Watch(sink, reply)).await?;
        let snapshot = answer.await.map_err(|_| ended())?;
        Ok((snapshot, events))
    }

    /// Asks the loop to let everybody go and end.
    pub async fn shutdown(&self) {
        // A closed mailbox means that the loop has ended already.
        let _ = self.send(Command::Event(Box::new(Event::Shutdown))).await;
    }
}

/// A running master.
#[derive(Debug)]
pub struct Running {
    /// The way to talk to it.
    pub handle: Handle,
    /// Ends after [`Handle::shutdown`], or with what broke.
    pub task: tokio::task::JoinHandle<Result<(), DriverError>>,
}

/// Loads the registry and starts the loop of a master without rivals.
pub async fn start(
    config: MasterConfig,
    storage: impl Storage,
    metrics: &Metrics,
) -> Result<Running, DriverError> {
    lead(config, storage, Lease::endless(), metrics).await
}

/// Loads the registry and starts the loop, which promises nothing when the lease is over and ends then.
pub async fn lead(
    config: MasterConfig,
    storage: impl Storage,
    lease: Lease,
    metrics: &Metrics,
) -> Result<Running, DriverError> {
    let fetch_time = metrics.timer(
        "registrar/state_fetch_ms",
        "time that it took to load the registry",
    );
    let begin = SystemClock.now();
    let recovered = registrar::recover(storage)
        .await
        .map_err(DriverError::Registrar)?;
    fetch_time.record(SystemClock.now().mono.since(begin.mono));
    let recovered_gauge = metrics.gauge(
        "registrar/log/recovered",
        "1 when the registry has been loaded",
    );
    recovered_gauge.set(1.0);
    let waiting = Waiting::new(metrics);
    let (mailbox, commands) = mailbox("master", MAILBOX_MAX, metrics);
    let (ends, ended) = mpsc::unbounded_channel();
    let mut effects = Effects::new();
    let watchers_max = config.watchers_max;
    let core = Master::new(config, recovered.registry, SystemClock.now(), &mut effects);
    let driver = Driver {
        core,
        effects,
        peers: Peers::new(
            recovered.registrar,
            watchers_max,
            lease.clone(),
            ends.clone(),
            metrics,
        ),
        timers: TimerTable::new(),
        waiting: waiting.clone(),
        overdue: Overdue::default(),
        commands,
        ended,
        answers: recovered.answers,
        registrar: recovered.task,
        steps: metrics.counter("master/steps", "events that the master's loop has handled"),
        step_time: metrics.timer(
            "master/step_ms",
            "time that one step of the master's loop takes, effects included",
        ),
        allocation_time: metrics.timer(
            "allocator/mesos/allocation_run_ms",
            "time that one slice of an allocation pass takes",
        ),
        allocation_latency: metrics.timer(
            "allocator/mesos/allocation_run_latency_ms",
            "time from when an allocation pass was due to when it began",
        ),
    };
    let handle = Handle {
        mailbox,
        ends,
        ids: Arc::new(AtomicU64::new(1)),
        admissions: admissions(metrics),
        waiting,
        lease,
    };
    let task = tokio::spawn(driver.run());
    Ok(Running { handle, task })
}

/// The places of agents that are about to be registered, and how many of them are taken.
fn admissions(metrics: &Metrics) -> Arc<Semaphore> {
    let admissions = Arc::new(Semaphore::new(ADMISSIONS_MAX));
    let places = Arc::downgrade(&admissions);
    metrics.gauge_from(
        "master/agents_registering",
        "agents between their first word and the master's answer; more wait for their turn",
        move || {
            let free = places
                .upgrade()
                .map_or(ADMISSIONS_MAX, |places| places.available_permits());
            as_f64(ADMISSIONS_MAX - free)
        },
    );
    admissions
}

/// The loop's own state.
struct Driver {
    core: Master,
    effects: Effects,
    peers: Peers,
    timers: TimerTable<TimerKey>,
    waiting: Waiting,
    overdue: Overdue,
    commands: mpsc::Receiver<Command>,
    /// Ended streams and links, and streams with room: at most one of each for each that was opened, so
    /// it needs no bound.
    ended: mpsc::UnboundedReceiver<Event>,
    answers: mpsc::UnboundedReceiver<Answer<Token>>,
    registrar: tokio::task::JoinHandle<Result<(), RegistrarError>>,
    steps: Counter,
    step_time: Timer,
    allocation_time: Timer,
    allocation_latency: Timer,
}

impl Driver {
    async fn run(mut self) -> Result<(), DriverError> {
        self.perform();
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            if !self.peers.may_promise() {
                return Err(DriverError::Deposed);
            }
            let deadline = self.timers.next_deadline();
            tokio::select! {
                taken = self.commands.recv_many(&mut batch, BATCH_MAX) => {
                    let mut over = taken == 0;
                    for command in batch.drain(..) {
                        self.waiting.of(&command).fetch_sub(1, Ordering::Relaxed);
                        over |= self.command(command);
                    }
                    if over {
                        return self.end().await;
                    }
                    self.overdue.heard(taken);
                    self.judge_silence();
                }
                Some(event) = self.ended.recv() => {
                    self.peers.forget(&event);
                    self.step(event);
                }
                answer = self.answers.recv() => match answer {
                    Some(Answer { token, result }) => {
                        self.peers.stored(token);
                        self.step(Event::Persisted { token, result });
                    }
                    None => return self.broken().await,
                },
                () = SystemClock.sleep_until(deadline) => {
                    self.timers_due(SystemClock.now());
                }
            }
        }
    }

    /// Steps the core for every timer whose time has come; those that judge an agent's silence take turns
    /// with what waits in the mailbox.
    fn timers_due(&mut self, now: Now) {
        while let Some(due) = self.timers.next_deadline()
            && let Some(key) = self.timers.pop_due(now.mono)
        {
            if key == TimerKey::Allocation {
                self.allocation_latency.record(now.mono.since(due));
            }
            if Overdue::judges(&key) {
                self.overdue.push(key, self.commands.len());
            } else {
                self.step(Event::TimerFired(key));
            }
        }
        self.judge_silence();
    }

    /// Fires the timers that judge an agent's silence, as far as all that was said before was heard. A full
    /// mailbox keeps others from getting in: what they say counts as well.
    fn judge_silence(&mut self) {
        while let Some(key) = self.overdue.pop() {
            let waiting = self.commands.len();
            if waiting == MAILBOX_MAX {
                self.overdue.push(key, waiting);
            } else {
                self.step(Event::TimerFired(key));
            }
        }
    }

    /// Carries out one command; true when it was the last one.
    fn command(&mut self, command: Command) -> bool {
        match command {
            Command::Event(event) => {
                let over = matches!(*event, Event::Shutdown);
                self.step(*event);
                return over;
            }
            Command::Request(request, event, reply) => {
                self.peers.expect_reply(request, reply);
                self.step(*event);
            }
            Command::Subscribe(connection, sink, event) => {
                self.peers.add_scheduler(connection, sink);
                self.step(*event);
            }
            // Its end may have been heard of already, and comes only once.
            Command::Connect(_, sink, ..) if sink.is_closed() => {}
            Command::Connect(connection, sink, admission, event) => {
                self.peers.add_agent(connection, sink, admission);
                self.step(*event);
            }
            Command::Watch(sink, reply) => {
                self.peers.add_watcher(sink);
                // Whoever asked and left is found out with the first event.
                let _ = reply.send(self.core.snapshot(SystemClock.now()));
            }
        }
        false
    }

    /// Steps the core, performs what it wants, and steps again for every peer that this ended.
    fn step(&mut self, event: Event) {
        let allocates = matches!(event, Event::TimerFired(TimerKey::Allocation));
        let begin = SystemClock.now();
        self.core.step(begin, event, &mut self.effects);
        if allocates {
            self.allocation_time
                .record(SystemClock.now().mono.since(begin.mono));
        }
        self.steps.increment();
        self.perform();
        self.step_time
            .record(SystemClock.now().mono.since(begin.mono));
        while let Some(event) = self.peers.take_ended() {
            self.core.step(SystemClock.now(), event, &mut self.effects);
            self.perform();
        }
    }

    fn perform(&mut self) {
        for effect in self.effects.drain() {
            if let Effect::SetTimer { key, .. } | Effect::CancelTimer { key } = &effect {
                self.overdue.forget(key);
            }
            self.peers.perform(effect, &mut self.timers, || {
                self.core.snapshot(SystemClock.now())
            });
        }
    }

    /// The regular end: the registrar stores what it has, then its task ends.
    async fn end(self) -> Result<(), DriverError> {
        drop(self.peers);
        registrar_ended(self.registrar).await
    }

    /// The registrar has ended first.
    async fn broken(self) -> Result<(), DriverError> {
        drop(self.peers);
        registrar_ended(self.registrar).await?;
        Err(DriverError::RegistrarGone)
    }
}

async fn registrar_ended(
    task: tokio::task::JoinHandle<Result<(), RegistrarError>>,
) -> Result<(), DriverError> {
    match task.await {
        Ok(result) => result.map_err(DriverError::Registrar),
        Err(_) => Err(DriverError::RegistrarGone),
    }
}
