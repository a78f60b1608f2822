//! `/state` of an agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pieces::{attributes, double, labels, message, optional, text, texts, time, truth};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::resources::{full, reserved, reserved_full, summary, summary_value};
use super::state::{flag, flags, version};
use super::tasks::status;
use crate::agent::{Executor, Framework, Snapshot, Task};
use crate::api::http::parts::Parts;
use crate::api::service::agent::AgentCalls;
use crate::api::service::daemon::Daemon;
use crate::master::agent::CAPABILITIES;
use crate::proto::json::writer::Writer;
use crate::proto::v1;
use crate::proto::v1::framework_info::capability;
use crate::resources::Resources;
use crate::roles::Role;

/// `/state`.
pub(super) async fn answer(calls: AgentCalls, _: Request) -> Result<Reply, Refusal> {
    let snapshot = calls.snapshot().await?;
    let daemon = calls.daemon().clone();
    Ok(Reply::large(snapshot, move |snapshot, parts| {
        let w = parts.text();
        w.open();
        head(w, snapshot, &daemon);
        let present = snapshot.frameworks.values();
        let completed = snapshot.completed_frameworks.iter();
        for (key, list) in [
            ("\"frameworks\":", present.collect::<Vec<_>>()),
            ("\"completed_frameworks\":", completed.collect()),
        ] {
            parts.text().key(key);
            parts.text().open_list();
            for one in list {
                parts.text().item();
                framework(parts, one);
            }
            parts.text().close_list();
        }
        parts.text().close();
    })
    .await)
}

/// The members that describe the agent itself.
fn head(w: &mut Writer, snapshot: &Snapshot, daemon: &Daemon) {
    let info = &*snapshot.info;
    version(w, &daemon.version);
    time(w, "\"start_time\":", snapshot.started);
    let id = info.id.as_ref().map_or("", |id| id.value.as_str());
    text(w, "\"id\":", id);
    text(w, "\"pid\":", &format!("slave(1)@{}", snapshot.endpoint));
    text(w, "\"hostname\":", &info.hostname);
    let capabilities = CAPABILITIES.iter().map(|one| one.as_str_name());
    texts(w, "\"capabilities\":", capabilities);
    message(w, "\"domain\":", info.domain.as_ref());
    if let Some((config, since)) = &snapshot.drain {
        message(w, "\"drain_config\":", Some(config));
        time(w, "\"estimated_drain_start_time_seconds\":", *since);
    }
    let total = &snapshot.total;
    summary(w, "\"resources\":", total);
    reserved(w, total);
    summary(w, "\"unreserved_resources\":", &total.unreserved());
    reserved_full(w, total);
    full(w, "\"unreserved_resources_full\":", &total.unreserved());
    allocated(w, snapshot);
    w.key("\"resource_providers\":");
    w.raw("[]");
    attributes(w, &info.attributes);
    if let Some(master) = snapshot.master.as_ref().filter(|_| snapshot.registered) {
        text(w, "\"master_hostname\":", master.hostname());
    }
    optional(w, "\"log_dir\":", flag(daemon, "log_dir"));
    let log = flag(daemon, "external_log_file");
    optional(w, "\"external_log_file\":", log);
    flags(w, daemon);
}

/// What executors and tasks hold, by the role that it is reserved to.
fn allocated(w: &mut Writer, snapshot: &Snapshot) {
    let mut used = Resources::default();
    for executor in snapshot.executors() {
        used += &executor.allocated();
    }
    let used = used.unallocated();
    w.key("\"reserved_resources_allocated\":");
    w.open();
    let by_role: BTreeMap<Role, Resources> = used.reservations();
    for (role, held) in by_role {
        w.name(role.as_str());
        summary_value(w, &held);
    }
    w.close();
    let unreserved = used.unreserved();
    summary(w, "\"unreserved_resources_allocated\":", &unreserved);
}

fn framework<'a>(parts: &mut Parts<'a>, framework: &'a Framework) {
    let info = &*framework.info;
    let w = parts.text();
    w.open();
    text(w, "\"id\":", framework.id.as_str());
    text(w, "\"name\":", &info.name);
    text(w, "\"user\":", &info.user);
    double(w, "\"failover_timeout\":", info.failover_timeout());
    truth(w, "\"checkpoint\":", info.checkpoint());
    text(w, "\"hostname\":", info.hostname());
    optional(w, "\"principal\":", info.principal.as_deref());
    if framework.can(capability::Type::MultiRole) {
        texts(w, "\"roles\":", info.roles.iter().map(String::as_str));
    } else {
        text(w, "\"role\":", single_role(info));
    }
    w.key("\"executors\":");
    let live = framework.executors.values().map(Arc::as_ref);
    parts.list(live.collect(), executor);
    parts.text().key("\"completed_executors\":");
    let over = framework.completed_executors.iter().map(Arc::as_ref);
    parts.list(over.collect(), executor);
    parts.text().close();
}

fn single_role(info: &v1::FrameworkInfo) -> &str {
    info.role()
}

fn executor(w: &mut Writer, executor: &Executor) {
    let info = &*executor.info;
    w.open();
    text(w, "\"id\":", executor.id.as_str());
    text(w, "\"name\":", info.name());
    text(w, "\"source\":", info.source());
    text(w, "\"container\":", executor.container_id.as_str());
    let sandbox = executor.sandbox.to_string_lossy();
    text(w, "\"directory\":", &sandbox);
    summary(w, "\"resources\":", &executor.allocated());
    if let Some(role) = executor.role() {
        text(w, "\"role\":", role);
    }
    labels(w, info.labels.as_ref());
    if info.r#type.is_some() {
        text(w, "\"type\":", info.r#type().as_str_name());
    }
    let queued = executor.queued_tasks().map(|(_, task)| task);
    let queued: Vec<_> = queued.collect();
    let tasks = executor.tasks.values();
    let (over, live): (Vec<_>, Vec<_>) = tasks
        .filter(|task| !queued.iter().any(|one| Arc::ptr_eq(one, task)))
        .partition(|task| task.state.is_terminal());
    let over = executor.completed_tasks.iter().chain(over);
    for (key, list) in [
        ("\"tasks\":", live),
        ("\"queued_tasks\":", queued),
        ("\"completed_tasks\":", over.collect()),
    ] {
        w.key(key);
        w.open_list();
        for one in list {
            w.item();
            task(w, executor, one);
        }
        w.close_list();
    }
    w.close();
}

fn task(w: &mut Writer, executor: &Executor, task: &Task) {
    let info = &*task.info;
    w.open();
    text(w, "\"id\":", &info.task_id.value);
    text(w, "\"name\":", &info.name);
    text(w, "\"framework_id\":", executor.framework_id.as_str());
    let own = !executor.command_executor;
    let executor_id = if own { executor.id.as_str() } else { "" };
    text(w, "\"executor_id\":", executor_id);
    text(w, "\"slave_id\":", &info.agent_id.value);
    text(w, "\"state\":", task.state.as_str_name());
    summary(w, "\"resources\":", &task.resources);
    if !info.limits.is_empty() {
        w.key("\"limits\":");
        w.open();
        for (name, limit) in &info.limits {
            w.name(name);
            w.double(limit.value);
        }
        w.close();
    }
    let role = info.resources.iter().find_map(allocation_role);
    text(w, "\"role\":", role.unwrap_or("*"));
    w.key("\"statuses\":");
    w.open_list();
    for one in &task.statuses {
        w.item();
        status(w, one);
    }
    w.close_list();
    let user = info
        .command
        .as_ref()
        .and_then(|command| command.user.as_deref());
    optional(w, "\"user\":", user);
    labels(w, info.labels.as_ref());
    message(w, "\"discovery\":", info.discovery.as_ref());
    message(w, "\"container\":", info.container.as_ref());
    message(w, "\"health_check\":", info.health_check.as_ref());
    w.close();
}

fn allocation_role(resource: &v1::Resource) -> Option<&str> {
    resource.allocation_info.as_ref()?.role.as_deref()
}
