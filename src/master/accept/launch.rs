//! LAUNCH and LAUNCH_GROUP: checked tasks take their part of the draft and go to the agent.

use std::sync::Arc;

use crate::base::{ExecutorId, TaskId};
use crate::proto::v1::TaskState;
use crate::proto::v1::task_status::Reason;
use crate::proto::{link, v1};
use crate::validation::task::ValidTask;
use crate::validation::{Context, Known, ValidExecutor, task as check, task_group};

use super::Draft;
use crate::master::agent::{Agent, Executor};
use crate::master::core::{Master, Step};
use crate::master::effect::Effect;
use crate::master::framework::Framework;
use crate::master::task::Task;

/// What a check has to know about the framework and the agent.
struct Here<'a> {
    framework: &'a Framework,
    agent: &'a Agent,
}

impl Known for Here<'_> {
    fn has_live_task(&self, task: &TaskId) -> bool {
        self.framework.tasks.contains_key(task)
    }

    fn has_unreachable_task(&self, task: &TaskId) -> bool {
        self.framework.unreachable_tasks.contains(task)
    }

    fn executor(&self, executor: &ExecutorId) -> Option<&v1::ExecutorInfo> {
        let key = (self.framework.id.clone(), executor.clone());
        self.agent.executors.get(&key).map(|known| &*known.info)
    }

    fn share_cgroups(&self, executor: &ExecutorId) -> Option<bool> {
        let on_agent = self.agent.tasks.iter();
        let mut tasks = on_agent
            .filter(|(framework_id, _)| *framework_id == self.framework.id)
            .filter_map(|(_, task_id)| self.framework.tasks.get(task_id))
            .filter(|task| task.executor_id.as_ref() == Some(executor));
        let container = tasks.next()?.description.container.as_ref();
        let linux = container.and_then(|container| container.linux_info.as_ref());
        Some(linux.is_none_or(v1::LinuxInfo::share_cgroups))
    }
}

impl Master {
    /// Runs `with` on what a check of this draft's tasks has to know.
    fn in_context<T>(&self, draft: &Draft, with: impl FnOnce(&Context<'_>) -> T) -> Option<T> {
        let here = Here {
            framework: self.frameworks.get(&draft.framework_id)?,
            agent: self.agents.get(&draft.agent_id)?,
        };
        Some(with(&Context {
            framework_id: &draft.framework_id,
            framework_user: &here.framework.info.user,
            agent_id: &draft.agent_id,
            role: &draft.role,
            agent_takes_limits: true,
            root_submissions: self.config.root_submissions,
            known: &here,
        }))
    }

    /// Launches one task, or answers TASK_ERROR.
    pub(super) fn launch(&mut self, step: &mut Step<'_>, draft: &mut Draft, task: &v1::TaskInfo) {
        let Some(checked) =
            self.in_context(draft, |context| check::check(task, context, &draft.left))
        else {
            return;
        };
        let valid = match checked {
            Ok(valid) => valid,
            Err(error) => {
                let (state, reason) = (TaskState::TaskError, Reason::TaskInvalid);
                let message = error.to_string();
                self.refuse_task(step, &draft.framework_id, task, state, reason, &message);
                return;
            }
        };
        draft.take(&valid.consumed);
        if let Some(executor) = &valid.executor {
            self.add_executor(draft, executor);
        }
        let executor_id = valid.executor.as_ref().map(|executor| executor.id.clone());
        self.add_task(step, draft, &valid, executor_id);
        let framework = self.description(draft);
        let message = link::from_master::Message::RunTask(link::RunTask {
            framework,
            executor: valid
                .executor
                .map(|executor| v1::ExecutorInfo::clone(&executor.info)),
            task: Arc::unwrap_or_clone(valid.info),
        });
        step.push(Effect::ToAgent {
            connection: draft.link,
            message: Box::new(message),
        });
    }

    /// Launches all tasks of a group, or answers TASK_ERROR for each.
    pub(super) fn launch_group(
        &mut self,
        step: &mut Step<'_>,
        draft: &mut Draft,
        executor: &v1::ExecutorInfo,
        group: &v1::TaskGroupInfo,
    ) {
        let Some(checked) = self.in_context(draft, |context| {
            task_group::check(executor, group, context, &draft.left)
        }) else {
            return;
        };
        let valid = match checked {
            Ok(valid) => valid,
            Err(error) => {
                let (state, reason) = (TaskState::TaskError, Reason::TaskGroupInvalid);
                let message = error.to_string();
                for task in &group.tasks {
                    self.refuse_task(step, &draft.framework_id, task, state, reason, &message);
                }
                return;
            }
        };
        draft.take(&valid.consumed);
        self.add_executor(draft, &valid.executor);
        let mut tasks = Vec::with_capacity(valid.tasks.len());
        for task in valid.tasks {
            self.add_task(step, draft, &task, Some(valid.executor.id.clone()));
            tasks.push(Arc::unwrap_or_clone(task.info));
        }
        let message = link::from_master::Message::RunTaskGroup(link::RunTaskGroup {
            framework: self.description(draft),
            executor: v1::ExecutorInfo::clone(&valid.executor.info),
            task_group: v1::TaskGroupInfo { tasks },
        });
        step.push(Effect::ToAgent {
            connection: draft.link,
            message: Box::new(message),
        });
    }

    fn description(&self, draft: &Draft) -> v1::FrameworkInfo {
        let framework = self.frameworks.get(&draft.framework_id);
        let framework = framework.expect("a framework with a draft is known");
        v1::FrameworkInfo::clone(&framework.info)
    }

    fn add_executor(&mut self, draft: &Draft, executor: &ValidExecutor) {
        if executor.is_new {
            let record = Executor {
                info: Arc::clone(&executor.info),
                resources: executor.resources.clone(),
            };
            self.insert_executor(&draft.framework_id, &draft.agent_id, &executor.id, record);
        }
    }

    fn add_task(
        &mut self,
        step: &mut Step<'_>,
        draft: &Draft,
        valid: &ValidTask,
        executor_id: Option<ExecutorId>,
    ) {
        let description = describe(draft, valid, executor_id.as_ref());
        let task = Arc::new(Task {
            id: valid.id.clone(),
            framework_id: draft.framework_id.clone(),
            agent_id: draft.agent_id.clone(),
            executor_id,
            description: Arc::new(description),
            resources: valid.resources.clone(),
            state: TaskState::TaskStaging,
            statuses: Vec::new(),
            forwarded: None,
        });
        Self::publish_task(step, &task);
        self.insert_task(task);
    }
}

/// The user that a task's command or its executor's names.
fn asked_user(info: &v1::TaskInfo) -> Option<String> {
    let executor = info.executor.as_ref();
    let executor = executor.and_then(|executor| executor.command.as_ref());
    let command = info.command.as_ref().or(executor)?;
    command.user.clone()
}

/// The part of a task that does not change, as views show it.
fn describe(draft: &Draft, valid: &ValidTask, executor_id: Option<&ExecutorId>) -> v1::Task {
    let info = &valid.info;
    v1::Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: (&draft.framework_id).into(),
        executor_id: executor_id.map(Into::into),
        agent_id: (&draft.agent_id).into(),
        state: TaskState::TaskStaging.into(),
        resources: info.resources.clone(),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        // Only one that the framework has asked for; the framework's own is not repeated.
        user: asked_user(info),
        limits: info.limits.clone(),
        ..v1::Task::default()
    }
}
