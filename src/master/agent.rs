//! One registered agent as the master knows it, and the life of its registration.
//!
//! ```text
//! (link) Register -> admission stored -> Active <-> Disconnected -> Leaving -> removed
//!                                          |                           ^
//!                                          +-------- pings unanswered -+
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::base::{
    AgentId, ConnectionId, ExecutorId, FrameworkId, OfferId, TaskId, Timestamp, Uuid,
};
use crate::proto::v1;
use crate::proto::v1::agent_info::capability::Type as Capability;
use crate::resources::{Conversion, Resources};
use crate::validation::operation::conversion;

use super::maintenance::Maintained;
use super::operation::Operation;

/// Where a registered agent stands. Agents that wait for their admission are not agents yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentStatus {
    /// Its link is up; its resources may be offered.
    Active(ConnectionId),
    /// Its link broke; nothing is offered, its tasks are believed to run.
    Disconnected,
    /// The registry is being told that it is unreachable or removed; it cannot come back before.
    Leaving,
}

impl AgentStatus {
    /// The agent's link, if it may be used.
    #[must_use]
    pub fn connection(self) -> Option<ConnectionId> {
        match self {
            Self::Active(connection) => Some(connection),
            Self::Disconnected | Self::Leaving => None,
        }
    }

    /// Whether a registration may go from this status to that one.
    #[must_use]
    pub fn may_follow(self, next: Self) -> bool {
        match (self, next) {
            (Self::Leaving, _) => false,
            (
                Self::Active(_) | Self::Disconnected,
                Self::Active(_) | Self::Disconnected | Self::Leaving,
            ) => true,
        }
    }
}

/// A framework's executor on an agent, with what it holds itself.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Its description, with framework id.
    pub info: Arc<v1::ExecutorInfo>,
    /// What it holds besides its tasks.
    pub resources: Resources,
}

/// A task is known by its framework's id and its own.
pub type TaskKey = (FrameworkId, TaskId);

/// An executor is known by its framework's id and its own.
pub type ExecutorKey = (FrameworkId, ExecutorId);

/// What every agent that speaks the link can do, by Mesos' names.
pub const CAPABILITIES: [Capability; 7] = [
    Capability::MultiRole,
    Capability::HierarchicalRole,
    Capability::ReservationRefinement,
    Capability::ResizeVolume,
    Capability::AgentOperationFeedback,
    Capability::AgentDraining,
    Capability::TaskResourceLimits,
];

/// An admitted agent that has registered with this master.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its name.
    pub id: AgentId,
    /// How it describes itself, with id.
    pub info: Arc<v1::AgentInfo>,
    /// Its version.
    pub version: String,
    /// Address of its link's peer, host and port.
    pub peer: String,
    /// What only one living agent can have, as the master's table of addresses knows it.
    pub(super) address: String,
    /// Where it stands.
    pub status: AgentStatus,
    /// Everything it has to give.
    pub total: Resources,
    /// When this master first heard of it.
    pub registered: Timestamp,
    /// When it last came back.
    pub reregistered: Option<Timestamp>,
    /// The maintenance that its machine waits for.
    pub maintained: Option<Maintained>,
    /// When the drain that is under way or done has begun, as far as this master knows.
    pub drain_started: Option<Timestamp>,
    /// Tasks on it, also terminal ones whose last update is not acknowledged.
    pub tasks: OrdSet<TaskKey>,
    /// Executors on it, but for the built-in ones.
    pub executors: OrdMap<ExecutorKey, Executor>,
    /// Operations on its resources whose end is not acknowledged.
    pub operations: OrdMap<Uuid, Arc<Operation>>,
    /// Outstanding offers of its resources.
    pub offers: OrdSet<OfferId>,
    /// Kills that arrived while the link was down.
    pub kills: BTreeMap<TaskKey, Option<v1::KillPolicy>>,
    /// Number of the last ping; its answer must carry it.
    pub ping: u64,
    /// Pings in a row without an answer.
    pub pings_missed: u32,
    /// Whether the last ping still waits for its answer.
    pub ping_pending: bool,
}

impl Agent {
    /// True when the agent's resources may be offered.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.status, AgentStatus::Active(_))
    }

    /// The address that clients reach it at, as Mesos writes it: `slave(1)@10.0.0.1:5051`.
    #[must_use]
    pub fn pid(&self) -> String {
        let (ip, _) = self.peer.rsplit_once(':').unwrap_or((&self.peer, ""));
        format!("slave(1)@{ip}:{}", self.info.port())
    }

    /// What the agent says it has, and what the operations will make of it that it did not know of
    /// when it said so: the master has counted them already, and what they made may be in use. One
    /// that is not possible any more the agent drops, and says again what it has.
    #[must_use]
    pub fn with_operations_on_the_way(&self, said: Resources, known: &[Vec<u8>]) -> Resources {
        let known: BTreeSet<Uuid> = known
            .iter()
            .filter_map(|uuid| Uuid::from_slice(uuid))
            .collect();
        let open = self.operations.values();
        let open =
            open.filter(|operation| !operation.has_ended() && !known.contains(&operation.uuid));
        let mut waiting: Vec<Conversion> = open
            .filter_map(|operation| conversion(&operation.info).ok())
            .collect();
        let mut total = said;
        // One may need what another makes.
        loop {
            let before = waiting.len();
            waiting.retain(|does| match total.convert(does) {
                Some(after) => {
                    total = after;
                    false
                }
                None => true,
            });
            if waiting.len() == before {
                return total;
            }
        }
    }

    /// True when nothing is left to be done on it: no task, and no update that has to be acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.operations.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_is_the_end() {
        let active = AgentStatus::Active(ConnectionId(1));
        let all = [active, AgentStatus::Disconnected, AgentStatus::Leaving];
        for next in all {
            assert!(active.may_follow(next));
            assert!(AgentStatus::Disconnected.may_follow(next));
            assert!(!AgentStatus::Leaving.may_follow(next), "{next:?}");
        }
    }
}
