//! Core: checks of what peers send, returning proof types.
//!
//! Each file checks one thing and answers with a `Valid...` that nothing else can make, or with the
//! first [`Invalid`]: the field's path and the reason, one clear line for `TASK_ERROR` and replies.

pub mod agent;
pub mod framework;
pub mod offer;
pub mod operation;
pub mod task;
pub mod task_group;

mod command;
mod container;
mod context;
mod executor;
mod health;
mod invalid;
mod limits;
mod resources;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

pub use context::{Context, Known};
pub use executor::ValidExecutor;
pub use invalid::{Invalid, Reason};
