//! Shell: the agent's only loop: receive, step, perform.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::base::{ConnectionId, RequestId};
use crate::proto::v1;
use crate::runtime::{SystemClock, TimerTable};

use super::checkpoint::{Journal, JournalError, Keeping, Paths};
use super::config::AgentConfig;
use super::container::{ContainerEvent, Containers};
use super::core::Agent;
use super::effect::Effects;
use super::event::Event;
use super::handle::{Handle, INPUTS_MAX, Input};
use super::link::{self, LinkClient, LinkEvent};
use super::operations::{ResourcesGone, recovered_total};
use super::perform::{ExecutorStream, Exit, World};
use super::recovery;
use super::sandboxes;
use super::socket::{self, SocketError};

/// What an agent is made of.
#[derive(Debug)]
pub struct AgentParts {
    /// The core's values.
    pub config: AgentConfig,
    /// Where the executors' socket goes (`--runtime_dir`).
    pub runtime_dir: PathBuf,
    /// `work_dir` stays when the agent ends; one that goes with it needs no flush to disk.
    pub keeping: Keeping,
    /// The leading master's `host:port`; `None` while nobody leads. It may change.
    pub masters: watch::Receiver<Option<String>>,
    /// What runs containers.
    pub containers: Arc<dyn Containers>,
    /// What it says about them.
    pub container_events: mpsc::Receiver<ContainerEvent>,
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// `work_dir` cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The flags no longer give what is reserved here.
    #[error(transparent)]
    Resources(ResourcesGone),
    /// Executors of an earlier life cannot be taken back.
    #[error("{0}")]
    Changed(String),
    /// `runtime_dir` cannot be used.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// A running agent.
#[derive(Debug)]
pub struct Running {
    /// How to talk to it.
    pub handle: Handle,
    /// Ends with the agent.
    pub ended: JoinHandle<Exit>,
    /// The executors' socket.
    pub socket: PathBuf,
}

/// Reads `work_dir`, opens the executors' socket and starts the loop and the link to the master. Needs a
/// tokio runtime.
///
/// # Errors
///
/// [`AgentError`] when `work_dir` or `runtime_dir` cannot be used, in words for the operator.
pub fn start(parts: AgentParts) -> Result<Running, AgentError> {
    let (answers, answered) = mpsc::unbounded_channel();
    let journal_answers = answers.clone();
    let paths = Paths::new(parts.config.work_dir.clone());
    let (journal, checkpointed) = Journal::open(&paths, parts.keeping, move |(token, result)| {
        // A closed queue means that the agent has ended.
        drop(journal_answers.send(Event::Checkpointed { token, result }));
    })?;
    recovered_total(&parts.config, &checkpointed).map_err(AgentError::Resources)?;
    if let Some(reason) = recovery::refused(&parts.config, &checkpointed) {
        return Err(AgentError::Changed(reason));
    }
    let socket = parts.runtime_dir.join("executor.sock");
    let listener = socket::listen(&socket)?;

    let (inputs_sender, inputs) = mpsc::channel(INPUTS_MAX);
    let handle = Handle::new(inputs_sender);
    let numbers = Arc::new(AtomicU64::new(1));
    let (link_sender, link_events) = link::channel();
    let seed = parts.config.seed;
    let keepalive = parts.config.timing.link_keepalive;
    let client = LinkClient::new(
        parts.masters,
        link_sender,
        Arc::clone(&numbers),
        keepalive,
        seed,
    );
    let agent = Agent::new(parts.config, checkpointed, SystemClock.now());
    let (found, root) = (answers.clone(), paths.agents());
    tokio::task::spawn_blocking(move || {
        let sandboxes = sandboxes::find(&root, std::time::SystemTime::now());
        // A closed queue means that the agent has ended.
        drop(found.send(Event::SandboxesFound { sandboxes }));
    });
    let driver = Driver {
        agent,
        handle: handle.clone(),
        world: World {
            work_dir: paths.work_dir().to_owned(),
            link: None,
            executors: std::collections::BTreeMap::new(),
            replies: std::collections::BTreeMap::new(),
            timers: TimerTable::new(),
            containers: parts.containers,
            journal,
            answers,
            exit: None,
        },
        effects: Effects::new(),
        inputs,
        link_events,
        container_events: parts.container_events,
        answered,
        numbers,
    };
    let executors = socket::serve(listener, handle.clone());
    let ended = tokio::spawn(async move {
        tokio::select! {
            exit = driver.run() => exit,
            () = executors => unreachable!("the socket is served for ever"),
            () = client.run() => unreachable!("the loop still listens to the link"),
        }
    });
    Ok(Running {
        handle,
        ended,
        socket,
    })
}

struct Driver {
    agent: Agent,
    handle: Handle,
    world: World,
    effects: Effects,
    inputs: mpsc::Receiver<Input>,
    link_events: mpsc::Receiver<LinkEvent>,
    container_events: mpsc::Receiver<ContainerEvent>,
    answered: mpsc::UnboundedReceiver<Event>,
    numbers: Arc<AtomicU64>,
}

impl Driver {
    async fn run(mut self) -> Exit {
        self.agent.start(SystemClock.now(), &mut self.effects);
        self.perform();
        loop {
            if let Some(exit) = self.world.exit.take() {
                self.close_link().await;
                return exit;
            }
            let deadline = self.world.timers.next_deadline();
            tokio::select! {
                Some(event) = self.answered.recv() => self.step(event),
                Some(event) = self.container_events.recv() => self.step(container_event(event)),
                Some(event) = self.link_events.recv() => self.link_event(event),
                Some(input) = self.inputs.recv() => self.input(input),
                () = SystemClock.sleep_until(deadline) => self.fire_timers(),
            }
        }
    }

    /// Lets the link send what is queued, such as the goodbye to the master.
    async fn close_link(&mut self) {
        let Some(link) = self.world.link.take() else {
            return;
        };
        let connection = link.connection;
        drop(link);
        while let Some(event) = self.link_events.recv().await {
            if matches!(event, LinkEvent::Disconnected { connection: gone } if gone == connection) {
                return;
            }
        }
    }

    fn step(&mut self, event: Event) {
        self.agent.step(SystemClock.now(), event, &mut self.effects);
        self.perform();
    }

    /// Performs until nothing follows. Each round ends connections, of which there are finitely many.
    fn perform(&mut self) {
        loop {
            let consequences = self.world.perform(&mut self.effects);
            if consequences.is_empty() {
                return;
            }
            for event in consequences {
                self.agent.step(SystemClock.now(), event, &mut self.effects);
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = SystemClock.now().mono;
        while let Some(key) = self.world.timers.pop_due(now) {
            self.step(Event::TimerFired(key));
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected {
                connection,
                outgoing,
            } => {
                self.world.link = Some(outgoing);
                self.step(Event::MasterConnected { connection });
            }
            LinkEvent::Message {
                connection,
                message,
            } => match message.message {
                Some(message) => self.step(Event::MasterMessage {
                    connection,
                    message: Box::new(message),
                }),
                None => tracing::debug!("skipped a message of a newer master"),
            },
            LinkEvent::Disconnected { connection } => {
                let current = self.world.link.as_ref();
                if current.is_some_and(|link| link.connection == connection) {
                    self.world.link = None;
                }
                self.step(Event::MasterDisconnected { connection });
            }
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.step(event),
            Input::Subscribe {
                subscription,
                container,
                events,
                connection: answer,
            } => {
                let connection = ConnectionId(self.number());
                if answer.send(connection).is_err() {
                    return;
                }
                let stream = self.watch(connection, events);
                self.world.executors.insert(connection, stream);
                self.step(Event::ExecutorSubscribed {
                    connection,
                    framework_id: subscription.framework_id,
                    executor_id: subscription.executor_id,
                    unacknowledged_tasks: subscription.unacknowledged_tasks,
                    unacknowledged_updates: subscription.unacknowledged_updates,
                    container,
                });
            }
            request @ (Input::Call { .. } | Input::Snapshot { .. }) => {
                let number = RequestId(self.number());
                if let Some((event, reply)) = request.into_request(number) {
                    self.world.replies.insert(number, reply);
                    self.step(event);
                }
            }
        }
    }

    /// Notices when the reader of a stream goes away, even if nothing is sent to it.
    fn watch(
        &self,
        connection: ConnectionId,
        events: mpsc::Sender<v1::executor::Event>,
    ) -> ExecutorStream {
        let (open, removed) = oneshot::channel();
        let (watched, handle) = (events.clone(), self.handle.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = watched.closed() => handle.executor_disconnected(connection).await,
                _ = removed => {}
            }
        });
        ExecutorStream {
            events,
            _open: open,
        }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

fn container_event(event: ContainerEvent) -> Event {
    match event {
        ContainerEvent::Recovered => Event::Recovered,
        ContainerEvent::Launched { container_id, pid } => {
            Event::ContainerLaunched { container_id, pid }
        }
        ContainerEvent::Ended {
            container_id,
            ended,
        } => Event::ContainerEnded {
            container_id,
            ended: Box::new(ended),
        },
    }
}
