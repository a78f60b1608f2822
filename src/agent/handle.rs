//! Shell: how the API and the executors' socket reach the agent's loop. Cheap to clone.

use tokio::sync::{mpsc, oneshot};

use crate::base::{ConnectionId, ContainerId, ExecutorId, FrameworkId, RequestId};
use crate::proto::{link, v1};

use super::call::{CallRefused, ExecutorCall, Subscription};
use super::effect::Reply;
use super::event::Event;
use super::snapshot::Snapshot;

/// Events waiting for the agent's loop; a full queue pushes back on connections.
pub(super) const INPUTS_MAX: usize = 1024;
/// Events waiting for one executor; an executor that reads slower is disconnected.
pub(super) const EXECUTOR_EVENTS_MAX: usize = 1024;

/// What callers put into the loop's queue.
#[derive(Debug)]
pub(super) enum Input {
    /// Something happened.
    Event(Event),
    /// An executor opens its stream.
    Subscribe {
        subscription: Box<Subscription>,
        container: Option<ContainerId>,
        events: mpsc::Sender<v1::executor::Event>,
        connection: oneshot::Sender<ConnectionId>,
    },
    /// A call that waits for its answer.
    Call {
        framework_id: FrameworkId,
        executor_id: ExecutorId,
        connection: Option<ConnectionId>,
        call: Box<ExecutorCall>,
        reply: oneshot::Sender<Result<Reply, CallRefused>>,
    },
    /// A reader.
    Snapshot {
        reply: oneshot::Sender<Result<Reply, CallRefused>>,
    },
}

/// An agent's loop, seen from outside.
#[derive(Clone, Debug)]
pub struct Handle {
    inputs: mpsc::Sender<Input>,
}

impl Handle {
    pub(super) fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self { inputs }
    }

    /// Opens an executor's event stream. Dropping the receiver closes it. The first event is
    /// SUBSCRIBED; an executor that the agent does not know gets SHUTDOWN and the end of the stream.
    ///
    /// # Errors
    ///
    /// [`CallRefused::Unavailable`] when the agent is ending.
    pub async fn subscribe_executor(
        &self,
        subscription: Subscription,
        container: Option<ContainerId>,
    ) -> Result<(ConnectionId, mpsc::Receiver<v1::executor::Event>), CallRefused> {
        let (events, receiver) = mpsc::channel(EXECUTOR_EVENTS_MAX);
        let (connection, answer) = oneshot::channel();
        self.put(Input::Subscribe {
            subscription: Box::new(subscription),
            container,
            events,
            connection,
        })
        .await?;
        let connection = answer.await.map_err(|_| ending())?;
        Ok((connection, receiver))
    }

    /// Passes on any call but SUBSCRIBE. `connection` is the stream it came on, where the transport
    /// has one.
    ///
    /// # Errors
    ///
    /// [`CallRefused::NotSubscribed`] for an executor without a stream, [`CallRefused::Invalid`] for
    /// an update of a task that the executor does not have.
    pub async fn executor_call(
        &self,
        framework_id: FrameworkId,
        executor_id: ExecutorId,
        connection: Option<ConnectionId>,
        call: ExecutorCall,
    ) -> Result<(), CallRefused> {
        let (reply, answer) = oneshot::channel();
        self.put(Input::Call {
            framework_id,
            executor_id,
            connection,
            call: Box::new(call),
            reply,
        })
        .await?;
        answer.await.map_err(|_| ending())?.map(|_| ())
    }

    /// Passes on a scheduler's bytes for an executor; dropped if that is not there.
    ///
    /// # Errors
    ///
    /// [`CallRefused::Unavailable`] when the agent is ending.
    pub async fn framework_message(
        &self,
        message: link::FrameworkMessage,
    ) -> Result<(), CallRefused> {
        let message = Box::new(message);
        self.put(Input::Event(Event::FrameworkMessage { message }))
            .await
    }

    /// Says which process the driver of an executor is, so that the next life of the agent can call it
    /// back.
    pub async fn executor_driver(
        &self,
        framework_id: FrameworkId,
        executor_id: ExecutorId,
        driver: String,
    ) {
        let event = Event::ExecutorDriver {
            framework_id,
            executor_id,
            driver,
        };
        // An agent that is ending writes nothing down any more.
        drop(self.put(Input::Event(event)).await);
    }

    /// Says that an executor's stream is gone; also noticed when its receiver is dropped.
    pub async fn executor_disconnected(&self, connection: ConnectionId) {
        let event = Event::ExecutorDisconnected { connection };
        // An agent that is ending has forgotten the stream already.
        drop(self.put(Input::Event(event)).await);
    }

    /// The state of this moment; costs the loop a few pointers.
    ///
    /// # Errors
    ///
    /// [`CallRefused::Unavailable`] when the agent is ending.
    pub async fn snapshot(&self) -> Result<Snapshot, CallRefused> {
        let (reply, answer) = oneshot::channel();
        self.put(Input::Snapshot { reply }).await?;
        match answer.await.map_err(|_| ending())?? {
            Reply::Snapshot(snapshot) => Ok(*snapshot),
            Reply::Accepted => Err(ending()),
        }
    }

    /// Asks the agent to end. With `destroy` its containers end first (a local cluster); without it
    /// they keep running for the next agent.
    pub async fn shutdown(&self, destroy: bool) {
        // An agent that is ending needs no second word.
        drop(self.put(Input::Event(Event::Shutdown { destroy })).await);
    }

    async fn put(&self, input: Input) -> Result<(), CallRefused> {
        self.inputs.send(input).await.map_err(|_| ending())
    }
}

impl Input {
    /// The core's event for a request with this number, and where its answer goes.
    pub(super) fn into_request(
        self,
        request: RequestId,
    ) -> Option<(Event, oneshot::Sender<Result<Reply, CallRefused>>)> {
        match self {
            Self::Call {
                framework_id,
                executor_id,
                connection,
                call,
                reply,
            } => {
                let event = Event::ExecutorCall {
                    request: Some(request),
                    framework_id,
                    executor_id,
                    connection,
                    call,
                };
                Some((event, reply))
            }
            Self::Snapshot { reply } => Some((Event::SnapshotRequested { request }, reply)),
            Self::Event(_) | Self::Subscribe { .. } => None,
        }
    }
}

fn ending() -> CallRefused {
    CallRefused::Unavailable("the agent is shutting down".into())
}
