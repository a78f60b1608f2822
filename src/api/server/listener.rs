//! Accepting connections.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::converse;
use super::limits::Limits;
use super::silence::end_when_silent;
use crate::telemetry::Metrics;

/// Pause after an error that is the host's and not the connection's: out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time between two lines about that: whoever opens too many connections must not fill the log.
const SILENCE: Duration = Duration::from_secs(30);

/// Serves `router` on `listener` until `stop` is done, then lets requests in progress end for
/// [`Limits::drain`]. Metrics: `http/connections`, `http/connections_refused`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    metrics: &Metrics,
    stop: impl Future<Output = ()>,
) {
    let open = metrics.gauge("http/connections", "open connections");
    let refused = metrics.counter(
        "http/connections_refused",
        "connections closed at once because as many as may be were open",
    );
    let limits = Arc::new(limits);
    let (draining, signal) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    let mut said: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => {
                open.set(crate::telemetry::as_f64(connections.len()));
                continue;
            }
            () = stop.as_mut() => break,
        };
        match accepted {
            Ok(_) if connections.len() >= limits.connections => refused.increment(),
            Ok((socket, peer)) => {
                // Only latency suffers when the option cannot be set.
                let _ = socket.set_nodelay(true);
                if let Err(error) = end_when_silent(&socket, limits.stall) {
                    tracing::debug!(%peer, %error, "a silent end would not be noticed");
                }
                let (router, limits) = (router.clone(), Arc::clone(&limits));
                connections.spawn(converse(socket, peer, router, limits, signal.clone()));
                open.set(crate::telemetry::as_f64(connections.len()));
            }
            Err(error) if is_of_connection(error.kind()) => {}
            Err(error) => {
                if said.is_none_or(|at| at.elapsed() > SILENCE) {
                    tracing::warn!(%error, "no connection could be accepted; trying on");
                    said = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    draining.send_replace(true);
    while connections.join_next().await.is_some() {}
}

/// The peer went away between connecting and being accepted.
fn is_of_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
