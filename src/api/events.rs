//! Event streams: a bounded queue that a core fills, with heartbeats, towards one reader.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::error::ApiError;
use crate::proto::v1;

/// How often a stream says that it is alive (Mesos' `DEFAULT_HEARTBEAT_INTERVAL`).
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// A kind of event that has heartbeats.
pub trait Beating: Unpin {
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

impl Beating for v1::executor::Event {
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

/// The events of one subscription: what the core queues, and a heartbeat right after the first event
/// and every [`HEARTBEAT_INTERVAL`] from then on.
///
/// The queue is bounded. A core that finds it full closes it; what is queued is still delivered, then
/// the stream ends with an error that says so. Dropping the stream tells the core that the reader is
/// gone.
#[derive(Debug)]
pub struct EventStream<E> {
    queue: mpsc::Receiver<E>,
    beat: Interval,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The first event is still to come.
    Opening,
    /// The heartbeat after the first event is due.
    Greeting,
    Flowing,
    /// The core closed a full queue: the reader is too slow.
    Overflowing,
    Ended,
}

impl<E> EventStream<E> {
    /// The stream over what the core queues.
    #[must_use]
    pub fn new(queue: mpsc::Receiver<E>) -> Self {
        Self::with_interval(queue, HEARTBEAT_INTERVAL)
    }

    fn with_interval(queue: mpsc::Receiver<E>, every: Duration) -> Self {
        let mut beat = interval_at(Instant::now() + every, every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            queue,
            beat,
            state: State::Opening,
        }
    }
}

impl<E: Beating> Stream for EventStream<E> {
    type Item = Result<E, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.state {
            State::Ended => return Poll::Ready(None),
            State::Greeting => {
                self.state = State::Flowing;
                self.beat.reset();
                return Poll::Ready(Some(Ok(E::heartbeat())));
            }
            State::Opening | State::Flowing | State::Overflowing => {}
        }
        if self.queue.is_closed() && self.queue.len() == self.queue.max_capacity() {
            self.state = State::Overflowing;
        }
        match self.queue.poll_recv(cx) {
            Poll::Ready(Some(event)) => {
                if matches!(self.state, State::Opening) {
                    self.state = State::Greeting;
                }
                Poll::Ready(Some(Ok(event)))
            }
            Poll::Ready(None) if matches!(self.state, State::Overflowing) => {
                self.state = State::Ended;
                let events = self.queue.max_capacity();
                Poll::Ready(Some(Err(ApiError::Exhausted(format!(
                    "the reader is too slow: {events} events wait for it, the stream is closed; \
                     subscribe again and reconcile"
                )))))
            }
            Poll::Ready(None) => {
                self.state = State::Ended;
                Poll::Ready(None)
            }
            Poll::Pending if matches!(self.state, State::Flowing) => {
                self.beat.poll_tick(cx).map(|_| Some(Ok(E::heartbeat())))
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
        assert_eq!(all.len(), 3, "{all:?}");
        let error = all[2].as_ref().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the reader is too slow: 2 events"),
            "{error}"
        );
    }
}
