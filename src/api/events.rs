//! Event streams: a bounded queue that a core fills, with heartbeats, towards one reader.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::error::ApiError;
use crate::proto::v1;
use crate::runtime::Inbox;

/// How often a stream says that it is alive (Mesos' `DEFAULT_HEARTBEAT_INTERVAL`).
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// How often the stream of an executor says that it is alive (`DEFAULT_EXECUTOR_HEARTBEAT_INTERVAL`).
const EXECUTOR_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// A kind of event that has heartbeats.
pub trait Beating: Unpin {
    /// How often.
    const EVERY: Duration = HEARTBEAT_INTERVAL;
    /// Whether the first one follows the first event at once.
    const AT_ONCE: bool = true;

    /// The event that says nothing but that the stream is alive.
    fn heartbeat() -> Self;
}

impl Beating for v1::scheduler::Event {
    fn heartbeat() -> Self {
        Self {
            r#type: Some(v1::scheduler::event::Type::Heartbeat.into()),
            ..Self::default()
        }
    }
}

/// Executors written for older agents end when they get an event that they do not know.
impl Beating for v1::executor::Event {
    const EVERY: Duration = EXECUTOR_HEARTBEAT_INTERVAL;
    const AT_ONCE: bool = false;

    fn heartbeat() -> Self {
        Self {
            r#type: Some(v1::executor::event::Type::Heartbeat.into()),
            ..Self::default()
        }
    }
}

impl Beating for v1::master::Event {
    fn heartbeat() -> Self {
        Self {
            r#type: Some(v1::master::event::Type::Heartbeat.into()),
            ..Self::default()
        }
    }
}

impl<E: Beating> Beating for Arc<E> {
    const EVERY: Duration = E::EVERY;
    const AT_ONCE: bool = E::AT_ONCE;

    fn heartbeat() -> Self {
        Self::new(E::heartbeat())
    }
}

/// The bounded queue between a core and a stream.
pub trait Queue: Unpin {
    /// What is queued.
    type Event: Beating;

    /// The next event; none once the core has closed the queue and it is empty.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Event>>;

    /// How many events fit, if the core has closed the queue because it was full.
    fn overflow(&self) -> Option<usize>;
}

impl<E: Beating> Queue for mpsc::Receiver<E> {
    type Event = E;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<E>> {
        self.poll_recv(cx)
    }

    fn overflow(&self) -> Option<usize> {
        let bound = self.max_capacity();
        (self.is_closed() && self.len() == bound).then_some(bound)
    }
}

impl<E: Beating> Queue for Inbox<E> {
    type Event = E;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<E>> {
        self.poll_recv(cx)
    }

    fn overflow(&self) -> Option<usize> {
        Inbox::overflow(self)
    }
}

/// The events of one subscription: what the core queues, and heartbeats: right after the first event, for
/// those who want it ([`Beating::AT_ONCE`]), and every so often from then on ([`Beating::EVERY`]).
///
/// A core that finds the queue full closes it; what is queued is still delivered, then the stream ends
/// with an error that says so. Dropping the stream tells the core that the reader is gone.
#[derive(Debug)]
pub struct EventStream<Q: Queue> {
    queue: Q,
    first: Option<Q::Event>,
    beat: Interval,
    state: State,
    overflow: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first event is still to come.
    Opening,
    /// The heartbeat after the first event is due.
    Greeting,
    Flowing,
    Ended,
}

impl<Q: Queue> EventStream<Q> {
    /// The stream over what the core queues.
    #[must_use]
    pub fn new(queue: Q) -> Self {
        Self::with_interval(queue, Q::Event::EVERY)
    }

    /// The stream with one more event, before all that is queued.
    #[must_use]
    pub fn starting_with(queue: Q, first: Q::Event) -> Self {
        Self {
            first: Some(first),
            ..Self::new(queue)
        }
    }

    fn with_interval(queue: Q, every: Duration) -> Self {
        let mut beat = interval_at(Instant::now() + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            queue,
            first: None,
            beat,
            state: State::Opening,
            overflow: None,
        }
    }
}

impl<Q: Queue> Stream for EventStream<Q> {
    type Item = Result<Q::Event, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.state {
            State::Ended => return Poll::Ready(None),
            State::Greeting => {
                self.state = State::Flowing;
                self.beat.reset();
                return Poll::Ready(Some(Ok(Q::Event::heartbeat())));
            }
            State::Opening | State::Flowing => {}
        }
        if self.overflow.is_none() {
            self.overflow = self.queue.overflow();
        }
        let next = match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.queue.poll_event(cx),
        };
        match next {
            Poll::Ready(Some(event)) => {
                if self.state == State::Opening {
                    self.state = if Q::Event::AT_ONCE {
                        State::Greeting
                    } else {
                        State::Flowing
                    };
                }
                Poll::Ready(Some(Ok(event)))
            }
            Poll::Ready(None) => {
                self.state = State::Ended;
                Poll::Ready(self.overflow.map(|events| {
                    Err(ApiError::Exhausted(format!(
                        "the reader is too slow: {events} events wait for it, the stream is \
                         closed; subscribe again and reconcile"
                    )))
                }))
            }
            Poll::Pending if self.state == State::Flowing => {
                let beat = self.beat.poll_tick(cx);
                beat.map(|_| Some(Ok(Q::Event::heartbeat())))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::StreamExt;
    use v1::scheduler::Event;
    use v1::scheduler::event::Type;

    use super::*;

    fn event(kind: Type) -> Event {
        Event {
            r#type: Some(kind.into()),
            ..Event::default()
        }
    }

    #[tokio::test]
    async fn executors_hear_one_every_half_hour_only() {
        use v1::executor::Event;
        use v1::executor::event::Type;
        let (sender, queue) = mpsc::channel(4);
        let subscribed = Event {
            r#type: Some(Type::Subscribed.into()),
            ..Event::default()
        };
        sender.try_send(subscribed).unwrap();
        let mut stream = EventStream::new(queue);
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first.r#type(), Type::Subscribed);
        let more = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
        assert!(more.is_err(), "{more:?}");
        assert_eq!(stream.beat.period(), Duration::from_secs(1800));
    }

    #[tokio::test]
    async fn heartbeats_follow_the_first_event() {
        let (sender, queue) = mpsc::channel(4);
        let mut stream = EventStream::with_interval(queue, Duration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(30)).await;
        sender.try_send(event(Type::Subscribed)).unwrap();
        sender.try_send(event(Type::Offers)).unwrap();
        let mut kinds = Vec::new();
        for _ in 0..4 {
            kinds.push(stream.next().await.unwrap().unwrap().r#type());
        }
        let wanted = [
            Type::Subscribed,
            Type::Heartbeat,
            Type::Offers,
            Type::Heartbeat,
        ];
        assert_eq!(kinds, wanted);
        drop(sender);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_so_after_what_was_queued() {
        let (sender, queue) = mpsc::channel(2);
        let mut stream = EventStream::new(queue);
        sender.try_send(event(Type::Subscribed)).unwrap();
        sender.try_send(event(Type::Offers)).unwrap();
        assert!(sender.try_send(event(Type::Update)).is_err());
        drop(sender);
        let all: Vec<_> = stream.by_ref().collect().await;
        assert_eq!(all.len(), 4, "{all:?}"); // with the heartbeat
        let error = all[3].as_ref().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the reader is too slow: 2 events"),
            "{error}"
        );
    }
}
