//! One framework as the master knows it, and the life of its subscription.
//!
//! ```text
//! SUBSCRIBE -> Connected <-> Disconnected -> removed (failover_timeout, teardown)
//!                  ^
//! (an agent reported it) Recovered
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use imbl::{OrdMap, OrdSet};

use crate::attributes::OfferConstraints;
use crate::base::{AgentId, ConnectionId, ExecutorId, FrameworkId, OfferId, TaskId, Timestamp};
use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::proto::v1::framework_info::capability::Type as Capability;
use crate::resources::{Quantities, ReservationForm};
use crate::roles::Role;

use super::framework_metrics::FrameworkMetrics;
use super::history::History;
use super::task::Task;

/// Where a framework stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameworkStatus {
    /// Its scheduler is subscribed and gets offers.
    Connected(ConnectionId),
    /// Its scheduler went away; its tasks run on until `failover_timeout`.
    Disconnected,
    /// An agent reported it after a change of master; no scheduler has come yet.
    Recovered,
}

impl FrameworkStatus {
    /// The scheduler's stream, if there is one.
    #[must_use]
    pub fn connection(self) -> Option<ConnectionId> {
        match self {
            Self::Connected(connection) => Some(connection),
            Self::Disconnected | Self::Recovered => None,
        }
    }

    /// Whether a framework may go from this status to that one.
    #[must_use]
    pub fn may_follow(self, next: Self) -> bool {
        match (self, next) {
            (_, Self::Connected(_)) | (Self::Connected(_), Self::Disconnected) => true,
            (Self::Disconnected | Self::Recovered, Self::Disconnected) | (_, Self::Recovered) => {
                false
            }
        }
    }
}

/// What a framework says it can cope with, as far as the master decides by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Knows TASK_UNREACHABLE, DROPPED, GONE, GONE_BY_OPERATOR and UNKNOWN.
    pub partition_aware: bool,
    /// Lists its roles in `roles`.
    pub multi_role: bool,
    /// Knows TASK_KILLING.
    pub task_killing_state: bool,
    /// Knows reservations as stacks.
    pub reservation_refinement: bool,
}

impl Capabilities {
    /// The capabilities that the description lists.
    #[must_use]
    pub fn of(info: &v1::FrameworkInfo) -> Self {
        let has = |wanted: Capability| info.capabilities.iter().any(|have| have.r#type() == wanted);
        Self {
            partition_aware: has(Capability::PartitionAware),
            multi_role: has(Capability::MultiRole),
            task_killing_state: has(Capability::TaskKillingState),
            reservation_refinement: has(Capability::ReservationRefinement),
        }
    }
}

/// A framework that subscribed, or that an agent reported.
#[derive(Clone, Debug)]
pub struct Framework {
    /// Its name.
    pub id: FrameworkId,
    /// How it describes itself, with id.
    pub info: Arc<v1::FrameworkInfo>,
    /// Its roles, checked.
    pub roles: BTreeSet<Role>,
    /// The roles that want no offers now.
    pub suppressed_roles: BTreeSet<Role>,
    /// What it can cope with.
    pub capabilities: Capabilities,
    /// How long its tasks outlive its scheduler's stream.
    pub failover_timeout: Duration,
    /// Smallest bundles worth an offer, by role, in place of the cluster's.
    pub min_allocatable: BTreeMap<Role, Vec<Quantities>>,
    /// Which agents it wants offers of.
    pub constraints: OfferConstraints,
    /// Where it stands.
    pub status: FrameworkStatus,
    /// The process of its scheduler, `scheduler(1)@ip:port`, while that is a v0 driver.
    pub process: Option<String>,
    /// When this master first heard of it.
    pub registered: Timestamp,
    /// When its scheduler last came back.
    pub reregistered: Option<Timestamp>,
    /// When it was removed.
    pub unregistered: Option<Timestamp>,
    /// Its tasks, also terminal ones whose last update is not acknowledged.
    pub tasks: OrdMap<TaskId, Arc<Task>>,
    /// Tasks whose agents are unreachable.
    pub unreachable_tasks: History<TaskId, Task>,
    /// Tasks that ended.
    pub completed_tasks: History<u64, Task>,
    /// How many tasks ever went to the history; numbers them, since task ids may be used again.
    pub completed_count: u64,
    /// Its executors, but for the built-in ones.
    pub executors: OrdSet<(AgentId, ExecutorId)>,
    /// Its outstanding offers.
    pub offers: OrdSet<OfferId>,
    /// What it did and was told.
    pub metrics: FrameworkMetrics,
}

impl Framework {
    /// The state that tells this framework of a loss: `precise` if it knows such states, else LOST.
    #[must_use]
    pub fn loss(&self, precise: TaskState) -> TaskState {
        if self.capabilities.partition_aware {
            precise
        } else {
            TaskState::TaskLost
        }
    }

    /// How this framework reads reservations.
    #[must_use]
    pub fn reservation_form(&self) -> ReservationForm {
        if self.capabilities.reservation_refinement {
            ReservationForm::Stack
        } else {
            ReservationForm::Flat
        }
    }

    /// Puts an ended task into the history.
    pub fn complete(&mut self, task: Arc<Task>) {
        self.completed_tasks.insert(self.completed_count, task);
        self.completed_count += 1;
    }

    /// True while it is known from an agent only.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.status == FrameworkStatus::Recovered
    }

    /// True when the scheduler is subscribed.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.status.connection().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transition_of_a_framework() {
        use FrameworkStatus::{Connected, Disconnected, Recovered};
        let connected = Connected(ConnectionId(1));
        let table = [
            (connected, Connected(ConnectionId(2)), true),
            (connected, Disconnected, true),
            (connected, Recovered, false),
            (Disconnected, connected, true),
            (Disconnected, Disconnected, false),
            (Disconnected, Recovered, false),
            (Recovered, connected, true),
            (Recovered, Disconnected, false),
            (Recovered, Recovered, false),
        ];
        for (from, to, allowed) in table {
            assert_eq!(from.may_follow(to), allowed, "{from:?} -> {to:?}");
        }
    }
}
