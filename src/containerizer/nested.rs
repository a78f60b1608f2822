//! Containers inside the container of a default executor: one for each task of its groups, made by the
//! supervisor itself. They share the executor's control groups; sandbox, user, limits, process ids and
//! /tmp are their own.
//!
//! ```text
//! <sandbox of the executor>/containers/<nested id>/     sandbox of one task
//!                          /tasks/<task id>             link to it, for people
//! <runtime of the executor>/containers/<nested id>/     its status
//! ```

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::error::LaunchError;
use super::isolators::{TMP_MODE, planned_limits};
use super::plan::{LaunchPlan, PlannedMount};
use super::sandbox::{self, Output, SHARED_MODE};
use super::{planning, user, volumes};
use crate::base::ContainerId;
use crate::proto::v1;

/// Folder of nested containers, below a sandbox and below a runtime directory.
const CONTAINERS: &str = "containers";
/// Folder of links by task.
const TASKS: &str = "tasks";

/// Why a task of a group was not started; the message of its status update.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NestedError(#[from] LaunchError);

/// A task that is ready to be started.
#[derive(Debug)]
pub struct Nested {
    /// How to start it.
    pub plan: LaunchPlan,
    /// Where its words go.
    pub output: Output,
}

/// Makes sandbox and runtime directory of `task` in the container of `executor` and plans its start.
/// What cannot be done here is refused by name.
///
/// # Errors
///
/// [`NestedError`] in words for the framework; nothing but a sandbox may be left then.
pub fn prepare(
    executor: &LaunchPlan,
    task: &v1::TaskInfo,
    id: &ContainerId,
) -> Result<Nested, NestedError> {
    let none = v1::CommandInfo::default();
    let command = task.command.as_ref().unwrap_or(&none);
    check(task)?;
    let user = match (&executor.user, &command.user) {
        (Some(_), Some(name)) => user::look_up(name).map_err(LaunchError::from)?,
        (user, _) => user.clone(),
    };
    let mut plan = LaunchPlan {
        container_id: id.to_string(),
        runtime: executor.runtime.join(CONTAINERS).join(id.as_str()),
        sandbox: executor.sandbox.join(CONTAINERS).join(id.as_str()),
        command: planning::command(command)?,
        user,
        mounts: Vec::new(),
        executor: None,
        ..executor.clone()
    };
    plan.rlimits =
        planned_limits(task.container.as_ref()).map_err(|cause| LaunchError::Isolator {
            name: "posix/rlimits",
            cause,
        })?;
    let linux = task.container.as_ref();
    let linux = linux.and_then(|container| container.linux_info.as_ref());
    if linux.and_then(|linux| linux.share_pid_namespace) == Some(true) {
        plan.namespaces.pid = false;
    }
    plan.environment = environment(&plan, task, command)?;
    let output = make(executor, task, &mut plan)?;
    Ok(Nested { plan, output })
}

/// What a task of a group may not ask for here.
fn check(task: &v1::TaskInfo) -> Result<(), LaunchError> {
    let Some(container) = &task.container else {
        return Ok(());
    };
    planning::check(container)?;
    let linux = container.linux_info.as_ref();
    if linux.is_some_and(|linux| linux.share_cgroups == Some(false)) {
        return Err(LaunchError::Refused(
            "the task asks for linux_info.share_cgroups=false, which this agent's containerizer does \
             not support"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The executor's variables, those of the task, and its command's own on top.
fn environment(
    plan: &LaunchPlan,
    task: &v1::TaskInfo,
    command: &v1::CommandInfo,
) -> Result<Vec<(String, String)>, LaunchError> {
    let sandbox = plan.sandbox.to_string_lossy().into_owned();
    let role = task
        .resources
        .iter()
        .find_map(|resource| resource.allocation_info.as_ref()?.role.clone());
    let own = [
        ("MESOS_TASK_ID", Some(task.task_id.value.clone())),
        ("MESOS_ALLOCATION_ROLE", role),
        ("MESOS_DIRECTORY", Some(sandbox.clone())),
        ("MESOS_SANDBOX", Some(sandbox)),
    ];
    let mut all = plan.environment.clone();
    for (name, value) in own {
        if let Some(value) = value {
            all.retain(|(present, _)| present != name);
            all.push((name.to_owned(), value));
        }
    }
    planning::environment(&all, command)
}

/// The directories. Those above the sandbox belong to the supervisor's user, so that no task can put
/// a link in their place.
fn make(
    executor: &LaunchPlan,
    task: &v1::TaskInfo,
    plan: &mut LaunchPlan,
) -> Result<Output, LaunchError> {
    let runtime = |path: &Path, cause| LaunchError::Runtime {
        path: path.to_owned(),
        cause,
    };
    let mut private = DirBuilder::new();
    private.recursive(true).mode(0o700);
    private
        .create(&plan.runtime)
        .map_err(|cause| runtime(&plan.runtime, cause))?;
    for name in [CONTAINERS, TASKS] {
        let path = executor.sandbox.join(name);
        shared(&path).map_err(|cause| runtime(&path, cause))?;
    }
    let output = sandbox::create(&plan.sandbox, plan.user.as_ref())?;
    let user = plan.user.as_ref();
    let seen = volumes::of_task(&executor.sandbox, &task.resources)?;
    plan.volumes = volumes::appear(&plan.sandbox, user, &seen, plan.namespaces.mount)?;
    link(executor, task, plan);
    if plan.namespaces.mount {
        let tmp = plan.sandbox.join("tmp");
        sandbox_tmp(&tmp).map_err(|cause| runtime(&tmp, cause))?;
        plan.mounts.push(PlannedMount {
            source: tmp,
            target: PathBuf::from("/tmp"),
            read_only: false,
        });
    }
    Ok(output)
}

fn shared(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(SHARED_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::set_permissions(path, Permissions::from_mode(SHARED_MODE)),
    }
}

fn sandbox_tmp(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(TMP_MODE).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(TMP_MODE))
}

/// `tasks/<task id>`. For people only: a task runs without it.
fn link(executor: &LaunchPlan, task: &v1::TaskInfo, plan: &LaunchPlan) {
    let target = Path::new("..").join(CONTAINERS).join(&plan.container_id);
    let link = executor.sandbox.join(TASKS).join(&task.task_id.value);
    // A task of the same name that has ended; its own folder stays.
    let _none_before = fs::remove_file(&link);
    let _only_for_people = std::os::unix::fs::symlink(target, link);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::containerizer::plan::tests::shell;

    fn task() -> v1::TaskInfo {
        v1::TaskInfo {
            task_id: "t".into(),
            command: Some(v1::CommandInfo {
                value: Some("true".into()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_task_gets_its_own_sandbox_below_the_executors() {
        let dir = tempfile::tempdir().unwrap();
        let mut executor = shell("");
        executor.sandbox = dir.path().to_owned();
        executor.runtime = dir.path().join("runtime");
        executor
            .environment
            .push(("MESOS_SANDBOX".into(), "outer".into()));
        let id = ContainerId::new("c2");
        let nested = prepare(&executor, &task(), &id).unwrap();
        let sandbox = dir.path().join("containers/c2");
        assert_eq!(nested.plan.sandbox, sandbox);
        assert_eq!(nested.plan.command.value, "true");
        let variable = |name: &str| {
            let mut all = nested.plan.environment.iter();
            all.find(|(present, _)| present == name).unwrap().1.clone()
        };
        assert_eq!(variable("MESOS_TASK_ID"), "t");
        assert_eq!(variable("MESOS_SANDBOX"), sandbox.to_str().unwrap());
        assert_eq!(variable("A"), "b \"c\"\n");
        assert!(dir.path().join("tasks/t/stdout").exists());
        assert!(nested.plan.runtime.is_dir());
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let mut task = task();
        task.container = Some(v1::ContainerInfo {
            r#type: v1::container_info::Type::Mesos.into(),
            linux_info: Some(v1::LinuxInfo {
                share_cgroups: Some(false),
                ..Default::default()
            }),
            ..Default::default()
        });
        let id = ContainerId::new("c2");
        let refused = prepare(&shell(""), &task, &id).unwrap_err().to_string();
        assert!(refused.contains("share_cgroups=false"), "{refused}");
        task.container = None;
        task.command = None;
        let refused = prepare(&shell(""), &task, &id).unwrap_err().to_string();
        assert!(refused.contains("no value"), "{refused}");
    }
}
