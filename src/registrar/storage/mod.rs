//! Shell: where a registry is kept.

mod memory;

use std::future::Future;

use crate::registry::{Operation, Registry};

pub use memory::MemoryStorage;

/// Why a store cannot be read or written. None of these is repaired by trying again.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store's content or medium is broken.
    #[error("the registry store cannot be {verb}: {message}")]
    Broken {
        /// `read` or `written`.
        verb: &'static str,
        /// What the store says.
        message: String,
    },
    /// Another master leads: nothing of ours is accepted any more.
    #[error("another master has taken over the registry")]
    Fenced,
}

/// A durable place for one registry, written by one master at a time.
pub trait Storage: Send + 'static {
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
