//! The connection to the agent: a unix stream socket with frames of a big-endian 32-bit length and a
//! protobuf message. Opened again with growing pauses when it is lost; never blocks.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message as _;

use crate::base::{Instant, Rng};
use crate::proto::v1::executor as wire;

/// Largest frame in either direction, in bytes.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Most bytes that wait for an agent that does not read; beyond it the connection is given up.
const OUTGOING_BYTES_MAX: usize = FRAME_BYTES_MAX + (1 << 20);
/// First pause before another attempt; doubles.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause: a restarted agent waits two seconds for its executors.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Bytes read at once.
const CHUNK: usize = 4096;

/// What a look at the link has brought.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The socket is open: time to SUBSCRIBE.
    Connected,
    /// A message.
    Event(Box<wire::Event>),
    /// The socket is closed or has been given up.
    Disconnected,
}

/// The connection, or the wait for one.
#[derive(Debug)]
pub(super) struct Link {
    path: PathBuf,
    rng: Rng,
    stream: Option<UnixStream>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Attempts since the last message that made sense.
    failures: u32,
    retry_at: Instant,
}

impl Link {
    /// A link that is tried at once.
    pub(super) fn new(path: PathBuf, seed: u64) -> Self {
        Self {
            path,
            rng: Rng::seeded(seed, "link"),
            stream: None,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            failures: 0,
            retry_at: Instant(0),
        }
    }

    /// What to poll; with the wish to write while something is waiting.
    pub(super) fn poll_fd(&self) -> Option<(RawFd, bool)> {
        let stream = self.stream.as_ref()?;
        Some((stream.as_raw_fd(), !self.outgoing.is_empty()))
    }

    /// Time until the next attempt; `None` while connected.
    pub(super) fn next_in(&self, now: Instant) -> Option<Duration> {
        self.stream.is_none().then(|| self.retry_at.since(now))
    }

    /// Connects if it is time to.
    pub(super) fn try_connect(&mut self, now: Instant) -> Option<Incoming> {
        if self.stream.is_some() || now < self.retry_at {
            return None;
        }
        match connect(&self.path) {
            Ok(stream) => {
                self.stream = Some(stream);
                Some(Incoming::Connected)
            }
            Err(_) => {
                self.pause(now);
                None
            }
        }
    }

    /// Queues a call; without a connection it is dropped, the machine repeats what matters.
    pub(super) fn send(&mut self, call: &wire::Call) {
        if self.stream.is_none() {
            return;
        }
        if let Ok(prefix) = u32::try_from(call.encoded_len()) {
            self.outgoing.extend_from_slice(&prefix.to_be_bytes());
            call.encode(&mut self.outgoing)
                .expect("a vector grows as needed");
        }
    }

    /// Writes what the socket takes, reads what it has.
    pub(super) fn exchange(&mut self, now: Instant, events: &mut Vec<Incoming>) {
        if self.stream.is_none() {
            return;
        }
        let alive = self.flush() && self.receive(events);
        if !alive || self.outgoing.len() > OUTGOING_BYTES_MAX {
            self.stream = None;
            self.incoming = Vec::new();
            self.outgoing = Vec::new();
            self.pause(now);
            events.push(Incoming::Disconnected);
        }
    }

    /// Writes as much as possible; false if the connection is lost.
    pub(super) fn flush(&mut self) -> bool {
        let Some(mut stream) = self.stream.as_ref() else {
            return false;
        };
        let mut written = 0;
        let alive = loop {
            if written == self.outgoing.len() {
                break true;
            }
            match stream.write(&self.outgoing[written..]) {
                Ok(0) => break false,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
            }
        };
        if written == self.outgoing.len() {
            self.outgoing = Vec::new();
        } else {
            self.outgoing.drain(..written);
        }
        alive
    }

    /// Reads all there is; false if the connection is lost or the bytes make no sense.
    fn receive(&mut self, events: &mut Vec<Incoming>) -> bool {
        let mut chunk = [0_u8; CHUNK];
        loop {
            let Some(mut stream) = self.stream.as_ref() else {
                return false;
            };
            match stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(count) => {
                    self.incoming.extend_from_slice(&chunk[..count]);
                    if !self.parse(events) {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Takes whole frames off the front of what was read; false on a malformed one.
    fn parse(&mut self, events: &mut Vec<Incoming>) -> bool {
        loop {
            let Some((prefix, rest)) = self.incoming.split_first_chunk::<4>() else {
                return true;
            };
            let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
            if length > FRAME_BYTES_MAX {
                return false;
            }
            let Some(frame) = rest.get(..length) else {
                return true;
            };
            let Ok(event) = wire::Event::decode(frame) else {
                return false;
            };
            events.push(Incoming::Event(Box::new(event)));
            self.failures = 0;
            self.incoming.drain(..4 + length);
            if self.incoming.is_empty() {
                // A large message must not keep its memory for the life of the task.
                self.incoming = Vec::new();
            }
        }
    }

    /// Sets the time of the next attempt: twice the last pause, half of it random.
    fn pause(&mut self, now: Instant) {
        let full = PAUSE_MIN
            .saturating_mul(1 << self.failures.min(10))
            .min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.after(full / 2 + self.rng.up_to(full / 2));
    }
}

/// Connects without waiting: an agent that does not accept is an agent that is away.
fn connect(path: &Path) -> io::Result<UnixStream> {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidFilename));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let size = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: the descriptor is owned from here on; the address lives across the call and its size is
    // given.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, kind, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(fd);
        if libc::connect(fd, (&raw const address).cast(), size) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(UnixStream::from(socket))
    }
}
