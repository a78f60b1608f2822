//! Operators' calls: which verb answers, now or when the registry knows.

use crate::base::{FrameworkId, RequestId};

use super::call::{CallError, OperatorCall, Reply};
use super::core::{Master, Step};

impl Master {
    /// One call; answered with one `Reply`.
    pub(super) fn operator_call(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        call: OperatorCall,
    ) {
        match call {
            OperatorCall::Operate {
                agent_id,
                operation,
            } => {
                let result = self.operate(step, &agent_id, &operation);
                step.reply(request, result.map(|()| Reply::Accepted));
            }
            OperatorCall::Teardown { .. } | OperatorCall::KillTask { .. } => {
                let result = self.framework_order(step, &call);
                step.reply(request, result.map(|()| Reply::Accepted));
            }
            OperatorCall::UpdateWeights { .. }
            | OperatorCall::UpdateQuota { .. }
            | OperatorCall::SetQuota { .. }
            | OperatorCall::RemoveQuota { .. }
            | OperatorCall::UpdateMaintenanceSchedule { .. }
            | OperatorCall::StartMaintenance { .. }
            | OperatorCall::StopMaintenance { .. } => self.decide(step, request, call),
            OperatorCall::MarkAgentGone { .. }
            | OperatorCall::DrainAgent { .. }
            | OperatorCall::DeactivateAgent { .. }
            | OperatorCall::ReactivateAgent { .. } => self.agent_order(step, request, &call),
        }
    }

    fn framework_order(
        &mut self,
        step: &mut Step<'_>,
        call: &OperatorCall,
    ) -> Result<(), CallError> {
        match call {
            OperatorCall::Teardown { framework_id } => {
                self.check_framework_lives(framework_id)?;
                self.remove_framework(step, framework_id);
            }
            OperatorCall::KillTask {
                framework_id,
                task_id,
                kill_policy,
            } => {
                self.check_framework_lives(framework_id)?;
                let framework = self.frameworks.get(framework_id);
                if !framework.is_some_and(|framework| framework.tasks.contains_key(task_id)) {
                    return Err(CallError::not_found(format!(
                        "framework {framework_id} has no task {task_id} that runs"
                    )));
                }
                self.kill_task(step, framework_id, task_id, *kill_policy);
            }
            _ => {}
        }
        Ok(())
    }

    fn check_framework_lives(&self, framework_id: &FrameworkId) -> Result<(), CallError> {
        if self.frameworks.contains_key(framework_id) {
            return Ok(());
        }
        Err(CallError::not_found(
            if self.completed.contains(framework_id) {
                format!("framework {framework_id} has ended already")
            } else {
                format!("framework {framework_id} is not known")
            },
        ))
    }
}
