//! How long writes to a connection may wait for a peer that takes nothing.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Times the writes to one connection.
#[derive(Debug)]
pub(super) struct StallLimit {
    limit: Duration,
    /// Runs while a write waits for the peer.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl StallLimit {
    /// Lets each write wait at most `limit` for the peer to take its first byte.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            waiting: None,
        }
    }

    /// The outcome of a write: an error when it has waited for too long.
    pub(super) fn judge<R>(
        &mut self,
        outcome: Poll<io::Result<R>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        waiting.as_mut().poll(cx).map(|()| {
            let text = format!("the peer has read nothing for {limit:?}");
            Err(io::Error::new(ErrorKind::TimedOut, text))
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::api::server::guard::Guarded;
    use crate::api::server::head::{HeadLimit, Requests};

    #[tokio::test]
    async fn a_peer_that_reads_nothing_ends_the_write() {
        let (ours, mut theirs) = duplex(8);
        let limit = Duration::from_millis(20);
        let heads = HeadLimit::new(limit, Requests::default());
        let mut guarded = Guarded::new(ours, heads, StallLimit::new(limit));
        guarded.write_all(b"12345678").await.unwrap();
        let mut taken = [0; 8];
        theirs.read_exact(&mut taken).await.unwrap();
        guarded.write_all(b"12345678").await.unwrap();
        let error = guarded.write_all(b"9").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
