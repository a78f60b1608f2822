//! Builders, manual clock and planted bugs; only with the feature `testing`.

pub mod planted;
mod skip;

pub use skip::{is_root, skip};
