//! The unversioned endpoints of an agent.

use axum::Router;

use super::master::with;
use super::routes::{ANY, Asked, GET, Routes};
use super::{agent_containers, agent_state, daemon, files};
use crate::api::service::agent::AgentCalls;

/// All of them.
pub(in crate::api::http) fn agent(calls: &AgentCalls) -> Router {
    let metrics = {
        let calls = calls.clone();
        move || {
            let calls = calls.clone();
            async move { Ok(calls.snapshot().await?.metrics()) }
        }
    };
    let routes = daemon::add(Routes::new("slave(1)"), calls.daemon(), metrics);
    let state = with(calls, agent_state::answer);
    let containers = with(calls, agent_containers::containers);
    let statistics = with(calls, agent_containers::statistics);
    let routes = routes
        .add("/state", ANY, &Asked::Here, state)
        .add("/containers", GET, &Asked::Here, containers)
        .add("/monitor/statistics", GET, &Asked::Here, statistics);
    files::add(routes, calls.files()).into_router()
}
