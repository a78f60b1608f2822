//! Shell: the file `meta/journal`: read at the start, appended to by a thread of its own.
//!
//! Writes are grouped: what has queued up while the disk was busy goes out in one write and, if any of
//! it must outlive the power, one `fdatasync`. A journal that has grown is replaced by a shorter one
//! that says the same.
//!
//! Records are written over zeros that are on the disk already: a flush of a file whose length and
//! blocks stay as they are writes the data and nothing else (0.1 ms), while a file that grows costs a
//! transaction of the file system's own journal as well (5 ms).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use nix::fcntl::{Flock, FlockArg};

use super::fold::Checkpointed;
use super::format::{Damage, MAGIC, decode_next, encode, other_version};
use super::paths::Paths;
use super::record::{CheckpointToken, Durability, Record};

/// Records that may wait for the disk; more make the agent's loop wait.
const QUEUE_MAX: usize = 4096;
/// Records written at once.
const BATCH_MAX: usize = 1024;
/// A journal is not shortened before it has grown by so many bytes, and to twice its size.
const GROWTH_MIN: u64 = 4 << 20;
/// Room set aside after the records, in bytes: at the start, and each time that it runs out.
const ROOM: u64 = 256 << 10;
/// The room is enlarged, after the answers have gone out, when less than this is left.
const ROOM_LOW: u64 = ROOM / 4;

/// Why the agent's own folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation failed.
    #[error("--work_dir: cannot {verb} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent lives there.
    #[error("--work_dir: {path} is in use by another agent", path = .0.display())]
    InUse(PathBuf),
    /// The file is something else.
    #[error(
        "--work_dir: {path} is not an agent's journal; move it away to start as a new agent",
        path = .0.display()
    )]
    Foreign(PathBuf),
    /// A later mesosd wrote it, in another format.
    #[error(
        "--work_dir: {path} is a journal of version {found}, of another mesosd, this one reads version 1: \
         start the agent with that mesosd again, end what runs with its --recover=cleanup before the \
         change, or remove the file (rm -f {path}) to start as a new agent",
        path = path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its number.
        found: u32,
    },
    /// A later mesosd wrote something that this one has no word for.
    #[error(
        "--strict: {path} holds at byte {at} a record of a kind that a later mesosd writes: start the \
         agent with that mesosd again, or with --strict=false to go on without what is not understood",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Where the first such record is.
        at: usize,
    },
    /// Some of it cannot be read.
    #[error(
        "--strict: {path} is damaged at byte {at}: start with --strict=false to go on with what can be \
         read of it, or remove it (rm -f {path}) to start as a new agent",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first record is that cannot be read.
        at: usize,
    },
}

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// The folder outlives its owner; otherwise nothing is flushed to disk.
    pub lasting: bool,
    /// What is damaged is refused; otherwise it is counted. A torn end is neither: whoever was killed
    /// while writing leaves one.
    pub strict: bool,
}

/// The answer to one write.
pub(super) type Answer = (CheckpointToken, Result<(), String>);

/// The writing side of a journal. Dropping it waits until what was queued is written and the folder is
/// free for the next agent.
#[derive(Debug)]
pub struct Journal {
    /// There until the end.
    queue: Option<mpsc::SyncSender<(CheckpointToken, Record)>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread has panicked");
        }
    }
}

impl Journal {
    /// Opens the journal below `work_dir`, which is created if need be, and reads what it says.
    /// `answer` is called from the journal's thread once per record, in order.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the folder cannot be used, says which file and why.
    pub fn open(
        paths: &Paths,
        Keeping { lasting, strict }: Keeping,
        answer: impl Fn(Answer) + Send + 'static,
    ) -> Result<(Self, Checkpointed), JournalError> {
        let meta = paths.meta();
        fs::create_dir_all(&meta).map_err(failed("create", &meta))?;
        let lock = lock(&meta.join("lock"))?;
        let path = paths.journal();
        let state = read(&path, strict)?;
        let opened = rewrite(&path, &state, lasting)?;
        let (queue, records) = mpsc::sync_channel(QUEUE_MAX);
        let mut writer = Writer {
            path,
            floor: opened.size,
            journal: opened,
            lasting,
            state: state.clone(),
            _lock: lock,
        };
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&records, &answer))
            .map_err(failed("start the thread for", &meta))?;
        let journal = Self {
            queue: Some(queue),
            thread: Some(thread),
        };
        Ok((journal, state))
    }

    /// Queues a record; waits when very many are queued.
    pub fn write(&self, token: CheckpointToken, record: Record) {
        let queue = self.queue.as_ref().expect("there until the end");
        queue
            .send((token, record))
            .expect("the journal's thread ends only after this side is dropped");
    }
}

/// A journal that is open for writing.
struct Opened {
    file: File,
    /// Length of the records.
    size: u64,
    /// Length of the file: what lies between is zeros.
    room: u64,
}

struct Writer {
    path: PathBuf,
    journal: Opened,
    /// What the journal says, for a shorter one.
    state: Checkpointed,
    /// Length of the records after the last rewrite.
    floor: u64,
    /// Power loss matters.
    lasting: bool,
    _lock: Flock<File>,
}

impl Writer {
    fn run(
        &mut self,
        records: &mpsc::Receiver<(CheckpointToken, Record)>,
        answer: &dyn Fn(Answer),
    ) {
        while let Ok(first) = records.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX {
                match records.try_recv() {
                    Ok(next) => batch.push(next),
                    Err(_) => break,
                }
            }
            let result = self.append(&batch).map_err(|error| error.to_string());
            for (token, _) in batch {
                answer((token, result.clone()));
            }
            if let Err(error) = self.tidy() {
                // What was answered is written. The next record finds out whether the disk still works.
                tracing::warn!("{error}");
            }
        }
    }

    fn append(&mut self, batch: &[(CheckpointToken, Record)]) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        for (_, record) in batch {
            encode(record, &mut bytes);
            self.state.apply(record);
        }
        let Opened { file, size, room } = &mut self.journal;
        file.write_all_at(&bytes, *size)
            .map_err(failed("write", &self.path))?;
        let power = self.lasting
            && batch
                .iter()
                .any(|(_, record)| record.durability() == Durability::Power);
        if power {
            file.sync_data().map_err(failed("flush", &self.path))?;
        }
        *size += bytes.len() as u64;
        *room = (*room).max(*size);
        Ok(())
    }

    /// What nobody waits for: a shorter journal, or more room.
    fn tidy(&mut self) -> Result<(), JournalError> {
        let Opened { file, size, room } = &mut self.journal;
        if *size > GROWTH_MIN + 2 * self.floor {
            self.journal = rewrite(&self.path, &self.state, self.lasting)?;
            self.floor = self.journal.size;
        } else if self.lasting && *room - *size < ROOM_LOW {
            let zeros = vec![0; to_usize(ROOM)];
            file.write_all_at(&zeros, *room)
                .and_then(|()| file.sync_data())
                .map_err(failed("enlarge", &self.path))?;
            *room += ROOM;
        }
        Ok(())
    }
}

fn lock(path: &Path) -> Result<Flock<File>, JournalError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(failed("create", path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            let folder = path.parent().unwrap_or(path).to_owned();
            Err(JournalError::InUse(folder))
        }
        Err((_, errno)) => Err(failed("lock", path)(errno.into())),
    }
}

/// What the file says; one that is damaged is kept for people to look at.
fn read(path: &Path, strict: bool) -> Result<Checkpointed, JournalError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpointed::default()),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let (state, damaged) = parse(path, &bytes, strict)?;
    if damaged {
        keep_damaged(path);
    }
    Ok(state)
}

/// Everything that can be read of a journal's bytes, and whether damage ended the reading: damage is
/// refused or counted, unless it is a torn end. `path` is for messages.
pub(in crate::agent) fn parse(
    path: &Path,
    bytes: &[u8],
    strict: bool,
) -> Result<(Checkpointed, bool), JournalError> {
    let mut state = Checkpointed::default();
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        let path = path.to_owned();
        return match other_version(bytes) {
            Some(found) => Err(JournalError::OtherVersion { path, found }),
            None if bytes.is_empty() => Ok((state, false)),
            None => Err(JournalError::Foreign(path)),
        };
    };
    let damaged = |left: usize| JournalError::Damaged {
        path: path.to_owned(),
        at: bytes.len() - left,
    };
    loop {
        match decode_next(rest) {
            Ok(None) => return Ok((state, false)),
            Ok(Some((record, length))) => {
                match record {
                    Some(record) => state.apply(&record),
                    None if strict => {
                        return Err(JournalError::Newer {
                            path: path.to_owned(),
                            at: bytes.len() - rest.len(),
                        });
                    }
                    None => state.errors += 1,
                }
                rest = &rest[length..];
            }
            Err(damage) => {
                let lost = rest.len();
                if damage == Damage::Torn {
                    tracing::warn!(lost, "the last record of the agent's journal is torn");
                } else if strict {
                    return Err(damaged(lost));
                } else {
                    state.errors += 1;
                    tracing::error!(lost, "the agent's journal is damaged, its end is lost");
                }
                return Ok((state, damage != Damage::Torn));
            }
        }
    }
}

/// Keeps a damaged journal for people to look at.
fn keep_damaged(path: &Path) {
    let kept = path.with_extension("damaged");
    if let Err(error) = fs::copy(path, &kept) {
        tracing::warn!(%error, path = %kept.display(), "cannot keep the damaged journal");
    }
}

/// Replaces the journal by the shortest one that says the same, with room after it.
fn rewrite(path: &Path, state: &Checkpointed, lasting: bool) -> Result<Opened, JournalError> {
    let mut bytes = MAGIC.to_vec();
    for record in state.records() {
        encode(&record, &mut bytes);
    }
    let fresh = path.with_extension("new");
    let size = bytes.len() as u64;
    let room = if lasting { size + ROOM } else { size };
    bytes.resize(to_usize(room), 0);
    let file = File::create(&fresh).map_err(failed("create", &fresh))?;
    file.write_all_at(&bytes, 0)
        .map_err(failed("write", &fresh))?;
    if lasting {
        file.sync_data().map_err(failed("flush", &fresh))?;
    }
    fs::rename(&fresh, path).map_err(failed("replace", path))?;
    if let Some(folder) = path.parent().filter(|_| lasting) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("flush", folder))?;
    }
    Ok(Opened { file, size, room })
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a journal fits into memory")
}

fn failed(verb: &'static str, path: &Path) -> impl Fn(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io {
        verb,
        path: path.clone(),
        source,
    }
}
