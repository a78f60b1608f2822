//! Drains: an operator wants the agent empty. It is written down before the first task is ended, so that
//! a restarted agent goes on; it is over when no task, executor and update is left.

use std::time::Duration;

use crate::base::{Now, TaskId};
use crate::proto::v1;

use super::checkpoint::Record;
use super::core::{Agent, Pending, TaskKey};
use super::effect::Effects;
use super::executor::{Ending, ExecutorStatus};

/// What tasks get whose kill policy says nothing (Mesos' executors).
const GRACE: Duration = Duration::from_secs(3);

impl Agent {
    /// DrainAgent of the master; may come again, also with another grace.
    pub(super) fn start_drain(&mut self, now: Now, config: v1::DrainConfig, effects: &mut Effects) {
        if self.drain.is_some_and(|(known, _)| known == config) {
            self.end_tasks_for_drain(now, effects);
            return;
        }
        let since = self.drain.map_or(now.wall, |(_, since)| since);
        tracing::info!(?config, "an operator drains the agent");
        self.drain = Some((config, since));
        self.checkpoint(
            Record::Draining { config, since },
            Pending::Draining,
            effects,
        );
    }

    /// Kills every task that is not being killed already.
    pub(super) fn end_tasks_for_drain(&mut self, now: Now, effects: &mut Effects) {
        let Some((config, _)) = self.drain else {
            return;
        };
        let grace_max = config.max_grace_period.map(v1::DurationInfo::to_duration);
        let mut wanted: Vec<(TaskKey, Option<v1::KillPolicy>)> = Vec::new();
        for framework in self.frameworks.values() {
            for executor in framework.executors.values() {
                for (task_id, task) in executor.live_tasks() {
                    if task.kill.is_none() {
                        let policy = capped(task.info.kill_policy.as_ref(), grace_max);
                        let task_id: TaskId = task_id.clone();
                        wanted.push(((framework.id.clone(), task_id), policy));
                    }
                }
            }
        }
        for (key, policy) in wanted {
            self.kill_task(now, &key, policy, effects);
        }
    }

    /// Ends executors that have nothing to do any more, and the drain when nothing is left to be ended or
    /// told.
    pub(super) fn finish_drain(&mut self, now: Now, effects: &mut Effects) {
        if self.drain.is_none() || !self.pending.is_empty() {
            return;
        }
        self.end_idle_executors(now, effects);
        if !self.streams.is_empty() {
            return;
        }
        let mut frameworks = self.frameworks.values();
        let left = frameworks.any(|framework| {
            let mut executors = framework.executors.values();
            executors.any(|executor| !executor.tasks.is_empty() || executor.status.has_container())
        });
        if !left {
            tracing::info!("the agent is drained");
            self.drain = None;
            self.checkpoint(Record::Drained, Pending::Nothing, effects);
        }
    }
}

impl Agent {
    /// Executors of frameworks' own wait for more tasks, which will not come.
    fn end_idle_executors(&mut self, now: Now, effects: &mut Effects) {
        let all = self.frameworks.values().flat_map(|framework| {
            let executors = framework.executors.values();
            executors.map(|executor| (framework.id.clone(), executor))
        });
        let idle: Vec<_> = all
            .filter(|(_, executor)| {
                executor.status == ExecutorStatus::Running
                    && !executor.command_executor
                    && executor.tasks.is_empty()
            })
            .map(|(id, executor)| (id, executor.id.clone()))
            .collect();
        for key in idle {
            self.end_executor(now, &key, Ending::Shutdown, effects);
        }
    }
}

/// The kill policy of a drain: in place of the task's own only where that would take longer.
fn capped(own: Option<&v1::KillPolicy>, grace_max: Option<Duration>) -> Option<v1::KillPolicy> {
    let own = own
        .and_then(|policy| policy.grace_period)
        .map_or(GRACE, v1::DurationInfo::to_duration);
    let grace = grace_max.filter(|max| *max < own)?;
    Some(v1::KillPolicy {
        grace_period: Some(grace.into()),
    })
}
