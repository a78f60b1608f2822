//! Bounded queues with a name: a full one pushes back or refuses, and a metric counts it.

use tokio::sync::mpsc;

use crate::telemetry::{Counter, Metrics};

/// The receiving end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver of the queue is gone")]
pub struct Closed;

/// Why [`Sender::offer`] gave the item back.
#[derive(Debug, thiserror::Error)]
pub enum Rejected<T> {
    /// The queue holds as many items as it may.
    #[error("the queue is full")]
    Full(T),
    /// The receiving end is gone.
    #[error("the receiver of the queue is gone")]
    Closed(T),
}

/// The sending end of a named, bounded queue.
#[derive(Debug)]
pub struct Sender<T> {
    queue: mpsc::Sender<T>,
    name: &'static str,
    full: Counter,
}

/// A queue of at most `capacity` items. Metrics: `queues/<name>/full` counts the times that it was
/// full, `queues/<name>/length` says how many items wait.
#[must_use]
pub fn mailbox<T: Send + 'static>(
    name: &'static str,
    capacity: usize,
    metrics: &Metrics,
) -> (Sender<T>, mpsc::Receiver<T>) {
    let (queue, receiver) = mpsc::channel(capacity);
    let full = metrics.counter(
        &format!("queues/{name}/full"),
        "times that the queue held as many items as it may",
    );
    let watched = queue.downgrade();
    metrics.gauge_from(
        &format!("queues/{name}/length"),
        "items that wait in the queue",
        move || {
            watched.upgrade().map_or(0.0, |queue| {
                crate::telemetry::as_f64(queue.max_capacity() - queue.capacity())
            })
        },
    );
    (Sender { queue, name, full }, receiver)
}

impl<T> Sender<T> {
    /// Puts `item` into the queue, waiting for room.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        match self.queue.try_send(item) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Closed),
            Err(mpsc::error::TrySendError::Full(item)) => {
                self.full.increment();
                self.queue.send(item).await.map_err(|_| Closed)
            }
        }
    }

    /// Puts `item` into the queue if there is room now.
    pub fn offer(&self, item: T) -> Result<(), Rejected<T>> {
        self.queue.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(item) => {
                self.full.increment();
                Rejected::Full(item)
            }
            mpsc::error::TrySendError::Closed(item) => Rejected::Closed(item),
        })
    }

    /// Returns when the receiving end is gone.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// The queue's name, for logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            name: self.name,
            full: self.full.clone(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_mailbox_refuses_and_counts() {
        let metrics = Metrics::new();
        let (sender, mut receiver) = mailbox("test", 2, &metrics);
        sender.offer(1).unwrap();
        sender.offer(2).unwrap();
        assert!(matches!(sender.offer(3), Err(Rejected::Full(3))));
        let shown = metrics.snapshot();
        assert!((shown["queues/test/full"] - 1.0).abs() < f64::EPSILON);
        assert!((shown["queues/test/length"] - 2.0).abs() < f64::EPSILON);
        assert_eq!(receiver.recv().await, Some(1));
        sender.send(3).await.unwrap();
        drop(receiver);
        assert_eq!(sender.send(4).await, Err(Closed));
        assert!(matches!(sender.offer(4), Err(Rejected::Closed(4))));
    }

    #[tokio::test]
    async fn sending_waits_for_room() {
        let metrics = Metrics::new();
        let (sender, mut receiver) = mailbox("waiting", 1, &metrics);
        sender.send(1).await.unwrap();
        let other = sender.clone();
        let waiting = tokio::spawn(async move { other.send(2).await });
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }
}
