//! One driver's session: a connection to it, the events that go there, and what it asks for meanwhile.
//! Schedulers and executors fill in what differs.

use std::future::Future;
use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::link::Link;
use super::pid::Pid;
use super::sessions::{Given, Place, Sessions};
use crate::api::error::ApiError;

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("its events were closed")]
    Closed,
    #[error("it was turned away: {0}")]
    Refused(String),
}

/// The daemon's side of the sessions of one kind of driver; clones share it.
pub(super) trait Service: Clone + Send + Sync + 'static {
    /// Whose driver it is, for the log.
    const DRIVER: &'static str;
    /// A registration.
    type Order: Send + 'static;
    /// What is known of a driver that is subscribed.
    type Subscribed: Clone + Send + 'static;
    /// What goes to the driver.
    type Event: Send;
    /// A subscription; dropping it ends it.
    type Events: Stream<Item = Result<Self::Event, ApiError>> + Unpin + Send + Sync;
    /// What a session remembers.
    type State: Send + Sync;

    /// This daemon's process.
    fn me(&self) -> &Arc<str>;

    /// Who is connected.
    fn sessions(&self) -> &Sessions<Self::Order, Self::Subscribed>;

    /// Subscribes a driver, for the first time or again.
    fn open(
        &self,
        pid: &Pid,
        order: Self::Order,
    ) -> impl Future<Output = Result<(Self::Events, Self::State), ApiError>> + Send;

    /// Tells a driver that it is not subscribed, as far as it is to know.
    fn refuse(&self, link: &mut Link, error: ApiError) -> impl Future<Output = Ended> + Send;

    /// The driver's events have failed.
    fn failed(&self, link: &mut Link, error: ApiError) -> impl Future<Output = Ended> + Send {
        self.refuse(link, error)
    }

    /// Passes an event on to the driver.
    fn tell(
        session: &mut Session<Self>,
        event: Self::Event,
    ) -> impl Future<Output = Result<(), Ended>> + Send;

    /// A driver that has a session registers again.
    fn order(
        session: &mut Session<Self>,
        order: Self::Order,
    ) -> impl Future<Output = Result<(), Ended>> + Send {
        session.subscribe_again(order)
    }
}

/// A driver that is connected to, and subscribed.
#[derive(Debug)]
pub(super) struct Session<S: Service> {
    pub(super) service: S,
    pub(super) place: Place<S::Order, S::Subscribed>,
    pub(super) link: Link,
    pub(super) events: S::Events,
    pub(super) state: S::State,
}

/// Hands a registration to the driver's session, and starts one where there is none.
pub(super) fn register<S: Service>(service: &S, from: Pid, order: S::Order) -> bool {
    match service.sessions().give(&from, order) {
        Given::Passed => true,
        Given::New(place, orders) => {
            tokio::spawn(converse(service.clone(), place, orders));
            true
        }
        Given::Full => {
            let driver = S::DRIVER;
            tracing::warn!(%from, driver, "too many drivers, or one that registers too often");
            false
        }
    }
}

/// One driver's session, from its first registration to the end of its connection.
async fn converse<S: Service>(
    service: S,
    place: Place<S::Order, S::Subscribed>,
    mut orders: mpsc::Receiver<S::Order>,
) {
    let pid = place.pid().clone();
    let again = service.clone();
    let (ended, link) = match Session::begin(service, place, &mut orders).await {
        Ok(mut session) => (session.run(&mut orders).await, Some(session.link)),
        Err(ended) => ended,
    };
    tracing::info!(%pid, driver = S::DRIVER, reason = %ended, "driver is gone");
    // The place is free now: who registered meanwhile gets a session of its own.
    orders.close();
    while let Some(order) = orders.recv().await {
        if !matches!(ended, Ended::Refused(_)) {
            register(&again, pid.clone(), order);
        }
    }
    if let Some(link) = link {
        link.close().await;
    }
}

impl<S: Service> Session<S> {
    /// Connects to the driver before it is subscribed: one that cannot be reached never is.
    async fn begin(
        service: S,
        place: Place<S::Order, S::Subscribed>,
        orders: &mut mpsc::Receiver<S::Order>,
    ) -> Result<Self, (Ended, Option<Link>)> {
        let opened = Link::open(service.me(), place.pid()).await;
        let mut link = opened.map_err(|error| (error.into(), None))?;
        let first = orders.recv().await.ok_or((Ended::Closed, None))?;
        match service.open(place.pid(), first).await {
            Ok((events, state)) => Ok(Self {
                service,
                place,
                link,
                events,
                state,
            }),
            Err(error) => Err((service.refuse(&mut link, error).await, Some(link))),
        }
    }

    async fn run(&mut self, orders: &mut mpsc::Receiver<S::Order>) -> Ended {
        loop {
            let done = tokio::select! {
                event = self.events.next() => match event {
                    Some(Ok(event)) => S::tell(self, event).await,
                    Some(Err(error)) => Err(self.service.failed(&mut self.link, error).await),
                    None => Err(Ended::Closed),
                },
                Some(order) = orders.recv() => S::order(self, order).await,
                error = self.link.ended() => Err(error.into()),
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    /// Subscribes anew; the former subscription goes unread: what is said at its end is not for this
    /// driver.
    pub(super) async fn subscribe_again(&mut self, order: S::Order) -> Result<(), Ended> {
        match self.service.open(self.place.pid(), order).await {
            Ok((events, state)) => {
                self.events = events;
                self.state = state;
                Ok(())
            }
            Err(error) => Err(self.service.refuse(&mut self.link, error).await),
        }
    }
}
