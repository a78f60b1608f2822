//! The agent's timers: one key each, set by `Effect::SetTimer`, told by `Event::TimerFired`.

use crate::base::{ContainerId, FrameworkId, TaskId, Uuid};

/// Names a timer. Setting a key again replaces it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKey {
    /// Send the next (re-)registration.
    Register,
    /// The master has not pinged for too long.
    PingTimeout,
    /// The executor has not subscribed within `executor_registration_timeout`.
    ExecutorRegistration(ContainerId),
    /// The executor did not end within its grace period after SHUTDOWN.
    ExecutorShutdown(ContainerId),
    /// The oldest update of a task was not acknowledged.
    UpdateRetry(FrameworkId, TaskId),
    /// The end of an operation was not acknowledged.
    OperationRetry(Uuid),
    /// Measure the disk and delete what is too old.
    GarbageCollection,
    /// A failure report of an executor has waited long enough for the limit that may explain it.
    LimitationGrace(ContainerId),
}
