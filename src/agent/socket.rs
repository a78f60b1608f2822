//! Shell: the unix socket for built-in executors: `<runtime_dir>/executor.sock`.
//!
//! Frames in both directions are a big-endian `u32` length and a protobuf message:
//! `mesos.v1.executor.Call` to the agent, `mesos.v1.executor.Event` to the executor. The first frame
//! must be SUBSCRIBE. Only processes of root or of the agent's own user are let in.
//!
//! The executors may be of an earlier version than the agent: they live in the memory of their tasks'
//! supervisors, which go on while the agent is replaced. So this is version 1 of the protocol and stays:
//! messages may get new fields and kinds that the other side skips; what cannot be said so needs a socket of
//! another name beside this one, and `tests/golden/upgrade` keeps what version 1 has said. The launch plan
//! has no such limits: an agent starts supervisors from a copy of its own binary only.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use crate::base::ConnectionId;
use crate::proto::{WireError, decode, v1};

use super::call::{CallRefused, ParsedCall, Subscription};
use super::handle::Handle;

/// Largest frame in either direction.
pub(super) const FRAME_MAX: usize = 64 << 20;
/// Executors connected at once.
const CONNECTIONS_MAX: usize = 16_384;
/// From connecting to SUBSCRIBE.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an executor may take to read what is sent to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Buffer that a frame grows by, so that a length alone reserves no memory.
const CHUNK: usize = 64 << 10;

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("--runtime_dir: cannot {verb} {path}: {source}", path = path.display())]
pub struct SocketError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Why a connection was ended.
#[derive(Debug, thiserror::Error)]
enum PeerError {
    #[error("cannot read: {0}")]
    Read(#[source] io::Error),
    #[error("a frame of {0} bytes is longer than {FRAME_MAX}")]
    TooLong(usize),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Call(#[from] CallRefused),
    #[error("the first frame is not SUBSCRIBE")]
    NotSubscribe,
    #[error("a second SUBSCRIBE on the same connection")]
    SubscribedTwice,
    #[error("no SUBSCRIBE within {} s", SUBSCRIBE_TIMEOUT.as_secs())]
    Silent,
    #[error("user {0} is neither root nor the agent's own")]
    Stranger(u32),
}

/// Opens the socket, in the place of one that an earlier agent has left.
///
/// # Errors
///
/// [`SocketError`] names the path and what the system said.
pub(super) fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |verb| {
        let path = path.to_owned();
        move |source| SocketError { verb, path, source }
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed("create the folder of"))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace")(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed("listen on"))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(failed("protect"))?;
    Ok(listener)
}

/// Accepts executors until the task is dropped.
pub(super) async fn serve(listener: UnixListener, handle: Handle) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handle = handle.clone();
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, &handle).await {
                        tracing::warn!("ended an executor's connection: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: others will be closed.
                tracing::warn!(%error, "cannot accept an executor");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, handle: &Handle) -> Result<(), PeerError> {
    let uid = stream.peer_cred().map_err(PeerError::Read)?.uid();
    if uid != 0 && uid != nix::unistd::geteuid().as_raw() {
        return Err(PeerError::Stranger(uid));
    }
    let (mut reader, writer) = stream.into_split();
    let first = tokio::time::timeout(SUBSCRIBE_TIMEOUT, read_frame(&mut reader))
        .await
        .map_err(|_| PeerError::Silent)??;
    let Some(frame) = first else {
        return Ok(());
    };
    let call: v1::executor::Call = decode(&frame)?;
    let ParsedCall::Subscribe(subscription) = ParsedCall::from_wire(call)? else {
        return Err(PeerError::NotSubscribe);
    };
    let executor = Executor {
        handle: handle.clone(),
        subscription: Subscription {
            unacknowledged_tasks: Vec::new(),
            unacknowledged_updates: Vec::new(),
            ..(*subscription).clone()
        },
    };
    let (connection, events) = handle.subscribe_executor(*subscription, None).await?;
    let writing = write_events(writer, events);
    let result = tokio::select! {
        result = executor.read_calls(&mut reader, connection) => result,
        () = writing => Ok(()),
    };
    handle.executor_disconnected(connection).await;
    result
}

/// One subscribed executor.
struct Executor {
    handle: Handle,
    subscription: Subscription,
}

impl Executor {
    async fn read_calls(
        &self,
        reader: &mut OwnedReadHalf,
        connection: ConnectionId,
    ) -> Result<(), PeerError> {
        while let Some(frame) = read_frame(reader).await? {
            let call: v1::executor::Call = decode(&frame)?;
            match ParsedCall::from_wire(call)? {
                ParsedCall::Subscribe(_) => return Err(PeerError::SubscribedTwice),
                ParsedCall::Call {
                    framework_id,
                    executor_id,
                    call,
                } => {
                    self.check_ids(&framework_id, &executor_id)?;
                    let result = self
                        .handle
                        .executor_call(framework_id, executor_id, Some(connection), *call)
                        .await;
                    match result {
                        Ok(()) => {}
                        // One bad update does not end the executor of good ones.
                        Err(CallRefused::Invalid(reason)) => {
                            let executor_id = &self.subscription.executor_id;
                            tracing::warn!(%executor_id, "refused an executor's call: {reason}");
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        Ok(())
    }

    /// A connection speaks for the executor that subscribed on it, for no other.
    fn check_ids(
        &self,
        framework_id: &crate::base::FrameworkId,
        executor_id: &crate::base::ExecutorId,
    ) -> Result<(), PeerError> {
        let own = &self.subscription;
        if own.framework_id == *framework_id && own.executor_id == *executor_id {
            return Ok(());
        }
        let reason = format!(
            "executor_id: the connection belongs to '{}', the call names '{executor_id}'",
            own.executor_id
        );
        Err(CallRefused::Invalid(reason).into())
    }
}

/// Sends events until there are no more, or the executor reads too slowly.
async fn write_events(
    mut writer: impl AsyncWrite + Unpin,
    mut events: mpsc::Receiver<v1::executor::Event>,
) {
    while let Some(event) = events.recv().await {
        let body = event.encode_to_vec();
        let Some(length) = u32::try_from(body.len())
            .ok()
            .filter(|_| body.len() <= FRAME_MAX)
        else {
            tracing::warn!(length = body.len(), "an event is too long for its executor");
            return;
        };
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(&body);
        let write = tokio::time::timeout(WRITE_TIMEOUT, writer.write_all(&frame)).await;
        if !matches!(write, Ok(Ok(()))) {
            return;
        }
    }
    // The other side sees the end of the stream.
    drop(writer.shutdown().await);
}

/// One frame; `None` at a clean end.
async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>, PeerError> {
    let mut header = [0; 4];
    match reader.read(&mut header).await.map_err(PeerError::Read)? {
        0 => return Ok(None),
        read => reader
            .read_exact(&mut header[read..])
            .await
            .map_err(PeerError::Read)?,
    };
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > FRAME_MAX {
        return Err(PeerError::TooLong(length));
    }
    let mut frame = Vec::with_capacity(length.min(CHUNK));
    while frame.len() < length {
        let start = frame.len();
        frame.resize(length.min(start + CHUNK), 0);
        reader
            .read_exact(&mut frame[start..])
            .await
            .map_err(PeerError::Read)?;
    }
    Ok(Some(frame))
}
