//! Checks of a task that is to be launched (ACCEPT with LAUNCH).

use std::sync::Arc;

use crate::base::TaskId;
use crate::proto::v1;
use crate::resources::{ReservationForm, Resources};

use super::context::Checked;
use super::{
    Context, Invalid, Reason, ValidExecutor, command, container, executor, health, limits,
    resources,
};

/// The user that `root_submissions` is about.
const ROOT: &str = "root";

/// A task that may be launched.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidTask {
    /// Its id.
    pub id: TaskId,
    /// Its description, with executor ids and allocations filled in.
    pub info: Arc<v1::TaskInfo>,
    /// What it needs itself, allocated to the offers' role.
    pub resources: Resources,
    /// Its executor; none for a command task, and for tasks of a group, which share one.
    pub executor: Option<ValidExecutor>,
    /// What the launch takes from the offers: the task's resources, and the executor's if it is
    /// new.
    pub consumed: Resources,
    /// The user that it runs as.
    pub user: String,
    checked: Checked,
}

/// Checks a task of a LAUNCH against the offers' resources that are left.
///
/// # Errors
///
/// The first problem found, in the order of Mesos' own checks; its text is the message of the
/// TASK_ERROR, whose reason is REASON_TASK_INVALID.
pub fn check(
    task: &v1::TaskInfo,
    context: &Context<'_>,
    left: &Resources,
) -> Result<ValidTask, Invalid> {
    let mut valid = check_alone(task, context)?;
    match (&task.command, &task.executor) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(Invalid::new(
                "task",
                Reason::Conflict("exactly one of command and executor must be set"),
            ));
        }
        (Some(command), None) => {
            if command.value.is_none() && !has_image(task) {
                return Err(Invalid::new("command.value", Reason::Missing));
            }
        }
        (None, Some(own)) => {
            let own = executor::check_custom(own, context);
            valid.executor = Some(own.map_err(|error| error.within("executor"))?);
        }
    }
    if !shares_cgroups(task) {
        return Err(Invalid::new(
            "container.linux_info.share_cgroups",
            Reason::Conflict("must not be false outside task groups"),
        ));
    }
    valid.consumed = valid.resources.clone();
    if let Some(own) = &valid.executor {
        let all = &valid.resources + &own.resources;
        resources::check_together(&all)?;
        if own.is_new {
            valid.consumed = all;
        }
        Arc::make_mut(&mut valid.info).executor = Some((*own.info).clone());
    }
    limits::check(&task.limits, &valid.resources, context.agent_takes_limits)?;
    resources::check_offered(&valid.consumed, left)?;
    valid.user = effective_user(task, valid.executor.as_ref(), context)?;
    Ok(valid)
}

/// What holds for every task, in a group or not.
pub(super) fn check_alone(
    task: &v1::TaskInfo,
    context: &Context<'_>,
) -> Result<ValidTask, Invalid> {
    let id = TaskId::try_from(&task.task_id);
    let id = id.map_err(|error| Invalid::new("task_id", error))?;
    if context.known.has_live_task(&id) {
        let id = id.to_string();
        return Err(Invalid::new("task_id", Reason::TaskExists(id)));
    }
    if context.known.has_unreachable_task(&id) {
        let id = id.to_string();
        return Err(Invalid::new("task_id", Reason::TaskUnreachable(id)));
    }
    if task.agent_id.value != context.agent_id.as_str() {
        return Err(Invalid::new(
            "agent_id",
            Reason::Expected {
                expected: format!("the offers' agent '{}'", context.agent_id),
                found: format!("'{}'", task.agent_id.value),
            },
        ));
    }
    check_times(task)?;
    if let Some(check) = &task.check {
        health::check_check(check).map_err(|error| error.within("check"))?;
    }
    if let Some(check) = &task.health_check {
        health::check_health(check).map_err(|error| error.within("health_check"))?;
    }
    let own = resources::read(&task.resources, context.role)?;
    if own.is_empty() {
        return Err(Invalid::new("resources", Reason::Empty));
    }
    resources::check_together(&own)?;
    if let Some(command) = &task.command {
        command::check(command).map_err(|error| error.within("command"))?;
    }
    if let Some(container) = &task.container {
        container::check(container).map_err(|error| error.within("container"))?;
    }
    let mut info = task.clone();
    info.resources = own.to_proto(ReservationForm::Stack);
    Ok(ValidTask {
        id,
        info: Arc::new(info),
        consumed: own.clone(),
        resources: own,
        executor: None,
        user: String::new(),
        checked: Checked,
    })
}

fn check_times(task: &v1::TaskInfo) -> Result<(), Invalid> {
    let grace = task.kill_policy.as_ref();
    let grace = grace.and_then(|policy| policy.grace_period.as_ref());
    let times = [
        ("kill_policy.grace_period", grace),
        ("max_completion_time", task.max_completion_time.as_ref()),
    ];
    for (field, time) in times {
        if let Some(time) = time.filter(|time| time.nanoseconds < 0) {
            let text = format!("{} ns", time.nanoseconds);
            return Err(Invalid::new(field, Reason::NotAnAmount(text)));
        }
    }
    Ok(())
}

/// Whether a task shares its executor's cgroups, as it does unless it says otherwise.
pub(super) fn shares_cgroups(task: &v1::TaskInfo) -> bool {
    let container = task.container.as_ref();
    container
        .and_then(|container| container.linux_info.as_ref())
        .is_none_or(v1::LinuxInfo::share_cgroups)
}

fn has_image(task: &v1::TaskInfo) -> bool {
    task.container.as_ref().is_some_and(|container| {
        let mesos = container.mesos.as_ref();
        container.docker.is_some() || mesos.is_some_and(|mesos| mesos.image.is_some())
    })
}

/// The task command's user, else the executor command's, else the framework's; refused when it is
/// root and root may not be.
pub(super) fn effective_user(
    task: &v1::TaskInfo,
    executor: Option<&ValidExecutor>,
    context: &Context<'_>,
) -> Result<String, Invalid> {
    let user = |command: Option<&v1::CommandInfo>| command?.user.clone();
    let executor = executor.and_then(|executor| executor.info.command.as_ref());
    let user = user(task.command.as_ref())
        .or_else(|| user(executor))
        .unwrap_or_else(|| context.framework_user.to_owned());
    if user == ROOT && !context.root_submissions {
        return Err(Invalid::new("command.user", Reason::Root));
    }
    Ok(user)
}
