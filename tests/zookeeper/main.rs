//! Against a real ZooKeeper, of one and of three servers on loopback ports: the session and the traps of
//! its client library, the election, the registry, and whole clusters with several masters.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod election;
mod failover;
mod mishaps;
mod names;
mod operators;
mod outlives;
mod promises;
mod proxy;
mod registry;
mod session;
mod timeouts;

use std::time::{Duration, Instant};

use mesosd::election::ZooKeeperUrl;
use mesosd::election::session::{Ensemble as Access, Session};

/// How to reach a path of an ensemble, with a session timeout in milliseconds.
fn access(url: &str, timeout: u64) -> Access {
    let url: ZooKeeperUrl = url.parse().unwrap();
    Access::new(url, Duration::from_millis(timeout))
}

async fn open(url: &str, timeout: u64) -> Session {
    Session::open(&access(url, timeout)).await.unwrap()
}

/// Polls until `done`; fails after `limit`. How long it took.
async fn until(what: &str, limit: Duration, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !done().await {
        assert!(begin.elapsed() < limit, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begin.elapsed()
}
