//! Calls of executors: the checked form, and why a call is refused.

use crate::base::{ExecutorId, FrameworkId, TaskId, Uuid};
use crate::proto::v1;

/// A call that passed the checks of Mesos' executor API.
#[derive(Clone, Debug)]
pub enum ExecutorCall {
    /// UPDATE: a task has a new status.
    Update {
        /// The task.
        task_id: TaskId,
        /// Names the update.
        uuid: Uuid,
        /// The status as it came.
        status: Box<v1::TaskStatus>,
    },
    /// MESSAGE: bytes for the framework's scheduler, at most once.
    Message {
        /// The bytes.
        data: Vec<u8>,
    },
    /// HEARTBEAT: keeps middleboxes awake.
    Heartbeat,
}

/// The first call on a stream.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The executor's framework.
    pub framework_id: FrameworkId,
    /// The executor.
    pub executor_id: ExecutorId,
    /// Tasks for which it never got an acknowledged update.
    pub unacknowledged_tasks: Vec<v1::TaskInfo>,
    /// Updates that were not acknowledged to it.
    pub unacknowledged_updates: Vec<v1::TaskStatus>,
}

/// A parsed `mesos.v1.executor.Call`.
#[derive(Clone, Debug)]
pub enum ParsedCall {
    /// SUBSCRIBE.
    Subscribe(Box<Subscription>),
    /// Everything else, with the ids it names.
    Call {
        /// The framework named at top level.
        framework_id: FrameworkId,
        /// The executor named at top level.
        executor_id: ExecutorId,
        /// The call.
        call: Box<ExecutorCall>,
    },
}

/// Why a call was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefused {
    /// The call breaks a rule of the API (HTTP 400, INVALID_ARGUMENT).
    #[error("{0}")]
    Invalid(String),
    /// The agent does not know such an executor, or it has not subscribed (HTTP 403,
    /// PERMISSION_DENIED).
    #[error("{0}")]
    NotSubscribed(String),
    /// The agent is starting, ending or overloaded (HTTP 503, UNAVAILABLE).
    #[error("{0}")]
    Unavailable(String),
}

/// Most unacknowledged tasks or updates that one SUBSCRIBE may carry.
const UNACKNOWLEDGED_MAX: usize = 10_000;

impl ParsedCall {
    /// Checks a call as Mesos' agent does (`slave/validation`), before anything is done with it.
    pub fn from_wire(call: v1::executor::Call) -> Result<Self, CallRefused> {
        use v1::executor::call::Type;
        let framework_id = FrameworkId::parse(&call.framework_id.value)
            .map_err(|error| invalid(format!("framework_id: {error}")))?;
        let executor_id = ExecutorId::parse(&call.executor_id.value)
            .map_err(|error| invalid(format!("executor_id: {error}")))?;
        let parsed = match call.r#type() {
            Type::Unknown => return Err(invalid("type: UNKNOWN is not a call")),
            Type::Subscribe => {
                let subscribe = call.subscribe.ok_or_else(|| missing("subscribe"))?;
                return subscription(framework_id, executor_id, subscribe)
                    .map(|checked| Self::Subscribe(Box::new(checked)));
            }
            Type::Update => {
                let update = call.update.ok_or_else(|| missing("update"))?;
                let (task_id, uuid) = check_status(&executor_id, &update.status)?;
                ExecutorCall::Update {
                    task_id,
                    uuid,
                    status: Box::new(update.status),
                }
            }
            Type::Message => {
                let message = call.message.ok_or_else(|| missing("message"))?;
                ExecutorCall::Message { data: message.data }
            }
            Type::Heartbeat => ExecutorCall::Heartbeat,
        };
        Ok(Self::Call {
            framework_id,
            executor_id,
            call: Box::new(parsed),
        })
    }
}

fn subscription(
    framework_id: FrameworkId,
    executor_id: ExecutorId,
    subscribe: v1::executor::call::Subscribe,
) -> Result<Subscription, CallRefused> {
    let most = subscribe
        .unacknowledged_tasks
        .len()
        .max(subscribe.unacknowledged_updates.len());
    if most > UNACKNOWLEDGED_MAX {
        return Err(invalid(format!(
            "subscribe: {most} unacknowledged entries, at most {UNACKNOWLEDGED_MAX} are allowed"
        )));
    }
    let mut unacknowledged_updates = Vec::new();
    for update in subscribe.unacknowledged_updates {
        check_status(&executor_id, &update.status)?;
        unacknowledged_updates.push(update.status);
    }
    Ok(Subscription {
        framework_id,
        executor_id,
        unacknowledged_tasks: subscribe.unacknowledged_tasks,
        unacknowledged_updates,
    })
}

/// The rules for a status that an executor reports; gives its task and its uuid.
pub(super) fn check_status(
    executor_id: &ExecutorId,
    status: &v1::TaskStatus,
) -> Result<(TaskId, Uuid), CallRefused> {
    let task_id = TaskId::parse(&status.task_id.value)
        .map_err(|error| invalid(format!("status.task_id: {error}")))?;
    let bytes = status
        .uuid
        .as_deref()
        .ok_or_else(|| missing("status.uuid"))?;
    let uuid = Uuid::from_slice(bytes).ok_or_else(|| {
        let length = bytes.len();
        invalid(format!("status.uuid: has {length} bytes, must have 16"))
    })?;
    if status.source != Some(v1::task_status::Source::Executor as i32) {
        return Err(invalid("status.source: must be SOURCE_EXECUTOR"));
    }
    if let Some(named) = &status.executor_id
        && named.value != executor_id.as_str()
    {
        let other = &named.value;
        return Err(invalid(format!(
            "status.executor_id: is '{other}', the call came from '{executor_id}'"
        )));
    }
    let state = v1::TaskState::try_from(status.state)
        .map_err(|_| invalid(format!("status.state: {} is no task state", status.state)))?;
    if state == v1::TaskState::TaskStaging {
        return Err(invalid("status.state: TASK_STAGING is not for executors"));
    }
    Ok((task_id, uuid))
}

fn missing(field: &str) -> CallRefused {
    CallRefused::Invalid(format!("{field}: required field is missing"))
}

fn invalid(text: impl Into<String>) -> CallRefused {
    CallRefused::Invalid(text.into())
}
