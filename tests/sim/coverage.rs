//! What histories must have hit, taken together: every effect, message, call, state, transition and
//! reason. What none has hit is named here, with the reason; anything else that is missing fails.

use std::collections::BTreeSet;

use mesosd::agent;
use mesosd::base::{FrameworkId, TaskId};
use mesosd::master;
use mesosd::proto::v1::TaskState;
use mesosd::proto::{link, v1};

use crate::checkers::Checkers;

/// (kind, name) of what has happened.
pub(crate) type Seen = BTreeSet<(&'static str, String)>;

/// Kind, and the names that must be hit.
const WANTED: &[(&str, &[&str])] = &[
    (
        "master effect",
        &[
            "ToScheduler",
            "AwaitRoom",
            "CloseScheduler",
            "ToAgent",
            "CloseAgent",
            "Persist",
            "SetTimer",
            "CancelTimer",
            "Reply",
            "Publish",
        ],
    ),
    (
        "agent effect",
        &[
            "ToMaster",
            "CloseMaster",
            "ToExecutor",
            "CloseExecutor",
            "Recover",
            "Launch",
            "UpdateContainer",
            "DestroyContainer",
            "Checkpoint",
            "RemovePath",
            "MakeVolumes",
            "RemoveVolumes",
            "LinkVolumes",
            "EmptyTrash",
            "MeasureDisk",
            "SetTimer",
            "CancelTimer",
            "Reply",
            "Exit",
        ],
    ),
    (
        "to agent",
        &[
            "Registered",
            "Reregistered",
            "RunTask",
            "RunTaskGroup",
            "KillTask",
            "Acknowledge",
            "Ping",
            "ShutdownFramework",
            "ShutdownExecutor",
            "FrameworkMessage",
            "UpdateFramework",
            "Shutdown",
            "ApplyOperation",
            "AcknowledgeOperation",
            "DrainAgent",
        ],
    ),
    (
        "from agent",
        &[
            "Register",
            "Reregister",
            "StatusUpdate",
            "ExecutorMessage",
            "ExitedExecutor",
            "Unregister",
            "Pong",
            "ResourcesChanged",
            "OperationUpdate",
        ],
    ),
    (
        "published",
        &[
            "TaskAdded",
            "TaskUpdated",
            "AgentAdded",
            "AgentRemoved",
            "FrameworkAdded",
            "FrameworkUpdated",
            "FrameworkRemoved",
            "FrameworkStarving",
        ],
    ),
    (
        "operation",
        &[
            "AdmitAgent",
            "UpdateAgent",
            "MarkUnreachable",
            "MarkReachable",
            "RemoveAgent",
            "MarkGone",
            "SetStanding",
            "Prune",
            "KeepFramework",
            "ForgetFramework",
            "SetWeights",
            "SetQuotas",
            "SetSchedule",
            "StartMaintenance",
            "StopMaintenance",
        ],
    ),
    (
        "call",
        &[
            "TEARDOWN",
            "ACCEPT",
            "DECLINE",
            "ACCEPT_INVERSE_OFFERS",
            "DECLINE_INVERSE_OFFERS",
            "REVIVE",
            "SUPPRESS",
            "KILL",
            "SHUTDOWN",
            "ACKNOWLEDGE",
            "RECONCILE",
            "MESSAGE",
            "REQUEST",
            "ACKNOWLEDGE_OPERATION_STATUS",
            "RECONCILE_OPERATIONS",
            "UPDATE_FRAMEWORK",
        ],
    ),
    (
        "operator call",
        &[
            "TEARDOWN",
            "KILL_TASK",
            "RESERVE_RESOURCES",
            "UPDATE_WEIGHTS",
            "UPDATE_QUOTA",
            "SET_QUOTA",
            "REMOVE_QUOTA",
            "UPDATE_MAINTENANCE_SCHEDULE",
            "START_MAINTENANCE",
            "STOP_MAINTENANCE",
            "MARK_AGENT_GONE",
            "DRAIN_AGENT",
            "DEACTIVATE_AGENT",
            "REACTIVATE_AGENT",
        ],
    ),
    (
        "state",
        &[
            "TASK_STAGING",
            "TASK_STARTING",
            "TASK_RUNNING",
            "TASK_KILLING",
            "TASK_FINISHED",
            "TASK_FAILED",
            "TASK_KILLED",
            "TASK_ERROR",
            "TASK_LOST",
            "TASK_DROPPED",
            "TASK_UNREACHABLE",
            "TASK_GONE",
            "TASK_GONE_BY_OPERATOR",
            "TASK_UNKNOWN",
        ],
    ),
    (
        "reason",
        &[
            "REASON_AGENT_DISCONNECTED",
            "REASON_AGENT_REMOVED",
            "REASON_AGENT_REMOVED_BY_OPERATOR",
            "REASON_AGENT_REREGISTERED",
            "REASON_AGENT_RESTARTED",
            "REASON_AGENT_DRAINING",
            "REASON_CONTAINER_LAUNCH_FAILED",
            "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
            "REASON_EXECUTOR_REREGISTRATION_TIMEOUT",
            "REASON_EXECUTOR_TERMINATED",
            "REASON_FRAMEWORK_REMOVED",
            "REASON_INVALID_OFFERS",
            "REASON_RECONCILIATION",
            "REASON_TASK_GROUP_INVALID",
            "REASON_TASK_INVALID",
            "REASON_TASK_KILLED_DURING_LAUNCH",
        ],
    ),
];

/// What no history hits, and where it is tested instead.
const MISSING: &[(&str, &str, &str)] = &[
    (
        "master effect",
        "AwaitRoom",
        "answers of more than a thousand tasks: src/master/tests/reconcile.rs",
    ),
    (
        "agent effect",
        "CloseExecutor",
        "an executor's second stream: src/agent/tests/executors.rs",
    ),
    (
        "agent effect",
        "LinkVolumes",
        "volumes of later tasks of a running executor: src/agent/tests/operations.rs",
    ),
    (
        "from agent",
        "Unregister",
        "an agent that is asked to end for good: src/agent/tests/shell.rs",
    ),
    (
        "to agent",
        "RunTaskGroup",
        "groups of model frameworks are refused, their executors have no disk: tests/e2e/groups.rs",
    ),
    (
        "operation",
        "UpdateAgent",
        "agents keep their flags here: src/master/tests",
    ),
    ("operation", "Prune", "takes two weeks: src/master/tests"),
];

/// What some sets of histories hit and others do not, and where it is tested besides.
const RARE: &[(&str, &str, &str)] = &[(
    "published",
    "FrameworkStarving",
    "somebody who wants offers has none for minutes: src/master/tests/watch.rs",
)];

/// The states that a task may go through at the master, as it is published.
fn transitions() -> Vec<String> {
    use TaskState::{
        TaskFailed, TaskFinished, TaskGone, TaskGoneByOperator, TaskKilled, TaskLost, TaskRunning,
        TaskStaging, TaskStarting, TaskUnreachable,
    };
    let all = [
        (
            TaskStaging,
            &[
                TaskStarting,
                TaskRunning,
                TaskFailed,
                TaskKilled,
                TaskUnreachable,
            ][..],
        ),
        (
            TaskStarting,
            &[TaskRunning, TaskFailed, TaskKilled, TaskUnreachable][..],
        ),
        (
            TaskRunning,
            &[
                TaskFinished,
                TaskFailed,
                TaskKilled,
                TaskLost,
                TaskGone,
                TaskGoneByOperator,
                TaskUnreachable,
            ][..],
        ),
    ];
    let named = all.iter().flat_map(|(from, to)| {
        to.iter()
            .map(|to| format!("{} {}", from.as_str_name(), to.as_str_name()))
    });
    named.collect()
}

/// Everything wanted that was not seen and is not known to be missing; and what is said to be missing
/// though it was seen.
pub(crate) fn missing(seen: &Seen) -> (Vec<String>, Vec<String>) {
    let known = |kind: &str, name: &str| {
        let mut missing = MISSING.iter().chain(RARE);
        missing.any(|(of, which, _)| *of == kind && *which == name)
    };
    let mut absent = Vec::new();
    let listed = WANTED
        .iter()
        .flat_map(|(kind, names)| names.iter().map(|name| (*kind, (*name).to_owned())));
    let moves = transitions().into_iter().map(|name| ("transition", name));
    for (kind, name) in listed.chain(moves) {
        if !seen.contains(&(kind, name.clone())) && !known(kind, &name) {
            absent.push(format!("{kind} {name}"));
        }
    }
    let there = MISSING
        .iter()
        .filter(|(kind, name, _)| seen.contains(&(*kind, (*name).to_owned())))
        .map(|(kind, name, _)| format!("{kind} {name}"));
    (absent, there.collect())
}

/// The name of an enum's variant, as its derived text begins.
fn variant(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Formats no more than the variant's name.
struct Head(String);

impl std::fmt::Write for Head {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.push_str(text);
        if variant(&self.0).len() < self.0.len() {
            return Err(std::fmt::Error);
        }
        Ok(())
    }
}

fn head(value: &dyn std::fmt::Debug) -> String {
    use std::fmt::Write as _;
    let mut head = Head(String::new());
    // The error is how it stops.
    let _ = write!(head, "{value:?}");
    variant(&head.0).to_owned()
}

impl Checkers {
    pub(crate) fn hit(&mut self, kind: &'static str, name: impl Into<String>) {
        self.seen.insert((kind, name.into()));
    }

    pub(crate) fn saw(&self, kind: &'static str, name: &str) -> bool {
        self.seen.contains(&(kind, name.to_owned()))
    }

    pub(crate) fn master_effect(&mut self, effect: &master::Effect) {
        self.hit("master effect", head(effect));
    }

    pub(crate) fn agent_effect(&mut self, effect: &agent::Effect) {
        self.hit("agent effect", head(effect));
    }

    pub(crate) fn said_to_agent(&mut self, message: &link::from_master::Message) {
        self.hit("to agent", head(message));
    }

    pub(crate) fn said_by_agent(&mut self, message: &link::from_agent::Message) {
        self.hit("from agent", head(message));
    }

    pub(crate) fn hear(&mut self, status: &v1::TaskStatus) {
        self.hit("state", status.state().as_str_name());
        if status.reason.is_some() {
            self.hit("reason", status.reason().as_str_name());
        }
    }

    pub(crate) fn published(&mut self, event: &master::OperatorEvent) {
        self.hit("published", head(event));
        match event {
            master::OperatorEvent::TaskAdded(task) => {
                self.hit("state", task.state.as_str_name());
                self.moves(&task.framework_id, &task.id, task.state);
            }
            master::OperatorEvent::TaskUpdated {
                framework_id,
                status,
                state,
            } => {
                self.hit("state", state.as_str_name());
                if status.reason.is_some() {
                    self.hit("reason", status.reason().as_str_name());
                }
                let task = TaskId::new(status.task_id.value.as_str());
                self.moves(framework_id, &task, *state);
            }
            _ => {}
        }
    }

    fn moves(&mut self, framework: &FrameworkId, task: &TaskId, state: TaskState) {
        let key = (framework.clone(), task.clone());
        if let Some(before) = self.states.insert(key, state)
            && before != state
        {
            let name = format!("{} {}", before.as_str_name(), state.as_str_name());
            self.hit("transition", name);
        }
    }
}

#[test]
fn a_name_is_cut_off_in_time() {
    assert_eq!(head(&Some(3)), "Some");
    assert_eq!(head(&master::TimerKey::Watch), "Watch");
}
