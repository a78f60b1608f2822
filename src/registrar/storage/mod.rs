//! Shell: where a registry is kept.

mod embedded;
pub mod fence;
mod memory;
mod zookeeper;

use std::future::Future;
use std::path::PathBuf;

use crate::registry::{Operation, Registry};

pub use embedded::EmbeddedStorage;
pub use memory::MemoryStorage;
pub use zookeeper::{ZooKeeperStorage, read_records, replace_records};

/// Why a store cannot be read or written. None of these is repaired by trying again.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store's content or medium is broken.
    #[error(
        "the registry {} cannot be {verb}: {message}; 'mesosd registry check --work_dir=...' lists what is wrong; \
         with the file moved away the master starts with an empty registry, and agents come back to it by \
         themselves", path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// What the store says.
        message: String,
    },
    /// A part of it in ZooKeeper is broken, or cannot be had.
    #[error(
        "the registry in ZooKeeper cannot be used: {path}: {message}; 'mesosd registry check --zk=...' lists \
         all that is wrong, 'mesosd registry import' replaces it"
    )]
    ZooKeeper {
        /// The znode.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// Masters contend for it.
    #[error(
        "masters contend at {path} in ZooKeeper: stop them all before the registry is replaced"
    )]
    Led {
        /// Their path.
        path: String,
    },
    /// Another process has it open.
    #[error("the registry {} is open in another master; each needs a --work_dir of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error(
        "the registry {} has format {format}, which is newer than this mesosd: use the version that wrote it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        format: u64,
    },
    /// Another master leads: nothing of ours is accepted any more.
    #[error("another master has taken over the registry")]
    Fenced,
}

/// One record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its znode, or its key where it is no file of its own.
    pub path: String,
    /// Its subject's key.
    pub key: String,
    /// Its content.
    pub data: Vec<u8>,
}

/// A durable place for one registry, written by one master at a time.
pub trait Storage: Send + 'static {
    /// Largest record that it takes, in bytes. Operations that would make a larger one are refused before
    /// they come here, and cost nobody but who wanted them.
    fn record_bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Reads what the last `store` wrote; an empty registry when there never was one.
    fn load(&mut self) -> impl Future<Output = Result<Registry, StorageError>> + Send;

    /// Makes `registry` durable. `operations` are what led to it since the last call, for stores
    /// that keep one record per thing. After an error nothing else is stored.
    fn store(
        &mut self,
        operations: &[Operation],
        registry: &Registry,
    ) -> impl Future<Output = Result<(), StorageError>> + Send;
}
