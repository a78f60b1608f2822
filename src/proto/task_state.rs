//! What the states of a task mean.

use super::v1::TaskState;

impl TaskState {
    /// True for the states that end a task: it never leaves them. UNREACHABLE is none of them, LOST is
    /// one although a task of a framework without partition awareness may come back from it (Mesos'
    /// `isTerminalState`).
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::TaskFinished
            | Self::TaskFailed
            | Self::TaskKilled
            | Self::TaskLost
            | Self::TaskError
            | Self::TaskDropped
            | Self::TaskGone
            | Self::TaskGoneByOperator => true,
            Self::TaskStaging
            | Self::TaskStarting
            | Self::TaskRunning
            | Self::TaskKilling
            | Self::TaskUnreachable
            | Self::TaskUnknown => false,
        }
    }
}
