//! What a containerizer must be told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::fetch::Fetcher;
use super::plan::GroupsPlan;
use crate::telemetry::Counter;

/// Which launcher is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LauncherChoice {
    /// Linux if this process is root and the host has cgroups, otherwise posix, with a notice.
    #[default]
    Auto,
    /// `--launcher=linux`: cgroups and namespaces, or refuse to start.
    Linux,
    /// `--launcher=posix`.
    Posix,
}

/// The containerizer's settings; flags of the agent with the same names.
#[derive(Clone, Debug)]
pub struct ContainerizerConfig {
    /// `--runtime_dir`: lost at reboot, private to the agent.
    pub runtime_dir: PathBuf,
    /// `--launcher`.
    pub launcher: LauncherChoice,
    /// `--isolation`; empty means everything that the launcher can do.
    pub isolation: Vec<String>,
    /// `--cgroups_root`.
    pub cgroups_root: String,
    /// `--cgroups_enable_cfs`.
    pub cfs: bool,
    /// `--cgroups_limit_swap`.
    pub limit_swap: bool,
    /// Most processes and threads of a task.
    pub pids_max: u64,
    /// `--cgroups_destroy_timeout`: how long to try to kill and remove a container.
    pub destroy_timeout: Duration,
    /// Where the agent listens for built-in executors.
    pub executor_socket: PathBuf,
    /// The program that supervisors execute; this one.
    pub program: PathBuf,
    /// Brings files into sandboxes.
    pub fetcher: Arc<dyn Fetcher>,
    /// How default executors bring the files of their tasks.
    pub groups: GroupsPlan,
    /// Counts containers of which something could not be removed.
    pub destroy_errors: Counter,
}

/// Enough for thread-rich services, far below the kernel's 32768 or 4194304.
const PIDS_MAX: u64 = 4096;

impl ContainerizerConfig {
    /// The defaults of the flags.
    #[must_use]
    pub fn new(runtime_dir: PathBuf, fetcher: Arc<dyn Fetcher>) -> Self {
        Self {
            executor_socket: runtime_dir.join("executor.sock"),
            runtime_dir,
            launcher: LauncherChoice::Auto,
            isolation: Vec::new(),
            cgroups_root: "mesos".to_owned(),
            cfs: false,
            limit_swap: false,
            pids_max: PIDS_MAX,
            destroy_timeout: Duration::from_secs(60),
            program: "/proc/self/exe".into(),
            fetcher,
            groups: GroupsPlan::default(),
            destroy_errors: Counter::default(),
        }
    }
}
