//! What a pass does in which order.

use super::ledger::Right;

/// The stages of a pass. Without quota it begins with the last.
pub(super) const STAGES: [StagePolicy; 2] = [StagePolicy::Guarantees, StagePolicy::FairShare];

/// How a stage gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StagePolicy {
    /// Roles that are owed something get that, and with it what the agent has besides, within
    /// their limits and without what is held back for others.
    Guarantees,
    /// Whoever comes first in the order gets everything that it may have on an agent.
    FairShare,
}

impl StagePolicy {
    /// True when whoever does not use what it is offered stands behind.
    pub(super) const fn regards_demand(self) -> bool {
        match self {
            Self::Guarantees => false,
            Self::FairShare => true,
        }
    }

    /// What may be given of the resources that quota counts.
    pub(super) const fn right(self) -> Right {
        match self {
            Self::Guarantees => Right::Owed,
            Self::FairShare => Right::Surplus,
        }
    }
}
