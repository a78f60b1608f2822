//! Flags of `--role=local`: master and agent in one process.

use std::path::PathBuf;

use clap::Args;

use super::agent::{ExecutorFlags, OfferingFlags, SandboxFlags};
use super::containers::{CgroupFlags, ContainerFlags, FetcherFlags};
use super::master::ClusterFlags;
use super::sources::{AccessFlags, LoggingFlags, NetworkFlags, SourceFlags};

/// `mesosd --role=local`.
#[derive(Args, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub struct LocalFlags {
    #[command(flatten)]
    pub sources: SourceFlags,
    /// Directory of everything that is kept; without it a temporary one that goes at the end.
    #[arg(long, value_name = "DIR", help_heading = "Local")]
    pub work_dir: Option<PathBuf>,
    /// Port of the agent; 0 takes a free one. --port is the master's.
    #[arg(
        long,
        value_name = "PORT",
        default_value = "5051",
        help_heading = "Local"
    )]
    pub agent_port: u16,
    #[command(flatten)]
    pub cluster: ClusterFlags,
    #[command(flatten)]
    pub offering: OfferingFlags,
    #[command(flatten)]
    pub executors: ExecutorFlags,
    #[command(flatten)]
    pub containers: ContainerFlags,
    #[command(flatten)]
    pub cgroups: CgroupFlags,
    #[command(flatten)]
    pub fetcher: FetcherFlags,
    #[command(flatten)]
    pub sandboxes: SandboxFlags,
    #[command(flatten)]
    pub network: NetworkFlags,
    #[command(flatten)]
    pub logging: LoggingFlags,
    #[command(flatten)]
    pub access: AccessFlags,
}
