//! The way to a peer: one connection of our own, messages in order, its end noticed.

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use prost::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::pid::Pid;
use crate::api::server::end_when_silent;

/// Time for a peer to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Time for a peer to close its half of a connection.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Time for a peer to take one message.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Single messages under way at once.
const POSTED_MAX: usize = 64;

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    name: String,
    body: Vec<u8>,
}

impl Outgoing {
    /// The message under its full name.
    pub(super) fn new<M: prost::Message + Name>(message: &M) -> Self {
        Self {
            name: M::full_name(),
            body: message.encode_to_vec(),
        }
    }

    /// The message as Mesos writes it on a connection: chunked, or without any body when it is empty.
    pub(super) fn frame(&self, me: &str, peer: &Pid) -> Vec<u8> {
        let Self { name, body } = self;
        let Pid { id, address } = peer;
        let mut bytes = format!(
            "POST /{id}/{name} HTTP/1.1\r\nUser-Agent: libprocess/{me}\r\nLibprocess-From: {me}\r\n\
             Connection: Keep-Alive\r\nHost: {address}\r\n"
        )
        .into_bytes();
        if body.is_empty() {
            bytes.extend_from_slice(b"\r\n");
            return bytes;
        }
        let head = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        bytes
    }
}

/// An open connection to a peer.
#[derive(Debug)]
pub(super) struct Link {
    me: String,
    peer: Pid,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

impl Link {
    /// Connects to a peer; `me` is the process that its messages will be from.
    pub(super) async fn open(me: &str, peer: &Pid) -> io::Result<Self> {
        let socket = timeout(CONNECT_MAX, TcpStream::connect(peer.address))
            .await
            .map_err(|_| late("has not accepted a connection"))??;
        socket.set_nodelay(true)?;
        end_when_silent(&socket, STALL_MAX)?;
        let (reader, writer) = socket.into_split();
        Ok(Self {
            me: me.to_owned(),
            peer: peer.clone(),
            reader,
            writer,
        })
    }

    /// Sends one message; returns once the peer's kernel has taken it.
    pub(super) async fn send(&mut self, message: &Outgoing) -> io::Result<()> {
        let bytes = message.frame(&self.me, &self.peer);
        let written = pin!(timeout(STALL_MAX, self.writer.write_all(&bytes)));
        // What the peer answers is taken meanwhile, so that two full buffers cannot wait for each other.
        tokio::select! {
            biased;
            result = written => result.unwrap_or_else(|_| Err(late("has read nothing"))),
            ended = answers(&mut self.reader) => Err(ended),
        }
    }

    /// Ends the connection once the peer has everything: closing it with unread answers would take back
    /// what is under way.
    pub(super) async fn close(mut self) {
        if self.writer.shutdown().await.is_ok() {
            let _ = timeout(CLOSE_MAX, answers(&mut self.reader)).await;
        }
    }

    /// Waits for the end of the connection. Cancel safe.
    pub(super) async fn ended(&mut self) -> io::Error {
        answers(&mut self.reader).await
    }
}

/// Sends single messages to processes that have no connection here.
#[derive(Clone, Debug)]
pub(super) struct Postbox {
    me: Arc<str>,
    slots: Arc<Semaphore>,
}

impl Postbox {
    /// Sends as the process `me`.
    pub(super) fn new(me: Arc<str>) -> Self {
        let slots = Arc::new(Semaphore::new(POSTED_MAX));
        Self { me, slots }
    }

    /// Sends one message and returns; waits only while too many others are under way.
    pub(super) async fn deliver(&self, to: Pid, message: Outgoing) {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.expect("the slots are never closed");
        self.send_in(slot, to, message);
    }

    /// Sends one message without waiting for it; drops it when too many are under way.
    pub(super) fn post(&self, to: Pid, message: Outgoing) {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            tracing::warn!(%to, name = message.name, "message dropped: too many are under way");
            return;
        };
        self.send_in(slot, to, message);
    }

    fn send_in(&self, slot: OwnedSemaphorePermit, to: Pid, message: Outgoing) {
        let me = Arc::clone(&self.me);
        tokio::spawn(async move {
            if let Err(error) = send_once(&me, &to, &message).await {
                tracing::debug!(%to, name = message.name, %error, "message not delivered");
            }
            drop(slot);
        });
    }
}

/// Sends one message on a connection of its own, and waits until the peer has answered it or has closed.
async fn send_once(me: &str, peer: &Pid, message: &Outgoing) -> io::Result<()> {
    let mut link = Link::open(me, peer).await?;
    link.send(message).await?;
    let mut answer = [0; 256];
    timeout(CONNECT_MAX, link.reader.read(&mut answer))
        .await
        .map_err(|_| late("has not answered"))??;
    Ok(())
}

/// Reads a peer's answers, which say nothing that matters, until there are no more.
async fn answers(reader: &mut OwnedReadHalf) -> io::Error {
    let mut answer = [0; 4096];
    loop {
        match reader.read(&mut answer).await {
            Ok(0) => return io::Error::new(ErrorKind::ConnectionAborted, "the peer has closed"),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

fn late(what: &str) -> io::Error {
    let text = format!("the peer {what} for too long");
    io::Error::new(ErrorKind::TimedOut, text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::proto::mesos::internal::{FrameworkErrorMessage, ShutdownExecutorMessage};

    async fn peer() -> (TcpListener, Pid) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let id = "scheduler(1)".to_owned();
        (listener, Pid { id, address })
    }

    #[tokio::test]
    async fn messages_have_mesos_form_and_order() {
        let (listener, peer) = peer().await;
        let mut link = Link::open("master@127.0.0.1:5050", &peer).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        let message = "no".to_owned();
        let error = Outgoing::new(&FrameworkErrorMessage { message });
        link.send(&error).await.unwrap();
        let empty = Outgoing::new(&ShutdownExecutorMessage::default());
        link.send(&empty).await.unwrap();
        drop(link);
        let mut text = String::new();
        accepted.read_to_string(&mut text).await.unwrap();
        let head = |name: &str| {
            let address = peer.address;
            format!(
                "POST /scheduler(1)/mesos.internal.{name} HTTP/1.1\r\n\
                 User-Agent: libprocess/master@127.0.0.1:5050\r\n\
                 Libprocess-From: master@127.0.0.1:5050\r\n\
                 Connection: Keep-Alive\r\nHost: {address}\r\n"
            )
        };
        let first = head("FrameworkErrorMessage");
        let second = head("ShutdownExecutorMessage");
        let body = "Transfer-Encoding: chunked\r\n\r\n4\r\n\u{12}\u{2}no\r\n0\r\n\r\n";
        assert_eq!(text, format!("{first}{body}{second}\r\n"));
    }

    #[tokio::test]
    async fn the_end_of_a_peer_is_noticed() {
        let (listener, peer) = peer().await;
        let mut link = Link::open("master@127.0.0.1:5050", &peer).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        accepted
            .write_all(b"HTTP/1.1 202 Accepted\r\n\r\n")
            .await
            .unwrap();
        drop(accepted);
        link.ended().await;
        drop(listener);
        assert!(Link::open("master@127.0.0.1:5050", &peer).await.is_err());
    }
}
