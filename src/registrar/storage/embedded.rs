//! A registry in one file of `--work_dir`: the store of a master that leads alone
//! (`--registry=replicated_log`, Mesos' name for a registry that survives).
//!
//! ```text
//! registry.redb   agents: id -> AgentInfo, unreachable: id -> nanoseconds since 1970,
//!                 numbers: "format", "epoch"
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    WriteTransaction,
};

use super::{Storage, StorageError};
use crate::base::{AgentId, Timestamp};
use crate::proto::{decode, v1};
use crate::registry::{Operation, Registry};

/// The file below `--work_dir`.
const FILE: &str = "registry.redb";
/// What this version writes; a larger number was written by a newer one.
const FORMAT: u64 = 1;
/// Memory for pages. The registry itself is in the master's memory.
const CACHE_BYTES: usize = 4 << 20;

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const AGENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("agents");
const UNREACHABLE: TableDefinition<'_, &str, u64> = TableDefinition::new("unreachable");

/// Keeps the registry in a file that one process at a time has open.
#[derive(Debug)]
pub struct EmbeddedStorage {
    file: Arc<File>,
    epoch: u64,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    database: Database,
}

impl EmbeddedStorage {
    /// Opens the registry of a work directory, or makes an empty one, and counts this leadership: its
    /// epoch is larger than that of every earlier one here, and never below `epoch_min`.
    ///
    /// # Errors
    ///
    /// [`StorageError::InUse`] when another process has it open, [`StorageError::Newer`] when a newer
    /// version wrote it, [`StorageError::Broken`] otherwise.
    pub fn open(work_dir: &Path, epoch_min: u64) -> Result<Self, StorageError> {
        let path = work_dir.join(FILE);
        let opened = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path);
        let database = match opened {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StorageError::InUse { path }),
            Err(error) => return Err(unreadable(&path)(error)),
        };
        let file = File { path, database };
        let epoch = file.lead(epoch_min)?;
        let file = Arc::new(file);
        Ok(Self { file, epoch })
    }

    /// The number of this leadership; agents refuse smaller ones than they have seen.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Storage for EmbeddedStorage {
    async fn load(&mut self) -> Result<Registry, StorageError> {
        let file = Arc::clone(&self.file);
        aside(move || file.load()).await
    }

    async fn store(
        &mut self,
        operations: &[Operation],
        registry: &Registry,
    ) -> Result<(), StorageError> {
        let changed: Vec<AgentId> = operations.iter().map(Operation::agent_id).collect();
        let registry = registry.clone();
        let file = Arc::clone(&self.file);
        aside(move || file.store(&changed, &registry)).await
    }
}

/// The disk must not hold up the other tasks of the master.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

impl File {
    /// Checks the format and counts the epoch up, durably.
    fn lead(&self, epoch_min: u64) -> Result<u64, StorageError> {
        self.write(|transaction| {
            let mut numbers = transaction.open_table(NUMBERS).map_err(self.unreadable())?;
            let number = |name| -> Result<Option<u64>, StorageError> {
                let found = numbers.get(name).map_err(self.unreadable())?;
                Ok(found.map(|value| value.value()))
            };
            let format = number("format")?.unwrap_or(FORMAT);
            if format > FORMAT {
                let path = self.path.clone();
                return Err(StorageError::Newer { path, format });
            }
            let epoch = number("epoch")?.map_or(epoch_min, |last| epoch_min.max(last + 1));
            for (name, value) in [("format", FORMAT), ("epoch", epoch)] {
                numbers.insert(name, value).map_err(self.unwritable())?;
            }
            drop(numbers);
            transaction.open_table(AGENTS).map_err(self.unreadable())?;
            let unreachable = transaction.open_table(UNREACHABLE);
            unreachable.map_err(self.unreadable())?;
            Ok(epoch)
        })
    }

    fn load(&self) -> Result<Registry, StorageError> {
        let mut registry = Registry::default();
        let transaction = self.database.begin_read().map_err(self.unreadable())?;
        let agents = transaction.open_table(AGENTS).map_err(self.unreadable())?;
        for row in agents.iter().map_err(self.unreadable())? {
            let (id, bytes) = row.map_err(self.unreadable())?;
            let info: v1::AgentInfo = decode(bytes.value())
                .map_err(|error| self.broken("read", format!("agent {}: {error}", id.value())))?;
            registry
                .agents
                .insert(AgentId::new(id.value()), Arc::new(info));
        }
        let unreachable = transaction
            .open_table(UNREACHABLE)
            .map_err(self.unreadable())?;
        for row in unreachable.iter().map_err(self.unreadable())? {
            let (id, since) = row.map_err(self.unreadable())?;
            let since = Timestamp(since.value());
            registry.unreachable.insert(AgentId::new(id.value()), since);
        }
        Ok(registry)
    }

    /// Writes what the registry says of the changed agents; on disk when it returns.
    fn store(&self, changed: &[AgentId], registry: &Registry) -> Result<(), StorageError> {
        self.write(|transaction| {
            let mut agents = transaction.open_table(AGENTS).map_err(self.unreadable())?;
            let mut unreachable = transaction
                .open_table(UNREACHABLE)
                .map_err(self.unreadable())?;
            for id in changed {
                let admitted = match registry.agents.get(id) {
                    Some(info) => agents.insert(id.as_str(), info.encode_to_vec().as_slice()),
                    None => agents.remove(id.as_str()),
                };
                admitted.map_err(self.unwritable())?;
                let silent = match registry.unreachable.get(id) {
                    Some(since) => unreachable.insert(id.as_str(), since.0),
                    None => unreachable.remove(id.as_str()),
                };
                silent.map_err(self.unwritable())?;
            }
            Ok(())
        })
    }

    /// One transaction, durable at the end or without effect.
    fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let transaction = self.database.begin_write().map_err(self.unwritable())?;
        let result = change(&transaction)?;
        transaction.commit().map_err(self.unwritable())?;
        Ok(result)
    }

    fn unreadable<E: std::fmt::Display>(&self) -> impl FnOnce(E) -> StorageError {
        unreadable(&self.path)
    }

    fn unwritable<E: std::fmt::Display>(&self) -> impl FnOnce(E) -> StorageError {
        |error| self.broken("written", error.to_string())
    }

    fn broken(&self, verb: &'static str, message: String) -> StorageError {
        broken(&self.path, verb, message)
    }
}

fn unreadable<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> StorageError {
    |error| broken(path, "read", error.to_string())
}

fn broken(path: &Path, verb: &'static str, message: String) -> StorageError {
    let path = path.to_owned();
    StorageError::Broken {
        path,
        verb,
        message,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn info(hostname: &str) -> Arc<v1::AgentInfo> {
        Arc::new(v1::AgentInfo {
            hostname: hostname.to_owned(),
            ..v1::AgentInfo::default()
        })
    }

    async fn apply(storage: &mut EmbeddedStorage, registry: &mut Registry, batch: &[Operation]) {
        for operation in batch {
            operation.apply(registry).unwrap();
        }
        storage.store(batch, registry).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_stored_is_there_in_the_next_life() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        let mut registry = storage.load().await.unwrap();
        assert_eq!(registry, Registry::default());
        let [first, second, third] = ["m-S0", "m-S1", "m-S2"].map(AgentId::new);
        let admissions = [&first, &second, &third].map(|id| Operation::AdmitAgent {
            agent_id: id.clone(),
            info: info(id.as_str()),
        });
        apply(&mut storage, &mut registry, &admissions).await;
        let changes = [
            Operation::MarkUnreachable {
                agent_id: first.clone(),
                at: Timestamp(42),
            },
            Operation::RemoveAgent { agent_id: second },
            Operation::UpdateAgent {
                agent_id: third,
                info: info("renamed"),
            },
        ];
        apply(&mut storage, &mut registry, &changes).await;
        drop(storage);

        let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        assert_eq!(storage.load().await.unwrap(), registry);
        let back = Operation::MarkReachable {
            agent_id: first,
            info: info("back"),
        };
        apply(&mut storage, &mut registry, &[back]).await;
        drop(storage);
        let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        assert_eq!(storage.load().await.unwrap(), registry);
        assert!(registry.unreachable.is_empty());
    }

    #[test]
    fn each_leadership_has_a_larger_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let mut last = 0;
        for epoch_min in [1, 1, 100, 50, 50] {
            let storage = EmbeddedStorage::open(folder.path(), epoch_min).unwrap();
            assert!(storage.epoch() > last && storage.epoch() >= epoch_min);
            last = storage.epoch();
        }
    }

    #[test]
    fn a_second_master_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = EmbeddedStorage::open(folder.path(), 1).unwrap();
        let second = EmbeddedStorage::open(folder.path(), 1);
        assert!(matches!(second, Err(StorageError::InUse { .. })));
    }

    #[test]
    fn foreign_and_newer_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, b"no database at all").unwrap();
        let error = EmbeddedStorage::open(folder.path(), 1).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&path.display().to_string()) && text.contains("move"),
            "{text}"
        );
        std::fs::remove_file(&path).unwrap();

        let storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        let newer = |transaction: &WriteTransaction| {
            let mut numbers = transaction.open_table(NUMBERS).unwrap();
            numbers.insert("format", FORMAT + 1).unwrap();
            Ok(())
        };
        storage.file.write(newer).unwrap();
        drop(storage);
        let error = EmbeddedStorage::open(folder.path(), 1).unwrap_err();
        assert!(matches!(error, StorageError::Newer { format: 2, .. }));
    }

    #[tokio::test]
    async fn damage_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        let mut registry = Registry::default();
        let admissions: Vec<_> = (0..50)
            .map(|number| Operation::AdmitAgent {
                agent_id: AgentId::new(format!("m-S{number}")),
                info: info(&"x".repeat(1_000)),
            })
            .collect();
        apply(&mut storage, &mut registry, &admissions).await;
        drop(storage);
        let whole = std::fs::read(&path).unwrap();
        // Shorter than it says: a torn copy.
        for kept in [0, 1, 64, 511, 4_096, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..kept]).unwrap();
            let Ok(mut storage) = EmbeddedStorage::open(folder.path(), 1) else {
                continue;
            };
            if let Ok(read) = storage.load().await {
                assert!(read == registry || read == Registry::default(), "{kept}");
            }
        }
    }
}
