//! What a pass does in which order, and how much of a view each stage may give away.

use super::bundle::Bundle;
use super::view::View;

/// The stages of a pass. Guarantees of quota will be a stage before fair share.
pub(super) const STAGES: [StagePolicy; 1] = [StagePolicy::FairShare];

/// How a stage gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StagePolicy {
    /// Whoever comes first in the order gets everything that it may have on an agent.
    FairShare,
}

impl StagePolicy {
    /// True when whoever does not use what it is offered stands behind.
    pub(super) const fn regards_demand(self) -> bool {
        match self {
            Self::FairShare => true,
        }
    }

    /// The part of a view that an eligible client is offered.
    pub(super) fn portion<'v>(self, view: &'v View<'_>) -> &'v Bundle {
        match self {
            Self::FairShare => &view.resources,
        }
    }
}
