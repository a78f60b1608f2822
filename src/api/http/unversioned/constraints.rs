//! `/offer_constraints_debug`: which agents frameworks are not offered because of their own offer
//! constraints.

use super::pieces::texts;
use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use crate::api::http::shared::Shared;
use crate::attributes::{Attributes, Place};
use crate::master::Snapshot;
use crate::master::agent::Agent;
use crate::master::framework::Framework;
use crate::proto::json::writer::Writer;

/// The name of the libprocess process that has the endpoint in Mesos.
pub(super) const PROCESS: &str = "hierarchical-allocator(1)";

/// Its path.
pub(super) const PATH: &str = "/offer_constraints_debug";

/// The agents, each with its attributes.
fn agents(snapshot: &Snapshot) -> Vec<(&Agent, Attributes)> {
    let agents = snapshot.agents.values().map(|agent| &**agent);
    let read = |agent: &Agent| Attributes::from_proto(&agent.info.attributes).unwrap_or_default();
    agents.map(|agent| (agent, read(agent))).collect()
}

/// Roles without constraints exclude nothing.
fn framework(w: &mut Writer, framework: &Framework, agents: &[(&Agent, Attributes)]) {
    w.name(framework.id.as_str());
    w.open();
    w.key("\"roles\":");
    w.open();
    for role in &framework.roles {
        let constraints = framework.constraints.of(role);
        let excluded = agents.iter().filter(|(agent, attributes)| {
            let domain = agent.info.domain.as_ref();
            let fault = domain.and_then(|domain| domain.fault_domain.as_ref());
            let place = Place {
                attributes,
                hostname: &agent.info.hostname,
                region: fault.map(|fault| fault.region.name.as_str()),
                zone: fault.map(|fault| fault.zone.name.as_str()),
            };
            constraints.is_some_and(|constraints| !constraints.admit(&place))
        });
        let excluded = excluded.map(|(agent, _)| agent.id.as_str());
        w.name(role.as_str());
        w.open();
        texts(w, "\"excluded_by_attribute_constraints\":", excluded);
        w.close();
    }
    w.close();
    w.close();
}

/// Frameworks, roles, agents.
pub(super) async fn answer(shared: Shared, request: Request) -> Result<Reply, Refusal> {
    let parameters = String::new();
    let reply = Reply::of_state(
        &shared,
        &request,
        PATH,
        parameters,
        move |parts, snapshot, _| {
            let w = parts.text();
            w.open();
            w.key("\"frameworks\":");
            w.open();
            let agents = agents(snapshot);
            for one in snapshot.frameworks.values() {
                framework(w, one, &agents);
            }
            w.close();
            w.close();
        },
    );
    Ok(reply.await?)
}
