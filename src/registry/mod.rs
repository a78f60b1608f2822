//! Core: the durable facts of a cluster and the operations on them.
//!
//! A [`Registry`] is a value; [`Operation`]s are the only way to change it, and each is idempotent
//! in the sense that applying it to a registry that already has its effect changes nothing (or is
//! refused by name). The registrar stores what the operations make.

mod operation;
mod state;

pub use operation::{Mutated, Operation, RegistryRefused};
pub use state::Registry;
