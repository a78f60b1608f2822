//! The input and output of a guest: from its pipes or its terminal to all who have attached themselves,
//! and back.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::containerizer::ready::register;

/// Most bytes read at once.
const CHUNK_MAX: usize = 16 << 10;
/// Chunks that wait for one reader.
const WAITING_MAX: usize = 16;
/// Readers of one guest.
const READERS_MAX: usize = 32;
/// How long a reader may take for a chunk; the guest waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a terminal takes for the end of input.
const END_OF_INPUT: &[u8] = &[4];

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; of a terminal everything.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Some bytes of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where they came from.
    pub stream: Stream,
    /// At least one.
    pub data: Bytes,
}

/// All who read the output of one guest.
#[derive(Debug, Default)]
pub(super) struct Switchboard {
    readers: Mutex<Readers>,
}

#[derive(Debug, Default)]
struct Readers {
    all: Vec<mpsc::Sender<Said>>,
    over: bool,
}

impl Switchboard {
    /// From now on; ends with the output. `None` when there are too many readers.
    pub(super) fn attach(&self) -> Option<mpsc::Receiver<Said>> {
        let mut readers = self.lock();
        readers.all.retain(|reader| !reader.is_closed());
        if readers.all.len() == READERS_MAX {
            return None;
        }
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        if !readers.over {
            readers.all.push(sender);
        }
        Some(receiver)
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        let mut readers = self.lock();
        readers.over = true;
        readers.all.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, said: Said) {
        let readers = self.lock().all.clone();
        for reader in readers {
            let told = tokio::time::timeout(PATIENCE, reader.send(said.clone())).await;
            if !matches!(told, Ok(Ok(()))) {
                let mut readers = self.lock();
                readers.all.retain(|other| !other.same_channel(&reader));
            }
        }
    }
}

/// Passes on all that comes from `fd`, until its end; also into `file`.
pub(super) async fn pump(
    fd: OwnedFd,
    stream: Stream,
    switchboard: Arc<Switchboard>,
    mut file: Option<File>,
) -> io::Result<()> {
    let fd = asynchronous(fd, Interest::READABLE)?;
    let mut chunk = vec![0; CHUNK_MAX];
    loop {
        let mut ready = fd.readable().await?;
        let read = ready.try_io(|fd| nix::unistd::read(fd, &mut chunk).map_err(Into::into));
        let count = match read {
            Err(_not_ready) => continue,
            // A terminal whose other side is closed.
            Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(result) => result?,
        };
        if count == 0 {
            return Ok(());
        }
        if let Some(file) = &mut file {
            // A full disk is the guest's misfortune, not its end.
            let _lost = file.write_all(&chunk[..count]);
        }
        let data = Bytes::copy_from_slice(&chunk[..count]);
        switchboard.tell(Said { stream, data }).await;
    }
}

/// The way in. Who holds it speaks alone.
#[derive(Debug)]
pub struct Input {
    fd: Option<AsyncFd<OwnedFd>>,
    terminal: bool,
}

impl Input {
    /// To be called inside a tokio runtime.
    pub(super) fn new(fd: OwnedFd, terminal: bool) -> io::Result<Self> {
        Ok(Self {
            fd: Some(asynchronous(fd, Interest::WRITABLE)?),
            terminal,
        })
    }

    /// Writes all of `data`; nothing is the end of input.
    ///
    /// # Errors
    ///
    /// Nobody reads any more.
    pub async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if data.is_empty() && !self.terminal {
            self.fd = None;
            return Ok(());
        }
        let mut rest = if data.is_empty() { END_OF_INPUT } else { data };
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let fd = self.fd.as_ref().ok_or_else(closed)?;
        while !rest.is_empty() {
            let mut ready = fd.writable().await?;
            match ready.try_io(|fd| nix::unistd::write(fd, rest).map_err(Into::into)) {
                Err(_not_ready) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => rest = &rest[written?..],
            }
        }
        Ok(())
    }

    /// Tells the terminal its size; nothing without one.
    pub fn resize(&self, rows: u16, columns: u16) {
        if let Some(fd) = self.fd.as_ref().filter(|_| self.terminal) {
            let size = libc::winsize {
                ws_row: rows,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            // SAFETY: the descriptor is open, the structure lives across the call.
            unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        }
    }
}

fn asynchronous(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = OFlag::from_bits_truncate(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    register(fd, interest)
}
