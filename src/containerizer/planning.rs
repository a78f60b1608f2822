//! From what the agent asks for to a launch plan: command, environment, user; refusing by name what
//! this containerizer cannot do yet, because a task that silently runs without it is worse.

use std::path::Path;

use super::config::ContainerizerConfig;
use super::error::LaunchError;
use super::plan::{
    ExecutorPlan, LaunchPlan, LauncherKind, Namespaces, PlannedCommand, PlannedUser,
};
use crate::agent::{ContainerConfig, ContainerKind};
use crate::proto::v1;
use crate::proto::v1::environment::variable;
use crate::proto::v1::linux_info::IpcMode;

/// File mode creation mask of tasks.
const UMASK: u32 = 0o022;
/// PATH of tasks that are given none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn refused(message: impl Into<String>) -> LaunchError {
    LaunchError::Refused(message.into())
}

/// The plan before the isolators contribute to it.
pub(super) fn plan(
    config: &ContainerConfig,
    settings: &ContainerizerConfig,
    launcher: LauncherKind,
    runtime: &Path,
    user: Option<PlannedUser>,
) -> Result<LaunchPlan, LaunchError> {
    let mut namespaces = Namespaces::default();
    if let Some(info) = &config.container {
        check(info)?;
        let linux = info.linux_info.as_ref();
        if linux.is_some_and(|linux| linux.ipc_mode() == IpcMode::Private) {
            if launcher != LauncherKind::Linux {
                return Err(refused(
                    "linux_info.ipc_mode PRIVATE needs the linux launcher",
                ));
            }
            namespaces.ipc = true;
        }
    }
    Ok(LaunchPlan {
        container_id: config.container_id.to_string(),
        runtime: runtime.to_owned(),
        sandbox: config.sandbox.clone(),
        command: match config.kind {
            ContainerKind::TaskGroups(_) => PlannedCommand::default(),
            _ => command(&config.command)?,
        },
        environment: environment(&config.environment, &config.command)?,
        user,
        umask: UMASK,
        rlimits: Vec::new(),
        namespaces,
        volumes: Vec::new(),
        mounts: Vec::new(),
        cgroups: Vec::new(),
        oom_score_adj: None,
        memory_limit: None,
        launcher,
        executor: executor(config, settings),
    })
}

/// What a container may not ask for here.
pub(super) fn check(info: &v1::ContainerInfo) -> Result<(), LaunchError> {
    let linux = info.linux_info.as_ref();
    let unsupported = [
        (
            info.r#type() == v1::container_info::Type::Docker,
            "container type DOCKER",
        ),
        (
            info.mesos
                .as_ref()
                .is_some_and(|mesos| mesos.image.is_some()),
            "container.mesos.image",
        ),
        (!info.volumes.is_empty(), "container.volumes"),
        (info.hostname.is_some(), "container.hostname"),
        // Without a name it is the host's network, whose ports need no mapping.
        (
            info.network_infos
                .iter()
                .any(|network| network.name.is_some()),
            "a network by its name in container.network_infos",
        ),
        (info.tty_info.is_some(), "container.tty_info"),
        (
            linux.is_some_and(|linux| {
                linux.bounding_capabilities.is_some() || linux.effective_capabilities.is_some()
            }),
            "linux_info capabilities",
        ),
        (
            linux.is_some_and(|linux| linux.seccomp.is_some()),
            "linux_info.seccomp",
        ),
        (
            linux.is_some_and(|linux| linux.shm_size.is_some()),
            "linux_info.shm_size",
        ),
    ];
    match unsupported.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(refused(format!(
            "the task asks for {what}, which this agent's containerizer does not support"
        ))),
        None => Ok(()),
    }
}

pub(super) fn command(info: &v1::CommandInfo) -> Result<PlannedCommand, LaunchError> {
    let shell = info.shell.unwrap_or(true);
    let Some(value) = info.value.clone() else {
        return Err(refused(if shell {
            "the command has no value: a shell command needs the text to run"
        } else {
            "the command has no value: with shell=false it is the program to execute"
        }));
    };
    Ok(PlannedCommand {
        shell,
        value,
        arguments: info.arguments.clone(),
    })
}

/// The executor's variables, then the command's own on top; a later one replaces an earlier one.
pub(super) fn environment(
    given: &[(String, String)],
    command: &v1::CommandInfo,
) -> Result<Vec<(String, String)>, LaunchError> {
    let mut all = given.to_vec();
    let own = command.environment.iter();
    for variable in own.flat_map(|environment| &environment.variables) {
        if variable.r#type() == variable::Type::Secret || variable.secret.is_some() {
            return Err(refused(format!(
                "the environment variable {:?} is a secret, which this agent cannot resolve",
                variable.name
            )));
        }
        all.retain(|(name, _)| *name != variable.name);
        let value = variable.value.clone().unwrap_or_default();
        all.push((variable.name.clone(), value));
    }
    if !all.iter().any(|(name, _)| name == "PATH") {
        all.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    Ok(all)
}

fn executor(config: &ContainerConfig, settings: &ContainerizerConfig) -> Option<ExecutorPlan> {
    let (task_id, groups) = match &config.kind {
        ContainerKind::CommandTask(task) => (task.task_id.value.clone(), None),
        ContainerKind::TaskGroups(_) => (String::new(), Some(settings.groups.clone())),
        ContainerKind::Executor(_) | ContainerKind::Standalone => return None,
    };
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Some(ExecutorPlan {
        socket: settings.executor_socket.clone(),
        framework_id: config.framework_id.to_string(),
        executor_id: config.executor_id.to_string(),
        task_id,
        shutdown_grace_ms: millis(config.shutdown_grace),
        checkpoint: config.checkpoint,
        recovery_timeout_ms: millis(config.recovery_timeout),
        groups,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// task_processing of Yelp sends this with every task: mapped ports, but no name.
    #[test]
    fn a_network_without_a_name_is_the_hosts() {
        let mut info = v1::ContainerInfo {
            network_infos: vec![v1::NetworkInfo {
                port_mappings: vec![v1::network_info::PortMapping {
                    host_port: 31000,
                    container_port: 8888,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        info.set_type(v1::container_info::Type::Mesos);
        check(&info).unwrap();
        info.network_infos[0].name = Some("lan".to_owned());
        let refused = check(&info).unwrap_err().to_string();
        assert!(refused.contains("a network by its name"), "{refused}");
    }
}
