//! One connection: HTTP/1.1 or HTTP/2 by what the peer speaks, and how long it may take.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tonic::Status;
use tower::ServiceExt;

use super::guard::Guarded;
use super::head::{Answer, HeadLimit, Requests};
use super::limits::Limits;
use super::stall::StallLimit;
use crate::api::error::ApiError;

/// Who is at the other end; in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves a connection until it ends, breaks a limit, or `draining` turns true and the requests in
/// progress are done.
pub(super) async fn converse(
    socket: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Arc<Limits>,
    mut draining: watch::Receiver<bool>,
) {
    let first = Arc::new(Notify::new());
    let begun = Arc::clone(&first);
    let answer_limits = Arc::clone(&limits);
    let requests = Requests::default();
    let heads = HeadLimit::new(limits.head, requests.clone());
    let guarded = Guarded::new(socket, heads, StallLimit::new(limits.stall));
    let service = service_fn(move |mut request: Request<Incoming>| {
        begun.notify_one();
        let open = requests.begin(request.version());
        request.extensions_mut().insert(Peer(peer));
        let answered = answer(router.clone(), request, &answer_limits);
        async move {
            answered
                .await
                .map(|reply| reply.map(|body| Answer::body(body, open)))
        }
    });
    let builder = builder(&limits);
    let io = TokioIo::new(guarded);
    let mut connection = pin!(builder.serve_connection(io, service));

    let mut begins = pin!(timeout(limits.first_request, first.notified()));
    let mut waiting = true;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, error, "connection ended");
                }
                return;
            }
            arrived = begins.as_mut(), if waiting => {
                if arrived.is_err() {
                    tracing::debug!(%peer, "connection closed: it sent no request in time");
                    return;
                }
                waiting = false;
            }
            _ = draining.wait_for(|draining| *draining) => {
                connection.as_mut().graceful_shutdown();
                break;
            }
        }
    }
    if timeout(limits.drain, connection).await.is_err() {
        tracing::debug!(%peer, "connection cut: its requests did not end in time");
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It would count idle time too; `HeadGuard` does not.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes as usize)
        // As Mesos writes them: there are clients that compare exactly.
        .title_case_headers(true)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(limits.keepalive_answer)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024);
    builder
}

/// The router's answer, or an error when its head takes too long.
///
/// What changes something is begun at once and done also for a peer that has gone: libprocess closes the
/// connection of a single message as soon as it is written.
fn answer(
    router: Router,
    request: Request<Incoming>,
    limits: &Limits,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
    let grpc = is_grpc(&request);
    let goes_on = request.version() < Version::HTTP_2 && !request.method().is_safe();
    let limit = limits.answer;
    let answered = async move {
        let late = match timeout(limit, router.oneshot(request)).await {
            Ok(response) => return response,
            Err(_) => format!("no answer within {limit:?}: the request came too slowly"),
        };
        let error = ApiError::TimedOut(late);
        Ok(if grpc {
            Status::from(error).into_http()
        } else {
            error.into_http()
        })
    };
    if goes_on {
        let task = tokio::spawn(answered);
        Either::Left(task.map(|ended| {
            ended.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
        }))
    } else {
        Either::Right(answered)
    }
}

/// The request is a gRPC call, so that errors must look like gRPC's.
pub(in crate::api) fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
