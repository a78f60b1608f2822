//! Shell: isolators, one file each, named as in Mesos' `--isolation`. Their calls block: they are made
//! from blocking threads.

mod cgroups_cpu;
mod cgroups_mem;
mod cgroups_pids;
mod choose;
mod filesystem_linux;
mod filesystem_posix;
mod isolator;
mod namespaces_pid;
mod posix_cpu;
mod posix_mem;
mod posix_rlimits;
mod process_usage;
mod requests;

pub use choose::{Chosen, IsolationError, Settings, choose};
pub use isolator::{Isolated, Isolator, IsolatorError};
pub use requests::Requests;

pub(super) use filesystem_linux::TMP_MODE;
pub(super) use posix_rlimits::planned_limits;
