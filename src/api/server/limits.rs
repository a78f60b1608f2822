//! What a connection may cost.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

/// Bounds of a listener. What exceeds one of them is refused or closed, and the rest goes on.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; one more is closed at once.
    pub connections: usize,
    /// Requests in progress on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of the headers of one request.
    pub header_bytes: u32,
    /// From accepting a connection to its first complete request head.
    pub first_request: Duration,
    /// From the first byte of a head to its end on an HTTP/1.1 connection. Between requests it may be idle
    /// for as long as the peer lives: Mesos' clients keep one connection for all calls, some for days, fail
    /// the call that finds it closed, and take its end for the end of the master. `connections` and the
    /// kernel's probes bound what this can cost.
    pub head: Duration,
    /// From a complete head to the head of the answer; bounds bodies that trickle in.
    pub answer: Duration,
    /// Without the peer taking a byte that waits to be sent.
    pub stall: Duration,
    /// Silence on an HTTP/2 connection before the peer is pinged.
    pub keepalive: Duration,
    /// From a ping to its answer.
    pub keepalive_answer: Duration,
    /// From the wish to end to the end of requests in progress.
    pub drain: Duration,
}

impl Limits {
    /// The default, with connections bounded by the descriptors that this process may have open: a quarter
    /// of those stays for its own files, whatever strangers do.
    #[must_use]
    pub fn of_process() -> Self {
        let limits = Self::default();
        // Every system that this runs on has this limit.
        let open = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        let most = usize::try_from(open / 4 * 3).unwrap_or(usize::MAX);
        Self {
            connections: limits.connections.min(most).max(1),
            ..limits
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Agents have one connection each; the number fits Mesos' largest published clusters.
            connections: 60_000,
            streams: 1_000,
            header_bytes: 32 * 1024,
            first_request: Duration::from_secs(30),
            head: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            keepalive: Duration::from_secs(20),
            keepalive_answer: Duration::from_secs(20),
            drain: Duration::from_secs(5),
        }
    }
}
