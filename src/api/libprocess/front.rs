//! Messages of libprocess among a daemon's other requests.

use std::future::Future;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use http::StatusCode;

use super::incoming::{self, Incoming};
use crate::api::server::Peer;
use crate::telemetry::{Counter, Metrics};

/// The variable of libprocess that makes it believe only senders that write from the address they claim.
const PEER_MATCH: &str = "LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH";

/// A process that takes messages.
pub(super) trait Process: Clone + Send + Sync + 'static {
    /// Its id: `master`, `slave(1)`.
    const ID: &'static str;

    /// Takes one message; false when it cannot be used, which the sender does not hear of.
    fn receive(&self, message: Incoming) -> impl Future<Output = bool> + Send;
}

/// Counts messages. Metrics: `libprocess/messages_received`, `libprocess/messages_dropped`.
#[derive(Clone, Debug)]
struct Counters {
    received: Counter,
    dropped: Counter,
}

/// Serves a process beside `router`, which keeps all other requests.
pub(super) fn beside<P: Process>(router: Router, process: P, metrics: &Metrics) -> Router {
    let counters = Counters {
        received: metrics.counter(
            "libprocess/messages_received",
            "messages of v0 drivers that arrived",
        ),
        dropped: metrics.counter(
            "libprocess/messages_dropped",
            "messages of v0 drivers that could not be used",
        ),
    };
    let matching = std::env::var(PEER_MATCH).is_ok_and(|value| value == "1" || value == "true");
    router.layer(from_fn(move |request: Request, next: Next| {
        let (process, counters) = (process.clone(), counters.clone());
        async move {
            if !incoming::is_message(request.method(), request.headers()) {
                return next.run(request).await;
            }
            counters.received.increment();
            let peer = request.extensions().get::<Peer>().copied();
            match take(&process, request, peer.filter(|_| matching)).await {
                Ok(true) => StatusCode::ACCEPTED.into_response(),
                Ok(false) => {
                    counters.dropped.increment();
                    StatusCode::ACCEPTED.into_response()
                }
                Err(refused) => {
                    counters.dropped.increment();
                    refused.into_response()
                }
            }
        }
    }))
}

/// Hands one message over; once it was, Mesos answers 202 whatever becomes of it.
async fn take<P: Process>(
    process: &P,
    request: Request,
    peer: Option<Peer>,
) -> Result<bool, incoming::Refused> {
    let message = incoming::read(request).await?;
    check(P::ID, &message, peer)?;
    Ok(process.receive(message).await)
}

fn check(me: &str, message: &Incoming, peer: Option<Peer>) -> Result<(), incoming::Refused> {
    let Incoming { to, from, .. } = message;
    if to != me {
        return Err((
            StatusCode::NOT_FOUND,
            format!("no process '{to}' is here\n"),
        ));
    }
    match peer {
        Some(Peer(peer)) if peer.ip() != from.address.ip() => {
            let ip = peer.ip();
            Err((
                StatusCode::FORBIDDEN,
                format!("a message of '{from}' came from {ip} ({PEER_MATCH})\n"),
            ))
        }
        _ => Ok(()),
    }
}
