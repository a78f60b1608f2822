//! Requests on one HTTP/1.1 connection: it may be idle for as long as its peer lives, as clients of Mesos and
//! the links of v0 drivers are for days; but a request head that has begun must end in time.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use http::Version;
use hyper::body::{Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// The requests of a connection, as its service sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Requests so far.
    begun: AtomicUsize,
    /// Requests whose answers are not sent yet, and one that never ends for HTTP/2: it has heads of its own.
    open: AtomicUsize,
}

/// A request in progress; dropped with the last of its answer.
#[derive(Debug)]
pub(super) struct Open(Arc<Counts>);

impl Requests {
    /// The head of a request is complete.
    pub(super) fn begin(&self, version: Version) -> Open {
        if version == Version::HTTP_2 && self.0.begun.load(Ordering::Relaxed) == 0 {
            self.0.open.fetch_add(1, Ordering::Relaxed);
        }
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.0))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer; its request is open for as long.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _open: Open,
}

impl Answer {
    pub(super) fn body(body: Body, open: Open) -> Body {
        Body::new(Self { body, _open: open })
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Times the heads of one connection's requests.
#[derive(Debug)]
pub(super) struct HeadLimit {
    limit: Duration,
    requests: Requests,
    /// Runs from the first byte of a head; with the number of requests before it.
    head: Option<(usize, Pin<Box<Sleep>>)>,
}

impl HeadLimit {
    /// Lets each head take at most `limit` from its first byte on.
    pub(super) fn new(limit: Duration, requests: Requests) -> Self {
        Self {
            limit,
            requests,
            head: None,
        }
    }

    /// Something, or nothing, has been read: ready with an error when a head takes too long.
    pub(super) fn judge(&mut self, got_some: bool, cx: &mut Context<'_>) -> Poll<io::Error> {
        let counts = &self.requests.0;
        let begun = counts.begun.load(Ordering::Relaxed);
        if self.head.as_ref().is_some_and(|(of, _)| *of != begun) {
            self.head = None;
        }
        if counts.open.load(Ordering::Relaxed) > 0 {
            return Poll::Pending;
        }
        let limit = self.limit;
        if got_some {
            self.head
                .get_or_insert_with(|| (begun, Box::pin(sleep(limit))));
        }
        let Some((_, head)) = &mut self.head else {
            return Poll::Pending;
        };
        head.as_mut().poll(cx).map(|()| {
            let text = format!("the head of a request was not complete within {limit:?}");
            io::Error::new(ErrorKind::TimedOut, text)
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    use super::*;
    use crate::api::server::guard::Guarded;
    use crate::api::server::stall::StallLimit;

    const LIMIT: Duration = Duration::from_millis(30);

    fn guarded<T>(inner: T, requests: &Requests) -> Guarded<T> {
        let heads = HeadLimit::new(LIMIT, requests.clone());
        Guarded::new(inner, heads, StallLimit::new(LIMIT))
    }

    #[tokio::test]
    async fn only_a_head_that_has_begun_is_timed() {
        let (ours, mut theirs) = duplex(64);
        let requests = Requests::default();
        let mut guarded = guarded(ours, &requests);
        let mut taken = [0; 4];
        assert!(timeout(LIMIT * 3, guarded.read(&mut taken)).await.is_err());
        theirs.write_all(b"head").await.unwrap();
        guarded.read_exact(&mut taken).await.unwrap();
        let open = requests.begin(Version::HTTP_11);
        theirs.write_all(b"body").await.unwrap();
        guarded.read_exact(&mut taken).await.unwrap();
        assert!(timeout(LIMIT * 3, guarded.read(&mut taken)).await.is_err());
        drop(open);
        assert!(timeout(LIMIT * 3, guarded.read(&mut taken)).await.is_err());
        theirs.write_all(b"h").await.unwrap();
        assert_eq!(guarded.read(&mut taken).await.unwrap(), 1);
        let late = timeout(LIMIT * 100, guarded.read(&mut taken))
            .await
            .unwrap();
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn http_2_has_its_own_ways() {
        let (ours, mut theirs) = duplex(64);
        let requests = Requests::default();
        let mut guarded = guarded(ours, &requests);
        drop(requests.begin(Version::HTTP_2));
        let mut taken = [0; 4];
        theirs.write_all(b"ping").await.unwrap();
        guarded.read_exact(&mut taken).await.unwrap();
        assert!(timeout(LIMIT * 3, guarded.read(&mut taken)).await.is_err());
    }
}
