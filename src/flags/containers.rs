//! Flags of containers, cgroups and the fetcher: of agents, and of `--role=local`.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::value::duration_between;
use crate::base::parse_duration;

/// The kinds of containers that an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ContainerizerKind {
    /// The native one.
    Mesos,
    /// Mesos' Docker containerizer, which this version does not have.
    Docker,
}

/// Who starts processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LauncherKind {
    /// With namespaces and cgroups.
    Linux,
    /// As process groups.
    Posix,
}

/// How tasks are run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Containers", rename_all = "snake_case")]
pub struct ContainerFlags {
    /// Containerizers, joined by commas; `docker` is accepted next to `mesos`, but this version
    /// refuses tasks that need it.
    #[arg(
        long,
        value_name = "NAMES",
        value_enum,
        value_delimiter = ',',
        default_value = "mesos"
    )]
    pub containerizers: Vec<ContainerizerKind>,
    /// Isolators, joined by commas: posix/cpu, posix/mem, posix/rlimits, cgroups/cpu, cgroups/mem,
    /// cgroups/pids, namespaces/pid, filesystem/linux, filesystem/posix; without it all that the
    /// launcher can do (Mesos: posix/cpu,posix/mem).
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub isolation: Vec<String>,
    /// Who starts processes; without it `linux` as root, `posix` otherwise.
    #[arg(long, value_name = "LAUNCHER", value_enum)]
    pub launcher: Option<LauncherKind>,
    /// Whether tasks run as the user that they name; otherwise as the agent's.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub switch_user: bool,
}

/// Limits through cgroups.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cgroups", rename_all = "snake_case")]
pub struct CgroupFlags {
    /// Whether a task gets no more CPU time than it asked for, even on an idle host.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    pub cgroups_enable_cfs: bool,
    /// Name of the cgroup above all containers.
    #[arg(long, value_name = "NAME", default_value = "mesos")]
    pub cgroups_root: String,
    /// Whether the memory limit holds for memory and swap together.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    pub cgroups_limit_swap: bool,
    /// Most processes and threads of a task, with the isolator cgroups/pids.
    #[arg(long, value_name = "COUNT", default_value = "4096")]
    pub cgroups_pids_max: NonZeroU64,
    /// Time that killing everything in a cgroup may take.
    #[arg(long, value_name = "DURATION", default_value = "1mins", value_parser = parse_duration)]
    pub cgroups_destroy_timeout: Duration,
}

/// Getting URIs into sandboxes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fetcher", rename_all = "snake_case")]
pub struct FetcherFlags {
    /// Time without a byte after which a download is given up.
    #[arg(long, value_name = "DURATION", default_value = "1mins",
          value_parser = duration_between(Duration::from_secs(1), Duration::from_secs(86_400)))]
    pub fetcher_stall_timeout: Duration,
    /// Directory that relative URIs start from.
    #[arg(long, value_name = "DIR", default_value = "")]
    pub frameworks_home: String,
}
