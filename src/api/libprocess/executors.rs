//! Executors' drivers at an agent: one session each, over the same calls as every front end.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::executor_messages::{self, Asked, Subscribe, Translator};
use super::front::Process;
use super::incoming::Incoming;
use super::link::Link;
use super::pid::Pid;
use super::sessions::{Given, Place, Sessions};
use crate::agent::Handle;
use crate::api::error::ApiError;
use crate::api::service::executor::{ExecutorCalls, ExecutorEvents};
use crate::proto::v1::executor::{Call, Event, event};

/// What serves the drivers of executors; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Executors {
    calls: ExecutorCalls,
    agent: Handle,
    /// This agent's process.
    me: Arc<str>,
    sessions: Sessions<Subscribe, Subscribed>,
}

/// A driver that is subscribed.
#[derive(Clone, Debug, PartialEq)]
struct Subscribed {
    framework_id: String,
    executor_id: String,
}

/// One driver's session: its connection, and the events that go there.
struct Session {
    executors: Executors,
    place: Place<Subscribe, Subscribed>,
    link: Link,
    events: ExecutorEvents,
    /// The subscription whose SUBSCRIBED is to come.
    order: Subscribe,
    translator: Option<Translator>,
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the agent has closed its events")]
    Closed,
    #[error("it was turned away: {0}")]
    Refused(ApiError),
}

impl Process for Executors {
    const ID: &'static str = "slave(1)";

    async fn receive(&self, message: Incoming) -> bool {
        let Incoming {
            name, from, body, ..
        } = message;
        match executor_messages::read(&name, &body) {
            Ok(Some(Asked::Subscribe(subscribe))) => self.subscribe(from, *subscribe),
            Ok(Some(Asked::Call(call))) => self.call(&from, *call).await,
            Ok(Some(Asked::Message(message))) => {
                self.agent.framework_message(message).await.is_ok()
            }
            Ok(None) => {
                tracing::debug!(%name, %from, "not a message for an agent");
                false
            }
            Err(error) => {
                tracing::info!(%from, %error, "message dropped");
                false
            }
        }
    }
}

impl Executors {
    pub(super) fn new(calls: ExecutorCalls, agent: Handle, me: Arc<str>) -> Self {
        Self {
            calls,
            agent,
            me,
            sessions: Sessions::default(),
        }
    }

    fn subscribe(&self, from: Pid, subscribe: Subscribe) -> bool {
        match self.sessions.give(&from, subscribe) {
            Given::Passed => true,
            Given::New(place, orders) => {
                tokio::spawn(self.clone().converse(place, orders));
                true
            }
            Given::Full => {
                tracing::warn!(%from, "too many executors, or one that registers too often");
                false
            }
        }
    }

    /// A call counts if it comes from the process that is registered for the executor.
    async fn call(&self, from: &Pid, call: Call) -> bool {
        let own = Subscribed {
            framework_id: call.framework_id.value.clone(),
            executor_id: call.executor_id.value.clone(),
        };
        if self.sessions.subscribed(from) != Some(own) {
            tracing::info!(%from, executor = call.executor_id.value, "call dropped: not registered");
            return false;
        }
        let kind = call.r#type().as_str_name();
        match self.calls.call(call).await {
            Ok(()) => true,
            Err(error) => {
                tracing::info!(%from, kind, %error, "call refused");
                false
            }
        }
    }

    /// One driver's session, from its first registration to the end of its connection.
    async fn converse(
        self,
        place: Place<Subscribe, Subscribed>,
        mut orders: mpsc::Receiver<Subscribe>,
    ) {
        let pid = place.pid().clone();
        let again = self.clone();
        let (ended, link) = match Session::begin(self, place, &mut orders).await {
            Ok(mut session) => (session.run(&mut orders).await, Some(session.link)),
            Err(ended) => ended,
        };
        tracing::info!(executor = %pid, reason = %ended, "executor's driver is gone");
        // The place is free now: who registered meanwhile gets a session of its own.
        orders.close();
        while let Some(order) = orders.recv().await {
            if !matches!(ended, Ended::Refused(_)) {
                again.subscribe(pid.clone(), order);
            }
        }
        if let Some(link) = link {
            link.close().await;
        }
    }
}

impl Session {
    async fn begin(
        executors: Executors,
        place: Place<Subscribe, Subscribed>,
        orders: &mut mpsc::Receiver<Subscribe>,
    ) -> Result<Self, (Ended, Option<Link>)> {
        let opened = Link::open(&executors.me, place.pid()).await;
        let mut link = opened.map_err(|error| (error.into(), None))?;
        let order = orders.recv().await.ok_or((Ended::Closed, None))?;
        match executors.calls.subscribe(order.call.clone()).await {
            Ok(events) => Ok(Self {
                executors,
                place,
                link,
                events,
                order,
                translator: None,
            }),
            Err(error) => {
                let sent = link.send(&executor_messages::shutdown()).await;
                let ended = sent.map_or_else(Ended::Broken, |()| Ended::Refused(error));
                Err((ended, Some(link)))
            }
        }
    }

    async fn run(&mut self, orders: &mut mpsc::Receiver<Subscribe>) -> Ended {
        loop {
            let done = tokio::select! {
                event = self.events.next() => self.tell(event).await,
                Some(order) = orders.recv() => self.subscribe_again(order).await,
                error = self.link.ended() => Err(error.into()),
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    async fn tell(&mut self, event: Option<Result<Event, ApiError>>) -> Result<(), Ended> {
        let event = match event {
            Some(Ok(event)) => event,
            Some(Err(error)) => return Err(Ended::Refused(error)),
            None => return Err(Ended::Closed),
        };
        let message = match (event.subscribed, &self.translator) {
            (Some(subscribed), _) => {
                let Subscribe { call, again } = &self.order;
                self.place.set(Subscribed {
                    framework_id: call.framework_id.value.clone(),
                    executor_id: call.executor_id.value.clone(),
                });
                let (translator, welcome) = Translator::welcome(subscribed, call, *again);
                self.translator = Some(translator);
                Some(welcome)
            }
            (None, Some(translator)) => translator.message(Event {
                subscribed: None,
                ..event
            }),
            // An executor that the agent does not know is only told to go.
            (None, None) => (event.r#type == Some(event::Type::Shutdown.into()))
                .then(executor_messages::shutdown),
        };
        if let Some(message) = message {
            self.link.send(&message).await?;
        }
        Ok(())
    }

    async fn subscribe_again(&mut self, order: Subscribe) -> Result<(), Ended> {
        match self.executors.calls.subscribe(order.call.clone()).await {
            Ok(events) => {
                self.events = events;
                self.order = order;
                Ok(())
            }
            Err(error) => {
                self.link.send(&executor_messages::shutdown()).await?;
                Err(Ended::Refused(error))
            }
        }
    }
}
