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
use crate::base::ConnectionId;
use crate::master::Handle;
use crate::master::driver::AgentLink as Link;
use crate::proto::link::agent_link_server::AgentLink;
use crate::proto::link::from_agent::Message;
use crate::proto::link::{FromAgent, FromMaster};
use crate::proto::v1::AgentInfo;

/// From opening a link to the agent's first message.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

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

    async fn connect(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Events<FromMaster>>, Status> {
        let peer = request.extensions().get::<Peer>().copied();
        let mut incoming = request.into_inner();
        let first = timeout(FIRST_MESSAGE, incoming.message())
            .await
            .map_err(|_| {
                let message = format!("the agent has said nothing for {FIRST_MESSAGE:?}");
                ApiError::TimedOut(message)
            })??;
        let Some(first) = first.and_then(|first| first.message) else {
            return Err(not_registered());
        };
        let agent = match &first {
            Message::Register(register) => &register.agent,
            Message::Reregister(reregister) => &reregister.agent,
            _ => return Err(not_registered()),
        };
        let address = address(peer, agent);
        let link = self
            .master
            .connect_agent(address)
            .await
            .map_err(ApiError::from)?;
        let connection = link.connection();
        self.master
            .agent_message(connection, first)
            .await
            .map_err(ApiError::from)?;

        let (ended, end) = oneshot::channel();
        let pump = tokio::spawn(pump(self.master.clone(), connection, incoming, ended));
        Ok(Response::new(Box::pin(Outgoing {
            link,
            end,
            pump: pump.abort_handle(),
        })))
    }
}

fn not_registered() -> Status {
    let message = "the first message of a link must be Register or Reregister";
    Status::failed_precondition(message)
}

/// Where the agent listens: the address that its link comes from, and the port that it names.
fn address(peer: Option<Peer>, agent: &AgentInfo) -> String {
    let port = u16::try_from(agent.port()).unwrap_or(0);
    match peer {
        Some(Peer(from)) => SocketAddr::new(from.ip().to_canonical(), port).to_string(),
        None => format!("{}:{port}", agent.hostname),
    }
}

/// Hands over what the agent says until it ends the link or breaks a rule; the master's mailbox pushes
/// back through the connection's flow control.
async fn pump(
    master: Handle,
    connection: ConnectionId,
    mut incoming: Streaming<FromAgent>,
    ended: oneshot::Sender<Status>,
) {
    let status = loop {
        match incoming.message().await {
            Ok(Some(FromAgent {
                message: Some(message),
            })) => {
                if let Err(error) = master.agent_message(connection, message).await {
                    break ApiError::from(error).into();
                }
            }
            // A kind of message that this version does not know.
            Ok(Some(FromAgent { message: None })) => {}
            Ok(None) => break Status::ok("the agent has ended the link"),
            Err(status) => break status,
        }
    };
    // The other half may be gone already.
    let _ = ended.send(status);
}

/// What the master says, until either side ends the link.
struct Outgoing {
    link: Link,
    end: oneshot::Receiver<Status>,
    pump: AbortHandle,
}

impl Stream for Outgoing {
    type Item = Result<FromMaster, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(message) = Pin::new(&mut self.link).poll_next(cx) {
            let closed = || {
                Status::aborted(
                    "the master has closed this link: it was replaced, removed or too slow",
                )
            };
            return Poll::Ready(Some(message.ok_or_else(closed)));
        }
        if self.end.is_terminated() {
            return Poll::Pending;
        }
        match Pin::new(&mut self.end).poll(cx) {
            Poll::Ready(Ok(status)) if status.code() == tonic::Code::Ok => Poll::Ready(None),
            Poll::Ready(Ok(status)) => Poll::Ready(Some(Err(status))),
            Poll::Ready(Err(_)) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.pump.abort();
    }
}
