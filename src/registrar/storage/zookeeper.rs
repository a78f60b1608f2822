//! A registry in ZooKeeper, for masters that take over from each other.
//!
//! ```text
//! <path>/registry/epoch            {"epoch":7,"format":1,"leader":"...","writes":42}
//! <path>/registry/records/<00..ff> shards, by a hash of the key
//! <path>/registry/records/3c/agent%2F<id>, weight%2F<role>, ... -> the record of one subject
//! ```
//!
//! **Fenced.** Every write is one transaction that also sets the znode `epoch`, if that has the version
//! which this master gave it. A new leader sets it first of all, together with a check that its own
//! candidate's znode lives: from then on the writes of every earlier leader fail.
//!
//! **Not guessed.** When the answer to a write is lost, the stamp in `epoch` says whether it was done;
//! if not it is sent again, and the version lets at most one of the two happen.
//!
//! **Bounded.** With 256 shards a listing stays small, and a batch is split into transactions far below
//! ZooKeeper's packet limit of 1 MiB; it counts as durable when all of them are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::fence::{Fence, Found, Stamp, TakeOver, Verdict};
use super::{Record, Storage, StorageError};
use crate::election;
use crate::election::session::{Change, Content, Session, ZooKeeperError};
use crate::registry::{Operation, Registry, Subject};
use crate::runtime::SystemClock;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

/// What this version writes; a larger number was written by a newer one.
const FORMAT: u64 = 1;
const SHARDS: u32 = 256;
/// Most changes and bytes of one transaction.
const CHANGES_MAX: usize = 500;
const BYTES_MAX: usize = 512 << 10;
/// Largest record: ZooKeeper refuses packets of 1 MiB.
const RECORD_MAX: usize = 1_000_000;
/// Listings that are asked for at once.
const LISTINGS: usize = 128;
/// Records that are asked for together, of which all may be as large as a record can be.
const RECORDS: usize = 100;
/// Questions for records that are under way at once.
const READS: usize = 4;
/// From a lost answer to the next question.
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps the registry below a path of an ensemble.
#[derive(Debug)]
pub struct ZooKeeperStorage {
    session: Session,
    root: String,
    fence: Fence,
    /// Keys that have a znode.
    known: BTreeSet<String>,
}

impl ZooKeeperStorage {
    /// Opens the registry below `root` for the leader whose candidate's znode is `node`, or makes an
    /// empty one, and counts this leadership: its epoch is larger than that of every earlier one here,
    /// and never below `epoch_min`. From here on earlier leaders cannot write any more.
    ///
    /// # Errors
    ///
    /// [`StorageError::Fenced`] when this master leads no more, [`StorageError::Newer`] when a newer
    /// version wrote the registry, [`StorageError::ZooKeeper`] when its content or access to it is
    /// broken.
    pub async fn open(
        session: Session,
        node: &str,
        root: &str,
        epoch_min: u64,
    ) -> Result<Self, StorageError> {
        let mut storage = Self {
            session,
            root: root.to_owned(),
            fence: nobody(),
            known: BTreeSet::new(),
        };
        storage.make_shards().await?;
        let check = Change::Check(node.to_owned(), 0);
        storage.lead(&check, node, epoch_min).await?;
        Ok(storage)
    }

    /// The number of this leadership; agents refuse smaller ones than they have seen.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.fence.epoch()
    }

    fn records(&self) -> String {
        format!("{}/records", self.root)
    }

    fn place(&self) -> String {
        format!("{}/epoch", self.root)
    }

    async fn make_shards(&self) -> Result<(), StorageError> {
        let records = self.records();
        make_path(&self.session, &records).await?;
        let there = list(&self.session, &records).await?;
        let there: BTreeSet<String> = there.into_iter().collect();
        let missing: Vec<Change> = (0..SHARDS)
            .map(|shard| format!("{shard:02x}"))
            .filter(|shard| !there.contains(shard))
            .map(|shard| Change::Create(format!("{records}/{shard}"), Vec::new()))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        match self.session.transact(&missing).await {
            // Somebody else, or this very question, has made them: each is needed, nothing is in them.
            Err(ZooKeeperError::Exists(_) | ZooKeeperError::Lost(_)) => {
                for change in &missing {
                    make_path(&self.session, change.path()).await?;
                }
                Ok(())
            }
            other => other.map_err(StorageError::from),
        }
    }

    /// Takes the registry over.
    async fn lead(
        &mut self,
        check: &Change,
        leader: &str,
        epoch_min: u64,
    ) -> Result<(), StorageError> {
        let place = self.place();
        let mut asked: Option<Stamp> = None;
        loop {
            let found = self.found(&place).await?;
            let (stamp, version) =
                match Fence::take_over(&found, asked.as_ref(), epoch_min, FORMAT, leader) {
                    TakeOver::Done(fence) => {
                        self.fence = fence;
                        return Ok(());
                    }
                    TakeOver::Set(stamp, version) => (stamp, version),
                };
            let change = match version {
                Some(version) => Change::Set(place.clone(), stamp.bytes(), Some(version)),
                None => Change::Create(place.clone(), stamp.bytes()),
            };
            match self.session.transact(&[check.clone(), change]).await {
                Ok(()) => {
                    self.fence = Fence::taken(stamp, Fence::version_after(version));
                    return Ok(());
                }
                Err(ZooKeeperError::Missing(path)) if path == check.path() => {
                    return Err(StorageError::Fenced);
                }
                Err(ZooKeeperError::Lost(_)) => {
                    asked = Some(stamp);
                    tokio::time::sleep(PAUSE).await;
                }
                // Another leader was quicker; the check of our own znode says who is right.
                Err(ZooKeeperError::Changed(_) | ZooKeeperError::Exists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The stamp that is there.
    async fn found(&self, place: &str) -> Result<Found, StorageError> {
        match read(&self.session, place).await? {
            Some(content) => Ok(Some((read_stamp(place, &content.data)?, content.version))),
            None => Ok(None),
        }
    }

    fn path_of(&self, key: &str) -> String {
        let shard = shard(key);
        format!("{}/{shard:02x}/{}", self.records(), escape(key))
    }

    /// What makes the records of `subjects` what the registry says.
    fn changes(
        &self,
        subjects: BTreeSet<Subject>,
        registry: &Registry,
    ) -> Result<Vec<(String, Change)>, StorageError> {
        let mut changes = Vec::with_capacity(subjects.len());
        // What belongs together, the quotas of a tree, goes first and so into one transaction; records
        // of agents stand alone.
        let alone = |subject: &Subject| matches!(subject, Subject::Agent(_));
        let (agents, others): (Vec<_>, Vec<_>) = subjects.into_iter().partition(alone);
        for subject in others.into_iter().chain(agents) {
            let key = subject.to_string();
            let path = self.path_of(&key);
            let change = match (registry.record(&subject), self.known.contains(&key)) {
                (Some(record), _) if record.len() > RECORD_MAX => {
                    let message = format!(
                        "a record of {} bytes is more than ZooKeeper takes ({RECORD_MAX})",
                        record.len()
                    );
                    return Err(StorageError::ZooKeeper { path, message });
                }
                (Some(record), true) => Change::Set(path, record, None),
                (Some(record), false) => Change::Create(path, record),
                (None, true) => Change::Delete(path),
                (None, false) => continue,
            };
            changes.push((key, change));
        }
        Ok(changes)
    }

    /// As many transactions as the limits ask for, durable when it returns.
    async fn write_all(&mut self, changes: Vec<(String, Change)>) -> Result<(), StorageError> {
        let mut rest = changes.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut batch, mut keys, mut bytes) = (Vec::new(), Vec::new(), 0);
            while let Some((_, change)) = rest.peek()
                && batch.len() < CHANGES_MAX
                && (batch.is_empty() || bytes + size(change) <= BYTES_MAX)
            {
                bytes += size(change);
                let next = rest.next();
                let (key, change) = next.expect("it was looked at");
                keys.push((key, !matches!(change, Change::Delete(_))));
                batch.push(change);
            }
            self.write(batch).await?;
            for (key, there) in keys {
                if there {
                    self.known.insert(key);
                } else {
                    self.known.remove(&key);
                }
            }
        }
        Ok(())
    }

    /// One transaction, durable when it returns.
    async fn write(&mut self, mut changes: Vec<Change>) -> Result<(), StorageError> {
        let place = self.place();
        let (stamp, version) = (self.fence.next(), self.fence.version());
        let set = Change::Set(place.clone(), stamp.bytes(), Some(version));
        changes.insert(0, set);
        loop {
            match self.session.transact(&changes).await {
                Ok(()) => break,
                Err(ZooKeeperError::Lost(_)) => tokio::time::sleep(PAUSE).await,
                Err(ZooKeeperError::Changed(path)) if path == place => {}
                Err(error) => return Err(error.into()),
            }
            let found = self.found(&place).await?;
            match self.fence.verdict(&found) {
                Verdict::Done => break,
                Verdict::Again => {}
                Verdict::Fenced => return Err(StorageError::Fenced),
            }
        }
        self.fence.written();
        Ok(())
    }
}

/// Before a registry is taken over; it may not write.
fn nobody() -> Fence {
    let stamp = Stamp {
        epoch: 0,
        format: FORMAT,
        leader: String::new(),
        writes: 0,
    };
    Fence::taken(stamp, i32::MIN)
}

impl Storage for ZooKeeperStorage {
    fn record_bytes_max(&self) -> usize {
        RECORD_MAX
    }

    async fn load(&mut self) -> Result<Registry, StorageError> {
        let mut registry = Registry::default();
        let records = read_records(&self.session, &self.root).await?;
        for Record { path, key, data } in records {
            let broken = |message| StorageError::ZooKeeper {
                path: path.clone(),
                message,
            };
            let subject =
                Subject::from_key(&key).ok_or_else(|| broken(format!("no record is '{key}'")))?;
            registry
                .restore(&subject, &data)
                .map_err(|error| broken(error.to_string()))?;
            self.known.insert(key);
        }
        Ok(registry)
    }

    async fn store(
        &mut self,
        operations: &[Operation],
        registry: &Registry,
    ) -> Result<(), StorageError> {
        let subjects = operations.iter().flat_map(Operation::subjects).collect();
        let changes = self.changes(subjects, registry)?;
        self.write_all(changes).await
    }
}

/// All records below `root`, sorted by key; none where there is no registry.
///
/// # Errors
///
/// [`StorageError::Newer`] and [`StorageError::ZooKeeper`] as for [`ZooKeeperStorage::open`].
pub async fn read_records(session: &Session, root: &str) -> Result<Vec<Record>, StorageError> {
    let fence = format!("{root}/epoch");
    if let Some(content) = read(session, &fence).await? {
        read_stamp(&fence, &content.data)?;
    }
    let shards = (0..SHARDS).map(|shard| format!("{root}/records/{shard:02x}"));
    let listings = stream::iter(shards)
        .map(|shard| async move {
            let names = list(session, &shard).await?;
            let paths = names
                .into_iter()
                .map(|name| (format!("{shard}/{name}"), name));
            Ok::<_, StorageError>(paths.collect::<Vec<_>>())
        })
        .buffered(LISTINGS)
        .try_concat()
        .await?;
    let mut records: Vec<Record> = stream::iter(listings)
        .chunks(RECORDS)
        .map(|batch| read_batch(session, batch))
        .buffered(READS)
        .try_concat()
        .await?;
    records.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(records)
}

/// The records behind znodes' paths and names, as far as they still exist.
async fn read_batch(
    session: &Session,
    batch: Vec<(String, String)>,
) -> Result<Vec<Record>, StorageError> {
    let (paths, names): (Vec<String>, Vec<String>) = batch.into_iter().unzip();
    let contents = read_all(session, &paths).await?;
    let found = paths.into_iter().zip(names).zip(contents);
    let mut records = Vec::with_capacity(found.len());
    for ((path, name), content) in found {
        let Some(key) = unescape(&name) else {
            let message = format!("'{name}' is no name of a record");
            return Err(StorageError::ZooKeeper { path, message });
        };
        let data = content.map(|content| content.data);
        records.extend(data.map(|data| Record { path, key, data }));
    }
    Ok(records)
}

/// Replaces the registry below `root`, while no master contends at `path`.
///
/// # Errors
///
/// [`StorageError::Led`] when one does, [`StorageError::Newer`] when a newer version wrote the present
/// one, [`StorageError::ZooKeeper`] when it cannot be written; what was not written then is missing.
pub async fn replace_records(
    session: &Session,
    path: &str,
    root: &str,
    records: &[(String, Vec<u8>)],
) -> Result<(), StorageError> {
    let children = list(session, path).await?;
    if election::first(children.iter().map(String::as_str)).is_some() {
        let path = path.to_owned();
        return Err(StorageError::Led { path });
    }
    let mut storage = ZooKeeperStorage {
        session: session.clone(),
        root: root.to_owned(),
        fence: nobody(),
        known: BTreeSet::new(),
    };
    storage.make_shards().await?;
    let fence = storage.place();
    let found = read(session, &fence).await?;
    let epoch_min = match found.map(|content| read_stamp(&fence, &content.data)) {
        Some(Err(StorageError::ZooKeeper { .. })) => {
            // Nobody knows how far it had counted; seconds are further.
            let damaged = Change::Delete(fence);
            session.transact(&[damaged]).await?;
            SystemClock.now().wall.0 / 1_000_000_000
        }
        Some(Err(error)) => return Err(error),
        Some(Ok(_)) | None => 1,
    };
    // Any version of the registry's own znode will do.
    let check = Change::Check(root.to_owned(), -1);
    let leader = format!("import by session {:x}", session.id());
    storage.lead(&check, &leader, epoch_min).await?;
    let mut changes = Vec::new();
    for shard in 0..SHARDS {
        let shard = format!("{root}/records/{shard:02x}");
        let old = list(session, &shard).await?.into_iter();
        changes.extend(old.map(|name| (String::new(), Change::Delete(format!("{shard}/{name}")))));
    }
    for (key, data) in records {
        let path = storage.path_of(key);
        changes.push((key.clone(), Change::Create(path, data.clone())));
    }
    storage.write_all(changes).await
}

/// An answer; none after a pause if it was lost. The end of the session is an error.
async fn answered<T>(answer: Result<T, ZooKeeperError>) -> Result<Option<T>, StorageError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ZooKeeperError::Lost(_)) => {
            tokio::time::sleep(PAUSE).await;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// A znode, if there is one; asks until there is an answer.
async fn read(session: &Session, path: &str) -> Result<Option<Content>, StorageError> {
    loop {
        if let Some(content) = answered(session.read(path).await).await? {
            return Ok(content);
        }
    }
}

/// The znodes that there are of these, in their places; asks until there is an answer.
async fn read_all(
    session: &Session,
    paths: &[String],
) -> Result<Vec<Option<Content>>, StorageError> {
    loop {
        if let Some(contents) = answered(session.read_all(paths).await).await? {
            return Ok(contents);
        }
    }
}

/// The names of the children, none below no znode; asks until there is an answer.
async fn list(session: &Session, path: &str) -> Result<Vec<String>, StorageError> {
    loop {
        let names = match session.list(path).await {
            Err(ZooKeeperError::Missing(_)) => return Ok(Vec::new()),
            other => other,
        };
        if let Some(names) = answered(names).await? {
            return Ok(names);
        }
    }
}

/// Makes a path; tries until there is an answer.
async fn make_path(session: &Session, path: &str) -> Result<(), StorageError> {
    while answered(session.make_path(path).await).await?.is_none() {}
    Ok(())
}

impl From<ZooKeeperError> for StorageError {
    fn from(error: ZooKeeperError) -> Self {
        match error {
            // Whoever leads by then has a session of its own.
            ZooKeeperError::Ended => Self::Fenced,
            other => Self::ZooKeeper {
                path: "registry".to_owned(),
                message: other.to_string(),
            },
        }
    }
}

fn read_stamp(path: &str, data: &[u8]) -> Result<Stamp, StorageError> {
    let stamp: Stamp = serde_json::from_slice(data).map_err(|error| StorageError::ZooKeeper {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    if stamp.format > FORMAT {
        return Err(StorageError::Newer {
            path: PathBuf::from(path),
            format: stamp.format,
        });
    }
    Ok(stamp)
}

fn size(change: &Change) -> usize {
    let data = match change {
        Change::Create(_, data) | Change::Set(_, data, _) => data.len(),
        Change::Check(..) | Change::Delete(_) => 0,
    };
    // Headers, the path and the access list.
    data + change.path().len() + 100
}

/// Which of the shards a key is in: FNV-1a, folded to a byte. It is part of the format.
fn shard(key: &str) -> u8 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.to_le_bytes().iter().fold(0, |all, byte| all ^ byte)
}

/// A key as the name of a znode: letters, digits, `.`, `-` and `_` stay, other bytes become `%2F`.
fn escape(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 8);
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            let written = write!(name, "%{byte:02X}");
            written.expect("a String takes everything");
        }
    }
    name
}

/// The key behind a name; none if no key has it.
fn unescape(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    let key = String::from_utf8(bytes).ok()?;
    (escape(&key) == name).then_some(key)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys_in_disguise() {
        for key in ["agent/m-S0", "weight/ads/batch ü", "quota/%2F", "a..b", ""] {
            assert_eq!(unescape(&escape(key)).unwrap(), key);
            assert!(!escape(key).contains('/'));
        }
        assert_eq!(escape("agent/m-S0"), "agent%2Fm-S0");
        for name in ["%2", "%2f", "a/b", "%zz", "%ff", "%61"] {
            assert_eq!(unescape(name), None, "{name}");
        }
    }

    #[test]
    fn shards_are_even_and_stay() {
        let mut counts = [0_u32; SHARDS as usize];
        for number in 0..50_000 {
            counts[usize::from(shard(&format!("agent/uuid-S{number}")))] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 100 && *most < 350, "{least} to {most}");
        assert_eq!(
            [shard("agent/m-S0"), shard("weight/ads")],
            [SHARD_OF[0], SHARD_OF[1]]
        );
    }

    /// Part of the format.
    const SHARD_OF: [u8; 2] = [48, 120];
}
