//! Bugs that tests plant into the cores, to prove that they would be caught.

use std::collections::BTreeSet;

/// One planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// Master: acknowledges an update to the agent before the scheduler has.
    AcknowledgeBeforeRecorded,
    /// Master: keeps a task's resources allocated after its end.
    SkipRecoverOnTerminal,
    /// Master: leaves the offers of an agent standing that is lost, or not what it was.
    SkipRescindOnAgentLoss,
    /// Master: keeps an accepted offer, so that it can be accepted again.
    DoubleOffer,
    /// Master: does not take back a task that a returning agent reports.
    ForgetTaskOnReregister,
    /// Master: records a terminal update without telling the scheduler.
    LoseUpdateForwarding,
    /// Master: tells an agent its id before the registry knows it.
    RegisterBeforePersisted,
    /// Master: answers an operator before the registry knows what was decided.
    DecideBeforePersisted,
    /// Master: leaves a removed framework's executors holding resources.
    KeepExecutorsOnTeardown,
    /// Agent: sends a task's newest update before the older ones.
    UpdateSentOutOfOrder,
    /// Agent: acknowledges an update to its executor before it is written down.
    AckExecutorBeforeCheckpoint,
    /// Agent: launches a task again when its RunTask comes twice.
    LaunchDuplicateRunTask,
    /// Agent: says that an operation is done before it is written down.
    ConfirmOperationBeforeCheckpoint,
    /// Agent: loses terminal updates.
    DropTerminalUpdate,
    /// Agent: takes the word of a master with a lower epoch than it has seen.
    StaleLeaderAccepted,
    /// Agent: tells nobody that the disk is full, and goes on.
    IgnoreFullDisk,
    /// Shell of a new leader: takes the registry over without counting its epoch up.
    NoEpochBump,
    /// Shell of a master: says that a write is stored when it is sent.
    AcknowledgedBeforeStored,
    /// Shell of a master: a write whose answer was lost counts as stored.
    BelieveLostReply,
    /// Shell of a master: promises without looking at its lease.
    PromiseWithoutLease,
    /// Agent: never repeats an update that was not acknowledged.
    ForgetRetry,
}

/// The bugs of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlantedBugs(BTreeSet<Bug>);

impl PlantedBugs {
    /// No bugs but this one.
    #[must_use]
    pub fn only(bug: Bug) -> Self {
        Self(BTreeSet::from([bug]))
    }

    /// Whether the bug is planted.
    #[must_use]
    pub fn has(&self, bug: Bug) -> bool {
        self.0.contains(&bug)
    }
}
