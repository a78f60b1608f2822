//! Changes of tasks and executors that keep all indexes, the allocator and the counters together.

use std::sync::Arc;

use crate::base::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::proto::v1;
use crate::proto::v1::TaskState;

use super::agent::Executor;
use super::core::{Master, Step};
use super::effect::{Effect, OperatorEvent};
use super::task::{Forwarded, Task, may_follow};

impl Master {
    /// Adds a task to its framework and its agent. The allocator knows its resources already.
    pub(super) fn insert_task(&mut self, task: Arc<Task>) {
        if let Some(agent) = self.agent_mut(&task.agent_id) {
            agent
                .tasks
                .insert((task.framework_id.clone(), task.id.clone()));
        }
        if let Some(framework) = self.framework_mut(&task.framework_id.clone()) {
            framework.tasks.insert(task.id.clone(), task);
        }
    }

    /// Takes a task out of its framework and its agent.
    fn take_task(&mut self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<Arc<Task>> {
        let task = self.framework_mut(framework_id)?.tasks.remove(task_id)?;
        if let Some(agent) = self.agent_mut(&task.agent_id) {
            let key = (framework_id.clone(), task_id.clone());
            agent.tasks.remove(&key);
            agent.kills.remove(&key);
        }
        Some(task)
    }

    /// Moves a task to the history.
    pub(super) fn complete_task(&mut self, framework_id: &FrameworkId, task_id: &TaskId) {
        if let Some(task) = self.take_task(framework_id, task_id)
            && let Some(framework) = self.framework_mut(framework_id)
        {
            assert!(!task.holds_resources(), "{task_id} has ended");
            framework.complete(task);
        }
    }

    /// Moves a task to those on unreachable agents.
    pub(super) fn park_task(&mut self, framework_id: &FrameworkId, task_id: &TaskId) {
        if let Some(task) = self.take_task(framework_id, task_id)
            && let Some(framework) = self.framework_mut(framework_id)
        {
            assert!(!task.holds_resources(), "{task_id} is unreachable");
            framework.unreachable_tasks.insert(task_id.clone(), task);
        }
    }

    /// Records a status of a known task and, as far as the table allows, its newest state. Frees
    /// the task's resources when that ends it, once.
    pub(super) fn record_status(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        newest: TaskState,
        status: &v1::TaskStatus,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id).map(Arc::make_mut) else {
            return;
        };
        let Some(task) = framework.tasks.get_mut(task_id).map(Arc::make_mut) else {
            return;
        };
        let held = task.holds_resources();
        if may_follow(task.state, newest) {
            task.state = newest;
        }
        task.record_status(status.clone());
        let mut published = status.clone();
        published.data = None;
        step.push(Effect::Publish(OperatorEvent::TaskUpdated {
            framework_id: framework_id.clone(),
            status: Box::new(published),
            state: task.state,
        }));
        if held && !task.holds_resources() {
            let state = task.state;
            if state.is_terminal() {
                framework.metrics.count_end(state);
            }
            if state.is_terminal() || state == TaskState::TaskUnreachable {
                self.metrics.count_task(state, status);
            }
            // It may want another one in its place.
            let roles = task.resources.allocated_role().into_iter().cloned();
            self.allocator
                .demand_changed(framework_id, &roles.collect());
            if !planted!(self, SkipRecoverOnTerminal) {
                self.allocator.recover(
                    framework_id,
                    &task.agent_id,
                    &task.resources,
                    None,
                    step.now.mono,
                );
            }
        }
    }

    /// Sends a status to the scheduler, if it is subscribed, and remembers how far its updates are: a
    /// reconciliation must not be ahead of those that the agent still sends, subscribed or not.
    pub(super) fn forward_status(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        status: v1::TaskStatus,
    ) {
        let forwarded = Forwarded {
            state: status.state(),
            uuid: status
                .uuid
                .as_deref()
                .and_then(crate::base::Uuid::from_slice),
        };
        if let Some(connection) = self.connection_of(framework_id) {
            step.send_update(connection, status);
        }
        let framework = self.framework_mut(framework_id);
        if let Some(task) = framework.and_then(|framework| framework.tasks.get_mut(task_id)) {
            Arc::make_mut(task).forwarded = Some(forwarded);
        }
    }

    /// Adds an executor to its framework and its agent. The allocator knows its resources already.
    pub(super) fn insert_executor(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        executor_id: &ExecutorId,
        record: Executor,
    ) {
        if let Some(agent) = self.agent_mut(agent_id) {
            let key = (framework_id.clone(), executor_id.clone());
            agent.executors.insert(key, record);
        }
        if let Some(framework) = self.framework_mut(framework_id) {
            framework
                .executors
                .insert((agent_id.clone(), executor_id.clone()));
        }
    }

    /// Takes an executor out and frees what it held; false when there is none.
    pub(super) fn remove_executor(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        executor_id: &ExecutorId,
    ) -> bool {
        if let Some(framework) = self.framework_mut(framework_id) {
            framework
                .executors
                .remove(&(agent_id.clone(), executor_id.clone()));
        }
        let key = (framework_id.clone(), executor_id.clone());
        let agent = self.agent_mut(agent_id);
        let Some(executor) = agent.and_then(|agent| agent.executors.remove(&key)) else {
            return false;
        };
        let now = step.now.mono;
        self.allocator
            .recover(framework_id, agent_id, &executor.resources, None, now);
        true
    }
}
