//! Queues towards one slow reader, bounded by what their items weigh, not by how many they are.
//!
//! One that says much at once must not lose a reader that is only about to read; one whose reader never
//! reads must not fill the memory. So the bound is in bytes, and a writer that has still more to say
//! asks to be woken when most has been read ([`Outbox::await_room`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::mailbox::Rejected;

#[derive(Debug)]
struct Load {
    /// What the waiting items weigh.
    weight: AtomicUsize,
    /// How many they are.
    items: AtomicUsize,
    /// An item is taken while less than this waits.
    max: usize,
    /// The writer waits for room.
    wanted: AtomicBool,
    /// How many items waited when one more was refused; 0 before.
    refused_at: AtomicUsize,
}

impl Load {
    /// True once for each wish, when a quarter or less of the queue is full.
    fn grants(&self) -> bool {
        self.weight.load(Ordering::SeqCst) <= self.max / 4
            && self.wanted.swap(false, Ordering::SeqCst)
    }
}

/// The writer's end.
#[derive(Debug)]
pub struct Outbox<T> {
    queue: mpsc::UnboundedSender<(usize, T)>,
    load: Arc<Load>,
}

/// The reader's end.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: mpsc::UnboundedReceiver<(usize, T)>,
    load: Arc<Load>,
}

/// A queue that takes items while those in it weigh less than `max`: at most that and one item more.
#[must_use]
pub fn outbox<T>(max: usize) -> (Outbox<T>, Inbox<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let load = Arc::new(Load {
        weight: AtomicUsize::new(0),
        items: AtomicUsize::new(0),
        max,
        wanted: AtomicBool::new(false),
        refused_at: AtomicUsize::new(0),
    });
    let outbox = Outbox {
        queue: sender,
        load: Arc::clone(&load),
    };
    let queue = receiver;
    (outbox, Inbox { queue, load })
}

impl<T> Outbox<T> {
    /// Puts an item of this weight into the queue if there is room now.
    ///
    /// # Errors
    ///
    /// The queue is full, or the reader is gone; the item comes back.
    pub fn offer(&self, weight: usize, item: T) -> Result<(), Rejected<T>> {
        let load = &self.load;
        if load.weight.load(Ordering::SeqCst) >= load.max {
            let items = load.items.load(Ordering::SeqCst).max(1);
            load.refused_at.store(items, Ordering::SeqCst);
            return Err(Rejected::Full(item));
        }
        load.weight.fetch_add(weight, Ordering::SeqCst);
        load.items.fetch_add(1, Ordering::SeqCst);
        let sent = self.queue.send((weight, item));
        sent.map_err(|gone| Rejected::Closed(gone.0.1))
    }

    /// Asks for room: true when a quarter of the queue or less is full already. Otherwise the reader
    /// finds [`Inbox::room_is_wanted`] true, once, when it has read that far.
    #[must_use]
    pub fn await_room(&self) -> bool {
        self.load.wanted.store(true, Ordering::SeqCst);
        self.load.grants()
    }

    /// True when the reader is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

impl<T> Inbox<T> {
    /// The next item; none when the writer is gone and nothing is left.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let next = self.queue.poll_recv(context);
        next.map(|next| next.map(|(weight, item)| self.took(weight, item)))
    }

    /// The next item; none when the writer is gone and nothing is left. Cancel safe.
    pub async fn recv(&mut self) -> Option<T> {
        let (weight, item) = self.queue.recv().await?;
        Some(self.took(weight, item))
    }

    fn took(&self, weight: usize, item: T) -> T {
        self.load.weight.fetch_sub(weight, Ordering::SeqCst);
        self.load.items.fetch_sub(1, Ordering::SeqCst);
        item
    }

    /// True, once, when the writer waits for room and there is some now. To be asked after every item.
    #[must_use]
    pub fn room_is_wanted(&self) -> bool {
        self.load.grants()
    }

    /// How many items waited when one did not fit any more, if that was so.
    #[must_use]
    pub fn overflow(&self) -> Option<usize> {
        let items = self.load.refused_at.load(Ordering::SeqCst);
        (items > 0).then_some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn weight_bounds_the_queue_and_room_comes_back() {
        let (sender, mut receiver) = outbox(100);
        for item in 0..10 {
            assert!(sender.offer(10, item).is_ok());
        }
        assert!(matches!(sender.offer(10, 10), Err(Rejected::Full(10))));
        assert_eq!(receiver.overflow(), Some(10));
        for item in 0..10 {
            assert_eq!(receiver.recv().await, Some(item));
        }
        assert!(
            sender.offer(1_000, 11).is_ok(),
            "one may be larger than all"
        );
        assert!(matches!(sender.offer(1, 12), Err(Rejected::Full(12))));
        drop(sender);
        assert_eq!(receiver.recv().await, Some(11));
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_once() {
        let (sender, mut receiver) = outbox(100);
        assert!(sender.await_room(), "it is empty");
        assert!(!receiver.room_is_wanted(), "nobody waits any more");
        for item in 0..5 {
            assert!(sender.offer(20, item).is_ok());
        }
        assert!(!sender.await_room());
        let mut told = Vec::new();
        for _ in 0..5 {
            receiver.recv().await;
            told.push(receiver.room_is_wanted());
        }
        assert_eq!(told, [false, false, false, true, false]);
    }

    #[test]
    fn a_reader_that_is_gone_is_noticed() {
        let (sender, receiver) = outbox(100);
        drop(receiver);
        assert!(sender.is_closed());
        assert!(matches!(sender.offer(1, 1), Err(Rejected::Closed(1))));
    }
}
