//! The end of a framework: its tasks, executors and offers go, its record stays in the history.

use std::sync::Arc;

use crate::base::FrameworkId;
use crate::proto::link;
use crate::proto::v1::TaskState;
use crate::proto::v1::task_status::Reason;

use super::core::{Master, Step};
use super::effect::{Effect, OperatorEvent};
use super::events::master_status;
use super::subscribe::involved_agents;
use super::timer::TimerKey;

impl Master {
    /// Removes a framework: teardown, or its failover timeout has passed. Its id is not used again.
    pub(super) fn remove_framework(&mut self, step: &mut Step<'_>, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        tracing::info!(%framework_id, tasks = framework.tasks.len(), "framework removed");
        if let Some(connection) = framework.status.connection() {
            self.schedulers.remove(&connection);
            self.reconciling.remove(&connection);
            step.push(Effect::CloseScheduler { connection });
        }
        for agent_id in involved_agents(framework) {
            let message = link::from_master::Message::ShutdownFramework(link::ShutdownFramework {
                framework_id: framework_id.into(),
            });
            self.send_agent(step, &agent_id, message);
        }
        self.discard_offers_of(step, framework_id);
        self.drop_inverse_offers_to(step, framework_id);
        self.forget_inverse_answers_of(framework_id);
        self.end_tasks_of_removed(step, framework_id);
        self.forget_executors_of(framework_id);
        self.end_operations_of(step, framework_id);
        self.cancel_timer(step, TimerKey::Failover(framework_id.clone()));
        self.allocator.remove_framework(framework_id);
        self.forget_framework(step, framework_id);
        let Some(mut framework) = self.frameworks.remove(framework_id) else {
            return;
        };
        Arc::make_mut(&mut framework).unregistered = Some(step.now.wall);
        let info = Arc::clone(&framework.info);
        self.completed.insert(framework_id.clone(), framework);
        step.push(Effect::Publish(OperatorEvent::FrameworkRemoved(info)));
    }

    /// Moves every task to the history; those that ran count as killed. Nobody is told: there is no
    /// scheduler any more.
    fn end_tasks_of_removed(&mut self, step: &mut Step<'_>, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(framework_id).map(Arc::make_mut) else {
            return;
        };
        for (_, mut record) in std::mem::take(&mut framework.tasks) {
            if !record.state.is_terminal() {
                let status = master_status(
                    &record.id,
                    Some(&record.agent_id),
                    TaskState::TaskKilled,
                    Reason::FrameworkRemoved,
                    "the framework was removed",
                    step.now.wall,
                );
                self.metrics.count_task(TaskState::TaskKilled, &status);
                let task = Arc::make_mut(&mut record);
                task.state = TaskState::TaskKilled;
                task.record_status(status.clone());
                step.push(Effect::Publish(OperatorEvent::TaskUpdated {
                    framework_id: framework_id.clone(),
                    status: Box::new(status),
                    state: TaskState::TaskKilled,
                }));
            }
            let key = (framework_id.clone(), record.id.clone());
            if let Some(agent) = self.agents.get_mut(&record.agent_id).map(Arc::make_mut) {
                agent.tasks.remove(&key);
                agent.kills.remove(&key);
            }
            framework.complete(record);
        }
    }

    fn forget_executors_of(&mut self, framework_id: &FrameworkId) {
        if planted!(self, KeepExecutorsOnTeardown) {
            return;
        }
        let Some(framework) = self.frameworks.get_mut(framework_id).map(Arc::make_mut) else {
            return;
        };
        for (agent_id, executor_id) in std::mem::take(&mut framework.executors) {
            if let Some(agent) = self.agents.get_mut(&agent_id).map(Arc::make_mut) {
                agent.executors.remove(&(framework_id.clone(), executor_id));
            }
        }
    }
}
