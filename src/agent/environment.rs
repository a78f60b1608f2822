//! The `MESOS_*` variables of an executor (Mesos' executor API documentation; golden
//! `executor_env.json`). A pure function.

use crate::base::format_duration;
use crate::proto::v1;

use super::config::AgentConfig;
use super::executor::Executor;

/// Path of executors whose agent was given no variables for them.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything that an executor finds in its environment before the command's own variables.
/// `MESOS_SANDBOX` is the path seen from inside: the containerizer replaces it for images.
pub(super) fn executor_environment(
    config: &AgentConfig,
    agent: &v1::AgentInfo,
    executor: &Executor,
    command_task: Option<&str>,
) -> Vec<(String, String)> {
    let endpoint = config.endpoint();
    let sandbox = executor.sandbox.to_string_lossy().into_owned();
    let grace = executor.info.shutdown_grace_period.map_or(
        config.timing.executor_shutdown_grace_period,
        v1::DurationInfo::to_duration,
    );
    let agent_id = agent.id.as_ref().map_or("", |id| id.value.as_str());
    let mut all: Vec<(String, String)> = config.executor_environment.clone();
    if !all.iter().any(|(name, _)| name == "PATH") {
        all.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    let mut set = |name: &str, value: String| {
        all.retain(|(present, _)| present != name);
        all.push((name.into(), value));
    };
    set("LIBPROCESS_IP", config.ip.clone());
    set("LIBPROCESS_PORT", "0".into());
    set("MESOS_FRAMEWORK_ID", executor.framework_id.to_string());
    set("MESOS_EXECUTOR_ID", executor.id.to_string());
    set("MESOS_DIRECTORY", sandbox.clone());
    set("MESOS_SANDBOX", sandbox);
    set("MESOS_SLAVE_ID", agent_id.to_owned());
    set("MESOS_SLAVE_PID", format!("slave(1)@{endpoint}"));
    set("MESOS_AGENT_ENDPOINT", endpoint);
    set(
        "MESOS_CHECKPOINT",
        u8::from(executor.checkpoint).to_string(),
    );
    set(
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
        format_duration(grace),
    );
    set("MESOS_HTTP_COMMAND_EXECUTOR", "0".into());
    if executor.checkpoint {
        let timing = &config.timing;
        set(
            "MESOS_RECOVERY_TIMEOUT",
            format_duration(timing.recovery_timeout),
        );
        set(
            "MESOS_SUBSCRIPTION_BACKOFF_MAX",
            format_duration(timing.executor_reregistration_timeout),
        );
    }
    if let Some(task_id) = command_task {
        set("MESOS_TASK_ID", task_id.to_owned());
        if let Some(role) = executor.role() {
            set("MESOS_ALLOCATION_ROLE", role.to_owned());
        }
    }
    all
}
