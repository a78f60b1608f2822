//! Shell: options of the daemons: command line, environment, configuration files, defaults.
//!
//! A flag is one field of one struct, with its help, default, name and type; `--help`, `/flags`, the
//! environment variables, the keys of files and the samples in `config/` follow from it.

mod agent;
mod argv;
mod containers;
mod definition;
mod directory;
mod domain;
mod error;
mod files;
mod load;
mod local;
mod master;
mod sources;
mod toml_file;
mod value;
mod whitelist;
mod zookeeper;

#[cfg(test)]
mod tests;

pub use agent::{
    AgentFlags, ExecutorFlags, OfferingFlags, ReconfigurationPolicy, RecoverMode, RecoveryFlags,
    SandboxFlags,
};
pub use containers::{CgroupFlags, ContainerFlags, ContainerizerKind, FetcherFlags, LauncherKind};
pub use definition::{RoleFlags, definition};
pub use domain::Domain;
pub use error::{FlagError, Origin};
pub use load::{Loaded, Request, World, load, role_of};
pub use local::LocalFlags;
pub use master::{ClusterFlags, MasterFlags, RegistryKind};
pub use sources::{AccessFlags, LoggingFlags, NetworkFlags, SourceFlags};
pub(crate) use value::redacted;
pub use value::{MasterAddress, MinAllocatable, ResourceNames, TextMap, TextOrFile};
pub use whitelist::Whitelist;
pub use zookeeper::{ElectionFlags, ZooKeeperFlags};

/// Port of a master unless told otherwise.
pub const MASTER_PORT: u16 = 5050;
/// Port of an agent unless told otherwise.
pub const AGENT_PORT: u16 = 5051;

/// Heading of the flags that are taken so that an existing configuration works, and do nothing.
const COMPATIBILITY: &str = "Accepted for compatibility, without effect in this version";
