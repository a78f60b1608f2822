//! Checks of executors that come with tasks and task groups.

use std::sync::Arc;

use crate::base::ExecutorId;
use crate::proto::v1;
use crate::proto::v1::executor_info::Type;
use crate::resources::{ReservationForm, Resources, Scalar};

use super::context::Checked;
use super::{Context, Invalid, Reason, command, container, resources};

/// Least cpus of the executor of a task group (Mesos' `MIN_CPUS`).
const CPUS_MIN: Scalar = Scalar::from_thousandths(10);
/// Least memory of the executor of a task group, in megabytes (Mesos' `MIN_MEM`).
const MEM_MIN: Scalar = Scalar::whole(32);

/// An executor that may be started, or runs already.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidExecutor {
    /// Its id.
    pub id: ExecutorId,
    /// Its description, with framework id, type and allocation filled in.
    pub info: Arc<v1::ExecutorInfo>,
    /// What it needs for itself.
    pub resources: Resources,
    /// False when it runs on the agent already, so that it takes nothing more.
    pub is_new: bool,
    checked: Checked,
}

/// Checks the executor of a task: custom, with a command.
pub(super) fn check_custom(
    executor: &v1::ExecutorInfo,
    context: &Context<'_>,
) -> Result<ValidExecutor, Invalid> {
    if executor.r#type.is_some() && executor.r#type() != Type::Custom {
        return Err(expected("CUSTOM", executor));
    }
    if executor.command.is_none() {
        return Err(Invalid::new("command", Reason::Missing));
    }
    check(executor, context)
}

/// Checks the executor of a task group: type set, default ones without command and image, and
/// enough resources of its own.
pub(super) fn check_group(
    executor: &v1::ExecutorInfo,
    context: &Context<'_>,
) -> Result<ValidExecutor, Invalid> {
    match executor.r#type() {
        _ if executor.r#type.is_none() => return Err(Invalid::new("type", Reason::Missing)),
        Type::Unknown => return Err(expected("DEFAULT or CUSTOM", executor)),
        Type::Default if executor.command.is_some() => {
            let hint = Reason::Unexpected(" with type DEFAULT");
            return Err(Invalid::new("command", hint));
        }
        Type::Custom if executor.command.is_none() => {
            return Err(Invalid::new("command", Reason::Missing));
        }
        Type::Default | Type::Custom => {}
    }
    if let Some(container) = &executor.container {
        if container.r#type() == v1::container_info::Type::Docker {
            return Err(Invalid::new(
                "container.type",
                Reason::Conflict("task groups cannot use DOCKER containers"),
            ));
        }
        let image = container
            .mesos
            .as_ref()
            .and_then(|mesos| mesos.image.as_ref());
        if executor.r#type() == Type::Default && image.is_some() {
            let hint = Reason::Unexpected(" with type DEFAULT");
            return Err(Invalid::new("container.mesos.image", hint));
        }
    }
    let valid = check(executor, context)?;
    let own = &valid.resources;
    let minimums = [
        ("cpus", own.cpus(), CPUS_MIN, "0.01 cpus"),
        ("mem", own.mem(), MEM_MIN, "32 MB of mem"),
        ("disk", own.disk(), Scalar::from_thousandths(1), "some disk"),
    ];
    for (name, found, minimum, least) in minimums {
        if found < minimum {
            let found = found.to_string();
            return Err(Invalid::new(
                format!("resources[{name}]"),
                Reason::TooLittle { least, found },
            ));
        }
    }
    Ok(valid)
}

fn expected(kind: &str, executor: &v1::ExecutorInfo) -> Invalid {
    Invalid::new(
        "type",
        Reason::Expected {
            expected: kind.to_owned(),
            found: executor.r#type().as_str_name().to_owned(),
        },
    )
}

/// What holds for every executor.
fn check(executor: &v1::ExecutorInfo, context: &Context<'_>) -> Result<ValidExecutor, Invalid> {
    let id = ExecutorId::try_from(&executor.executor_id);
    let id = id.map_err(|error| Invalid::new("executor_id", error))?;
    let framework = context.framework_id.as_str();
    if let Some(named) = &executor.framework_id
        && named.value != framework
    {
        return Err(Invalid::new(
            "framework_id",
            Reason::Expected {
                expected: framework.to_owned(),
                found: format!("'{}'", named.value),
            },
        ));
    }
    if let Some(grace) = &executor.shutdown_grace_period
        && grace.nanoseconds < 0
    {
        return Err(Invalid::new(
            "shutdown_grace_period",
            Reason::NotAnAmount(format!("{} ns", grace.nanoseconds)),
        ));
    }
    if let Some(command) = &executor.command {
        command::check(command).map_err(|error| error.within("command"))?;
    }
    if let Some(container) = &executor.container {
        container::check(container).map_err(|error| error.within("container"))?;
        let linux = container.linux_info.as_ref();
        if linux.is_some_and(|linux| linux.share_cgroups == Some(true)) {
            return Err(Invalid::new(
                "container.linux_info.share_cgroups",
                Reason::Unexpected(" to true on executors"),
            ));
        }
    }
    let own = resources::read(&executor.resources, context.role)?;
    if !own.shared().is_empty() {
        let hint = Reason::Unexpected(" on resources of executors");
        return Err(Invalid::new("resources.shared", hint));
    }
    let mut info = executor.clone();
    info.framework_id = Some(context.framework_id.into());
    info.resources = own.to_proto(ReservationForm::Stack);
    if info.r#type.is_none() {
        info.set_type(Type::Custom);
    }
    let running = context.known.executor(&id);
    if running.is_some_and(|running| *running != info) {
        let id = id.to_string();
        return Err(Invalid::new("executor_id", Reason::ExecutorDiffers(id)));
    }
    Ok(ValidExecutor {
        id,
        is_new: running.is_none(),
        info: Arc::new(info),
        resources: own,
        checked: Checked,
    })
}
