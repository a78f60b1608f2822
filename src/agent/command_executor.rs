//! The executor that the agent makes up for a task with only a command, as Mesos describes it.

use std::time::Duration;

use crate::proto::v1;

/// What readers are told that it executes; it is this binary again.
const PROGRAM: &str = "mesosd";
/// Cpus added for the command executor itself.
const CPUS: f64 = 0.1;
/// Megabytes added for the command executor itself.
const MEM: f64 = 32.0;
/// A task's grace between SIGTERM and SIGKILL when nothing else is said.
const KILL_GRACE: Duration = Duration::from_secs(3);
/// What the executor's shutdown takes beyond the task's grace: a reap interval and a second.
const SHUTDOWN_MARGIN: Duration = Duration::from_millis(1100);

/// Longest part of a command in the executor's name, in characters.
const COMMAND_MAX: usize = 15;

#[expect(
    deprecated,
    reason = "Mesos' web UI and `/state` readers still show an executor's source"
)]
/// Describes the command executor of `task`: executor id = task id, a name that shows the command, a
/// tenth of a cpu and 32 MB from the task's role.
pub(super) fn command_executor_info(
    framework: &v1::FrameworkInfo,
    task: &v1::TaskInfo,
) -> v1::ExecutorInfo {
    let id = &task.task_id.value;
    let allocation = task
        .resources
        .first()
        .and_then(|resource| resource.allocation_info.clone());
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: allocation.clone(),
        ..Default::default()
    };
    let grace = task
        .kill_policy
        .as_ref()
        .and_then(|policy| policy.grace_period)
        .map_or(KILL_GRACE, v1::DurationInfo::to_duration);
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: id.clone() },
        framework_id: framework.id.clone(),
        name: Some(format!(
            "Command Executor (Task: {id}) (Command: {})",
            shown(task)
        )),
        source: Some(id.clone()),
        resources: vec![scalar("cpus", CPUS), scalar("mem", MEM)],
        container: task.container.clone(),
        labels: task.labels.clone(),
        discovery: task.discovery.clone(),
        shutdown_grace_period: Some((grace + SHUTDOWN_MARGIN).into()),
        command: task.command.as_ref().map(|command| v1::CommandInfo {
            shell: Some(false),
            value: Some(PROGRAM.into()),
            arguments: vec![PROGRAM.into(), "executor".into()],
            user: command.user.clone(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// `sh -c 'first words...'`, or the program and its arguments.
fn shown(task: &v1::TaskInfo) -> String {
    let Some(command) = &task.command else {
        return "NO EXECUTABLE".into();
    };
    let value = command.value();
    if command.shell() {
        format!("sh -c '{}'", shortened(value))
    } else {
        let all = [&[value.to_owned()], command.arguments.as_slice()].concat();
        shortened(&format!("[{}]", all.join(", ")))
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= COMMAND_MAX {
        return text.into();
    }
    let head: String = text.chars().take(COMMAND_MAX - 3).collect();
    format!("{head}...")
}
