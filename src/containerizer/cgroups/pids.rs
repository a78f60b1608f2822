//! The pids controller: how many processes and threads a task may have.

use super::files::{self, CgroupError};
use super::mounts::Controller;
use super::tree::{Level, Tree};

/// Bounds the task's processes and threads.
pub fn limit(tree: &Tree, most: u64) -> Result<(), CgroupError> {
    let Some((_, path)) = tree.directory(Controller::Pids, Level::Task) else {
        return Ok(());
    };
    files::write_exact(&path.join("pids.max"), &most.to_string())
}

/// How many processes and threads the task has.
pub fn usage(tree: &Tree) -> Result<Option<u64>, CgroupError> {
    let Some((_, path)) = tree.directory(Controller::Pids, Level::Task) else {
        return Ok(None);
    };
    files::read_number(&path.join("pids.current")).map(Some)
}
