//! The unversioned endpoints of an agent.

use axum::Router;

use super::daemon;
use super::routes::Routes;
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
    daemon::add(Routes::new("slave(1)"), calls.daemon(), metrics).into_router()
}
