//! The unversioned endpoints of a master.

use std::collections::BTreeMap;
use std::future::Future;

use axum::Router;

use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use super::routes::{ANY, Asked, GET, GET_POST, GET_POST_DELETE, GET_PUT, POST, Routes};
use super::{
    agents, cluster, constraints, daemon, files, frameworks, operations, roles, state, summary,
    tasks,
};
use crate::api::http::shared::Shared;
use crate::api::service::daemon::Daemon;
use crate::api::service::files::FileCalls;

/// All of them. What reads and writes the cluster is the leader's.
pub(in crate::api::http) fn master(shared: &Shared) -> Router {
    let calls = shared.calls();
    let leader = Asked::Leader(calls.leadership().clone());
    let metrics = {
        let calls = calls.clone();
        move || {
            let calls = calls.clone();
            async move { calls.metrics().await }
        }
    };
    let routes = daemon::add(Routes::new("master"), calls.daemon(), metrics);
    let routes = of_the_allocator(routes, shared, &leader);
    files::add(routes, calls.files())
        .add("/state", ANY, &leader, with(shared, state::answer))
        .add(
            "/state-summary",
            ANY,
            &leader,
            with(shared, summary::answer),
        )
        .add("/slaves", ANY, &leader, with(shared, agents::answer))
        .add(
            "/frameworks",
            ANY,
            &leader,
            with(shared, frameworks::answer),
        )
        .add("/tasks", ANY, &leader, with(shared, tasks::answer))
        .add("/roles", ANY, &leader, with(shared, roles::answer))
        .add("/weights", GET_PUT, &leader, with(calls, cluster::weights))
        .add(
            "/quota",
            GET_POST_DELETE,
            &leader,
            with(calls, cluster::quota),
        )
        .add(
            "/maintenance/schedule",
            GET_POST,
            &leader,
            with(calls, cluster::schedule),
        )
        .add(
            "/maintenance/status",
            GET,
            &leader,
            with(calls, cluster::status),
        )
        .add("/reserve", POST, &leader, with(calls, operations::reserve))
        .add(
            "/unreserve",
            POST,
            &leader,
            with(calls, operations::unreserve),
        )
        .add(
            "/create-volumes",
            POST,
            &leader,
            with(calls, operations::create_volumes),
        )
        .add(
            "/destroy-volumes",
            POST,
            &leader,
            with(calls, operations::destroy_volumes),
        )
        .add(
            "/machine/down",
            POST,
            &leader,
            with(calls, cluster::machine_down),
        )
        .add(
            "/machine/up",
            POST,
            &leader,
            with(calls, cluster::machine_up),
        )
        .add("/teardown", POST, &leader, with(calls, cluster::teardown))
        .add(
            "/redirect",
            ANY,
            &Asked::Here,
            with(calls, cluster::redirect),
        )
        .into_router()
}

/// What Mesos' allocator answers itself, under the name of its process, too.
fn of_the_allocator(routes: Routes, shared: &Shared, leader: &Asked) -> Routes {
    let answer = || with(shared, constraints::answer);
    let own = format!("/{}{}", constraints::PROCESS, constraints::PATH);
    routes.add(constraints::PATH, ANY, leader, answer()).at(
        own,
        constraints::PATH,
        ANY,
        leader,
        answer(),
    )
}

/// What a master answers while another one leads.
pub(in crate::api::http) fn standby(about: &Daemon) -> Router {
    let metrics = || async { Ok(BTreeMap::from([("master/elected".to_owned(), 0.0)])) };
    let routes = daemon::add(Routes::new("master"), about, metrics);
    files::add(routes, &FileCalls::of_master(about)).into_router()
}

/// An endpoint that calls the service layer.
pub(super) fn with<S, F, A>(
    calls: &S,
    answer: F,
) -> impl Fn(Request) -> A + Clone + Send + Sync + 'static + use<S, F, A>
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S, Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Reply, Refusal>> + Send + 'static,
{
    let calls = calls.clone();
    move |request| answer(calls.clone(), request)
}
