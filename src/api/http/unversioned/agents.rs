//! Agents as the unversioned endpoints show them, and `/slaves`.

use std::sync::Arc;

use super::pieces::{attributes, message, text, texts, time, truth};
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::resources::{full, reserved, reserved_full, summary};
use crate::api::http::shared::Shared;
use crate::master::Snapshot;
use crate::master::agent::{Agent, CAPABILITIES};
use crate::proto::json::writer::Writer;
use crate::proto::v1;
use crate::resources::Resources;

/// What is held and what is offered of one agent, and what an operator wants with it.
pub(super) struct Shares {
    used: Resources,
    offered: Resources,
    /// An operator keeps it from being offered.
    deactivated: bool,
    drain: Option<v1::DrainInfo>,
}

impl Shares {
    /// Sums them up.
    pub(super) fn of(snapshot: &Snapshot, agent: &Agent) -> Self {
        let standing = snapshot.standing(&agent.id);
        Self {
            deactivated: standing.deactivated,
            drain: standing.drain.map(|drain| drain.to_proto()),
            used: snapshot.agent_allocated(agent),
            offered: snapshot.agent_offered(agent),
        }
    }
}

/// The members of one agent in `/state` and `/state-summary`.
pub(super) fn members(w: &mut Writer, agent: &Agent, shares: &Shares) {
    described(w, &agent.info);
    text(w, "\"pid\":", &agent.pid());
    time(w, "\"registered_time\":", agent.registered);
    if let Some(at) = agent.reregistered {
        time(w, "\"reregistered_time\":", at);
    }
    summary(w, "\"resources\":", &agent.total);
    summary(w, "\"used_resources\":", &shares.used);
    summary(w, "\"offered_resources\":", &shares.offered);
    reserved(w, &agent.total);
    summary(w, "\"unreserved_resources\":", &agent.total.unreserved());
    truth(w, "\"active\":", agent.is_active() && !shares.deactivated);
    truth(w, "\"deactivated\":", shares.deactivated);
    text(w, "\"version\":", &agent.version);
    let capabilities = CAPABILITIES.iter().map(|one| one.as_str_name());
    texts(w, "\"capabilities\":", capabilities);
    message(w, "\"drain_info\":", shares.drain.as_ref());
    if let Some(at) = agent.drain_started {
        time(w, "\"estimated_drain_start_time_seconds\":", at);
    }
}

/// One agent of `/state`.
pub(super) fn agent(w: &mut Writer, snapshot: &Snapshot, agent: &Agent) {
    w.open();
    members(w, agent, &Shares::of(snapshot, agent));
    w.close();
}

/// One agent of `/slaves`: with Resource objects.
fn detailed(w: &mut Writer, snapshot: &Snapshot, agent: &Agent) {
    let shares = Shares::of(snapshot, agent);
    w.open();
    members(w, agent, &shares);
    reserved_full(w, &agent.total);
    full(
        w,
        "\"unreserved_resources_full\":",
        &agent.total.unreserved(),
    );
    full(w, "\"used_resources_full\":", &shares.used);
    full(w, "\"offered_resources_full\":", &shares.offered);
    w.close();
}

/// What an agent says about itself.
fn described(w: &mut Writer, info: &v1::AgentInfo) {
    let id = info.id.as_ref().map_or("", |id| id.value.as_str());
    text(w, "\"id\":", id);
    text(w, "\"hostname\":", &info.hostname);
    w.key("\"port\":");
    w.int32(info.port());
    attributes(w, &info.attributes);
    message(w, "\"domain\":", info.domain.as_ref());
}

/// An agent of the registry that has not come back.
pub(super) fn recovered(w: &mut Writer, info: &v1::AgentInfo) {
    w.open();
    described(w, info);
    w.close();
}

/// `/slaves`.
pub(super) async fn answer(shared: Shared, request: Request) -> Result<Reply, Refusal> {
    let wanted = request.query.get("slave_id").map(str::to_owned);
    let parameters = wanted.clone().unwrap_or_default();
    let reply = Reply::of_state(
        &shared,
        &request,
        "/slaves",
        parameters,
        move |parts, snapshot, _| {
            let is_wanted = |id: &str| wanted.as_deref().is_none_or(|wanted| wanted == id);
            let agents = snapshot.agents.values().map(Arc::as_ref);
            let agents = agents.filter(|agent| is_wanted(agent.id.as_str()));
            let lost = snapshot.recovered_agents.iter();
            let lost = lost.filter(|(id, _)| is_wanted(id.as_str()));
            parts.text().open();
            parts.text().key("\"slaves\":");
            parts.list(agents.collect(), |w, agent| detailed(w, snapshot, agent));
            parts.text().key("\"recovered_slaves\":");
            parts.list(lost.map(|(_, info)| info.as_ref()).collect(), recovered);
            parts.text().close();
        },
    );
    Ok(reply.await?)
}
