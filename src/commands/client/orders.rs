//! `mesosd kill` and `mesosd teardown`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::{frameworks, tasks};
use crate::base::parse_duration;
use crate::proto::v1;

/// Which task to kill.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct KillArgs {
    /// The task's id, the beginning of it, or its name.
    task: String,
    /// The framework of the task, if several have one with this id.
    #[arg(long, value_name = "FRAMEWORK")]
    framework: Option<String>,
    /// Time between SIGTERM and SIGKILL; without it what the task says.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    grace: Option<Duration>,
}

/// Which framework to end.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct TeardownArgs {
    /// The framework's id, the beginning of it, or its name.
    framework: String,
}

/// Asks the master to kill a task; the task's framework hears of it as usual.
pub(super) async fn kill(
    session: &mut Session,
    output: &mut Output,
    arguments: &KillArgs,
) -> Result<(), ClientError> {
    let state = tasks::fetch(session).await?;
    let mut rows = tasks::rows(&state);
    rows.retain(|row| row.live);
    let row = tasks::find(&rows, &arguments.task, arguments.framework.as_deref())?;
    let kill_policy = arguments.grace.map(|grace| v1::KillPolicy {
        grace_period: Some(v1::DurationInfo {
            nanoseconds: i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX),
        }),
    });
    session
        .kill(v1::master::KillTask {
            framework_id: row.task.framework_id.clone(),
            task_id: row.task.task_id.clone(),
            kill_policy,
        })
        .await?;
    let (task, framework) = (&row.task.task_id.value, &row.task.framework_id.value);
    match output.format() {
        Format::Json => output.json(&json!({"task_id": task, "framework_id": framework})),
        Format::Text => output.line(&format!("{task}: kill sent")),
    }
}

/// Ends a framework and all its tasks.
pub(super) async fn teardown(
    session: &mut Session,
    output: &mut Output,
    arguments: &TeardownArgs,
) -> Result<(), ClientError> {
    let found = frameworks::fetch(session).await?;
    let framework = frameworks::find(&found.frameworks, &arguments.framework)?;
    let id = frameworks::id(framework).to_owned();
    let call = v1::master::Call {
        r#type: Some(v1::master::call::Type::Teardown.into()),
        teardown: Some(v1::master::call::Teardown {
            framework_id: v1::FrameworkId { value: id.clone() },
        }),
        ..v1::master::Call::default()
    };
    session.call(call).await?;
    match output.format() {
        Format::Json => output.json(&json!({"framework_id": id})),
        Format::Text => output.line(&format!("{id}: torn down")),
    }
}
