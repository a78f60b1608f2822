//! A registry in one file of `--work_dir`: the store of a master that leads alone
//! (`--registry=replicated_log`, Mesos' name for a registry that survives).
//!
//! ```text
//! registry.redb   records: "agent/<id>", "weight/<role>", ... -> the record of one subject
//!                 numbers: "format", "epoch"
//! ```
//!
//! Format 1, of the versions that knew agents only, had the tables `agents` (id -> AgentInfo) and
//! `unreachable` (id -> nanoseconds since 1970); opening such a file brings it up to date.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    WriteTransaction,
};

use super::{Record, Storage, StorageError};
use crate::base::{AgentId, Timestamp};
use crate::proto::{decode, v1};
use crate::registry::{Operation, Registry, Subject};

/// The file below `--work_dir`.
const FILE: &str = "registry.redb";
/// What this version writes; a larger number was written by a newer one.
const FORMAT: u64 = 2;
/// Memory for pages. The registry itself is in the master's memory.
const CACHE_BYTES: usize = 4 << 20;

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// Of format 1.
const AGENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("agents");
/// Of format 1.
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
        let made = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path);
        let database = opened(&path, made)?;
        let file = File { path, database };
        let epoch = file.lead(epoch_min)?;
        let file = Arc::new(file);
        Ok(Self { file, epoch })
    }

    /// All records of the registry of a work directory, sorted by key; nothing is changed.
    ///
    /// # Errors
    ///
    /// As for [`EmbeddedStorage::open`], and when there is no registry.
    pub fn records(work_dir: &Path) -> Result<Vec<Record>, StorageError> {
        let path = work_dir.join(FILE);
        let database = opened(&path, Database::open(&path))?;
        let file = File { path, database };
        let transaction = file.database.begin_write().map_err(file.unwritable())?;
        file.check_format(&transaction)?;
        let mut records = Vec::new();
        {
            let table = transaction.open_table(RECORDS).map_err(file.unreadable())?;
            for row in table.iter().map_err(file.unreadable())? {
                let (key, data) = row.map_err(file.unreadable())?;
                records.push(Record {
                    path: key.value().to_owned(),
                    key: key.value().to_owned(),
                    data: data.value().to_vec(),
                });
            }
        }
        // An older format was only brought up to date to be read.
        transaction.abort().map_err(file.unreadable())?;
        Ok(records)
    }

    /// Replaces the registry of a work directory, which no master has open, or makes it.
    ///
    /// # Errors
    ///
    /// As for [`EmbeddedStorage::open`].
    pub fn replace(work_dir: &Path, records: &[(String, Vec<u8>)]) -> Result<(), StorageError> {
        let Self { file, .. } = Self::open(work_dir, 1)?;
        file.write(|transaction| {
            let emptied = transaction.delete_table(RECORDS);
            emptied.map_err(file.unwritable())?;
            let mut table = transaction.open_table(RECORDS).map_err(file.unreadable())?;
            for (key, data) in records {
                let done = table.insert(key.as_str(), data.as_slice());
                done.map_err(file.unwritable())?;
            }
            Ok(())
        })
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
        let changed: BTreeSet<Subject> = operations.iter().flat_map(Operation::subjects).collect();
        let registry = registry.clone();
        let file = Arc::clone(&self.file);
        aside(move || file.store(changed, &registry)).await
    }
}

fn opened(
    path: &Path,
    database: Result<Database, DatabaseError>,
) -> Result<Database, StorageError> {
    database.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StorageError::InUse {
            path: path.to_owned(),
        },
        error => unreadable(path)(error),
    })
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
            let last = self.check_format(transaction)?;
            let epoch = last.map_or(epoch_min, |last| epoch_min.max(last + 1));
            let mut numbers = transaction.open_table(NUMBERS).map_err(self.unreadable())?;
            for (name, value) in [("format", FORMAT), ("epoch", epoch)] {
                numbers.insert(name, value).map_err(self.unwritable())?;
            }
            Ok(epoch)
        })
    }

    /// Refuses newer formats, brings older ones up to date, and gives the last epoch.
    fn check_format(&self, transaction: &WriteTransaction) -> Result<Option<u64>, StorageError> {
        let numbers = transaction.open_table(NUMBERS).map_err(self.unreadable())?;
        let number = |name| -> Result<Option<u64>, StorageError> {
            let found = numbers.get(name).map_err(self.unreadable())?;
            Ok(found.map(|value| value.value()))
        };
        let format = number("format")?.unwrap_or(FORMAT);
        if format > FORMAT {
            let path = self.path.clone();
            return Err(StorageError::Newer { path, format });
        }
        let epoch = number("epoch")?;
        if format == 1 {
            self.bring_up_to_date(transaction)?;
        }
        transaction.open_table(RECORDS).map_err(self.unreadable())?;
        Ok(epoch)
    }

    /// Rewrites what format 1 kept as records.
    fn bring_up_to_date(&self, transaction: &WriteTransaction) -> Result<(), StorageError> {
        let mut registry = Registry::default();
        let agents = transaction.open_table(AGENTS).map_err(self.unreadable())?;
        for row in agents.iter().map_err(self.unreadable())? {
            let (id, bytes) = row.map_err(self.unreadable())?;
            let info: v1::AgentInfo = decode(bytes.value())
                .map_err(|error| self.broken("read", format!("agent {}: {error}", id.value())))?;
            let id = AgentId::new(id.value());
            registry.agents.insert(id, Arc::new(info));
        }
        let unreachable = transaction.open_table(UNREACHABLE);
        let unreachable = unreachable.map_err(self.unreadable())?;
        for row in unreachable.iter().map_err(self.unreadable())? {
            let (id, since) = row.map_err(self.unreadable())?;
            let since = Timestamp(since.value());
            registry.unreachable.insert(AgentId::new(id.value()), since);
        }
        drop((agents, unreachable));
        self.put(transaction, registry.subjects(), &registry)?;
        for table in [
            transaction.delete_table(AGENTS),
            transaction.delete_table(UNREACHABLE),
        ] {
            table.map_err(self.unwritable())?;
        }
        Ok(())
    }

    fn load(&self) -> Result<Registry, StorageError> {
        let mut registry = Registry::default();
        let transaction = self.database.begin_read().map_err(self.unreadable())?;
        let records = transaction.open_table(RECORDS).map_err(self.unreadable())?;
        for row in records.iter().map_err(self.unreadable())? {
            let (key, bytes) = row.map_err(self.unreadable())?;
            let subject = Subject::from_key(key.value())
                .ok_or_else(|| self.broken("read", format!("no record is '{}'", key.value())))?;
            registry
                .restore(&subject, bytes.value())
                .map_err(|error| self.broken("read", error.to_string()))?;
        }
        Ok(registry)
    }

    /// Writes what the registry says of the changed subjects; on disk when it returns.
    fn store(&self, changed: BTreeSet<Subject>, registry: &Registry) -> Result<(), StorageError> {
        self.write(|transaction| self.put(transaction, changed, registry))
    }

    fn put(
        &self,
        transaction: &WriteTransaction,
        subjects: impl IntoIterator<Item = Subject>,
        registry: &Registry,
    ) -> Result<(), StorageError> {
        let mut records = transaction.open_table(RECORDS).map_err(self.unreadable())?;
        for subject in subjects {
            let key = subject.to_string();
            let done = match registry.record(&subject) {
                Some(record) => records.insert(key.as_str(), record.as_slice()),
                None => records.remove(key.as_str()),
            };
            done.map_err(self.unwritable())?;
        }
        Ok(())
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

    #[tokio::test]
    async fn every_kind_of_record_comes_back() {
        use crate::registry::{Drain, DrainState, Maintenance, Standing};
        use crate::roles::{Role, Weight};
        let folder = tempfile::tempdir().unwrap();
        let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        let mut registry = Registry::default();
        let (first, second) = (AgentId::new("m-S0"), AgentId::new("m-S1"));
        let role = Role::parse("ads/batch").unwrap();
        let machine = v1::MachineId {
            hostname: Some("a".to_owned()),
            ip: Some("10.0.0.1".to_owned()),
        };
        let schedule = v1::maintenance::Schedule {
            windows: vec![v1::maintenance::Window {
                machine_ids: vec![machine.clone()],
                unavailability: v1::Unavailability {
                    start: v1::TimeInfo { nanoseconds: 7 },
                    duration: Some(v1::DurationInfo { nanoseconds: 8 }),
                },
            }],
        };
        let admit = |id: &AgentId| Operation::AdmitAgent {
            agent_id: id.clone(),
            info: info(id.as_str()),
        };
        let quota = v1::quota::QuotaConfig {
            role: "ads".to_owned(),
            limits: [("cpus".to_owned(), v1::value::Scalar { value: 2.5 })].into(),
            ..v1::quota::QuotaConfig::default()
        };
        let framework = v1::FrameworkInfo {
            name: "shop".to_owned(),
            failover_timeout: Some(60.0),
            ..v1::FrameworkInfo::default()
        };
        let batch = [
            admit(&first),
            admit(&second),
            Operation::SetStanding {
                agent_id: first,
                standing: Standing {
                    deactivated: true,
                    drain: Some(Drain {
                        state: DrainState::Drained,
                        grace_max: Some(std::time::Duration::from_secs(5)),
                        mark_gone: true,
                    }),
                },
            },
            Operation::MarkGone {
                agent_id: second,
                at: Timestamp(5),
            },
            Operation::SetWeights {
                weights: [(role.clone(), Weight::new(2.5).unwrap())].into(),
            },
            Operation::SetQuotas {
                quotas: crate::quota::from_configs(&[quota]).unwrap(),
            },
            Operation::SetSchedule {
                windows: Maintenance::read_schedule(&schedule).unwrap(),
            },
            Operation::StartMaintenance {
                machines: Maintenance::read_machines(&[machine]).unwrap(),
            },
            Operation::KeepFramework {
                framework_id: crate::base::FrameworkId::new("m-0000"),
                info: Arc::new(framework),
            },
        ];
        apply(&mut storage, &mut registry, &batch).await;
        drop(storage);
        let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        assert_eq!(storage.load().await.unwrap(), registry);
        assert_eq!(registry.subjects().count(), 6);
    }

    /// Writes a file as the versions before format 2 did.
    fn write_format_1(folder: &Path, admitted: &[&str], unreachable: &[(&str, u64)]) {
        use prost::Message as _;
        let database = Database::builder().create(folder.join(FILE)).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut numbers = transaction.open_table(NUMBERS).unwrap();
        numbers.insert("format", 1).unwrap();
        numbers.insert("epoch", 41).unwrap();
        drop(numbers);
        let mut agents = transaction.open_table(AGENTS).unwrap();
        for id in admitted {
            let bytes = info(id).encode_to_vec();
            agents.insert(*id, bytes.as_slice()).unwrap();
        }
        drop(agents);
        let mut silent = transaction.open_table(UNREACHABLE).unwrap();
        for (id, since) in unreachable {
            silent.insert(*id, *since).unwrap();
        }
        drop(silent);
        transaction.commit().unwrap();
    }

    #[tokio::test]
    async fn a_file_of_an_older_version_is_read_and_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        write_format_1(folder.path(), &["m-S0", "m-S1"], &[("m-S2", 42)]);
        let mut registry = Registry::default();
        for id in ["m-S0", "m-S1"] {
            registry.agents.insert(AgentId::new(id), info(id));
        }
        let silent = AgentId::new("m-S2");
        registry.unreachable.insert(silent, Timestamp(42));
        for epoch in [42, 43] {
            let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
            assert_eq!(storage.epoch(), epoch, "leaderships are still counted");
            assert_eq!(storage.load().await.unwrap(), registry);
        }
    }

    #[tokio::test]
    async fn a_record_that_makes_no_sense_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        for (key, bytes, expected) in [
            (
                "agent/m-S0",
                &b""[..],
                "agent/m-S0: the record must say one of",
            ),
            ("framework/m-0", b"\xff", "framework/m-0: "),
            ("elsewhere/x", b"", "no record is 'elsewhere/x'"),
        ] {
            let written = storage.file.write(|transaction| {
                let mut records = transaction.open_table(RECORDS).unwrap();
                records.insert(key, bytes).unwrap();
                Ok(())
            });
            written.unwrap();
            let text = storage.load().await.unwrap_err().to_string();
            assert!(text.contains(expected) && text.contains(FILE), "{text}");
            let removed = storage.file.write(|transaction| {
                transaction
                    .open_table(RECORDS)
                    .unwrap()
                    .remove(key)
                    .unwrap();
                Ok(())
            });
            removed.unwrap();
        }
    }

    #[tokio::test]
    async fn records_can_be_taken_out_and_put_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(EmbeddedStorage::records(folder.path()).is_err());
        let mut storage = EmbeddedStorage::open(folder.path(), 7).unwrap();
        let mut registry = Registry::default();
        let admissions = ["m-S0", "m-S1"].map(|id| Operation::AdmitAgent {
            agent_id: AgentId::new(id),
            info: info(id),
        });
        apply(&mut storage, &mut registry, &admissions).await;
        let busy = EmbeddedStorage::records(folder.path());
        assert!(matches!(busy, Err(StorageError::InUse { .. })));
        drop(storage);
        let records = EmbeddedStorage::records(folder.path()).unwrap();
        let keys: Vec<&str> = records.iter().map(|record| &*record.key).collect();
        assert_eq!(keys, ["agent/m-S0", "agent/m-S1"]);
        let one = [(records[1].key.clone(), records[1].data.clone())];
        EmbeddedStorage::replace(folder.path(), &one).unwrap();
        let mut storage = EmbeddedStorage::open(folder.path(), 1).unwrap();
        assert!(storage.epoch() > 7, "the epoch goes on");
        let read = storage.load().await.unwrap();
        assert_eq!(read.agents.keys().next(), Some(&AgentId::new("m-S1")));
        assert_eq!(read.agents.len(), 1);
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
        assert!(matches!(error, StorageError::Newer { format: 3, .. }));
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
