//! All that a daemon serves, as one router.

use std::future::Future;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, HeaderValue};
use tonic::Status;

use super::shared::Shared;
use super::{page, unversioned, v1};
use crate::api::Switch;
use crate::api::error::ApiError;
use crate::api::grpc;
use crate::api::libprocess;
use crate::api::server::is_grpc;
use crate::api::service::agent::{AgentCalls, Statistics};
use crate::api::service::agent_metrics;
use crate::api::service::daemon::Daemon;
use crate::api::service::executor::ExecutorCalls;
use crate::api::service::operator::OperatorCalls;
use crate::api::service::scheduler::SchedulerCalls;
use crate::containerizer::guests::Guests;
use crate::telemetry::{Metrics, Sample, prometheus};
use crate::{agent, master};

/// Everything that a master serves.
pub async fn master_routes(handle: master::Handle, daemon: Daemon) -> Router {
    let schedulers = SchedulerCalls::new(handle.clone());
    let operators = OperatorCalls::new(handle.clone(), daemon.clone());
    let (drivers, master) = (schedulers.clone(), handle.clone());
    let rpc = grpc::master(handle, schedulers.clone(), operators.clone()).await;
    let shared = Shared::new(operators.clone());
    let rpc = rpc.merge(v1::master(schedulers, &shared));
    let rpc = rpc.merge(unversioned::master(&shared));
    let samples = {
        let operators = operators.clone();
        move || {
            let operators = operators.clone();
            async move { operators.samples().await }
        }
    };
    let status = move || {
        let operators = operators.clone();
        async move {
            Ok(page::master(
                &operators.snapshot().await?,
                operators.daemon(),
            ))
        }
    };
    let measured = daemon.metrics.clone();
    let routes = finish(rpc, daemon, status, samples);
    libprocess::beside_master(routes, drivers, master, &measured).await
}

/// What a master answers while another one leads; everything else is sent on.
pub fn standby_routes(switch: &Switch, daemon: Daemon) -> Router {
    let refuse = {
        let switch = switch.clone();
        move |request: Request| async move {
            let path = request.uri().path();
            // Nobody can tell a message of a driver from a call to another master by its path.
            if is_grpc(&request) || is_message(path) || unversioned::of_leader(path) {
                switch.refuse(&request)
            } else {
                unversioned::not_found()
            }
        }
    };
    let status = {
        let (switch, daemon) = (switch.clone(), daemon.clone());
        move || {
            let page = page::standby(switch.leader(), &daemon);
            async move { Ok(page) }
        }
    };
    let samples = || async { Ok(vec![not_elected()]) };
    finish(unversioned::standby(&daemon), daemon, status, samples).fallback(refuse)
}

/// A message of a v0 driver to the master's process.
fn is_message(path: &str) -> bool {
    path.starts_with("/master/mesos.")
}

/// Everything that an agent serves.
pub async fn agent_routes(
    handle: agent::Handle,
    daemon: Daemon,
    statistics: Statistics,
    guests: Option<Guests>,
) -> Router {
    let executors = ExecutorCalls::new(handle.clone());
    let operators = AgentCalls::new(handle.clone(), daemon.clone(), statistics, guests);
    let drivers = executors.clone();
    let rpc = grpc::agent(executors.clone(), operators.clone()).await;
    let rpc = rpc.merge(v1::agent(executors, operators.clone()));
    let rpc = rpc.merge(unversioned::agent(&operators));
    let samples = {
        let operators = operators.clone();
        move || {
            let operators = operators.clone();
            async move {
                Ok(agent_metrics::samples(
                    operators.snapshot().await?.metrics(),
                ))
            }
        }
    };
    let status = move || {
        let operators = operators.clone();
        async move {
            Ok(page::agent(
                &operators.snapshot().await?,
                operators.daemon(),
            ))
        }
    };
    let measured = daemon.metrics.clone();
    let routes = finish(rpc, daemon, status, samples);
    libprocess::beside_agent(routes, drivers, handle, &measured).await
}

/// What a standby says in place of the master's own gauge.
fn not_elected() -> Sample {
    Sample {
        name: "master/elected".to_owned(),
        help: "1 while this master leads.".to_owned(),
        counts: false,
        labels: Vec::new(),
        value: 0.0,
    }
}

/// Adds the status page, what Prometheus reads, and the answer to all that is not there.
fn finish<P, M>(
    rpc: Router,
    daemon: Daemon,
    status: impl Fn() -> P + Clone + Send + Sync + 'static,
    samples: impl Fn() -> M + Clone + Send + Sync + 'static,
) -> Router
where
    M: Future<Output = Result<Vec<Sample>, ApiError>> + Send + 'static,
    P: Future<Output = Result<String, ApiError>> + Send + 'static,
{
    let process = daemon.metrics;
    rpc.route("/", get(move || page_of(status())))
        .route("/metrics", get(move || measured(process, samples())))
        .fallback(unknown)
}

async fn page_of(status: impl Future<Output = Result<String, ApiError>>) -> Response {
    match status.await {
        Ok(text) => Html(text).into_response(),
        Err(error) => error.into_http(),
    }
}

/// What Prometheus reads: the process's metrics, then those of the daemon's loop.
async fn measured(
    process: Metrics,
    samples: impl Future<Output = Result<Vec<Sample>, ApiError>>,
) -> Response {
    let samples = match samples.await {
        Ok(samples) => samples,
        Err(error) => return error.into_http(),
    };
    let mut text = process.prometheus();
    text.push_str(&prometheus(samples));
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn unknown(request: Request) -> http::Response<Body> {
    let path = request.uri().path().to_owned();
    if is_grpc(&request) {
        let message = format!("'{path}' is no method of this daemon");
        return Status::from(ApiError::Unimplemented(message)).into_http();
    }
    unversioned::not_found()
}
