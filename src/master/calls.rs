//! Scheduler calls: who may call, and which verb answers.

use std::collections::BTreeSet;

use crate::base::{ConnectionId, FrameworkId};
use crate::proto::v1::allocator::inverse_offer_status::Status;
use crate::validation::framework::check_own_roles;

use super::call::{CallError, CallErrorKind, SchedulerCall};
use super::core::{Master, Step};

impl Master {
    /// One call; what it cannot do at once comes as events later.
    pub(super) fn scheduler_call(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        connection: Option<ConnectionId>,
        call: SchedulerCall,
    ) -> Result<(), CallError> {
        if let Err(error) = self.check_caller(framework_id, connection, &call) {
            if let Some(framework) = self.framework_mut(framework_id) {
                framework.metrics.refused_calls += 1;
            }
            return Err(error);
        }
        if let Some(framework) = self.framework_mut(framework_id) {
            framework.metrics.count_call(&call);
        }
        let metrics = &mut self.metrics;
        match call {
            SchedulerCall::Teardown => {
                metrics.messages_unregister_framework += 1;
                self.remove_framework(step, framework_id);
            }
            SchedulerCall::Accept(accept) => {
                metrics.messages_launch_tasks += 1;
                return self.accept(step, framework_id, accept);
            }
            SchedulerCall::Decline(decline) => {
                metrics.messages_decline_offers += 1;
                self.decline(step, framework_id, &decline);
            }
            SchedulerCall::AcceptInverseOffers(call) => {
                let (ids, filters) = (&call.inverse_offer_ids, call.filters.as_ref());
                self.answer_inverse_offers(step, framework_id, Status::Accept, ids, filters);
            }
            SchedulerCall::DeclineInverseOffers(call) => {
                let (ids, filters) = (&call.inverse_offer_ids, call.filters.as_ref());
                self.answer_inverse_offers(step, framework_id, Status::Decline, ids, filters);
            }
            SchedulerCall::Revive { roles } => {
                metrics.messages_revive_offers += 1;
                self.revive(framework_id, &roles)?;
                self.watch.offered(framework_id, step.now.mono);
            }
            SchedulerCall::Suppress { roles } => {
                metrics.messages_suppress_offers += 1;
                self.suppress(framework_id, &roles)?;
            }
            SchedulerCall::Kill(kill) => {
                metrics.messages_kill_task += 1;
                self.kill(step, framework_id, kill);
            }
            SchedulerCall::Shutdown(shutdown) => {
                self.shutdown_executor(step, framework_id, shutdown);
            }
            SchedulerCall::Acknowledge(acknowledge) => {
                metrics.messages_status_update_acknowledgement += 1;
                self.acknowledge(step, framework_id, acknowledge)?;
            }
            SchedulerCall::Reconcile(reconcile) => {
                metrics.messages_reconcile_tasks += 1;
                return self.reconcile(step, framework_id, reconcile);
            }
            SchedulerCall::Message(message) => {
                metrics.messages_framework_to_executor += 1;
                self.message_to_executor(step, framework_id, message);
            }
            SchedulerCall::Request => {
                metrics.messages_resource_request += 1;
                self.allocator
                    .demand_changed(framework_id, &BTreeSet::new());
            }
            SchedulerCall::AcknowledgeOperation(call) => {
                metrics.messages_operation_status_update_acknowledgement += 1;
                self.acknowledge_operation(step, framework_id, &call)?;
            }
            SchedulerCall::ReconcileOperations(call) => {
                metrics.messages_reconcile_operations += 1;
                self.reconcile_operations(step, framework_id, &call);
            }
            SchedulerCall::UpdateFramework(update) => {
                return self.update_framework(step, framework_id, &update);
            }
        }
        Ok(())
    }

    fn check_caller(
        &self,
        framework_id: &FrameworkId,
        connection: Option<ConnectionId>,
        call: &SchedulerCall,
    ) -> Result<(), CallError> {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return Err(CallError::invalid(format!(
                "framework {framework_id} is not known; subscribe first"
            )));
        };
        let Some(current) = framework.status.connection() else {
            return Err(CallError::new(
                CallErrorKind::Forbidden,
                format!(
                    "framework {framework_id} is not subscribed; subscribe before {}",
                    call.name()
                ),
            ));
        };
        match connection {
            Some(named) if named == current => Ok(()),
            Some(_) => Err(CallError::invalid(format!(
                "the stream id is not that of framework {framework_id}'s current subscription"
            ))),
            None => Err(CallError::invalid(format!(
                "{} needs the stream id that SUBSCRIBE gave",
                call.name()
            ))),
        }
    }

    fn revive(&mut self, framework_id: &FrameworkId, roles: &[String]) -> Result<(), CallError> {
        let Some(framework) = self.framework_mut(framework_id) else {
            return Ok(());
        };
        let roles = check_own_roles(roles, &framework.roles)
            .map_err(|error| CallError::invalid(error.to_string()))?;
        if roles.is_empty() {
            framework.suppressed_roles.clear();
        } else {
            framework
                .suppressed_roles
                .retain(|role| !roles.contains(role));
        }
        self.allocator.revive(framework_id, &roles);
        Ok(())
    }

    fn suppress(&mut self, framework_id: &FrameworkId, roles: &[String]) -> Result<(), CallError> {
        let Some(framework) = self.framework_mut(framework_id) else {
            return Ok(());
        };
        let roles = check_own_roles(roles, &framework.roles)
            .map_err(|error| CallError::invalid(error.to_string()))?;
        if roles.is_empty() {
            framework.suppressed_roles = framework.roles.clone();
        } else {
            framework.suppressed_roles.extend(roles.iter().cloned());
        }
        self.allocator.suppress(framework_id, &roles);
        Ok(())
    }
}
