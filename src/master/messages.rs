//! Bytes between schedulers and executors, best effort, and the ends of executors.

use crate::base::{AgentId, ExecutorId, FrameworkId};
use crate::proto::link;
use crate::proto::v1::scheduler::call;

use super::core::{Master, Step};

impl Master {
    /// MESSAGE: to the executor, if its agent can be reached.
    pub(super) fn message_to_executor(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: call::Message,
    ) {
        let agent_id = AgentId::new(call.agent_id.value);
        let message = link::from_master::Message::FrameworkMessage(link::FrameworkMessage {
            framework_id: framework_id.into(),
            executor_id: call.executor_id,
            data: call.data,
        });
        if self.send_agent(step, &agent_id, message) {
            self.metrics.valid_framework_to_executor_messages += 1;
        } else {
            self.metrics.invalid_framework_to_executor_messages += 1;
        }
    }

    /// An executor's bytes for its scheduler, if that is subscribed.
    pub(super) fn message_to_scheduler(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        message: link::ExecutorMessage,
    ) {
        self.metrics.messages_executor_to_framework += 1;
        let framework_id = FrameworkId::new(message.framework_id.value);
        let Some(connection) = self.connection_of(&framework_id) else {
            self.metrics.invalid_executor_to_framework_messages += 1;
            return;
        };
        self.metrics.valid_executor_to_framework_messages += 1;
        step.send_message(connection, agent_id, message.executor_id, message.data);
    }

    /// An executor ended: what it held is free, and its scheduler is told.
    pub(super) fn executor_exited(
        &mut self,
        step: &mut Step<'_>,
        agent_id: &AgentId,
        message: link::ExitedExecutor,
    ) {
        self.metrics.messages_exited_executor += 1;
        let framework_id = FrameworkId::new(message.framework_id.value);
        let executor_id = ExecutorId::new(message.executor_id.value);
        self.remove_executor(step, &framework_id, agent_id, &executor_id);
        if let Some(connection) = self.connection_of(&framework_id) {
            let ended = Some((&executor_id, message.wait_status));
            step.send_failure(connection, agent_id, ended);
        }
    }
}
