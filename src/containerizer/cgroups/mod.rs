//! Shell: control groups, through plain files: version 1 (a tree per controller), version 2 (one tree)
//! and hybrid hosts, where each controller is taken from the version that has it.
//!
//! Per container and tree: `<mount>/<root>/<container>/{supervisor,task}`. Shares and quota sit on the
//! container, memory and process limits on the `task` leaf. Every limit is read back after writing;
//! nothing above our own root is written, except that version 2 needs controllers enabled on the way.

pub mod cpu;
mod files;
mod host;
mod kill;
pub mod memory;
mod mounts;
pub mod oom;
pub mod pids;
mod tree;

pub use files::CgroupError;
pub use host::Host;
pub use mounts::{Controller, Hierarchy, Mounts};
pub use tree::{Level, Tree};
