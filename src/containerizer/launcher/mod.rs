//! Shell: what starts a container's supervisor and keeps hold of its processes.

pub mod posix;
mod program;
mod spawn;
pub mod spawner;

pub use program::SealedProgram;
pub(in crate::containerizer) use spawn::plan_file;
pub use spawn::{Spawned, Spawner};
