//! Tasks as the unversioned endpoints show them, and `/tasks`.

use std::sync::Arc;

use super::pieces::{self, double, labels, message, optional, text, truth};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::resources::summary;
use crate::api::http::shared::Shared;
use crate::master::Snapshot;
use crate::master::task::Task;
use crate::proto::json::writer::Writer;
use crate::proto::v1;

/// Tasks that `/tasks` gives unless told otherwise.
const LIMIT: i64 = 100;

/// One task.
pub(super) fn task(w: &mut Writer, task: &Task) {
    let description = &*task.description;
    w.open();
    text(w, "\"id\":", task.id.as_str());
    text(w, "\"name\":", &description.name);
    text(w, "\"framework_id\":", task.framework_id.as_str());
    let executor_id = task.executor_id.as_ref();
    let executor_id = executor_id.map_or("", |id| id.as_str());
    text(w, "\"executor_id\":", executor_id);
    text(w, "\"slave_id\":", task.agent_id.as_str());
    text(w, "\"state\":", task.state.as_str_name());
    summary(w, "\"resources\":", &task.resources);
    if !description.limits.is_empty() {
        w.key("\"limits\":");
        w.open();
        for (name, limit) in &description.limits {
            w.name(name);
            w.double(limit.value);
        }
        w.close();
    }
    let role = task.resources.iter().next();
    let role = role.and_then(|resource| resource.allocated_role());
    text(w, "\"role\":", role.map_or("*", |role| role.as_str()));
    w.key("\"statuses\":");
    w.open_list();
    for one in &task.statuses {
        w.item();
        status(w, one);
    }
    w.close_list();
    optional(w, "\"user\":", description.user.as_deref());
    labels(w, description.labels.as_ref());
    message(w, "\"discovery\":", description.discovery.as_ref());
    message(w, "\"container\":", description.container.as_ref());
    message(w, "\"health_check\":", description.health_check.as_ref());
    w.close();
}

/// One status of a task; the supervisor's process id is only in the v1 API.
pub(super) fn status(w: &mut Writer, status: &v1::TaskStatus) {
    w.open();
    text(w, "\"state\":", status.state().as_str_name());
    double(w, "\"timestamp\":", status.timestamp());
    labels(w, status.labels.as_ref());
    if let Some(container) = &status.container_status {
        w.key("\"container_status\":");
        container_status(w, container);
    }
    if let Some(healthy) = status.healthy {
        truth(w, "\"healthy\":", healthy);
    }
    w.close();
}

/// What Mesos shows of a container here: not its processes.
fn container_status(w: &mut Writer, status: &v1::ContainerStatus) {
    w.open();
    message(w, "\"container_id\":", status.container_id.as_ref());
    if !status.network_infos.is_empty() {
        pieces::messages(w, "\"network_infos\":", &status.network_infos);
    }
    message(w, "\"cgroup_info\":", status.cgroup_info.as_ref());
    w.close();
}

/// Which tasks are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    limit: usize,
    offset: usize,
    ascending: bool,
    framework_id: Option<String>,
    task_id: Option<String>,
}

impl Page {
    /// What the query says; a number that is none counts as not given, a negative limit means all.
    fn of(request: &Request) -> Self {
        let number = |name: &str| request.query.get(name)?.parse::<i64>().ok();
        let owned = |name: &str| request.query.get(name).map(str::to_owned);
        Self {
            limit: usize::try_from(number("limit").unwrap_or(LIMIT)).unwrap_or(usize::MAX),
            offset: usize::try_from(number("offset").unwrap_or(0)).unwrap_or(usize::MAX),
            ascending: request.query.get("order") == Some("asc"),
            framework_id: owned("framework_id"),
            task_id: owned("task_id"),
        }
    }

    /// The tasks of the page. Order: when a task's first status was made, the youngest first.
    fn select<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Task> {
        let completed = snapshot.completed_frameworks.iter();
        let completed = completed.map(|(_, framework)| framework);
        let mut found: Vec<&Task> = Vec::new();
        for framework in snapshot.frameworks.values().chain(completed) {
            let wanted = self.framework_id.as_deref();
            if wanted.is_some_and(|wanted| wanted != framework.id.as_str()) {
                continue;
            }
            let unreachable = framework.unreachable_tasks.iter().map(|(_, task)| task);
            let ended = framework.completed_tasks.iter().map(|(_, task)| task);
            let all = framework.tasks.values().chain(unreachable).chain(ended);
            let wanted = self.task_id.as_deref();
            let chosen = all.filter(|task| wanted.is_none_or(|id| id == task.id.as_str()));
            found.extend(chosen.map(Arc::as_ref));
        }
        let made = |task: &Task| task.statuses.first().map_or(0.0, |first| first.timestamp());
        found.sort_by(|one, other| {
            let order = made(one).total_cmp(&made(other));
            if self.ascending {
                order
            } else {
                order.reverse()
            }
        });
        let page = found.into_iter().skip(self.offset).take(self.limit);
        page.collect()
    }
}

/// `/tasks`.
pub(super) async fn answer(shared: Shared, request: Request) -> Result<Reply, Refusal> {
    let page = Page::of(&request);
    let parameters = format!("{page:?}");
    let reply = Reply::of_state(
        &shared,
        &request,
        "/tasks",
        parameters,
        move |parts, snapshot, _| {
            parts.text().open();
            parts.text().key("\"tasks\":");
            parts.list(page.select(snapshot), task);
            parts.text().close();
        },
    );
    Ok(reply.await?)
}

/// Counts of a framework's or an agent's tasks by state, as `/state-summary` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StateCounts([usize; 10]);

/// The states that are counted, in the order of the reply.
const COUNTED: [(&str, v1::TaskState); 10] = [
    ("\"TASK_STAGING\":", v1::TaskState::TaskStaging),
    ("\"TASK_STARTING\":", v1::TaskState::TaskStarting),
    ("\"TASK_RUNNING\":", v1::TaskState::TaskRunning),
    ("\"TASK_KILLING\":", v1::TaskState::TaskKilling),
    ("\"TASK_FINISHED\":", v1::TaskState::TaskFinished),
    ("\"TASK_KILLED\":", v1::TaskState::TaskKilled),
    ("\"TASK_FAILED\":", v1::TaskState::TaskFailed),
    ("\"TASK_LOST\":", v1::TaskState::TaskLost),
    ("\"TASK_ERROR\":", v1::TaskState::TaskError),
    ("\"TASK_UNREACHABLE\":", v1::TaskState::TaskUnreachable),
];

impl StateCounts {
    /// One more task in this state.
    pub(super) fn add(&mut self, state: v1::TaskState) {
        let counted = COUNTED.iter().position(|(_, counted)| *counted == state);
        if let Some(at) = counted {
            self.0[at] += 1;
        }
    }

    /// The members.
    pub(super) fn write(&self, w: &mut Writer) {
        for ((key, _), count) in COUNTED.iter().zip(self.0) {
            pieces::count(w, key, count);
        }
    }
}
