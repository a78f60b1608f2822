//! Core: what an agent writes down, where every path of `work_dir` is, and how records fold into the
//! state of a restarted agent. `journal` is the shell that owns the file.

mod fold;
mod format;
mod history;
mod journal;
mod paths;
mod record;

pub use fold::{
    Checkpointed, CheckpointedAgent, CheckpointedExecutor, CheckpointedTask, CheckpointedUpdates,
};
pub use format::{Damage, MAGIC, Replayed, append, replay};
pub use history::{EndedRun, History};
#[cfg(test)]
pub(super) use journal::parse;
pub use journal::{Journal, JournalError, Keeping};
pub use paths::{Paths, VolumePath};
pub use record::{CheckpointToken, Durability, Record};
