//! A registry that lives as long as its process: `--registry=in_memory`, `--role=local`, tests.

use super::{Storage, StorageError};
use crate::registry::{Operation, Registry};

/// Keeps the registry in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    registry: Registry,
}

impl Storage for MemoryStorage {
    async fn load(&mut self) -> Result<Registry, StorageError> {
        Ok(self.registry.clone())
    }

    async fn store(&mut self, _: &[Operation], registry: &Registry) -> Result<(), StorageError> {
        self.registry = registry.clone();
        Ok(())
    }
}
