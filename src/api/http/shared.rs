//! Shell: encoded replies that equal requests share.
//!
//! Requests for the same thing that arrive while one reply is being encoded wait together: the next
//! encoding, from a snapshot that is younger than all of them, serves them all. If nothing has changed
//! since the last one, and somebody still reads it, that one serves them. So any number of clients that
//! poll costs at most one encoding at a time for each thing that can be asked for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::gzip;
use super::parts::Segments;
use crate::api::error::ApiError;
use crate::api::service::operator::OperatorCalls;
use crate::master::Snapshot;
use crate::runtime::background;
use crate::telemetry::Counter;

/// Replies from this size on are compressed for clients that can unpack them, as in Mesos.
pub(super) const GZIP_MIN: usize = 1024;

/// Replies that are encoded at a time.
const ENCODERS_MAX: usize = 2;

/// Memory that encoded replies may take while they are read, in KiB. A reader that stalls is let go
/// by the listener, so that waiting for room ends.
const ROOM_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a reply that are written before others get their turn: a write to a socket is a copy by the
/// kernel, and a client that reads as fast as it is written to would keep a thread for all of a reply.
const PIECE_MAX: usize = 128 * 1024;

/// Bytes of a reply that take long enough to be given back for a thread of their own.
const DROP_MAX: usize = 1024 * 1024;

/// What is asked for: name, parameters, compressed or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The endpoint or call.
    pub(super) name: &'static str,
    /// All that makes a difference.
    pub(super) parameters: String,
    /// To be compressed if it is worth it.
    pub(super) gzip: bool,
}

/// A reply as it goes over the wire.
#[derive(Debug)]
pub(super) struct Encoded {
    /// The bytes.
    pub(super) segments: Segments,
    /// They are compressed.
    pub(super) gzip: bool,
    /// Given back when the last reader is done.
    _room: Option<OwnedSemaphorePermit>,
}

impl Encoded {
    /// A small reply that nobody else gets.
    pub(super) fn alone(segments: Segments) -> Arc<Self> {
        Arc::new(Self {
            segments,
            gzip: false,
            _room: None,
        })
    }

    /// A small compressed reply that nobody else gets.
    pub(super) fn packed(segments: Segments) -> Arc<Self> {
        Arc::new(Self {
            segments,
            gzip: true,
            _room: None,
        })
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        let segments = std::mem::take(&mut self.segments);
        if segments.len() > DROP_MAX
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // Unmapping a large reply takes tens of milliseconds.
            runtime.spawn_blocking(move || drop(segments));
        }
    }
}

/// A reply on its way to one client, whose length is known.
#[derive(Debug)]
pub(super) struct Outgoing {
    reply: Arc<Encoded>,
    next: usize,
    left: usize,
    before: Option<Bytes>,
    behind: Option<Bytes>,
    /// What is left of the present segment.
    rest: Bytes,
    /// Bytes since others had their turn.
    since: usize,
}

impl Outgoing {
    /// The reply as it is.
    pub(super) fn new(reply: Arc<Encoded>) -> Self {
        Self {
            next: 0,
            left: reply.segments.len(),
            reply,
            before: None,
            behind: None,
            rest: Bytes::new(),
            since: 0,
        }
    }

    /// The reply between two texts.
    pub(super) fn between(reply: Arc<Encoded>, before: String, behind: String) -> Self {
        let mut outgoing = Self::new(reply);
        outgoing.left += before.len() + behind.len();
        outgoing.before = Some(before.into());
        outgoing.behind = Some(behind.into());
        outgoing
    }

    /// What comes next.
    fn piece(&mut self) -> Option<Bytes> {
        if let Some(before) = self.before.take() {
            return Some(before);
        }
        if self.rest.is_empty() {
            let Some(segment) = self.reply.segments.pieces().get(self.next) else {
                return self.behind.take();
            };
            self.rest = segment.clone();
            self.next += 1;
        }
        let length = self.rest.len().min(PIECE_MAX);
        Some(self.rest.split_to(length))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.since >= PIECE_MAX {
            this.since = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = this.piece();
        let length = piece.as_ref().map_or(0, Bytes::len);
        this.left -= length;
        this.since += length;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.left).unwrap_or(u64::MAX))
    }
}

type Outcome = Result<Arc<Encoded>, ApiError>;

/// One thing that is being asked for.
#[derive(Debug)]
struct Line {
    /// The requests that the next encoding serves.
    waiting: Option<watch::Receiver<Option<Outcome>>>,
    /// One encoding at a time.
    gate: Arc<Semaphore>,
    /// The snapshot's version and the reply made of it.
    last: Option<(u64, Weak<Encoded>)>,
    /// Batches that have not been served.
    pending: usize,
}

/// Everything that is being asked for. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    calls: OperatorCalls,
    lines: Arc<Mutex<BTreeMap<Key, Line>>>,
    encoders: Arc<Semaphore>,
    room: Arc<Semaphore>,
    asked: Counter,
    encoded: Counter,
    hits: Counter,
}

impl Shared {
    /// Nothing is being asked for.
    pub(super) fn new(calls: OperatorCalls) -> Self {
        let metrics = &calls.daemon().metrics;
        let asked = metrics.counter(
            "api/state_replies/asked",
            "requests for the cluster's state that a shared reply can serve",
        );
        let encoded = metrics.counter(
            "api/state_replies/encoded",
            "replies with the cluster's state that were encoded",
        );
        let hits = metrics.counter(
            "master/http_cache_hits",
            "requests for the cluster's state that another request's reply has served",
        );
        Self {
            asked,
            encoded,
            hits,
            calls,
            lines: Arc::default(),
            encoders: Arc::new(Semaphore::new(ENCODERS_MAX)),
            room: Arc::new(Semaphore::new(ROOM_MAX)),
        }
    }

    /// The service layer below.
    pub(super) fn calls(&self) -> &OperatorCalls {
        &self.calls
    }

    /// The reply to a request for `key`; `encode` makes it of a snapshot.
    ///
    /// # Errors
    ///
    /// The master is shutting down.
    pub(super) async fn reply<E>(&self, key: Key, encode: E) -> Outcome
    where
        E: FnOnce(&Snapshot, &OperatorCalls) -> Segments + Send + 'static,
    {
        self.asked.increment();
        let mut reply = self.join(key, encode);
        let served = reply.wait_for(Option::is_some).await;
        let outcome = served.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| {
            let message = "the reply could not be encoded";
            Err(ApiError::Internal(message.to_owned()))
        })
    }

    /// Joins the requests that wait for `key`, or is the first of them.
    fn join<E>(&self, key: Key, encode: E) -> watch::Receiver<Option<Outcome>>
    where
        E: FnOnce(&Snapshot, &OperatorCalls) -> Segments + Send + 'static,
    {
        let mut lines = self.lines();
        let line = lines.entry(key.clone()).or_insert_with(|| Line {
            waiting: None,
            gate: Arc::new(Semaphore::new(1)),
            last: None,
            pending: 0,
        });
        if let Some(waiting) = &line.waiting {
            self.hits.increment();
            return waiting.clone();
        }
        let (served, waiting) = watch::channel(None);
        line.waiting = Some(waiting.clone());
        line.pending += 1;
        let gate = Arc::clone(&line.gate);
        drop(lines);
        let shared = self.clone();
        // A task of its own: the first request's client may leave while others wait.
        tokio::spawn(async move {
            let _turn = gate.acquire_owned().await;
            let _encoder = shared.encoders.acquire().await;
            let outcome = shared.serve(&key, encode).await;
            // Nobody may be left.
            let _ = served.send(Some(outcome));
            shared.leave(&key);
        });
        waiting
    }

    async fn serve<E>(&self, key: &Key, encode: E) -> Outcome
    where
        E: FnOnce(&Snapshot, &OperatorCalls) -> Segments + Send + 'static,
    {
        let last = {
            // Who comes from here on gets a younger snapshot.
            let mut lines = self.lines();
            let line = lines.get_mut(key);
            line.and_then(|line| {
                line.waiting = None;
                line.last.clone()
            })
        };
        let snapshot = self.calls.snapshot().await?;
        let version = snapshot.version;
        if let Some((of, reply)) = last
            && of == version
            && let Some(reply) = reply.upgrade()
        {
            self.hits.increment();
            return Ok(reply);
        }
        self.encoded.increment();
        let (calls, gzip) = (self.calls.clone(), key.gzip);
        let work = move || {
            let segments = encode(&snapshot, &calls);
            if gzip && segments.len() >= GZIP_MIN {
                let packed = gzip::compress(segments.pieces());
                return (Segments::from_iter(packed), true);
            }
            (segments, false)
        };
        // Behind the master's loop, and behind short requests: at most as many as there are encoders.
        let (segments, gzip) = background(work).await;
        let size = segments.len().div_ceil(1024).clamp(1, ROOM_MAX);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(size).await;
        let reply = Arc::new(Encoded {
            segments,
            gzip,
            _room: room.ok(),
        });
        if let Some(line) = self.lines().get_mut(key) {
            line.last = Some((version, Arc::downgrade(&reply)));
        }
        Ok(reply)
    }

    /// Forgets what nobody asks for any more.
    fn leave(&self, key: &Key) {
        let mut lines = self.lines();
        if let Some(line) = lines.get_mut(key) {
            line.pending -= 1;
        }
        lines.retain(|_, line| {
            let read = line
                .last
                .as_ref()
                .is_some_and(|(_, last)| last.strong_count() > 0);
            line.pending > 0 || read
        });
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<Key, Line>> {
        // Every change is whole in itself.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
