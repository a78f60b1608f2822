//! Shell: stores the registry: operations come in, are applied in order, stored in batches, and
//! answered when they are durable.

mod keeper;
mod storage;

pub use keeper::{Answer, Recovered, Registrar, RegistrarError, recover};
pub use storage::fence;
pub use storage::{
    EmbeddedStorage, MemoryStorage, Record, Storage, StorageError, ZooKeeperStorage, read_records,
    replace_records,
};
