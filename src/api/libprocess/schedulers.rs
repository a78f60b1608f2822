//! Schedulers' drivers at a master: one session each, over the same calls as every front end.

use std::sync::Arc;

use super::front::Process;
use super::incoming::Incoming;
use super::link::{Link, Outgoing, Postbox};
use super::pid::Pid;
use super::scheduler_calls::{self, Asked, Subscribe};
use super::scheduler_events::{self, Translator, agent_pid};
use super::session::{Ended, Service, Session, register};
use super::sessions::Sessions;
use crate::api::error::ApiError;
use crate::api::service::scheduler::{SchedulerCalls, SchedulerEvents};
use crate::base::{AgentId, FrameworkId};
use crate::master::Handle;
use crate::master::framework::FrameworkStatus;
use crate::proto::mesos::internal::AuthenticationErrorMessage;
use crate::proto::v1;
use crate::proto::v1::scheduler::{Call, Event, call, event};
use crate::telemetry::{Counter, Metrics};

/// What serves the drivers of schedulers; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Schedulers {
    calls: SchedulerCalls,
    master: Handle,
    /// This master's process.
    me: Arc<str>,
    postbox: Postbox,
    sessions: Sessions<Subscribe, Subscribed>,
    heard: Heard,
}

/// What only drivers say. Metrics: `master/messages_authenticate`, `master/messages_deactivate_framework`.
#[derive(Clone, Debug)]
struct Heard {
    authenticate: Counter,
    deactivate: Counter,
}

impl Heard {
    fn new(metrics: &Metrics) -> Self {
        Self {
            authenticate: metrics.counter(
                "master/messages_authenticate",
                "requests of v0 drivers to be authenticated",
            ),
            deactivate: metrics.counter(
                "master/messages_deactivate_framework",
                "v0 drivers that were stopped and may come back",
            ),
        }
    }
}

/// A driver that is subscribed.
#[derive(Clone, Debug)]
pub(super) struct Subscribed {
    framework_id: String,
    /// The name of its event stream, which its calls need.
    stream: Arc<str>,
}

/// What a session remembers.
#[derive(Debug)]
pub(super) struct State {
    /// The next SUBSCRIBED is for a framework that this master has had, or for a new one.
    known: bool,
    /// Repeats the welcome for a driver that asks again.
    welcome: Option<Outgoing>,
    translator: Option<Translator>,
}

impl Process for Schedulers {
    const ID: &'static str = "master";

    async fn receive(&self, message: Incoming) -> bool {
        let Incoming {
            name, from, body, ..
        } = message;
        match scheduler_calls::read(&name, &body) {
            Ok(Some(asked)) => self.answer(from, asked).await,
            Ok(None) => {
                tracing::debug!(%name, %from, "not a message for a master");
                false
            }
            Err(error) => {
                tracing::info!(%from, %error, "message dropped");
                false
            }
        }
    }
}

impl Schedulers {
    pub(super) fn new(
        calls: SchedulerCalls,
        master: Handle,
        me: Arc<str>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            heard: Heard::new(metrics),
            calls,
            master,
            postbox: Postbox::new(Arc::clone(&me)),
            me,
            sessions: Sessions::default(),
        }
    }

    async fn answer(&self, from: Pid, asked: Asked) -> bool {
        match asked {
            Asked::Subscribe(subscribe) => self.subscribe(from, *subscribe),
            Asked::Call(call) => self.call(&from, *call).await,
            Asked::Deactivate(framework_id) => {
                self.heard.deactivate.increment();
                self.deactivate(&from, framework_id).await
            }
            Asked::Authenticate => {
                self.heard.authenticate.increment();
                let error = Some("No authenticator loaded".to_owned());
                let message = AuthenticationErrorMessage { error };
                self.postbox.post(from, Outgoing::new(&message));
                true
            }
            Asked::Refused(reason) => {
                self.postbox.post(from, scheduler_events::error(reason));
                true
            }
        }
    }

    /// Hands a subscription to the driver's session, and starts one where there is none.
    fn subscribe(&self, from: Pid, subscribe: Subscribe) -> bool {
        // A driver that lost its framework to another process must not take it back by reconnecting.
        let taken = !subscribe.force
            && subscribe.framework_id().is_some_and(|id| {
                self.sessions
                    .any_other(&from, |other| other.framework_id == id.value)
            });
        if taken {
            self.postbox
                .post(from, scheduler_events::error("Framework failed over"));
            return true;
        }
        register(self, from, subscribe)
    }

    async fn call(&self, from: &Pid, call: Call) -> bool {
        let Some(subscribed) = self.sessions.subscribed(from) else {
            tracing::info!(%from, "call dropped: its sender is not registered");
            return false;
        };
        let kind = call.r#type().as_str_name();
        match self.calls.call(call, Some(&subscribed.stream)).await {
            Ok(()) => true,
            Err(error) => {
                tracing::info!(%from, kind, %error, "call refused");
                false
            }
        }
    }

    /// No more offers; those that are out go back. The tasks stay.
    async fn deactivate(&self, from: &Pid, framework_id: v1::FrameworkId) -> bool {
        let begin = |kind: call::Type| Call {
            framework_id: Some(framework_id.clone()),
            r#type: Some(kind.into()),
            ..Call::default()
        };
        if !self.call(from, begin(call::Type::Suppress)).await {
            return false;
        }
        let Ok(snapshot) = self.master.snapshot().await else {
            return false;
        };
        let framework = snapshot
            .frameworks
            .get(&FrameworkId::new(framework_id.value.as_str()));
        let offers = framework
            .iter()
            .flat_map(|framework| framework.offers.iter());
        let decline = call::Decline {
            offer_ids: offers.map(Into::into).collect(),
            filters: None,
        };
        let call = Call {
            decline: Some(decline),
            ..begin(call::Type::Decline)
        };
        self.call(from, call).await
    }

    /// The process of an agent that the scheduler has had no offer of.
    async fn agent_pid(&self, agent_id: &str) -> Option<String> {
        let snapshot = self.master.snapshot().await.ok()?;
        let agent = snapshot.agents.get(&AgentId::new(agent_id))?;
        let (ip, _) = agent.peer.rsplit_once(':')?;
        let ip = ip.trim_matches(['[', ']']);
        Some(agent_pid(ip, agent.info.port()))
    }
}

impl Service for Schedulers {
    const DRIVER: &'static str = "scheduler";
    type Order = Subscribe;
    type Subscribed = Subscribed;
    type Event = Event;
    type Events = SchedulerEvents;
    type State = State;

    fn me(&self) -> &Arc<str> {
        &self.me
    }

    fn sessions(&self) -> &Sessions<Subscribe, Subscribed> {
        &self.sessions
    }

    /// Subscribes, and says whether this master had the framework already (or it is new).
    async fn open(
        &self,
        pid: &Pid,
        order: Subscribe,
    ) -> Result<(SchedulerEvents, State), ApiError> {
        let framework_id = order.framework_id().cloned();
        let known = match &framework_id {
            None => true,
            Some(id) => {
                let snapshot = self.master.snapshot().await?;
                let framework = snapshot
                    .frameworks
                    .get(&FrameworkId::new(id.value.as_str()));
                framework.is_some_and(|known| known.status != FrameworkStatus::Recovered)
            }
        };
        let call = Call {
            framework_id,
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(order.subscribe),
            ..Call::default()
        };
        let events = self.calls.subscribe_process(call, pid.to_string()).await?;
        let state = State {
            known,
            welcome: None,
            translator: None,
        };
        Ok((events, state))
    }

    /// Tells a driver why it is not subscribed. Nothing if it only has to try again, as drivers do by
    /// themselves, here or with the next leader: what they are told ends them.
    async fn refuse(&self, link: &mut Link, error: ApiError) -> Ended {
        let reason = error.to_string();
        let passing = matches!(
            error,
            ApiError::NotLeading { .. } | ApiError::Unavailable(_) | ApiError::TimedOut(_)
        );
        if passing {
            return Ended::Refused(reason);
        }
        match link.send(&scheduler_events::error(&reason)).await {
            Ok(()) => Ended::Refused(reason),
            Err(broken) => Ended::Broken(broken),
        }
    }

    async fn tell(session: &mut Session<Self>, mut event: Event) -> Result<(), Ended> {
        if let Some(subscribed) = event.subscribed.take() {
            return session.welcome(subscribed).await;
        }
        if event.r#type() == event::Type::Error {
            let reason = event.error.unwrap_or_default().message;
            session.link.send(&scheduler_events::error(&reason)).await?;
            return Err(Ended::Refused(reason));
        }
        let Some(translator) = &mut session.state.translator else {
            return Ok(());
        };
        if let Some(agent_id) = translator.unknown_agent(&event) {
            let pid = session.service.agent_pid(agent_id).await;
            translator.learn(agent_id.to_owned(), pid.unwrap_or_default());
        }
        if let Some(message) = translator.message(event) {
            session.link.send(&message).await?;
        }
        Ok(())
    }

    /// A driver that is subscribed here registers again, for example after a change in ZooKeeper.
    async fn order(session: &mut Session<Self>, order: Subscribe) -> Result<(), Ended> {
        if order.framework_id().is_some() {
            // The words for its next welcome come with it; until then events go as before.
            let translator = session.state.translator.take();
            session.subscribe_again(order).await?;
            session.state.translator = translator;
            return Ok(());
        }
        if let Some(welcome) = &session.state.welcome {
            session.link.send(welcome).await?;
        }
        Ok(())
    }
}

impl Session<Schedulers> {
    async fn welcome(&mut self, subscribed: event::Subscribed) -> Result<(), Ended> {
        let framework_id = subscribed.framework_id.clone();
        self.place.set(Subscribed {
            framework_id: framework_id.value.clone(),
            stream: self.events.id.as_str().into(),
        });
        let state = &mut self.state;
        state.translator = Some(Translator::new(framework_id));
        state.welcome = scheduler_events::welcome(subscribed, state.known);
        if let Some(welcome) = &state.welcome {
            self.link.send(welcome).await?;
        }
        Ok(())
    }
}
