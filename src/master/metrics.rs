//! What a master counts, under Mesos' names.

use std::collections::BTreeMap;

use imbl::OrdMap;

use crate::proto::v1;
use crate::proto::v1::offer::operation::Type;
use crate::proto::v1::task_status::{Reason, Source};
use crate::proto::v1::{OperationState, TaskState};

macro_rules! counters {
    ($($(#[doc = $help:literal])* $field:ident => $name:literal,)*) => {
        /// Counters of one master; each only grows.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Metrics {
            $($(#[doc = $help])* pub $field: u64,)*
            /// Operations by type and what became of them; `total` are those that were applied.
            pub operations_by_type: OrdMap<(&'static str, &'static str), u64>,
            /// Terminal updates by state, source and reason.
            pub by_reason: OrdMap<String, u64>,
        }

        impl Metrics {
            /// Name, explanation and value of each counter.
            #[must_use]
            pub fn described(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($name, concat!($($help),*), self.$field),)*]
            }

            /// The counters by their names in `/metrics/snapshot`.
            #[must_use]
            pub fn counters(&self) -> BTreeMap<String, u64> {
                let mut all: BTreeMap<_, _> = [$(($name.to_owned(), self.$field),)*].into();
                all.extend(self.by_reason.iter().map(|(name, count)| (name.clone(), *count)));
                all
            }
        }
    };
}

counters! {
    /// SUBSCRIBE calls without id.
    messages_register_framework => "master/messages_register_framework",
    /// SUBSCRIBE calls with id.
    messages_reregister_framework => "master/messages_reregister_framework",
    /// TEARDOWN calls.
    messages_unregister_framework => "master/messages_unregister_framework",
    /// KILL calls.
    messages_kill_task => "master/messages_kill_task",
    /// ACKNOWLEDGE calls.
    messages_status_update_acknowledgement => "master/messages_status_update_acknowledgement",
    /// REQUEST calls.
    messages_resource_request => "master/messages_resource_request",
    /// ACCEPT calls.
    messages_launch_tasks => "master/messages_launch_tasks",
    /// DECLINE calls.
    messages_decline_offers => "master/messages_decline_offers",
    /// REVIVE calls.
    messages_revive_offers => "master/messages_revive_offers",
    /// SUPPRESS calls.
    messages_suppress_offers => "master/messages_suppress_offers",
    /// RECONCILE calls.
    messages_reconcile_tasks => "master/messages_reconcile_tasks",
    /// MESSAGE calls.
    messages_framework_to_executor => "master/messages_framework_to_executor",
    /// ACKNOWLEDGE_OPERATION_STATUS calls.
    messages_operation_status_update_acknowledgement => "master/messages_operation_status_update_acknowledgement",
    /// RECONCILE_OPERATIONS calls.
    messages_reconcile_operations => "master/messages_reconcile_operations",
    /// Ends of operations that agents told.
    messages_operation_status_update => "master/messages_operation_status_update",
    /// Ends of operations that the master knew of.
    valid_operation_status_updates => "master/valid_operation_status_updates",
    /// Ends of operations that were over.
    invalid_operation_status_updates => "master/invalid_operation_status_updates",
    /// Acknowledgements of operations that reached an agent's link.
    valid_operation_status_update_acknowledgements => "master/valid_operation_status_update_acknowledgements",
    /// Acknowledgements of operations that fit nothing, or while the agent is away.
    invalid_operation_status_update_acknowledgements => "master/invalid_operation_status_update_acknowledgements",
    /// Operations that were applied.
    operations => "master/operations/total",
    /// Operations that agents have carried out.
    operations_finished => "master/operations/finished",
    /// Operations that failed on their agents.
    operations_failed => "master/operations/failed",
    /// Operations that the master refused.
    operations_error => "master/operations/error",
    /// Operations that never reached their agents.
    operations_dropped => "master/operations/dropped",
    /// Operations whose agents are unreachable.
    operations_unreachable => "master/operations/unreachable",
    /// Operations whose agents were removed.
    operations_gone_by_operator => "master/operations/gone_by_operator",
    /// Messages from executors.
    messages_executor_to_framework => "master/messages_executor_to_framework",
    /// Registrations of agents without id.
    messages_register_slave => "master/messages_register_slave",
    /// Registrations of agents with id.
    messages_reregister_slave => "master/messages_reregister_slave",
    /// Agents that ended on purpose.
    messages_unregister_slave => "master/messages_unregister_slave",
    /// Status updates from agents.
    messages_status_update => "master/messages_status_update",
    /// Ends of executors.
    messages_exited_executor => "master/messages_exited_executor",
    /// Changes of an agent's total.
    messages_update_slave => "master/messages_update_slave",
    /// Messages or calls that could not be acted on.
    dropped_messages => "master/dropped_messages",
    /// MESSAGE calls that reached an agent's link.
    valid_framework_to_executor_messages => "master/valid_framework_to_executor_messages",
    /// MESSAGE calls without a reachable executor.
    invalid_framework_to_executor_messages => "master/invalid_framework_to_executor_messages",
    /// Messages from executors that reached a scheduler.
    valid_executor_to_framework_messages => "master/valid_executor_to_framework_messages",
    /// Messages from executors without a subscribed scheduler.
    invalid_executor_to_framework_messages => "master/invalid_executor_to_framework_messages",
    /// Status updates of known tasks.
    valid_status_updates => "master/valid_status_updates",
    /// Status updates that name nothing known, or without a proper uuid.
    invalid_status_updates => "master/invalid_status_updates",
    /// Acknowledgements that reached an agent's link.
    valid_status_update_acknowledgements => "master/valid_status_update_acknowledgements",
    /// Acknowledgements of nothing, or while the agent is away.
    invalid_status_update_acknowledgements => "master/invalid_status_update_acknowledgements",
    /// New agents.
    slave_registrations => "master/slave_registrations",
    /// Agents that came back.
    slave_reregistrations => "master/slave_reregistrations",
    /// Agents that left or became unreachable.
    slave_removals => "master/slave_removals",
    /// Agents that stopped answering pings or did not come back in time.
    slave_removals_unhealthy => "master/slave_removals/reason_unhealthy",
    /// Agents that unregistered.
    slave_removals_unregistered => "master/slave_removals/reason_unregistered",
    /// Agents that an operator gave up, or whose machine went down.
    slave_removals_by_operator => "master/slave_removals/reason_by_operator",
    /// Agents whose successor registered from the same address.
    slave_removals_registered => "master/slave_removals/reason_registered",
    /// Agents of the registry that did not come back after this master's start.
    recovery_slave_removals => "master/recovery_slave_removals",
    /// Agents that are to be marked unreachable.
    slave_unreachable_scheduled => "master/slave_unreachable_scheduled",
    /// Agents that were heard of again before they were marked unreachable.
    slave_unreachable_canceled => "master/slave_unreachable_canceled",
    /// Agents that were marked unreachable.
    slave_unreachable_completed => "master/slave_unreachable_completed",
    /// Offers made.
    offers_sent => "master/offers/sent",
    /// Offers taken back because they were held too long while somebody waited for them.
    offers_hoarded => "master/offers/hoarded",
    /// Warnings of frameworks that want offers and get none.
    frameworks_starving => "master/frameworks_starving",
    /// Offers accepted.
    offers_accepted => "master/offers/accepted",
    /// Offers declined.
    offers_declined => "master/offers/declined",
    /// Offers taken back.
    offers_rescinded => "master/offers/rescinded",
    /// Inverse offers made.
    inverse_offers_sent => "master/inverse_offers/sent",
    /// Inverse offers accepted.
    inverse_offers_accepted => "master/inverse_offers/accepted",
    /// Inverse offers declined.
    inverse_offers_declined => "master/inverse_offers/declined",
    /// Inverse offers taken back.
    inverse_offers_rescinded => "master/inverse_offers/rescinded",
    /// Tasks that ended well.
    tasks_finished => "master/tasks_finished",
    /// Tasks that failed.
    tasks_failed => "master/tasks_failed",
    /// Tasks that were killed.
    tasks_killed => "master/tasks_killed",
    /// Tasks that were lost.
    tasks_lost => "master/tasks_lost",
    /// Tasks that were refused.
    tasks_error => "master/tasks_error",
    /// Tasks that never started.
    tasks_dropped => "master/tasks_dropped",
    /// Tasks that are not where they should be.
    tasks_gone => "master/tasks_gone",
    /// Tasks whose agent an operator gave up.
    tasks_gone_by_operator => "master/tasks_gone_by_operator",
}

impl Metrics {
    /// Counts an operation that is applied.
    pub fn count_applied(&mut self, kind: Type) {
        self.operations += 1;
        self.count_type(kind, "total");
    }

    /// Counts that an operation has come to an end, or is out of reach.
    pub fn count_operation(&mut self, kind: Type, state: OperationState) {
        let (counter, name) = match state {
            OperationState::OperationFinished => (&mut self.operations_finished, "finished"),
            OperationState::OperationFailed => (&mut self.operations_failed, "failed"),
            OperationState::OperationError => (&mut self.operations_error, "error"),
            OperationState::OperationDropped => (&mut self.operations_dropped, "dropped"),
            OperationState::OperationUnreachable => {
                (&mut self.operations_unreachable, "unreachable")
            }
            OperationState::OperationGoneByOperator => {
                (&mut self.operations_gone_by_operator, "gone_by_operator")
            }
            OperationState::OperationUnsupported
            | OperationState::OperationPending
            | OperationState::OperationRecovering
            | OperationState::OperationUnknown => return,
        };
        *counter += 1;
        self.count_type(kind, name);
    }

    fn count_type(&mut self, kind: Type, what: &'static str) {
        let key = (kind.as_str_name(), what);
        *self.operations_by_type.entry(key).or_insert(0) += 1;
    }

    /// Counts a task's end (or its becoming unreachable, which only the reasons count).
    pub fn count_task(&mut self, state: TaskState, status: &v1::TaskStatus) {
        let counter = match state {
            TaskState::TaskFinished => Some(&mut self.tasks_finished),
            TaskState::TaskFailed => Some(&mut self.tasks_failed),
            TaskState::TaskKilled => Some(&mut self.tasks_killed),
            TaskState::TaskLost => Some(&mut self.tasks_lost),
            TaskState::TaskError => Some(&mut self.tasks_error),
            TaskState::TaskDropped => Some(&mut self.tasks_dropped),
            TaskState::TaskGone => Some(&mut self.tasks_gone),
            TaskState::TaskGoneByOperator => Some(&mut self.tasks_gone_by_operator),
            TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown => None,
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
        if let (Some(source), Some(_)) = (status.source, status.reason) {
            let source = Source::try_from(source).unwrap_or(Source::Agent);
            let name = format!(
                "master/{}/{}/{}",
                state.as_str_name().to_lowercase(),
                match source {
                    Source::Master => "source_master",
                    Source::Agent => "source_slave",
                    Source::Executor => "source_executor",
                },
                Reason::as_str_name(&status.reason()).to_lowercase(),
            );
            *self.by_reason.entry(name).or_insert(0) += 1;
        }
    }
}
