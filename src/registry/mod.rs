//! Core: the durable facts of a cluster and the operations on them.
//!
//! A [`Registry`] is a value; [`Operation`]s are the only way to change it, and each is idempotent
//! in the sense that applying it to a registry that already has its effect changes nothing (or is
//! refused by name). The registrar stores what the operations make: one record for each
//! [`Subject`] that an operation touches, as bytes that every store keeps alike.
//!
//! ```text
//! Operation --apply--> Registry --record(Subject)--> bytes --store, load, restore--> Registry
//! ```

mod maintenance;
mod operation;
mod record;
mod standing;
mod state;
mod subject;

pub use maintenance::{MachineError, MachineId, Maintenance, MaintenanceRefused, Window};
pub use operation::{Mutated, Operation, RegistryRefused};
pub use record::RecordError;
pub use standing::{Drain, DrainState, Standing};
pub use state::Registry;
pub use subject::Subject;
