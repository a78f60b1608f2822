//! `mesosd logs`, `cat` and `ls`: files of a task's sandbox, read from the task's agent.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tonic::Code;

use super::agents::seconds;
use super::connect::{AgentSession, Session};
use super::error::ClientError;
use super::output::{Format, Output};
use super::table::{Cell, Table, ago};
use super::tasks::{self, TaskRow};
use crate::proto::v1;

/// How often `logs -f` asks whether the task is over.
const STATE_INTERVAL: Duration = Duration::from_secs(1);

/// Which task's output to print.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct LogsArgs {
    #[command(flatten)]
    task: TaskChoice,
    /// Go on until the task is over.
    #[arg(long, short)]
    follow: bool,
    /// What the task has written to stderr instead of stdout.
    #[arg(long)]
    stderr: bool,
}

/// Which file to print.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct CatArgs {
    #[command(flatten)]
    task: TaskChoice,
    /// The file, seen from the sandbox.
    path: String,
}

/// Which directory to list.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct LsArgs {
    #[command(flatten)]
    task: TaskChoice,
    /// The directory, seen from the sandbox; without it the sandbox itself.
    path: Option<String>,
}

/// A task as people name it.
#[derive(Args, Clone, Debug)]
struct TaskChoice {
    /// The task's id, the beginning of it, or its name.
    task: String,
    /// The framework of the task, if several have one with this id.
    #[arg(long, value_name = "FRAMEWORK")]
    framework: Option<String>,
}

impl TaskChoice {
    async fn find(&self, session: &mut Session) -> Result<TaskRow, ClientError> {
        let state = tasks::fetch(session).await?;
        let rows = tasks::rows(&state);
        tasks::find(&rows, &self.task, self.framework.as_deref()).cloned()
    }
}

/// The path of a file in the task's sandbox, as agents name it.
fn sandbox_path(row: &TaskRow, path: &str) -> String {
    let framework = &row.task.framework_id.value;
    let executor = row.executor_id();
    let run = row.sandbox().unwrap_or_else(|| "latest".to_owned());
    let path = path.trim_matches('/');
    let root = format!("/frameworks/{framework}/executors/{executor}/runs/{run}");
    if path.is_empty() {
        root
    } else {
        format!("{root}/{path}")
    }
}

async fn agent_of(row: &TaskRow) -> Result<AgentSession, ClientError> {
    let address = row.agent_address.as_ref();
    let address = address.ok_or_else(|| ClientError::NotFound {
        kind: "agent",
        name: row.task.agent_id.value.clone(),
        hint: ": it is not registered now, so its sandboxes cannot be read",
    })?;
    AgentSession::open(address).await
}

/// Prints a task's output.
pub(super) async fn logs(
    session: &mut Session,
    output: &mut Output,
    arguments: &LogsArgs,
) -> Result<(), ClientError> {
    let row = arguments.task.find(session).await?;
    let mut agent = agent_of(&row).await?;
    let name = if arguments.stderr { "stderr" } else { "stdout" };
    let path = sandbox_path(&row, name);
    if arguments.follow && row.live && !row.task.state().is_terminal() {
        let read = follow(session, &mut agent, output, &row, path.clone()).await?;
        return copy(&mut agent, output, path, read).await;
    }
    copy(&mut agent, output, path, 0).await
}

/// Prints a file as it grows until the task is over; answers with the bytes printed.
async fn follow(
    session: &mut Session,
    agent: &mut AgentSession,
    output: &mut Output,
    row: &TaskRow,
    path: String,
) -> Result<u64, ClientError> {
    let mut read = 0;
    let mut chunks = agent.follow_file(path).await?;
    let mut checks = tokio::time::interval(STATE_INTERVAL);
    loop {
        tokio::select! {
            chunk = chunks.message() => match chunk {
                Ok(Some(chunk)) => {
                    output.bytes(&chunk.data)?;
                    output.flush()?;
                    read = chunk.offset + chunk.data.len() as u64;
                }
                Ok(None) => return Ok(read),
                Err(status) if status.code() == Code::NotFound => return Ok(read),
                Err(status) => return Err(ClientError::refused(&status)),
            },
            _ = checks.tick() => {
                let state = tasks::fetch(session).await?;
                let rows = tasks::rows(&state);
                let now = rows.iter().find(|other| {
                    other.task.task_id == row.task.task_id
                        && other.task.framework_id == row.task.framework_id
                });
                if now.is_none_or(|now| !now.live || now.task.state().is_terminal()) {
                    return Ok(read);
                }
            }
        }
    }
}

/// Prints a file from `offset` to its end.
async fn copy(
    agent: &mut AgentSession,
    output: &mut Output,
    path: String,
    mut offset: u64,
) -> Result<(), ClientError> {
    loop {
        let slice = agent.read_file(path.clone(), offset).await?;
        if slice.data.is_empty() {
            return output.flush();
        }
        output.bytes(&slice.data)?;
        offset += slice.data.len() as u64;
    }
}

/// Prints a file of a sandbox.
pub(super) async fn cat(
    session: &mut Session,
    output: &mut Output,
    arguments: &CatArgs,
) -> Result<(), ClientError> {
    let row = arguments.task.find(session).await?;
    let mut agent = agent_of(&row).await?;
    let path = sandbox_path(&row, &arguments.path);
    copy(&mut agent, output, path, 0).await
}

/// Lists a directory of a sandbox.
pub(super) async fn ls(
    session: &mut Session,
    output: &mut Output,
    arguments: &LsArgs,
) -> Result<(), ClientError> {
    let row = arguments.task.find(session).await?;
    let mut agent = agent_of(&row).await?;
    let path = sandbox_path(&row, arguments.path.as_deref().unwrap_or_default());
    let files = agent.list_files(path).await?;
    match output.format() {
        Format::Json => output.json(&files.iter().map(json).collect()),
        Format::Text => output.table(&table(&files)),
    }
}

fn name(file: &v1::FileInfo) -> &str {
    file.path.rsplit('/').next().unwrap_or(&file.path)
}

/// `drwxr-x---` for a mode.
fn mode_text(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o140_000 => 's',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    let rights = bits.map(|(bit, right)| if mode & (1 << bit) != 0 { right } else { '-' });
    let mut text: Vec<char> = std::iter::once(kind).chain(rights).collect();
    // Set-user-id, set-group-id and sticky stand in the place of the x.
    for (flag, at, with_x, without) in [
        (0o4000, 3, 's', 'S'),
        (0o2000, 6, 's', 'S'),
        (0o1000, 9, 't', 'T'),
    ] {
        if mode & flag != 0 {
            text[at] = if text[at] == 'x' { with_x } else { without };
        }
    }
    text.into_iter().collect()
}

/// Stable keys for scripts.
fn json(file: &v1::FileInfo) -> Value {
    json!({
        "name": name(file),
        "path": file.path,
        "size": file.size(),
        "mode": mode_text(file.mode()),
        "user": file.uid,
        "group": file.gid,
        "modified": seconds(file.mtime.as_ref()),
    })
}

fn table(files: &[v1::FileInfo]) -> Table {
    let mut table = Table::new(&["MODE", "USER", "GROUP", "SIZE", "AGE", "NAME"]);
    for file in files {
        table.row(vec![
            Cell::text(mode_text(file.mode())),
            Cell::text(file.uid()),
            Cell::text(file.gid()),
            Cell::number(file.size().to_string()),
            Cell::number(ago(seconds(file.mtime.as_ref()))),
            Cell::text(name(file)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_as_in_ls() {
        assert_eq!(mode_text(0o100_644), "-rw-r--r--");
        assert_eq!(mode_text(0o040_750), "drwxr-x---");
        assert_eq!(mode_text(0o041_777), "drwxrwxrwt");
        assert_eq!(mode_text(0o106_640), "-rwSr-S---");
    }
}
