//! Builders, manual clock, a real ZooKeeper, an agent without containers, silent wires and planted bugs; only
//! with the feature `testing`.

pub mod agent;
pub mod ensemble;
pub mod planted;
mod skip;
pub mod wire;

pub use skip::{is_root, skip};
