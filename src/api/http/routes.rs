//! All that a daemon serves, as one router.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::{any, get};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use tonic::Status;

use super::{page, v1};
use crate::api::error::ApiError;
use crate::api::grpc;
use crate::api::server::is_grpc;
use crate::api::service::agent::{AgentCalls, Statistics};
use crate::api::service::daemon::Daemon;
use crate::api::service::executor::ExecutorCalls;
use crate::api::service::operator::OperatorCalls;
use crate::api::service::operator_metrics;
use crate::api::service::scheduler::SchedulerCalls;
use crate::{agent, master};

/// Everything that a master serves.
pub async fn master_routes(handle: master::Handle, daemon: Daemon) -> Router {
    let schedulers = SchedulerCalls::new(handle.clone());
    let operators = OperatorCalls::new(handle.clone(), daemon.clone());
    let rpc = grpc::master(handle, schedulers.clone(), operators.clone()).await;
    let rpc = rpc.merge(v1::master(schedulers, operators.clone()));
    let metrics = {
        let operators = operators.clone();
        move || {
            let operators = operators.clone();
            async move { Ok(operator_metrics(&operators.snapshot().await?)) }
        }
    };
    let leader = operators.clone();
    let redirect = any(move || async move { redirect(leader.snapshot().await) });
    let rpc = rpc
        .route("/redirect", redirect.clone())
        .route("/master/redirect", redirect);
    let status = move || {
        let operators = operators.clone();
        async move {
            Ok(page::master(
                &operators.snapshot().await?,
                operators.daemon(),
            ))
        }
    };
    finish("master", rpc, daemon, metrics, status)
}

/// Everything that an agent serves.
pub async fn agent_routes(handle: agent::Handle, daemon: Daemon, statistics: Statistics) -> Router {
    let executors = ExecutorCalls::new(handle.clone());
    let operators = AgentCalls::new(handle, daemon.clone(), statistics);
    let rpc = grpc::agent(executors.clone(), operators.clone()).await;
    let rpc = rpc.merge(v1::agent(executors, operators.clone()));
    let metrics = {
        let operators = operators.clone();
        move || {
            let operators = operators.clone();
            async move { Ok(operators.snapshot().await?.metrics()) }
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
    finish("slave(1)", rpc, daemon, metrics, status)
}

/// Adds the plain endpoints, some also below the `name` of the libprocess process that has them in
/// Mesos; `metrics` gives those of the core, `status` the page.
fn finish<M, P>(
    name: &str,
    rpc: Router,
    daemon: Daemon,
    metrics: impl Fn() -> M + Clone + Send + Sync + 'static,
    status: impl Fn() -> P + Clone + Send + Sync + 'static,
) -> Router
where
    M: Future<Output = Result<BTreeMap<String, f64>, ApiError>> + Send + 'static,
    P: Future<Output = Result<String, ApiError>> + Send + 'static,
{
    let version = Arc::new(version(&daemon));
    let process = daemon.metrics.clone();
    let flags = Arc::new(flags(&daemon));
    let mut routes = rpc;
    for prefix in [String::new(), format!("/{name}")] {
        let (version, flags) = (Arc::clone(&version), Arc::clone(&flags));
        routes = routes
            .route(&format!("{prefix}/health"), get(|| async {}))
            .route(
                &format!("{prefix}/version"),
                get(move || async move { Json(Arc::unwrap_or_clone(version)) }),
            )
            .route(
                &format!("{prefix}/flags"),
                get(move || async move { Json(Arc::unwrap_or_clone(flags)) }),
            );
    }
    routes
        .route("/", get(move || page_of(status())))
        .route(
            "/metrics/snapshot",
            get(move || snapshot_of(daemon, metrics())),
        )
        .route(
            "/metrics",
            get(move || async move { prometheus(process.prometheus()) }),
        )
        .fallback(unknown)
}

async fn page_of(status: impl Future<Output = Result<String, ApiError>>) -> Response {
    match status.await {
        Ok(text) => Html(text).into_response(),
        Err(error) => error.into_http(),
    }
}

async fn snapshot_of(
    daemon: Daemon,
    core: impl Future<Output = Result<BTreeMap<String, f64>, ApiError>>,
) -> Response {
    match core.await {
        Ok(core) => Json(daemon.all_metrics(core)).into_response(),
        Err(error) => error.into_http(),
    }
}

fn prometheus(text: String) -> Response {
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Sends on to the leading master, which is this one.
fn redirect(snapshot: Result<master::Snapshot, ApiError>) -> Response {
    let info = match snapshot {
        Ok(snapshot) => snapshot.master,
        Err(error) => return error.into_http(),
    };
    let address = info.address.as_ref();
    let host = address.and_then(|address| address.hostname.as_deref());
    let host = host.or(info.hostname.as_deref()).unwrap_or("127.0.0.1");
    let location = format!("//{host}:{}", info.port);
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response()
}

/// Mesos' `/flags`.
fn flags(daemon: &Daemon) -> BTreeMap<&'static str, BTreeMap<String, String>> {
    let flags = daemon.flags.iter();
    let named = flags.map(|flag| (flag.name.clone(), flag.value.clone().unwrap_or_default()));
    BTreeMap::from([("flags", named.collect())])
}

/// The keys of Mesos' `/version`.
fn version(daemon: &Daemon) -> BTreeMap<&'static str, String> {
    let info = daemon.version.clone();
    let mut keys = BTreeMap::from([("version", info.version)]);
    let more = [
        ("build_date", info.build_date),
        ("build_user", info.build_user),
        ("git_sha", info.git_sha),
        ("git_branch", info.git_branch),
        ("git_tag", info.git_tag),
    ];
    keys.extend(
        more.into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    keys
}

async fn unknown(request: Request) -> http::Response<Body> {
    let path = request.uri().path().to_owned();
    if is_grpc(&request) {
        let message = format!("'{path}' is no method of this daemon");
        return Status::from(ApiError::Unimplemented(message)).into_http();
    }
    ApiError::NotFound(format!("'{path}' does not exist")).into_http()
}
