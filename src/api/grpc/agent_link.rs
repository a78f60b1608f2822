//! `mesosd.v1.AgentLink`, the master's half.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::Events;
use crate::api::error::ApiError;
use crate::api::server::Peer;
use crate::master::Handle;
use crate::master::driver::AgentLink as Link;
use crate::proto::link::agent_link_server::AgentLink;
use crate::proto::link::from_agent::Message;
use crate::proto::link::{FromAgent, FromMaster};
use crate::proto::v1::AgentInfo;

/// From opening a link to the agent's first message.
const FIRST_MESSAGE: Duration = Duration::from_secs(5);

/// Hands agents' messages to the master.
#[derive(Debug)]
pub(super) struct Links {
    master: Handle,
}

impl Links {
    pub(super) fn new(master: Handle) -> Self {
        Self { master }
    }
}

#[tonic::async_trait]
impl AgentLink for Links {
    type ConnectStream = Events<FromMaster>;

    /// Answers at once: an agent may wait for the open stream before it says its first word.
    async fn connect(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Events<FromMaster>>, Status> {
        let peer = request.extensions().get::<Peer>().copied();
        let (opened, opening) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        let pump = Pump {
            master: self.master.clone(),
            incoming: request.into_inner(),
        };
        let pump = tokio::spawn(async move {
            // Whoever opened the stream may be gone before any of this is known.
            let _ = ended.send(pump.run(peer, opened).await.into());
        });
        Ok(Response::new(Box::pin(Outgoing {
            link: Half::Opening(opening),
            end: Some(end),
            pump: pump.abort_handle(),
        })))
    }
}

fn not_registered() -> ApiError {
    let message = "the first message of a link must be Register or Reregister";
    ApiError::NotSubscribed(message.to_owned())
}

/// Where the agent listens: the address that its link comes from, and the port that it names.
fn address(peer: Option<Peer>, agent: &AgentInfo) -> String {
    let port = u16::try_from(agent.port()).unwrap_or(0);
    match peer {
        Some(Peer(from)) => SocketAddr::new(from.ip().to_canonical(), port).to_string(),
        None => format!("{}:{port}", agent.hostname),
    }
}

/// Hands over what the agent says; the master's mailbox pushes back through flow control.
struct Pump {
    master: Handle,
    incoming: Streaming<FromAgent>,
}

impl Pump {
    /// Runs until the agent ends the link or breaks a rule; gives the other half to `opened`.
    async fn run(mut self, peer: Option<Peer>, opened: oneshot::Sender<Link>) -> Ended {
        let first = match timeout(FIRST_MESSAGE, self.incoming.message()).await {
            Err(_) => {
                let message = format!("the agent has said nothing for {FIRST_MESSAGE:?}");
                return Ended::Refused(ApiError::TimedOut(message));
            }
            Ok(Err(status)) => return Ended::Broken(status),
            // In a box: a message is large, and there are as many of these tasks as agents.
            Ok(Ok(first)) => first.and_then(|first| first.message).map(Box::new),
        };
        let agent = match first.as_deref() {
            Some(Message::Register(register)) => &register.agent,
            Some(Message::Reregister(reregister)) => &reregister.agent,
            _ => return Ended::Refused(not_registered()),
        };
        let link = match self.master.connect_agent(address(peer, agent)).await {
            Ok(link) => link,
            Err(error) => return Ended::Refused(error.into()),
        };
        let connection = link.connection();
        if opened.send(link).is_err() {
            return Ended::ByAgent;
        }
        let mut next = first;
        loop {
            if let Some(message) = next
                && let Err(error) = self.master.agent_message(connection, message).await
            {
                return Ended::Refused(error.into());
            }
            next = match self.incoming.message().await {
                // Without message it is of a kind that this version does not know.
                Ok(Some(said)) => said.message.map(Box::new),
                Ok(None) => return Ended::ByAgent,
                Err(status) => return Ended::Broken(status),
            };
        }
    }
}

/// How the agent's half of a link ended.
enum Ended {
    ByAgent,
    Broken(Status),
    Refused(ApiError),
}

impl From<Ended> for Option<Status> {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::ByAgent => None,
            Ended::Broken(status) => Some(status),
            Ended::Refused(error) => Some(error.into()),
        }
    }
}

/// What the master says, until either side ends the link.
struct Outgoing {
    link: Half,
    /// None once it has been told.
    end: Option<oneshot::Receiver<Option<Status>>>,
    pump: AbortHandle,
}

enum Half {
    /// The agent has not registered.
    Opening(oneshot::Receiver<Link>),
    Open(Link),
    /// The agent's half ended before it was open.
    Never,
}

impl Stream for Outgoing {
    type Item = Result<FromMaster, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Half::Opening(opening) = &mut self.link
            && let Poll::Ready(link) = Pin::new(opening).poll(cx)
        {
            self.link = link.map_or(Half::Never, Half::Open);
        }
        if let Half::Open(link) = &mut self.link
            && let Poll::Ready(message) = Pin::new(link).poll_next(cx)
        {
            let closed = || {
                let message = "the master has closed this link: a newer one has taken its place, the \
                               agent was removed, or it reads too slowly";
                Status::aborted(message)
            };
            return Poll::Ready(Some(message.ok_or_else(closed)));
        }
        let Some(end) = &mut self.end else {
            return Poll::Ready(None);
        };
        let Poll::Ready(ended) = Pin::new(end).poll(cx) else {
            return Poll::Pending;
        };
        self.end = None;
        Poll::Ready(ended.unwrap_or_default().map(Err))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.pump.abort();
    }
}
