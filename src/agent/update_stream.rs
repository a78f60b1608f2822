//! One task's status updates on their way to the scheduler: in order, one at a time, each until it is
//! acknowledged (facts: Mesos' task status update manager).
//!
//! ```text
//! push --> (recorded) --> head is sent, again and again --> acknowledge --> (recorded) --> pop
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ExecutorId, Uuid};
use crate::proto::v1::{self, TaskState};

/// First wait for an acknowledgement.
pub(super) const RETRY_MIN: Duration = Duration::from_secs(10);
/// Longest wait for an acknowledgement.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Uuids of acknowledged updates that are remembered, to recognise late duplicates.
const ACKNOWLEDGED_MAX: usize = 64;

/// The updates of one task that the scheduler has not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct UpdateStream {
    /// The executor that the task belongs to, if it ever had one here.
    pub(super) executor_id: Option<ExecutorId>,
    /// Updates must be written down before anybody hears of them.
    pub(super) checkpoint: bool,
    /// Until the next retry.
    retry: Duration,
    queue: VecDeque<Update>,
    acknowledged: VecDeque<Uuid>,
}

/// One update.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub(super) uuid: Uuid,
    pub(super) status: Arc<v1::TaskStatus>,
    /// Written down, or needs not be.
    pub(super) recorded: bool,
    /// The scheduler has seen it; that is being written down.
    pub(super) acknowledged: bool,
}

/// What a stream knows of a uuid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Never came.
    New,
    /// Came, but is not yet written down.
    Unrecorded,
    /// Came and counts.
    Recorded,
}

impl UpdateStream {
    pub(super) fn new(executor_id: Option<ExecutorId>, checkpoint: bool) -> Self {
        Self {
            executor_id,
            checkpoint,
            retry: RETRY_MIN,
            queue: VecDeque::new(),
            acknowledged: VecDeque::new(),
        }
    }

    pub(super) fn seen(&self, uuid: Uuid) -> Seen {
        if self.acknowledged.contains(&uuid) {
            return Seen::Recorded;
        }
        match self.queue.iter().find(|update| update.uuid == uuid) {
            None => Seen::New,
            Some(update) if update.recorded => Seen::Recorded,
            Some(_) => Seen::Unrecorded,
        }
    }

    /// Appends an update. The caller has asked [`Self::seen`].
    pub(super) fn push(&mut self, uuid: Uuid, status: Arc<v1::TaskStatus>, recorded: bool) {
        self.queue.push_back(Update {
            uuid,
            status,
            recorded,
            acknowledged: false,
        });
    }

    /// An update of an earlier life that the scheduler has acknowledged.
    pub(super) fn remember(&mut self, uuid: Uuid) {
        self.acknowledged.push_back(uuid);
        if self.acknowledged.len() > ACKNOWLEDGED_MAX {
            self.acknowledged.pop_front();
        }
    }

    /// The update is written down. True if it was waiting for that.
    pub(super) fn recorded(&mut self, uuid: Uuid) -> bool {
        let waiting = self
            .queue
            .iter_mut()
            .find(|update| update.uuid == uuid && !update.recorded);
        match waiting {
            Some(update) => {
                update.recorded = true;
                true
            }
            None => false,
        }
    }

    /// The update to send: the oldest, once it is written down and until it is acknowledged.
    pub(super) fn to_send(&self) -> Option<&Update> {
        self.queue
            .front()
            .filter(|update| update.recorded && !update.acknowledged)
    }

    /// The first update that is not done with, also while it is being written down.
    pub(super) fn oldest(&self) -> Option<&Update> {
        self.queue.front()
    }

    /// The scheduler acknowledges. True if that is the oldest update and news.
    pub(super) fn acknowledge(&mut self, uuid: Uuid) -> bool {
        match self.queue.front_mut() {
            Some(head) if head.uuid == uuid && head.recorded && !head.acknowledged => {
                head.acknowledged = true;
                true
            }
            _ => false,
        }
    }

    /// Removes the oldest update, whose acknowledgement is written down.
    pub(super) fn pop(&mut self) -> Option<Update> {
        self.queue.front().filter(|head| head.acknowledged)?;
        self.retry = RETRY_MIN;
        let update = self.queue.pop_front()?;
        self.remember(update.uuid);
        Some(update)
    }

    /// The wait after a send; doubles each time.
    pub(super) fn next_retry(&mut self) -> Duration {
        let wait = self.retry;
        self.retry = (self.retry * 2).min(RETRY_MAX);
        wait
    }

    /// A new registration starts the waits over.
    pub(super) fn restart(&mut self) {
        self.retry = RETRY_MIN;
    }

    /// The state after all updates.
    pub(super) fn latest(&self) -> Option<TaskState> {
        self.queue.back().map(|update| update.status.state())
    }

    /// How many updates wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Moves the newest update to the front: what a planted bug does.
    pub(super) fn newest_first(&mut self) {
        if let Some(newest) = self.queue.pop_back() {
            self.queue.push_front(newest);
        }
    }
}
