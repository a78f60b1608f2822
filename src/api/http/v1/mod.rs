//! Shell: Mesos' v1 HTTP API: JSON and protobuf over the service layer that gRPC has, with Mesos' order
//! of checks and its codes.
//!
//! | what | where |
//! | --- | --- |
//! | `POST /api/v1/scheduler` | [`scheduler`] |
//! | `POST /api/v1/executor` | [`executor`] |
//! | `POST /api/v1` of master and agent | [`operator`] |
//! | streams of attached containers | [`attach`] |
//! | reads of the whole cluster | [`large`], [`tasks`] |
//! | content types and what is accepted | [`media`] |
//! | bodies to messages | [`request`] |
//! | messages to bodies, streams of records | [`reply`] |
//! | what failed requests get | [`refusal`] |

mod attach;
mod executor;
mod large;
mod media;
mod operator;
mod refusal;
mod reply;
mod request;
mod scheduler;
mod tasks;

use std::future::Future;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
pub(super) use media::accepts_gzip;
use refusal::Refusal;

use crate::api::http::shared::Shared;
use crate::api::service::agent::AgentCalls;
use crate::api::service::executor::ExecutorCalls;
use crate::api::service::leadership::Leadership;
use crate::api::service::scheduler::SchedulerCalls;

/// The APIs of a master.
pub(super) fn master(schedulers: SchedulerCalls, shared: &Shared) -> Router {
    let (shared, operators) = (shared.clone(), shared.calls().clone());
    let leads = operators.leadership().clone();
    let scheduler = move |request| {
        let calls = schedulers.clone();
        async move { scheduler::answer(&calls, request).await }
    };
    let operator = move |request| {
        let shared = shared.clone();
        async move { operator::answer_master(&shared, request).await }
    };
    let routes = add(
        Router::new(),
        "master",
        "/api/v1/scheduler",
        &leads,
        scheduler,
    );
    add(routes, "master", "/api/v1", &leads, operator)
}

/// The APIs of an agent.
pub(super) fn agent(executors: ExecutorCalls, operators: AgentCalls) -> Router {
    let executor = move |request| {
        let calls = executors.clone();
        async move { executor::answer(&calls, request).await }
    };
    let operator = move |request| {
        let calls = operators.clone();
        async move { operator::answer_agent(&calls, request).await }
    };
    let leads = Leadership::always();
    let routes = add(
        Router::new(),
        "slave(1)",
        "/api/v1/executor",
        &leads,
        executor,
    );
    add(routes, "slave(1)", "/api/v1", &leads, operator)
}

/// Serves a path and all below it, as libprocess does, also under the name of the process: some clients
/// append the path twice or name the operator API `/api/v1/operator`.
fn add<F, A>(router: Router, process: &str, path: &str, leads: &Leadership, answer: F) -> Router
where
    F: Fn(Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response, Refusal>> + Send + 'static,
{
    // A redirect names the path with the process, as in Mesos.
    let base = format!("/{process}{path}");
    let leads = leads.clone();
    let handler = any(move |request: Request| {
        // Who does not lead looks at nothing else of a request.
        let answered = leads.check().map(|()| answer(request));
        async move {
            let answered = match answered {
                Ok(answered) => answered.await,
                Err(error) => Err(error.into()),
            };
            answered.unwrap_or_else(|refusal| refusal.at(&base).into_response())
        }
    });
    let mut router = router;
    for prefix in [String::new(), format!("/{process}")] {
        for suffix in ["", "/", "/{*rest}"] {
            router = router.route(&format!("{prefix}{path}{suffix}"), handler.clone());
        }
    }
    router
}
