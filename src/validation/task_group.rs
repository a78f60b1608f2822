//! Checks of a task group that is to be launched (ACCEPT with LAUNCH_GROUP).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::proto::v1;
use crate::proto::v1::health_check::Type as HealthType;
use crate::resources::Resources;

use super::context::Checked;
use super::task::{ValidTask, check_alone, effective_user, shares_cgroups};
use super::{Context, Invalid, Reason, ValidExecutor, executor, limits, resources};

/// A task group that may be launched, all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidTaskGroup {
    /// The executor that runs all tasks.
    pub executor: ValidExecutor,
    /// The tasks, in the order given; at least one.
    pub tasks: Vec<ValidTask>,
    /// What the launch takes from the offers: all tasks' resources, and the executor's if it is
    /// new.
    pub consumed: Resources,
    checked: Checked,
}

/// Checks a LAUNCH_GROUP against the offers' resources that are left.
///
/// # Errors
///
/// The first problem found; its text is the message of every task's TASK_ERROR, whose reason is
/// REASON_TASK_GROUP_INVALID.
pub fn check(
    executor: &v1::ExecutorInfo,
    group: &v1::TaskGroupInfo,
    context: &Context<'_>,
    left: &Resources,
) -> Result<ValidTaskGroup, Invalid> {
    if group.tasks.is_empty() {
        return Err(Invalid::new("task_group.tasks", Reason::Empty));
    }
    let own = executor::check_group(executor, context);
    let own = own.map_err(|error| error.within("executor"))?;
    let mut ids = BTreeSet::new();
    let mut tasks = Vec::with_capacity(group.tasks.len());
    let mut consumed = if own.is_new {
        own.resources.clone()
    } else {
        Resources::new()
    };
    let mut shared = context.known.share_cgroups(&own.id);
    for task in &group.tasks {
        let path = format!("task_group.tasks[{}]", task.task_id.value);
        let valid = check_member(task, executor, &own, context);
        let valid = valid.map_err(|error| error.within(&path))?;
        if !ids.insert(valid.id.clone()) {
            let id = valid.id.to_string();
            return Err(Invalid::new("task_group.tasks", Reason::Twice(id)));
        }
        if *shared.get_or_insert(shares_cgroups(task)) != shares_cgroups(task) {
            return Err(Invalid::new(
                format!("{path}.container.linux_info.share_cgroups"),
                Reason::Conflict("must be the same for all tasks of an executor"),
            ));
        }
        consumed += &valid.resources;
        tasks.push(valid);
    }
    resources::check_together(&consumed)?;
    resources::check_offered(&consumed, left)?;
    Ok(ValidTaskGroup {
        executor: own,
        tasks,
        consumed,
        checked: Checked,
    })
}

fn check_member(
    task: &v1::TaskInfo,
    executor: &v1::ExecutorInfo,
    own: &ValidExecutor,
    context: &Context<'_>,
) -> Result<ValidTask, Invalid> {
    let mut valid = check_alone(task, context)?;
    if task.executor.as_ref().is_some_and(|said| said != executor) {
        let hint = Reason::Conflict("must be the group's executor, or unset");
        return Err(Invalid::new("executor", hint));
    }
    if let Some(container) = &task.container {
        if container.r#type() == v1::container_info::Type::Docker {
            return Err(Invalid::new(
                "container.type",
                Reason::Conflict("task groups cannot use DOCKER containers"),
            ));
        }
        let health = task.health_check.as_ref().map(v1::HealthCheck::r#type);
        if !container.network_infos.is_empty()
            && matches!(health, Some(HealthType::Http | HealthType::Tcp))
        {
            return Err(Invalid::new(
                "health_check.type",
                Reason::Conflict("a task with network_infos of its own needs a COMMAND check"),
            ));
        }
    }
    if !task.limits.is_empty() && shares_cgroups(task) {
        return Err(Invalid::new(
            "limits",
            Reason::Limit("limits in a group need linux_info.share_cgroups=false"),
        ));
    }
    limits::check(&task.limits, &valid.resources, context.agent_takes_limits)?;
    valid.user = effective_user(task, Some(own), context)?;
    Arc::make_mut(&mut valid.info).executor = Some((*own.info).clone());
    Ok(valid)
}
