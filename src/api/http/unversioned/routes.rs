//! Where endpoints are: each at its path and all below it, under the name of its libprocess process,
//! with the `.json` names of old; and what is checked before one is asked.

use std::future::Future;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::Method;

use super::refusal::Refusal;
use super::reply::Reply;
use super::request::Request;
use crate::api::error::ApiError;
use crate::api::service::leadership::Leadership;

/// Methods that an endpoint serves; none means all.
pub(in crate::api::http) type Methods = &'static [Method];

/// Any method: many of Mesos' endpoints do not look at it.
pub(in crate::api::http) const ANY: Methods = &[];
/// For writes.
pub(in crate::api::http) const POST: Methods = &[Method::POST];
/// For `/weights`.
pub(in crate::api::http) const GET_PUT: Methods = &[Method::GET, Method::PUT];
/// For `/quota`.
pub(in crate::api::http) const GET_POST_DELETE: Methods =
    &[Method::GET, Method::POST, Method::DELETE];
/// For `/maintenance/schedule`.
pub(in crate::api::http) const GET_POST: Methods = &[Method::GET, Method::POST];
/// For reads that look at the method.
pub(in crate::api::http) const GET: Methods = &[Method::GET];

/// Who answers.
#[derive(Clone, Debug)]
pub(in crate::api::http) enum Asked {
    /// This daemon.
    Here,
    /// The leading master; others send the client on.
    Leader(Leadership),
}

/// The endpoints of one daemon.
#[derive(Debug)]
pub(in crate::api::http) struct Routes {
    router: Router,
    /// Name of the libprocess process that has the daemon's endpoints in Mesos.
    process: &'static str,
}

impl Routes {
    /// No endpoint yet; `process` is `master` or `slave(1)`.
    pub(in crate::api::http) fn new(process: &'static str) -> Self {
        Self {
            router: Router::new(),
            process,
        }
    }

    /// The process's name.
    pub(super) fn process(&self) -> &'static str {
        self.process
    }

    /// Serves `/name`, `/name.json`, `/<process>/name` and all below them.
    pub(in crate::api::http) fn add<F, A>(
        self,
        path: &'static str,
        methods: Methods,
        asked: &Asked,
        answer: F,
    ) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Reply, Refusal>> + Send + 'static,
    {
        let own = format!("/{}{path}", self.process);
        let routes = self.at(path.to_owned(), path, methods, asked, answer.clone());
        routes.at(own, path, methods, asked, answer)
    }

    /// Serves `/name` and all below it: for endpoints of other processes (`/metrics/snapshot`, ...).
    pub(in crate::api::http) fn add_here<F, A>(
        self,
        path: &'static str,
        methods: Methods,
        answer: F,
    ) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Reply, Refusal>> + Send + 'static,
    {
        self.at(path.to_owned(), path, methods, &Asked::Here, answer)
    }

    /// Serves `full` and all below it; `path` is its name in `/help` and in refusals.
    pub(super) fn at<F, A>(
        mut self,
        full: String,
        path: &'static str,
        methods: Methods,
        asked: &Asked,
        answer: F,
    ) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Reply, Refusal>> + Send + 'static,
    {
        let mut names = vec![full.clone()];
        if !full.ends_with(".json") {
            names.push(format!("{full}.json"));
        }
        for name in names {
            let (length, answer, asked) = (name.len(), answer.clone(), asked.clone());
            let process = self.process;
            let handler = any(move |request: axum::extract::Request| {
                let (answer, asked) = (answer.clone(), asked.clone());
                async move {
                    if let Err(refusal) = check(&request, &asked, methods, process, path) {
                        return refusal.into_response();
                    }
                    serve(request, length, answer).await
                }
            });
            for suffix in ["", "/", "/{*rest}"] {
                let route = format!("{name}{suffix}");
                self.router = self.router.route(&route, handler.clone());
            }
        }
        self
    }

    /// All of them.
    pub(in crate::api::http) fn into_router(self) -> Router {
        self.router
    }
}

/// The checks that come before an endpoint: the leader's address first, then the method.
fn check(
    request: &axum::extract::Request,
    asked: &Asked,
    methods: Methods,
    process: &str,
    path: &str,
) -> Result<(), Refusal> {
    if let Asked::Leader(leadership) = asked {
        match leadership.check() {
            Ok(()) => {}
            Err(ApiError::NotLeading {
                leader: Some(leader),
            }) => {
                let query = request.uri().query();
                let query = query.map_or_else(String::new, |query| format!("?{query}"));
                let location = format!("//{leader}/{process}{path}{query}");
                return Err(Refusal::Elsewhere(location));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let received = request.method();
    // Mesos names GET only where it takes HEAD as well.
    let read = if received == Method::HEAD {
        &Method::GET
    } else {
        received
    };
    if methods.is_empty() || methods.contains(read) {
        return Ok(());
    }
    Err(Refusal::Method {
        allowed: methods,
        received: received.clone(),
    })
}

async fn serve<F, A>(request: axum::extract::Request, base: usize, answer: F) -> Response
where
    F: Fn(Request) -> A,
    A: Future<Output = Result<Reply, Refusal>>,
{
    let request = match Request::read(request, base).await {
        Ok(request) => request,
        Err(refusal) => return refusal.into_response(),
    };
    let headers = request.headers.clone();
    let callback = match request.callback() {
        Ok(callback) => callback,
        Err(error) => return Refusal::from(error).into_response(),
    };
    match answer(request).await {
        Ok(reply) => reply.respond(&headers, callback).await,
        Err(refusal) => refusal.into_response(),
    }
}
