//! Shell: keeps a gRPC stream to the leading master open, for ever: connects, tells the loop, carries
//! messages both ways, and starts over with a jittered back-off when it breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use crate::base::{ConnectionId, Rng};
use crate::proto::link::agent_link_client::AgentLinkClient;
use crate::proto::link::{FromAgent, FromMaster};

/// Messages that may wait for a slow master; more end the link.
const OUTGOING_MAX: usize = 4096;
/// Messages of the master that may wait for the agent's loop; more push back on the master.
const INCOMING_MAX: usize = 1024;
/// Largest message of a master.
const MESSAGE_MAX: usize = 64 << 20;
/// How long a TCP connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the master may take to open the stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a closed stream may take to send what was queued.
const FLUSH_MAX: Duration = Duration::from_secs(1);
/// First and longest pause between attempts; a random half is taken off.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Metadata of a standby's refusal: the leader's `host:port`.
const LEADER: &str = "mesos-leader";

/// What the link tells the agent's loop.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// The stream is open.
    Connected {
        connection: ConnectionId,
        outgoing: Outgoing,
    },
    /// The master said something.
    Message {
        connection: ConnectionId,
        message: Box<FromMaster>,
    },
    /// The stream is gone.
    Disconnected { connection: ConnectionId },
}

/// The sending side of one stream. Dropping it closes the stream.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) connection: ConnectionId,
    messages: mpsc::Sender<FromAgent>,
    _open: oneshot::Sender<()>,
}

impl Outgoing {
    /// Queues a message; false if the master reads too slowly.
    pub(super) fn send(&self, message: FromAgent) -> bool {
        self.messages.try_send(message).is_ok()
    }
}

/// Why a stream ended or never opened.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("'{0}' is not an address of the form host:port")]
    Address(String),
    #[error("{}", cause(.0))]
    Connect(#[source] tonic::transport::Error),
    #[error("{}", refusal(.0))]
    Refused(#[source] Box<Status>),
    #[error("no answer within {} s", OPEN_TIMEOUT.as_secs())]
    Slow,
    #[error("another master leads now")]
    Moved,
}

/// The innermost cause, which is the one that says something ("Connection refused").
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The master's own words; of a status that was made on our side, the cause: what answers is no master.
fn refusal(status: &Status) -> String {
    if std::error::Error::source(status).is_some() {
        return format!("it does not answer as a master does: {}", cause(status));
    }
    format!("{}: {}", status.code(), status.message())
}

/// The task that keeps the link.
pub(super) struct LinkClient {
    /// Where the leading master is, `host:port`; `None` while nobody leads.
    masters: watch::Receiver<Option<String>>,
    events: mpsc::Sender<LinkEvent>,
    connections: Arc<AtomicU64>,
    /// Keeps middleboxes awake and finds dead peers.
    keepalive: Duration,
    rng: Rng,
}

/// The channel on which a link tells the loop.
pub(super) fn channel() -> (mpsc::Sender<LinkEvent>, mpsc::Receiver<LinkEvent>) {
    mpsc::channel(INCOMING_MAX)
}

impl LinkClient {
    pub(super) fn new(
        masters: watch::Receiver<Option<String>>,
        events: mpsc::Sender<LinkEvent>,
        connections: Arc<AtomicU64>,
        keepalive: Duration,
        seed: u64,
    ) -> Self {
        Self {
            masters,
            events,
            connections,
            keepalive,
            rng: Rng::seeded(seed, "agent link"),
        }
    }

    /// Runs until the agent's loop has ended.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        let mut reported: Option<String> = None;
        let mut redirected: Option<String> = None;
        let (mut present, mut former): (Option<String>, Option<String>) = (None, None);
        while !self.events.is_closed() {
            let known = self.masters.borrow_and_update().clone();
            if known.is_some() && known != present {
                former = std::mem::replace(&mut present, known.clone());
            }
            let Some(address) = redirected.take().or(known) else {
                if self.masters.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.attempt(&address).await {
                Ok(()) => {
                    pause = PAUSE_MIN;
                    reported = None;
                }
                Err(error) => {
                    if let LinkError::Refused(status) = &error {
                        // Who was just elected may not know it yet, and name the one before it.
                        redirected = leader(status)
                            .filter(|leader| *leader != address && Some(leader) != former.as_ref());
                    }
                    // One line per trouble, not one per attempt.
                    let line = format!("the master at {address} cannot be reached: {error}");
                    if reported.as_ref() != Some(&line) {
                        tracing::warn!("{line}; trying again");
                        reported = Some(line);
                    }
                }
            }
            let wait = pause / 2 + self.rng.up_to(pause / 2);
            pause = (pause * 2).min(PAUSE_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = self.masters.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // What the old leader has cost says nothing about the new one.
                    pause = PAUSE_MIN;
                }
                () = self.events.closed() => return,
            }
        }
    }

    /// One stream from its start to its end; an error if it never opened.
    async fn attempt(&mut self, address: &str) -> Result<(), LinkError> {
        let (messages, outgoing) = mpsc::channel(OUTGOING_MAX);
        let mut masters = self.masters.clone();
        // A machine that is off answers nothing at all: who waits for it misses the next leader.
        let mut incoming = tokio::select! {
            opened = open(address, outgoing, self.keepalive) => opened?,
            () = moved(&mut masters, address) => return Err(LinkError::Moved),
        };
        let connection = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed));
        let (open, closed) = oneshot::channel();
        let outgoing = Outgoing {
            connection,
            messages,
            _open: open,
        };
        self.tell(LinkEvent::Connected {
            connection,
            outgoing,
        })
        .await;
        let ended = self.carry(connection, address, &mut incoming, closed).await;
        match ended {
            Ok(()) => tracing::info!(master = address, "the link to the master was closed"),
            Err(status) => tracing::warn!(
                master = address,
                "lost the link to the master: {}",
                status.message()
            ),
        }
        self.tell(LinkEvent::Disconnected { connection }).await;
        Ok(())
    }

    /// Passes the master's messages on until one side closes the stream.
    async fn carry(
        &mut self,
        connection: ConnectionId,
        address: &str,
        incoming: &mut Streaming<FromMaster>,
        mut closed: oneshot::Receiver<()>,
    ) -> Result<(), Status> {
        loop {
            tokio::select! {
                biased;
                _ = &mut closed => {
                    // What was sent last still goes out: the master ends its side when it has it all.
                    let rest = async { while let Ok(Some(_)) = incoming.message().await {} };
                    drop(tokio::time::timeout(FLUSH_MAX, rest).await);
                    return Ok(());
                }
                changed = self.masters.changed() => {
                    if changed.is_err() || self.masters.borrow().as_deref() != Some(address) {
                        return Ok(());
                    }
                }
                next = incoming.message() => match next? {
                    Some(message) => {
                        let message = Box::new(message);
                        self.tell(LinkEvent::Message { connection, message }).await;
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    async fn tell(&self, event: LinkEvent) {
        // A closed queue means that the agent has ended; `run` sees it.
        drop(self.events.send(event).await);
    }
}

/// Connects and opens the stream.
async fn open(
    address: &str,
    outgoing: mpsc::Receiver<FromAgent>,
    keepalive: Duration,
) -> Result<Streaming<FromMaster>, LinkError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| LinkError::Address(address.to_owned()))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(keepalive))
        .http2_keep_alive_interval(keepalive)
        .keep_alive_timeout(keepalive)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect().await.map_err(LinkError::Connect)?;
    let mut client = AgentLinkClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
    let opening = client.connect(ReceiverStream::new(outgoing));
    let stream = tokio::time::timeout(OPEN_TIMEOUT, opening)
        .await
        .map_err(|_| LinkError::Slow)?
        .map_err(|status| LinkError::Refused(Box::new(status)))?;
    Ok(stream.into_inner())
}

/// Returns when a master other than the one at `address` has come to lead.
async fn moved(masters: &mut watch::Receiver<Option<String>>, address: &str) {
    loop {
        if masters.changed().await.is_err() {
            return std::future::pending().await;
        }
        let leader = masters.borrow_and_update();
        if leader.as_deref().is_some_and(|leader| leader != address) {
            return;
        }
    }
}

/// Where a standby says that the leader is.
fn leader(status: &Status) -> Option<String> {
    if status.code() != Code::Unavailable {
        return None;
    }
    let text = status.metadata().get(LEADER)?.to_str().ok()?;
    Some(text.to_owned())
}
