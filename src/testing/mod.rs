//! Builders, manual clock, a real ZooKeeper and planted bugs; only with the feature `testing`.

pub mod ensemble;
pub mod planted;
mod skip;

pub use skip::{is_root, skip};
