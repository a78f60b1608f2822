//! RECONCILE: what the master knows of tasks, told again.

use std::collections::VecDeque;
use std::ops::Bound;

use crate::base::{AgentId, ConnectionId, FrameworkId, TaskId, Timestamp};
use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::proto::v1::scheduler::call;
use crate::proto::v1::task_status::Reason;

use super::call::CallError;
use super::core::{Master, Step};
use super::effect::Effect;
use super::events::master_status;
use super::task::Task;

/// Tasks that one step tells of: a step takes well below a millisecond.
const SLICE: usize = 256;
/// Named tasks that wait to be told of, for one scheduler.
const WAITING_MAX: usize = 200_000;

/// What one scheduler has asked about and was not told yet. It is told as fast as it reads.
#[derive(Debug, Default)]
pub(super) struct Reconciling {
    questions: VecDeque<Asked>,
    /// Tasks that the questions name.
    named: usize,
}

/// One RECONCILE.
#[derive(Debug)]
enum Asked {
    /// All tasks, from the one behind this on.
    All(Option<TaskId>),
    /// These tasks.
    Named(std::vec::IntoIter<call::reconcile::Task>),
}

impl Master {
    /// RECONCILE: all tasks that the master holds for the framework, or those that the call names. The
    /// first of them in this step, the others as the scheduler reads.
    ///
    /// # Errors
    ///
    /// The scheduler has asked about too much that it has not read the answers of.
    pub(super) fn reconcile(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        call: call::Reconcile,
    ) -> Result<(), CallError> {
        let framework = self.frameworks.get(framework_id);
        let Some(connection) = framework.and_then(|framework| framework.status.connection()) else {
            return Ok(());
        };
        let line = self.reconciling.entry(connection).or_default();
        let first = line.questions.is_empty();
        if call.tasks.is_empty() {
            // Who has asked for all and was told of none yet need not ask again.
            if !matches!(line.questions.back(), Some(Asked::All(None))) {
                line.questions.push_back(Asked::All(None));
            }
        } else {
            let named = line.named + call.tasks.len();
            if named > WAITING_MAX {
                return Err(CallError::unavailable(format!(
                    "reconcile.tasks: {named} tasks wait to be answered, at most {WAITING_MAX} may; \
                     read the events first"
                )));
            }
            line.named = named;
            line.questions
                .push_back(Asked::Named(call.tasks.into_iter()));
        }
        if first {
            self.reconcile_on(step, connection);
        }
        Ok(())
    }

    /// Tells a scheduler of the next tasks that it asked about.
    pub(super) fn reconcile_on(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        let Some(framework_id) = self.schedulers.get(&connection).cloned() else {
            return;
        };
        let Some(mut line) = self.reconciling.remove(&connection) else {
            return;
        };
        let mut left = SLICE;
        while left > 0
            && let Some(asked) = line.questions.front_mut()
        {
            let told = match asked {
                Asked::All(behind) => self.reconcile_all(step, &framework_id, behind, left),
                Asked::Named(tasks) => {
                    let slice = tasks.by_ref().take(left);
                    let told = slice.map(|task| {
                        let task_id = TaskId::new(task.task_id.value.as_str());
                        let agent_id = task.agent_id.map(|id| AgentId::new(id.value.as_str()));
                        self.reconcile_task(step, &framework_id, &task_id, agent_id.as_ref());
                    });
                    let told = told.count();
                    line.named -= told;
                    told
                }
            };
            let over = told < left;
            left -= told;
            if over {
                line.questions.pop_front();
            }
        }
        if !line.questions.is_empty() {
            self.reconciling.insert(connection, line);
            step.push(Effect::AwaitRoom { connection });
        }
    }

    /// Tells of `most` tasks behind the one that was told of last; how many there were.
    fn reconcile_all(
        &self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        behind: &mut Option<TaskId>,
        most: usize,
    ) -> usize {
        let framework = self.frameworks.get(framework_id);
        let Some((framework, connection)) =
            framework.and_then(|framework| Some((framework, framework.status.connection()?)))
        else {
            return 0;
        };
        let from = behind.take().map_or(Bound::Unbounded, Bound::Excluded);
        let tasks = framework.tasks.range((from, Bound::Unbounded)).take(most);
        let told = tasks.map(|(task_id, task)| {
            step.send_update(connection, known_status(task, step.now.wall));
            *behind = Some(task_id.clone());
        });
        told.count()
    }

    /// Tells what is known of one task; nothing while the answer may still come with an agent.
    pub(super) fn reconcile_task(
        &mut self,
        step: &mut Step<'_>,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else {
            return;
        };
        let Some(connection) = framework.status.connection() else {
            return;
        };
        if let Some(task) = framework.tasks.get(task_id) {
            step.send_update(connection, known_status(task, step.now.wall));
            return;
        }
        let parked = framework.unreachable_tasks.get(task_id);
        let agent_id = agent_id.or_else(|| parked.map(|task| &task.agent_id));
        let answer = |precise: TaskState, message: &str| {
            let (state, reason) = (framework.loss(precise), Reason::Reconciliation);
            master_status(task_id, agent_id, state, reason, message, step.now.wall)
        };
        let status = match agent_id {
            None if !self.recovered.is_empty() => return,
            None => answer(TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
            Some(id) if self.recovered.contains_key(id) => return,
            Some(id) if self.agents.contains_key(id) => {
                answer(TaskState::TaskGone, "Reconciliation: Task is gone")
            }
            Some(id) if self.gone.contains_key(id) => answer(
                TaskState::TaskGoneByOperator,
                "Reconciliation: Task is gone",
            ),
            Some(id) => match self.unreachable.get(id) {
                Some(since) => {
                    let mut status = answer(
                        TaskState::TaskUnreachable,
                        "Reconciliation: Task is unreachable",
                    );
                    status.unreachable_time = Some(time(*since));
                    status
                }
                None => answer(TaskState::TaskUnknown, "Reconciliation: Task is unknown"),
            },
        };
        step.send_update(connection, status);
    }
}

/// The newest status that the scheduler was sent of a task, as reconciliation repeats it.
fn known_status(task: &Task, at: Timestamp) -> v1::TaskStatus {
    let state = task.reported_state();
    let (reason, text) = (Reason::Reconciliation, "Reconciliation: Latest task state");
    let mut status = master_status(&task.id, Some(&task.agent_id), state, reason, text, at);
    status.executor_id = task.executor_id.as_ref().map(Into::into);
    let mut newest_first = task.statuses.iter().rev();
    if let Some(last) = newest_first.find(|last| last.state() == state) {
        status.healthy = last.healthy;
        status.labels.clone_from(&last.labels);
        status.check_status.clone_from(&last.check_status);
        status.container_status.clone_from(&last.container_status);
        status.unreachable_time.clone_from(&last.unreachable_time);
    }
    status
}

/// A time as messages carry it.
pub(super) fn time(at: Timestamp) -> v1::TimeInfo {
    v1::TimeInfo {
        nanoseconds: i64::try_from(at.0).unwrap_or(i64::MAX),
    }
}
