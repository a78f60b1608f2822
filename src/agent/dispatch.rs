//! What a master says to a registered agent, routed; and the small messages themselves.

use std::sync::Arc;

use crate::base::{ExecutorId, FrameworkId, Now, TaskId, Uuid};
use crate::proto::{link, v1};

use super::core::Agent;
use super::effect::{Effect, Effects};
use super::executor::ExecutorStatus;
use super::framework::{Framework, FrameworkStatus};

impl Agent {
    pub(super) fn dispatch(
        &mut self,
        now: Now,
        message: link::from_master::Message,
        effects: &mut Effects,
    ) {
        use link::from_master::Message;
        match message {
            Message::RunTask(run) => {
                self.run_task(now, &run.framework, run.executor, run.task, effects);
            }
            Message::RunTaskGroup(run) => self.run_group(
                now,
                &run.framework,
                run.executor,
                run.task_group.tasks,
                effects,
            ),
            Message::KillTask(kill) => {
                if let Some(key) = task_key(&kill.framework_id, &kill.task_id) {
                    self.kill_task(now, &key, kill.kill_policy, effects);
                }
            }
            Message::Acknowledge(acknowledge) => {
                let key = task_key(&acknowledge.framework_id, &acknowledge.task_id);
                if let (Some(key), Some(uuid)) = (key, Uuid::from_slice(&acknowledge.uuid)) {
                    self.acknowledged(now, key, uuid, effects);
                }
            }
            Message::ShutdownFramework(shutdown) => {
                if let Ok(id) = FrameworkId::parse(&shutdown.framework_id.value) {
                    self.shutdown_framework(now, &id, effects);
                }
            }
            Message::ShutdownExecutor(shutdown) => {
                if let Some(key) = executor_key(&shutdown.framework_id, &shutdown.executor_id) {
                    self.shutdown_executor(now, &key, effects);
                }
            }
            Message::FrameworkMessage(message) => self.framework_message(message, effects),
            Message::UpdateFramework(update) => self.update_framework(&update.framework),
            Message::ApplyOperation(apply) => self.apply_operation(apply, effects),
            Message::AcknowledgeOperation(acknowledge) => {
                self.operation_acknowledged(&acknowledge, effects);
            }
            Message::DrainAgent(drain) => self.start_drain(now, drain.config, effects),
            // These belong to the registration, which has handled them.
            Message::Registered(_)
            | Message::Reregistered(_)
            | Message::Ping(_)
            | Message::Shutdown(_) => {}
        }
    }

    /// Bytes for an executor; dropped if it is not there.
    pub(super) fn framework_message(
        &mut self,
        message: link::FrameworkMessage,
        effects: &mut Effects,
    ) {
        let connection = executor_key(&message.framework_id, &message.executor_id)
            .and_then(|key| self.executor(&key))
            .filter(|executor| executor.status == ExecutorStatus::Running)
            .and_then(|executor| executor.connection);
        let Some(connection) = connection else {
            self.counters.invalid_framework_messages += 1;
            return;
        };
        self.counters.valid_framework_messages += 1;
        let data = message.data;
        effects.push(Effect::ToExecutor {
            connection,
            event: Box::new(v1::executor::Event {
                r#type: Some(v1::executor::event::Type::Message as i32),
                message: Some(v1::executor::event::Message { data }),
                ..Default::default()
            }),
        });
    }

    fn update_framework(&mut self, info: &v1::FrameworkInfo) {
        let known = info
            .id
            .as_ref()
            .and_then(|id| FrameworkId::parse(&id.value).ok())
            .and_then(|id| self.framework_mut(&id));
        if let Some(framework) = known {
            framework.info = Arc::new(info.clone());
        }
    }

    /// Learns of a framework, or its newest description. `None` without a usable id.
    pub(super) fn note_framework(&mut self, info: &v1::FrameworkInfo) -> Option<FrameworkId> {
        let id = FrameworkId::parse(&info.id.as_ref()?.value).ok()?;
        if let Some(framework) = self.framework_mut(&id) {
            if framework.status == FrameworkStatus::Running {
                framework.info = Arc::new(info.clone());
            }
        } else {
            let framework = Framework::new(id.clone(), Arc::new(info.clone()));
            self.frameworks.insert(id.clone(), Arc::new(framework));
        }
        Some(id)
    }
}

fn task_key(framework_id: &v1::FrameworkId, task_id: &v1::TaskId) -> Option<(FrameworkId, TaskId)> {
    let framework_id = FrameworkId::parse(&framework_id.value).ok()?;
    let task_id = TaskId::parse(&task_id.value).ok()?;
    Some((framework_id, task_id))
}

fn executor_key(
    framework_id: &v1::FrameworkId,
    executor_id: &v1::ExecutorId,
) -> Option<(FrameworkId, ExecutorId)> {
    let framework_id = FrameworkId::parse(&framework_id.value).ok()?;
    let executor_id = ExecutorId::parse(&executor_id.value).ok()?;
    Some((framework_id, executor_id))
}
