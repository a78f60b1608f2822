//! `mesosd ps` and `mesosd tasks`: tasks, and finding one by what a person types.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::connect::Session;
use super::error::ClientError;
use super::output::{Format, Output};
use super::quantities::Quantities;
use super::table::{Cell, Table, ago};
use crate::proto::v1;
use crate::proto::v1::TaskState;
use crate::proto::v1::master::response::GetState;

/// Which tasks to list.
#[derive(Args, Clone, Debug)]
pub(in crate::commands) struct TaskFilter {
    /// Only tasks of this framework: its id, the beginning of it, or its name.
    #[arg(long, value_name = "FRAMEWORK")]
    framework: Option<String>,
    /// Only tasks on this agent: its id, or its host name.
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only tasks in this state, like running or failed.
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<TaskState>,
}

/// Which tasks a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those that are not over.
    Live,
    /// Those that the master remembers, too.
    All,
}

/// One task with the names that people know.
#[derive(Clone, Debug)]
pub(super) struct TaskRow {
    pub(super) task: v1::Task,
    pub(super) framework: String,
    pub(super) agent: String,
    /// Where the agent's API is, if the agent is known.
    pub(super) agent_address: Option<String>,
    /// The master still counts with it.
    pub(super) live: bool,
}

fn state(text: &str) -> Result<TaskState, String> {
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("TASK_").unwrap_or(&upper);
    TaskState::from_str_name(&format!("TASK_{name}"))
        .ok_or_else(|| format!("'{text}' is not a state of a task, like running or failed"))
}

/// The state of the cluster.
pub(super) async fn fetch(session: &mut Session) -> Result<GetState, ClientError> {
    let answer = session.ask(v1::master::call::Type::GetState).await?;
    answer.get_state.ok_or(ClientError::Incomplete {
        what: "master",
        field: "get_state",
    })
}

/// All tasks of a state, live ones first.
pub(super) fn rows(state: &GetState) -> Vec<TaskRow> {
    let frameworks: BTreeMap<&str, &str> = state
        .get_frameworks
        .iter()
        .flat_map(|part| part.frameworks.iter().chain(&part.completed_frameworks))
        .filter_map(|framework| {
            let info = &framework.framework_info;
            Some((info.id.as_ref()?.value.as_str(), info.name.as_str()))
        })
        .collect();
    let agents: BTreeMap<&str, (&str, String)> = state
        .get_agents
        .iter()
        .flat_map(|part| &part.agents)
        .filter_map(|agent| {
            let info = &agent.agent_info;
            let id = info.id.as_ref()?.value.as_str();
            Some((id, (info.hostname.as_str(), super::agents::address(agent))))
        })
        .collect();
    let row = |task: &v1::Task, live| {
        let agent = agents.get(task.agent_id.value.as_str());
        TaskRow {
            framework: frameworks
                .get(task.framework_id.value.as_str())
                .map_or_else(String::new, |name| (*name).to_owned()),
            agent: agent.map_or_else(String::new, |(hostname, _)| (*hostname).to_owned()),
            agent_address: agent.map(|(_, address)| address.clone()),
            task: task.clone(),
            live,
        }
    };
    let Some(tasks) = &state.get_tasks else {
        return Vec::new();
    };
    let live = tasks.tasks.iter().map(|task| row(task, true));
    let over = tasks
        .unreachable_tasks
        .iter()
        .chain(&tasks.completed_tasks)
        .map(|task| row(task, false));
    live.chain(over).collect()
}

/// Lists tasks.
pub(super) async fn list(
    session: &mut Session,
    output: &mut Output,
    filter: &TaskFilter,
    scope: Scope,
) -> Result<(), ClientError> {
    let state = fetch(session).await?;
    let rows: Vec<_> = rows(&state)
        .into_iter()
        .filter(|row| scope == Scope::All || (row.live && !row.task.state().is_terminal()))
        .filter(|row| filter.takes(row))
        .collect();
    match output.format() {
        Format::Json => output.json(&rows.iter().map(TaskRow::json).collect()),
        Format::Text => output.table(&table(&rows)),
    }
}

impl TaskFilter {
    fn takes(&self, row: &TaskRow) -> bool {
        let framework = self.framework.as_ref().is_none_or(|wanted| {
            row.framework == *wanted || row.task.framework_id.value.starts_with(wanted)
        });
        let agent = self
            .agent
            .as_ref()
            .is_none_or(|wanted| row.agent == *wanted || row.task.agent_id.value == *wanted);
        let state = self.state.is_none_or(|wanted| row.task.state() == wanted);
        framework && agent && state
    }
}

impl TaskRow {
    /// When the task came into its state, in seconds since 1970.
    fn since(&self) -> Option<f64> {
        self.task
            .statuses
            .last()
            .and_then(|status| status.timestamp)
    }

    /// Stable keys for scripts.
    pub(super) fn json(&self) -> Value {
        let last = self.task.statuses.last();
        json!({
            "id": self.task.task_id.value,
            "name": self.task.name,
            "state": self.task.state().as_str_name(),
            "framework_id": self.task.framework_id.value,
            "framework": self.framework,
            "executor_id": self.executor_id(),
            "agent_id": self.task.agent_id.value,
            "agent": self.agent,
            "resources": Quantities::of(&self.task.resources).json(),
            "since": self.since(),
            "reason": last.and_then(|status| status.reason.map(|_| status.reason().as_str_name())),
            "message": last.and_then(|status| status.message.clone()),
            "container_id": self.container_id().map(|id| id.value.as_str()),
        })
    }

    /// The executor whose sandbox the task uses: a task without one has its own.
    pub(super) fn executor_id(&self) -> &str {
        let executor = self.task.executor_id.as_ref();
        executor.map_or(&self.task.task_id.value, |id| &id.value)
    }

    /// The container that the task runs in, once an update has named it.
    fn container_id(&self) -> Option<&v1::ContainerId> {
        let named = self.task.statuses.iter().rev().find_map(|status| {
            let container = status.container_status.as_ref()?;
            container.container_id.as_ref()
        });
        named.filter(|id| !id.value.is_empty())
    }

    /// The folder of the task's sandbox below those of its executor's runs, once an update has named
    /// the container; that of a nested container lies in its parent's.
    pub(super) fn sandbox(&self) -> Option<String> {
        let id = self.container_id()?;
        let mut path = id.value.clone();
        let mut outer = &id.parent;
        while let Some(parent) = outer {
            path = format!("{}/containers/{path}", parent.value);
            outer = &parent.parent;
        }
        Some(path)
    }
}

fn table(rows: &[TaskRow]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "STATE",
        "FRAMEWORK",
        "AGENT",
        "CPUS",
        "MEM",
        "SINCE",
    ]);
    for row in rows {
        let held = Quantities::of(&row.task.resources);
        table.row(vec![
            Cell::text(&row.task.task_id.value),
            Cell::text(&row.task.name),
            state_cell(row.task.state()),
            Cell::text(&row.framework),
            Cell::text(&row.agent),
            Cell::number(held.cpus()),
            Cell::number(held.megabytes("mem")),
            Cell::number(ago(row.since())),
        ]);
    }
    table
}

fn state_cell(state: TaskState) -> Cell {
    let name = state
        .as_str_name()
        .trim_start_matches("TASK_")
        .to_lowercase();
    let cell = Cell::text(name);
    match state {
        TaskState::TaskRunning => cell.good(),
        TaskState::TaskFinished | TaskState::TaskKilled => cell.faint(),
        TaskState::TaskStaging | TaskState::TaskStarting | TaskState::TaskKilling => cell,
        _ => cell.bad(),
    }
}

/// The one task that `name` means: its id, else the beginning of one id, else its name. Live tasks go
/// before those that are over.
pub(super) fn find<'a>(
    rows: &'a [TaskRow],
    name: &str,
    framework: Option<&str>,
) -> Result<&'a TaskRow, ClientError> {
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| {
            framework.is_none_or(|wanted| {
                row.framework == wanted || row.task.framework_id.value.starts_with(wanted)
            })
        })
        .collect();
    let tests: [&dyn Fn(&TaskRow) -> bool; 3] = [
        &|row| row.task.task_id.value == name,
        &|row| row.task.task_id.value.starts_with(name),
        &|row| row.task.name == name,
    ];
    for live in [true, false] {
        for fits in tests {
            let found: Vec<_> = rows
                .iter()
                .filter(|row| row.live == live && fits(row))
                .collect();
            match found.as_slice() {
                [] => {}
                [one] => return Ok(one),
                several => return Err(ambiguous(name, several)),
            }
        }
    }
    Err(ClientError::NotFound {
        kind: "task",
        name: name.to_owned(),
        hint: ": 'mesosd tasks' lists all that the master remembers",
    })
}

fn ambiguous(name: &str, found: &[&&TaskRow]) -> ClientError {
    let ids: Vec<_> = found
        .iter()
        .take(5)
        .map(|row| {
            format!(
                "{} of {}",
                row.task.task_id.value, row.task.framework_id.value
            )
        })
        .collect();
    ClientError::Ambiguous {
        kind: "task",
        name: name.to_owned(),
        found: ids.join(", "),
        hint: ", or --framework",
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn row(id: &str, name: &str, framework: &str, live: bool) -> TaskRow {
        let task = v1::Task {
            name: name.to_owned(),
            task_id: v1::TaskId {
                value: id.to_owned(),
            },
            framework_id: v1::FrameworkId {
                value: framework.to_owned(),
            },
            ..v1::Task::default()
        };
        TaskRow {
            task,
            framework: format!("name of {framework}"),
            agent: String::new(),
            agent_address: None,
            live,
        }
    }

    #[test]
    fn a_task_is_found_by_what_people_type() {
        let rows = [
            row("web.1", "web", "f1", true),
            row("web.2", "web", "f1", false),
            row("db", "db", "f1", true),
            row("db", "db", "f2", true),
        ];
        let id = |name: &str, framework: Option<&str>| {
            find(&rows, name, framework).map(|row| row.task.framework_id.value.clone())
        };
        assert_eq!(
            find(&rows, "web", None).unwrap().task.task_id.value,
            "web.1"
        );
        assert_eq!(
            find(&rows, "web.2", None).unwrap().task.task_id.value,
            "web.2"
        );
        assert_eq!(id("db", Some("f2")).unwrap(), "f2");
        assert_eq!(id("db", Some("name of f1")).unwrap(), "f1");
        assert_eq!(
            id("db", None).unwrap_err().to_string(),
            "'db' fits several tasks: db of f1, db of f2; give more of the id, or --framework"
        );
        let missing = find(&rows, "nope", None).unwrap_err();
        assert!(missing.to_string().starts_with("no task 'nope'"));
        assert_eq!(missing.exit_code(), crate::runtime::ExitCode::Failure);
    }

    #[test]
    fn states_are_read_as_people_write_them() {
        assert_eq!(state("running"), Ok(TaskState::TaskRunning));
        assert_eq!(
            state("TASK_GONE_BY_OPERATOR"),
            Ok(TaskState::TaskGoneByOperator)
        );
        assert!(state("sleeping").is_err());
    }
}
