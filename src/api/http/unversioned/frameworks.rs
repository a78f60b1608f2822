//! Frameworks as the unversioned endpoints show them, and `/frameworks`.

use std::sync::Arc;

use super::pieces::{double, labels, message, messages, optional, text, texts, time, truth};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::resources::summary;
use super::tasks::task;
use crate::api::http::parts::{Parts, by_threads};
use crate::api::http::shared::Shared;
use crate::base::AgentId;
use crate::master::Snapshot;
use crate::master::agent::Executor;
use crate::master::framework::Framework;
use crate::master::offer::Offer;
use crate::proto::json::writer::Writer;
use crate::proto::v1;
use crate::resources::Resources;

/// What a framework holds and is offered.
pub(super) struct Shares {
    used: Resources,
    offered: Resources,
}

impl Shares {
    /// Sums them up.
    pub(super) fn of(snapshot: &Snapshot, framework: &Framework) -> Self {
        Self {
            used: snapshot.framework_allocated(framework),
            offered: snapshot.framework_offered(framework),
        }
    }
}

/// The members of one framework in `/state-summary`, which all others begin with too.
pub(super) fn members(w: &mut Writer, framework: &Framework, shares: &Shares) {
    let info = &*framework.info;
    let connected = framework.is_connected();
    text(w, "\"id\":", framework.id.as_str());
    text(w, "\"name\":", &info.name);
    if let Some(process) = &framework.process {
        text(w, "\"pid\":", process);
    }
    summary(w, "\"used_resources\":", &shares.used);
    summary(w, "\"offered_resources\":", &shares.offered);
    let capabilities = info.capabilities.iter();
    let capabilities = capabilities.map(|one| one.r#type().as_str_name());
    texts(w, "\"capabilities\":", capabilities);
    text(w, "\"hostname\":", info.hostname());
    text(w, "\"webui_url\":", info.webui_url());
    truth(w, "\"active\":", connected);
    truth(w, "\"connected\":", connected);
    truth(w, "\"recovered\":", framework.is_recovered());
}

/// The members between the summary and the tasks.
fn details(w: &mut Writer, framework: &Framework, shares: &Shares) {
    let info = &*framework.info;
    text(w, "\"user\":", &info.user);
    double(w, "\"failover_timeout\":", info.failover_timeout());
    truth(w, "\"checkpoint\":", info.checkpoint());
    time(w, "\"registered_time\":", framework.registered);
    time(
        w,
        "\"unregistered_time\":",
        framework.unregistered.unwrap_or_default(),
    );
    optional(w, "\"principal\":", info.principal.as_deref());
    let mut both = shares.used.clone();
    both.add_all(&shares.offered);
    summary(w, "\"resources\":", &both);
    if framework.capabilities.multi_role {
        texts(w, "\"roles\":", info.roles.iter().map(String::as_str));
    } else {
        let role = framework.roles.first();
        text(w, "\"role\":", role.map_or("*", |role| role.as_str()));
    }
    if let Some(at) = framework.reregistered {
        time(w, "\"reregistered_time\":", at);
    }
}

/// One framework with its tasks.
fn framework<'a>(
    parts: &mut Parts<'a>,
    snapshot: &'a Snapshot,
    of: &'a Framework,
    shares: &Shares,
) {
    let w = parts.text();
    w.open();
    members(w, of, shares);
    details(w, of, shares);
    w.key("\"tasks\":");
    parts.tasks(of.tasks.values().map(Arc::as_ref).collect(), task);
    parts.text().key("\"unreachable_tasks\":");
    let lost = of.unreachable_tasks.iter().map(|(_, task)| task.as_ref());
    parts.tasks(lost.collect(), task);
    parts.text().key("\"completed_tasks\":");
    let ended = of.completed_tasks.iter().map(|(_, task)| task.as_ref());
    parts.tasks(ended.collect(), task);
    let w = parts.text();
    w.key("\"offers\":");
    w.open_list();
    for one in of.offers.iter().filter_map(|id| snapshot.offers.get(id)) {
        w.item();
        offer(w, one);
    }
    w.close_list();
    w.key("\"executors\":");
    w.open_list();
    for (agent_id, executor_id) in &of.executors {
        let key = (of.id.clone(), executor_id.clone());
        let agent = snapshot.agents.get(agent_id);
        if let Some(record) = agent.and_then(|agent| agent.executors.get(&key)) {
            w.item();
            executor(w, record, agent_id);
        }
    }
    w.close_list();
    labels(w, of.info.labels.as_ref());
    let constraints = of.constraints.to_proto();
    message(w, "\"offer_constraints\":", Some(&constraints));
    w.close();
}

/// The members `frameworks` and `completed_frameworks`.
pub(super) fn lists<'a>(parts: &mut Parts<'a>, snapshot: &'a Snapshot, wanted: Option<&str>) {
    let present = snapshot.frameworks.values();
    let completed = snapshot.completed_frameworks.iter();
    let completed = completed.map(|(_, framework)| framework);
    let is_wanted =
        |framework: &&Arc<Framework>| wanted.is_none_or(|id| id == framework.id.as_str());
    let present: Vec<_> = present.filter(is_wanted).collect();
    let completed: Vec<_> = completed.filter(is_wanted).collect();
    for (key, list) in [
        ("\"frameworks\":", present),
        ("\"completed_frameworks\":", completed),
    ] {
        parts.text().key(key);
        parts.text().open_list();
        let shares = by_threads(list.len(), |at| Shares::of(snapshot, list[at]));
        for (one, shares) in list.into_iter().zip(&shares) {
            parts.text().item();
            framework(parts, snapshot, one, shares);
        }
        parts.text().close_list();
    }
}

fn offer(w: &mut Writer, offer: &Offer) {
    w.open();
    text(w, "\"id\":", offer.id.as_str());
    text(w, "\"framework_id\":", offer.framework_id.as_str());
    w.key("\"allocation_info\":");
    w.open();
    text(w, "\"role\":", offer.role.as_str());
    w.close();
    text(w, "\"slave_id\":", offer.agent_id.as_str());
    summary(w, "\"resources\":", &offer.resources);
    w.close();
}

fn executor(w: &mut Writer, executor: &Executor, agent_id: &AgentId) {
    let info = &*executor.info;
    let framework_id = info.framework_id.as_ref();
    w.open();
    text(w, "\"executor_id\":", &info.executor_id.value);
    text(w, "\"name\":", info.name());
    let framework_id = framework_id.map_or("", |id| &id.value);
    text(w, "\"framework_id\":", framework_id);
    if let Some(of) = &info.command {
        w.key("\"command\":");
        command(w, of);
    }
    summary(w, "\"resources\":", &executor.resources);
    let role = executor.resources.iter().next();
    let role = role.and_then(|resource| resource.allocated_role());
    text(w, "\"role\":", role.map_or("*", |role| role.as_str()));
    labels(w, info.labels.as_ref());
    if info.r#type.is_some() {
        text(w, "\"type\":", info.r#type().as_str_name());
    }
    text(w, "\"slave_id\":", agent_id.as_str());
    w.close();
}

fn command(w: &mut Writer, command: &v1::CommandInfo) {
    w.open();
    truth(w, "\"shell\":", command.shell());
    optional(w, "\"value\":", command.value.as_deref());
    texts(w, "\"argv\":", command.arguments.iter().map(String::as_str));
    message(w, "\"environment\":", command.environment.as_ref());
    messages(w, "\"uris\":", &command.uris);
    w.close();
}

/// `/frameworks`.
pub(super) async fn answer(shared: Shared, request: Request) -> Result<Reply, Refusal> {
    let wanted = request.query.get("framework_id").map(str::to_owned);
    let parameters = wanted.clone().unwrap_or_default();
    let reply = Reply::of_state(
        &shared,
        &request,
        "/frameworks",
        parameters,
        move |parts, snapshot, _| {
            parts.text().open();
            lists(parts, snapshot, wanted.as_deref());
            parts.text().key("\"unregistered_frameworks\":");
            parts.text().raw("[]");
            parts.text().close();
        },
    );
    Ok(reply.await?)
}
