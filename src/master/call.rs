//! What schedulers and operators ask of a master, after the wire and before any decision.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{AgentId, FrameworkId, TaskId};
use crate::proto::v1;
use crate::proto::v1::offer::operation::Type as Operation;
use crate::proto::v1::scheduler::call as wire;
use crate::quota::Quota;
use crate::registry::{MachineId, Window};
use crate::roles::{Role, Weight};

use super::snapshot::Snapshot;

/// A scheduler's call other than SUBSCRIBE. Bodies are the wire's own structs, their required
/// fields present.
#[derive(Clone, Debug, PartialEq)]
pub enum SchedulerCall {
    /// End the framework: kill everything, keep it in the history only.
    Teardown,
    /// Use offers.
    Accept(wire::Accept),
    /// Give offers back.
    Decline(wire::Decline),
    /// Agree to leave agents.
    AcceptInverseOffers(wire::AcceptInverseOffers),
    /// Refuse to leave agents.
    DeclineInverseOffers(wire::DeclineInverseOffers),
    /// Clear filters and suppression; no roles means all of the framework's.
    Revive {
        /// The roles, as text.
        roles: Vec<String>,
    },
    /// Stop offers; no roles means all of the framework's.
    Suppress {
        /// The roles, as text.
        roles: Vec<String>,
    },
    /// End a task.
    Kill(wire::Kill),
    /// End an executor.
    Shutdown(wire::Shutdown),
    /// A status update was taken note of.
    Acknowledge(wire::Acknowledge),
    /// Ask for the state of tasks.
    Reconcile(wire::Reconcile),
    /// Bytes for an executor.
    Message(wire::Message),
    /// Wishes for resources; accepted and ignored.
    Request,
    /// The end of an operation was taken note of.
    AcknowledgeOperation(wire::AcknowledgeOperationStatus),
    /// Ask for the state of operations.
    ReconcileOperations(wire::ReconcileOperations),
    /// Change the framework's description.
    UpdateFramework(Box<wire::UpdateFramework>),
}

impl SchedulerCall {
    /// The call's name on the wire, for logs, metrics and errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Teardown => "TEARDOWN",
            Self::Accept(_) => "ACCEPT",
            Self::Decline(_) => "DECLINE",
            Self::AcceptInverseOffers(_) => "ACCEPT_INVERSE_OFFERS",
            Self::DeclineInverseOffers(_) => "DECLINE_INVERSE_OFFERS",
            Self::Revive { .. } => "REVIVE",
            Self::Suppress { .. } => "SUPPRESS",
            Self::Kill(_) => "KILL",
            Self::Shutdown(_) => "SHUTDOWN",
            Self::Acknowledge(_) => "ACKNOWLEDGE",
            Self::Reconcile(_) => "RECONCILE",
            Self::Message(_) => "MESSAGE",
            Self::Request => "REQUEST",
            Self::AcknowledgeOperation(_) => "ACKNOWLEDGE_OPERATION_STATUS",
            Self::ReconcileOperations(_) => "RECONCILE_OPERATIONS",
            Self::UpdateFramework(_) => "UPDATE_FRAMEWORK",
        }
    }
}

/// An operator's call that changes state; reads are answered from a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum OperatorCall {
    /// End a framework.
    Teardown {
        /// Which framework.
        framework_id: FrameworkId,
    },
    /// Kill one task as its scheduler would; not part of Mesos' operator API.
    KillTask {
        /// The task's framework.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// In place of the task's own policy.
        kill_policy: Option<v1::KillPolicy>,
    },
    /// Convert resources of an agent: reserve, unreserve, make, end or resize volumes.
    Operate {
        /// The agent.
        agent_id: AgentId,
        /// What is to be done, without id.
        operation: Box<v1::offer::Operation>,
    },
    /// Let roles weigh more or less.
    UpdateWeights {
        /// Their weights.
        weights: BTreeMap<Role, Weight>,
    },
    /// Give roles other quotas, all of them or none.
    UpdateQuota {
        /// Their quotas; the default takes a role's quota away.
        quotas: BTreeMap<Role, Quota>,
        /// Also when the cluster has too little or the roles have too much.
        force: bool,
    },
    /// Give a role quota that has none; the older form.
    SetQuota {
        /// The role.
        role: Role,
        /// Its quota.
        quota: Quota,
        /// Also when the cluster has too little.
        force: bool,
    },
    /// Take a role's quota away; the older form.
    RemoveQuota {
        /// The role.
        role: Role,
    },
    /// Announce maintenance; replaces what was announced before.
    UpdateMaintenanceSchedule {
        /// The windows.
        windows: Vec<Window>,
    },
    /// Machines go down.
    StartMaintenance {
        /// Which machines of the schedule.
        machines: Vec<MachineId>,
    },
    /// Machines are up again.
    StopMaintenance {
        /// Which machines of those that are down.
        machines: Vec<MachineId>,
    },
    /// Give an agent up for good.
    MarkAgentGone {
        /// Which agent.
        agent_id: AgentId,
    },
    /// End all tasks of an agent and offer nothing more of it.
    DrainAgent {
        /// Which agent.
        agent_id: AgentId,
        /// At most this long for each task.
        grace_max: Option<Duration>,
        /// Give it up for good when it is drained.
        mark_gone: bool,
    },
    /// Offer nothing more of an agent.
    DeactivateAgent {
        /// Which agent.
        agent_id: AgentId,
    },
    /// Offer an agent again.
    ReactivateAgent {
        /// Which agent.
        agent_id: AgentId,
    },
}

impl OperatorCall {
    /// The call's name, for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Teardown { .. } => "TEARDOWN",
            Self::KillTask { .. } => "KILL_TASK",
            Self::Operate { operation, .. } => match operation.r#type() {
                Operation::Reserve => "RESERVE_RESOURCES",
                Operation::Unreserve => "UNRESERVE_RESOURCES",
                Operation::Create => "CREATE_VOLUMES",
                Operation::Destroy => "DESTROY_VOLUMES",
                Operation::GrowVolume => "GROW_VOLUME",
                Operation::ShrinkVolume => "SHRINK_VOLUME",
                _ => "OPERATE",
            },
            Self::UpdateWeights { .. } => "UPDATE_WEIGHTS",
            Self::UpdateQuota { .. } => "UPDATE_QUOTA",
            Self::SetQuota { .. } => "SET_QUOTA",
            Self::RemoveQuota { .. } => "REMOVE_QUOTA",
            Self::UpdateMaintenanceSchedule { .. } => "UPDATE_MAINTENANCE_SCHEDULE",
            Self::StartMaintenance { .. } => "START_MAINTENANCE",
            Self::StopMaintenance { .. } => "STOP_MAINTENANCE",
            Self::MarkAgentGone { .. } => "MARK_AGENT_GONE",
            Self::DrainAgent { .. } => "DRAIN_AGENT",
            Self::DeactivateAgent { .. } => "DEACTIVATE_AGENT",
            Self::ReactivateAgent { .. } => "REACTIVATE_AGENT",
        }
    }
}

/// Why does a framework get the offers that it gets?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The framework.
    pub framework_id: FrameworkId,
    /// One of its roles; without it all.
    pub role: Option<Role>,
    /// One agent; without it all.
    pub agent_id: Option<AgentId>,
}

/// The answer to a call that succeeded.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The call was taken; what follows from it comes as events.
    Accepted,
    /// The state at this moment.
    Snapshot(Box<Snapshot>),
    /// Why a framework gets the offers that it gets.
    Explanation(Box<v1::master::Explanation>),
    /// How many filters of declined offers there are, by role.
    Filters(BTreeMap<Role, usize>),
}

/// What kind of refusal a call met; front ends map it to their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The call is wrong in itself (400).
    Invalid,
    /// The framework is known but not subscribed (403).
    Forbidden,
    /// What the call names does not exist (404).
    NotFound,
    /// The call contradicts what is (409).
    Conflict,
    /// The master is ending or overloaded (503).
    Unavailable,
    /// The call is known but not supported (501).
    Unimplemented,
}

/// Why a call was refused: one line for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The kind of refusal.
    pub kind: CallErrorKind,
    /// Names the thing, the value and the way out.
    pub message: String,
}

impl CallError {
    /// A refusal of this kind.
    pub fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The call is wrong in itself.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Invalid, message)
    }

    /// What the call names does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::NotFound, message)
    }

    /// The master is ending or overloaded.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Unavailable, message)
    }
}
