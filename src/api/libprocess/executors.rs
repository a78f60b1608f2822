//! Executors' drivers at an agent: one session each, over the same calls as every front end.

use std::sync::Arc;
use std::time::Duration;

use super::executor_messages::{self, Asked, Subscribe, Translator};
use super::front::Process;
use super::incoming::Incoming;
use super::link::{Link, Outgoing, Postbox};
use super::pid::Pid;
use super::session::{Ended, Service, Session, register};
use super::sessions::Sessions;
use crate::agent::Handle;
use crate::api::error::ApiError;
use crate::api::service::executor::{ExecutorCalls, ExecutorEvents};
use crate::base::{ExecutorId, FrameworkId};
use crate::proto::mesos::internal as wire;
use crate::proto::v1::executor::{Call, Event, event};

/// How often a starting agent is asked whether it has its containers back.
const RECOVERY_LOOK: Duration = Duration::from_millis(20);

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
pub(super) struct Subscribed {
    framework_id: String,
    executor_id: String,
}

/// What a session remembers.
#[derive(Debug)]
pub(super) struct State {
    /// The subscription whose SUBSCRIBED is to come, or has come.
    order: Subscribe,
    translator: Option<Translator>,
}

impl Process for Executors {
    const ID: &'static str = "slave(1)";

    async fn receive(&self, message: Incoming) -> bool {
        let Incoming {
            name, from, body, ..
        } = message;
        match executor_messages::read(&name, &body) {
            Ok(Some(Asked::Subscribe(subscribe))) => register(self, from, *subscribe),
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
        let executors = Self {
            calls,
            agent,
            me,
            sessions: Sessions::default(),
        };
        tokio::spawn(executors.clone().call_back());
        executors
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

    /// Calls executors back that an earlier agent has launched: their drivers wait for it, and register
    /// again with what has not been acknowledged to them. Returns when they were called.
    async fn call_back(self) {
        let snapshot = loop {
            match self.agent.snapshot().await {
                Ok(snapshot) if snapshot.recovered_at.is_some() => break snapshot,
                Ok(_) => tokio::time::sleep(RECOVERY_LOOK).await,
                Err(_) => return,
            }
        };
        let slave_id = snapshot.info.id.clone().unwrap_or_default();
        let postbox = Postbox::new(Arc::clone(&self.me));
        let message = Outgoing::new(&wire::ReconnectExecutorMessage { slave_id });
        for executor in snapshot.executors().filter(|executor| executor.recovered) {
            let Some(driver) = &executor.driver else {
                continue;
            };
            match driver.parse() {
                Ok(pid) => postbox.deliver(pid, message.clone()).await,
                Err(error) => tracing::warn!(%driver, %error, "a driver cannot be called back"),
            }
        }
    }
}

impl Service for Executors {
    const DRIVER: &'static str = "executor";
    type Order = Subscribe;
    type Subscribed = Subscribed;
    type Event = Event;
    type Events = ExecutorEvents;
    type State = State;

    fn me(&self) -> &Arc<str> {
        &self.me
    }

    fn sessions(&self) -> &Sessions<Subscribe, Subscribed> {
        &self.sessions
    }

    async fn open(
        &self,
        _pid: &Pid,
        order: Subscribe,
    ) -> Result<(ExecutorEvents, State), ApiError> {
        let events = self.calls.subscribe(order.call.clone()).await?;
        let translator = None;
        Ok((events, State { order, translator }))
    }

    async fn refuse(&self, link: &mut Link, error: ApiError) -> Ended {
        let sent = link.send(&executor_messages::shutdown()).await;
        sent.map_or_else(Ended::Broken, |()| Ended::Refused(error.to_string()))
    }

    /// It registers again by itself.
    async fn failed(&self, _link: &mut Link, error: ApiError) -> Ended {
        Ended::Refused(error.to_string())
    }

    async fn tell(session: &mut Session<Self>, event: Event) -> Result<(), Ended> {
        let message = match (event.subscribed, &session.state.translator) {
            (Some(subscribed), _) => Some(session.welcome(subscribed).await),
            (None, Some(translator)) => translator.message(Event {
                subscribed: None,
                ..event
            }),
            // An executor that the agent does not know is only told to go.
            (None, None) => (event.r#type == Some(event::Type::Shutdown.into()))
                .then(executor_messages::shutdown),
        };
        if let Some(message) = message {
            session.link.send(&message).await?;
        }
        Ok(())
    }
}

impl Session<Executors> {
    async fn welcome(&mut self, subscribed: event::Subscribed) -> Outgoing {
        let Subscribe { call, again } = &self.state.order;
        let framework_id = call.framework_id.value.clone();
        let executor_id = call.executor_id.value.clone();
        self.place.set(Subscribed {
            framework_id: framework_id.clone(),
            executor_id: executor_id.clone(),
        });
        let agent = &self.service.agent;
        agent
            .executor_driver(
                FrameworkId::new(framework_id),
                ExecutorId::new(executor_id),
                self.place.pid().to_string(),
            )
            .await;
        let (translator, welcome) = Translator::welcome(subscribed, call, *again);
        self.state.translator = Some(translator);
        welcome
    }
}
