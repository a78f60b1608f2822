//! What passes did and why they did not do more: counts by reason, and the full answer to "why no
//! offer" for one framework.

use std::fmt;

use crate::base::{AgentId, FrameworkId, Instant};
use crate::roles::Role;

use super::demand::AllocationOrder;
use super::eligibility::{REJECTION_KINDS, Rejection};
use super::sorter::Share;

/// What one pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// When it began.
    pub started: Instant,
    /// How many agents were visited.
    pub agents: usize,
    /// How many allocations were made.
    pub allocations: usize,
    /// How often somebody stood behind others for having returned the like unused.
    pub stood_behind: usize,
    /// Allocations to see whether somebody wants by now what it returned before.
    pub probes: usize,
    rejections: [usize; Rejection::KINDS],
}

impl PassReport {
    pub(super) fn starting(now: Instant) -> Self {
        Self {
            started: now,
            ..Self::default()
        }
    }

    pub(super) fn reject(&mut self, reason: &Rejection, times: usize) {
        self.rejections[reason.kind()] += times;
    }

    /// How often each reason kept an agent from a framework under one of its roles. Only those are
    /// counted that were looked at: nobody asks whoever comes after the one that was offered all.
    pub fn rejections(&self) -> impl Iterator<Item = (&'static str, usize)> + '_ {
        REJECTION_KINDS.into_iter().zip(self.rejections)
    }
}

impl fmt::Display for PassReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agents={} allocations={}", self.agents, self.allocations)?;
        for (name, times) in [("stood_behind", self.stood_behind), ("probes", self.probes)] {
            if times > 0 {
                write!(f, " {name}={times}")?;
            }
        }
        for (reason, times) in self.rejections().filter(|(_, times)| *times > 0) {
            write!(f, " {reason}={times}")?;
        }
        Ok(())
    }
}

/// Why a framework is offered what it is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whom it is about.
    pub framework: FrameworkId,
    /// The answer for each of its roles.
    pub roles: Vec<RoleExplanation>,
}

/// The answer for one role of a framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleExplanation {
    /// The role.
    pub role: Role,
    /// Its place on each level of the order, the top-level role first, the framework last.
    pub position: Vec<Level>,
    /// All agents by the first reason why they are not offered; `None` is for agents that the
    /// next pass may offer.
    pub agents: Vec<(Option<Rejection>, Vec<AgentId>)>,
    /// What is known of its demand.
    pub demand: DemandState,
}

/// What the framework showed of its demand under a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemandState {
    /// Whether that matters.
    pub order: AllocationOrder,
    /// On how many agents it stands behind for what it has returned.
    pub behind_on: usize,
    /// On how many it has returned the like, but is due to be asked again.
    pub due_on: usize,
    /// When it is due to be asked on one more.
    pub next_due: Option<Instant>,
}

/// One level of a place in the order, with the numbers behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// The role's component, `.` for the frameworks of a role themselves, or the framework's id.
    pub label: String,
    /// How many active siblings come first; none when it takes part in no pass itself.
    pub ahead: Option<usize>,
    /// How many active siblings there are, itself included.
    pub siblings: usize,
    /// The weighted dominant share of the cluster.
    pub share: Share,
    /// How often something was allocated here, levelled whenever a sibling joins.
    pub history: u64,
    /// The weight.
    pub weight: String,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.label)?;
        match self.ahead {
            Some(ahead) => write!(f, "{} of {}", ahead + 1, self.siblings)?,
            None => f.write_str("not in the order")?,
        }
        write!(
            f,
            ", share {}, history {}, weight {}",
            self.share, self.history, self.weight
        )
    }
}
