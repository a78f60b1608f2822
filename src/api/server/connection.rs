//! One connection: HTTP/1.1 or HTTP/2 by what the peer speaks, and how long it may take.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tonic::Status;
use tower::ServiceExt;

use super::limits::Limits;
use super::stall::StallGuard;
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
    let service = service_fn(move |mut request: Request<Incoming>| {
        begun.notify_one();
        request.extensions_mut().insert(Peer(peer));
        answer(router.clone(), request, Arc::clone(&answer_limits))
    });
    let builder = builder(&limits);
    let io = TokioIo::new(StallGuard::new(socket, limits.stall));
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
        .header_read_timeout(limits.next_request)
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
async fn answer(
    router: Router,
    request: Request<Incoming>,
    limits: Arc<Limits>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let grpc = is_grpc(&request);
    match timeout(limits.answer, router.oneshot(request)).await {
        Ok(response) => response,
        Err(_) => {
            let late = format!(
                "no answer within {:?}: the request came too slowly",
                limits.answer
            );
            let error = ApiError::TimedOut(late);
            Ok(if grpc {
                Status::from(error).into_http()
            } else {
                error.into_http()
            })
        }
    }
}

/// The request is a gRPC call, so that errors must look like gRPC's.
pub(in crate::api) fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
