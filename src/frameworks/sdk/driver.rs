//! The loop that keeps a framework subscribed.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use super::backoff::Backoff;
use super::config::Config;
use super::error::is_retryable;
use super::event::{Event, Events};
use super::handle::{Handle, STREAM_ID};
use super::session::{Session, Shared, client};
use crate::election::driver::{addresses, follow};
use crate::proto::v1::scheduler as wire;

/// Events that wait for the program; beyond it the driver stops reading, and in the end the master
/// ends the subscription.
const EVENTS_MAX: usize = 1024;

/// Heartbeat interval of a master that does not name its own (Mesos' default).
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// Heartbeats that may be missed.
const HEARTBEATS_MISSED: u32 = 3;

/// Response metadata of a standby that knows the leader.
const LEADER: &str = "mesos-leader";

/// Starts a driver on the present tokio runtime.
#[must_use]
pub fn start(config: Config) -> (Handle, Events) {
    let shared = Arc::new(Shared::default());
    shared.set_framework_id(config.framework.id.clone());
    let handle = Handle::new(Arc::clone(&shared), config.call_timeout);
    let (events, queue) = mpsc::channel(EVENTS_MAX);
    let acknowledgement = config.acknowledgement;
    let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
    let leaders = config.ensemble.clone();
    let driver = Driver {
        masters: config.masters.iter().cloned().collect(),
        leaders: leaders.map(|ensemble| addresses(follow(ensemble))),
        followed: None,
        former: None,
        backoff: Backoff::new(config.backoff_min, config.backoff_max, seed),
        was_subscribed: false,
        config,
        shared,
        events,
        handle: handle.clone(),
    };
    let task = tokio::spawn(driver.run());
    let events = Events::new(queue, handle.clone(), acknowledgement, task);
    (handle, events)
}

/// Why a subscription is over.
enum Over {
    /// Try again, after a pause.
    Lost(String),
    /// Try this master next, at once.
    Redirected(String),
    /// Never try again.
    Ended(String),
    /// The program has dropped its events.
    Unheard,
}

/// The program has dropped its events.
struct Unheard;

/// Returns when ZooKeeper names another leader.
async fn changed(leaders: &mut Option<watch::Receiver<Option<String>>>) {
    let changed = match leaders {
        Some(leaders) => leaders.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}

/// Returns when ZooKeeper names a leader other than `master`; that nobody leads says nothing.
async fn deposed(leaders: &mut Option<watch::Receiver<Option<String>>>, master: &str) -> String {
    let Some(leaders) = leaders else {
        return std::future::pending().await;
    };
    let other = |leader: &Option<String>| leader.as_ref().is_some_and(|leader| leader != master);
    let leader = leaders.wait_for(other).await;
    match leader.ok().and_then(|leader| leader.clone()) {
        Some(leader) => leader,
        None => std::future::pending().await,
    }
}

#[derive(Debug)]
struct Driver {
    config: Config,
    /// The next one to try is in front.
    masters: VecDeque<String>,
    /// The leader as ZooKeeper says; it is asked in place of the masters.
    leaders: Option<watch::Receiver<Option<String>>>,
    /// The leader that ZooKeeper named last.
    followed: Option<String>,
    /// The one before it, whom a standby may still take for the leader.
    former: Option<String>,
    backoff: Backoff,
    was_subscribed: bool,
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    handle: Handle,
}

impl Driver {
    async fn run(mut self) {
        // A standby may name a leader that is none; following it must not become a race.
        let mut redirections = 0;
        loop {
            if self.elected().await.is_err() {
                return;
            }
            let over = match self.masters.front().cloned() {
                Some(master) => self.subscription(&master).await,
                None => Over::Ended("no master is configured".to_owned()),
            };
            let was_subscribed = self.shared.session().is_some();
            self.shared.set_session(None);
            let reason = match over {
                Over::Unheard => return,
                Over::Ended(reason) => {
                    self.tell(Event::Ended { reason }).await;
                    return;
                }
                Over::Redirected(leader)
                    if redirections < 3 && self.former.as_ref() != Some(&leader) =>
                {
                    redirections += 1;
                    self.masters.retain(|master| *master != leader);
                    self.masters.push_front(leader);
                    continue;
                }
                Over::Redirected(leader) => format!("{leader} is said to lead and does not"),
                Over::Lost(_) if self.shared.is_torn_down(self.config.call_timeout).await => {
                    let reason = "the framework was torn down".to_owned();
                    self.tell(Event::Ended { reason }).await;
                    return;
                }
                Over::Lost(reason) => reason,
            };
            redirections = 0;
            self.masters.rotate_left(1);
            if was_subscribed {
                self.backoff.reset();
            }
            if !self.tell(Event::Disconnected { reason }).await {
                return;
            }
            let pause = self.backoff.next();
            tokio::select! {
                () = sleep(pause) => {}
                () = changed(&mut self.leaders) => {}
                () = self.events.closed() => return,
            }
        }
    }

    /// Puts the leader in front that ZooKeeper names; waits while there is none. An error when the
    /// program has dropped its events.
    async fn elected(&mut self) -> Result<(), Unheard> {
        let Some(leaders) = &mut self.leaders else {
            return Ok(());
        };
        let leader = tokio::select! {
            leader = leaders.wait_for(Option::is_some) => leader,
            () = self.events.closed() => return Err(Unheard),
        };
        // Its task ends with this receiver only.
        if let Some(leader) = leader.ok().and_then(|leader| leader.clone())
            && self.followed.as_ref() != Some(&leader)
        {
            self.masters = VecDeque::from([leader.clone()]);
            self.former = self.followed.replace(leader);
            // What the old leader has cost says nothing about the new one.
            self.backoff.reset();
        }
        Ok(())
    }

    /// Hands an event to the program; false if there is none any more.
    async fn tell(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// One subscription from connection to end.
    async fn subscription(&mut self, master: &str) -> Over {
        // What a standby names may be newer than what ZooKeeper has told.
        let mut leaders = self
            .leaders
            .clone()
            .filter(|_| self.followed.as_deref() == Some(master));
        // A machine that is off answers nothing at all: who waits for it misses the next leader.
        let opened = tokio::select! {
            opened = self.limited(self.subscribe(master)) => opened,
            leader = deposed(&mut leaders, master) => {
                return Over::Lost(format!("{leader} leads now"));
            }
        };
        let (session, mut stream) = match opened {
            Ok(open) => open,
            Err(over) => return over,
        };
        let mut silence = self.config.call_timeout;
        loop {
            let message = tokio::select! {
                message = timeout(silence, stream.message()) => message,
                leader = deposed(&mut leaders, master) => {
                    return Over::Lost(format!("{leader} leads now"));
                }
                () = self.events.closed() => return Over::Unheard,
            };
            let event = match message {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Over::Lost(format!("{master} closed the connection")),
                Ok(Err(status)) => return refused(master, &status),
                Err(_) => return Over::Lost(format!("{master} has been silent for {silence:?}")),
            };
            match event.r#type() {
                wire::event::Type::Subscribed => {
                    let Some(subscribed) = event.subscribed else {
                        continue;
                    };
                    let seconds = subscribed.heartbeat_interval_seconds.unwrap_or(0.0);
                    silence = Duration::try_from_secs_f64(seconds)
                        .ok()
                        .filter(|interval| !interval.is_zero())
                        .unwrap_or(HEARTBEAT_INTERVAL)
                        .saturating_mul(HEARTBEATS_MISSED);
                    if !self.subscribed(session.clone(), subscribed).await {
                        return Over::Unheard;
                    }
                }
                wire::event::Type::Error => {
                    let text = event.error.map(|error| error.message).unwrap_or_default();
                    return Over::Ended(text);
                }
                _ => {
                    if let Some(event) = Event::from_wire(event) {
                        if let Event::Update(status) = &event {
                            self.shared.updated(status);
                        }
                        if !self.tell(event).await {
                            return Over::Unheard;
                        }
                    }
                }
            }
        }
    }

    /// Bounds the time of an attempt, and ends it with the program.
    async fn limited<T>(&self, attempt: impl Future<Output = Result<T, Over>>) -> Result<T, Over> {
        tokio::select! {
            result = timeout(self.config.call_timeout, attempt) => result
                .unwrap_or_else(|_| Err(Over::Lost("the master does not answer".to_owned()))),
            () = self.events.closed() => Err(Over::Unheard),
        }
    }

    /// Connects and sends SUBSCRIBE.
    async fn subscribe(&self, master: &str) -> Result<(Session, Streaming<wire::Event>), Over> {
        let endpoint = Endpoint::from_shared(format!("http://{master}"))
            .map_err(|error| Over::Ended(format!("'{master}' is no address: {error}")))?
            .connect_timeout(self.config.call_timeout)
            .http2_keep_alive_interval(HEARTBEAT_INTERVAL);
        let channel = endpoint.connect().await.map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            Over::Lost(format!("cannot connect to {master}: {cause}"))
        })?;
        let mut client = client(channel);
        let mut framework = self.config.framework.clone();
        framework.id = self.shared.framework_id();
        let call = wire::Call {
            framework_id: framework.id.clone(),
            r#type: Some(wire::call::Type::Subscribe.into()),
            subscribe: Some(wire::call::Subscribe {
                framework_info: framework,
                suppressed_roles: self.config.suppressed_roles.clone(),
                offer_constraints: self.config.offer_constraints.clone(),
            }),
            ..Default::default()
        };
        let answer = client
            .subscribe(call)
            .await
            .map_err(|status| refused(master, &status))?;
        let Some(stream_id) = answer.metadata().get(STREAM_ID).cloned() else {
            let reason = format!("{master} gave no {STREAM_ID}: is it a master?");
            return Err(Over::Lost(reason));
        };
        Ok((Session { client, stream_id }, answer.into_inner()))
    }

    /// SUBSCRIBED has come; false if the program is gone.
    async fn subscribed(&mut self, session: Session, subscribed: wire::event::Subscribed) -> bool {
        self.backoff.reset();
        let again = std::mem::replace(&mut self.was_subscribed, true);
        let came_back = again || self.shared.framework_id().is_some();
        self.shared
            .set_framework_id(Some(subscribed.framework_id.clone()));
        self.shared.set_session(Some(session));
        let event = Event::Subscribed {
            framework_id: subscribed.framework_id,
            master: subscribed.master_info,
            again,
        };
        if !self.tell(event).await {
            return false;
        }
        if came_back && self.config.reconcile {
            // If it is lost, so is the connection, and the next subscription asks again.
            let tasks = self.shared.reconciliation().tasks;
            let _again = self.handle.reconcile(tasks).await;
        }
        true
    }
}

/// What a status means for the subscription.
fn refused(master: &str, status: &Status) -> Over {
    let leader = status
        .metadata()
        .get(LEADER)
        .and_then(|leader| leader.to_str().ok());
    if let (Code::Unavailable, Some(leader)) = (status.code(), leader)
        && leader != master
    {
        return Over::Redirected(leader.to_owned());
    }
    let reason = format!(
        "{master} answered {:?}: {}",
        status.code(),
        status.message()
    );
    if is_retryable(status.code()) {
        Over::Lost(reason)
    } else {
        Over::Ended(reason)
    }
}
