//! Flags of the agent.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::containers::{CgroupFlags, ContainerFlags, FetcherFlags};
use super::sources::{AccessFlags, LoggingFlags, NetworkFlags, SourceFlags};
use super::value::{MasterAddress, TextOrFile, duration_between, fraction, refused};
use super::zookeeper::ZooKeeperFlags;
use crate::attributes::{self, Attributes};
use crate::base::parse_duration;
use crate::resources::{self, Resources};
use crate::roles::Role;

const MINUTE: Duration = Duration::from_secs(60);
/// As long as anybody may want to wait.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// `mesosd --role=agent`.
#[derive(Args, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub struct AgentFlags {
    #[command(flatten)]
    pub sources: SourceFlags,
    /// Address of the master, `host:port`, or of the ZooKeeper ensemble that knows the leader,
    /// `zk://host:port[,host:port...]/path`; it is tried until it answers.
    #[arg(long, value_name = "ADDRESS", help_heading = "Agent")]
    pub master: MasterAddress,
    /// Directory of sandboxes and checkpoints.
    #[arg(long, value_name = "DIR", help_heading = "Agent")]
    pub work_dir: PathBuf,
    #[command(flatten)]
    pub zookeeper: ZooKeeperFlags,
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
    pub recovery: RecoveryFlags,
    #[command(flatten)]
    pub network: NetworkFlags,
    #[command(flatten)]
    pub logging: LoggingFlags,
    #[command(flatten)]
    pub access: AccessFlags,
    #[command(flatten)]
    pub secrets: AgentSecretFlags,
    #[command(flatten)]
    pub compatibility: AgentCompatibilityFlags,
}

/// What the agent brings into the cluster: also flags of `--role=local`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Agent", rename_all = "snake_case")]
pub struct OfferingFlags {
    /// Directory of state that ends with the boot; without it /var/run/mesos as root and a temporary
    /// one otherwise.
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// Resources in text (`cpus:4;mem:1024;ports:[31000-32000]`), in JSON, or an absolute path of a
    /// file with either; what is not named is detected.
    #[arg(long, value_name = "RESOURCES")]
    pub resources: Option<TextOrFile>,
    /// Attributes, `rack:r1;zone:z2`, or an absolute path of a file with them.
    #[arg(long, value_name = "ATTRIBUTES")]
    pub attributes: Option<TextOrFile>,
    /// Role of resources that name none.
    #[arg(long, value_name = "ROLE", default_value = "*", value_parser = role)]
    pub default_role: Role,
    /// Twice the longest wait before the first attempt to register; it doubles up to 4secs.
    #[arg(long, value_name = "DURATION", default_value = "1secs",
          value_parser = duration_between(Duration::from_millis(1), MINUTE))]
    pub registration_backoff_factor: Duration,
}

impl OfferingFlags {
    /// What `--resources` names, with `--default_role`.
    pub fn resources(&self) -> Result<Resources, String> {
        match &self.resources {
            None => Ok(Resources::new()),
            Some(text) => resources::parse(&text.0, &self.default_role)
                .map_err(|error| crate::telemetry::chain(&error)),
        }
    }

    /// What `--attributes` names.
    pub fn attributes(&self) -> Result<Attributes, String> {
        match &self.attributes {
            None => Ok(Attributes::default()),
            Some(text) => {
                attributes::parse(&text.0).map_err(|error| crate::telemetry::chain(&error))
            }
        }
    }

    /// Whether both can be read: the name of the flag that cannot, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        self.resources().map_err(|reason| ("resources", reason))?;
        self.attributes().map_err(|reason| ("attributes", reason))?;
        Ok(())
    }
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).map_err(|error| error.to_string())
}

/// How executors are treated: also flags of `--role=local`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Executors", rename_all = "snake_case")]
pub struct ExecutorFlags {
    /// Time that an executor has to register.
    #[arg(long, value_name = "DURATION", default_value = "1mins",
          value_parser = duration_between(Duration::from_millis(1), LONGEST))]
    pub executor_registration_timeout: Duration,
    /// Time that executors have to come back after the agent's restart; at most 15secs.
    #[arg(long, value_name = "DURATION", default_value = "2secs",
          value_parser = duration_between(Duration::ZERO, 15 * Duration::from_secs(1)))]
    pub executor_reregistration_timeout: Duration,
    /// Time between asking an executor to end and killing it.
    #[arg(long, value_name = "DURATION", default_value = "5secs", value_parser = parse_duration)]
    pub executor_shutdown_grace_period: Duration,
    /// Environment of executors and tasks in JSON, `{"NAME": "value"}`; replaces the agent's own.
    #[arg(long, value_name = "JSON")]
    pub executor_environment_variables: Option<super::TextMap>,
    /// Time that executors wait for a restarted agent before they end.
    #[arg(long, value_name = "DURATION", default_value = "15mins", value_parser = parse_duration)]
    pub recovery_timeout: Duration,
    /// Ended executors that are remembered of each framework.
    #[arg(long, value_name = "COUNT", default_value = "150")]
    pub max_completed_executors_per_framework: u32,
}

/// When sandboxes go: also flags of `--role=local`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sandboxes", rename_all = "snake_case")]
pub struct SandboxFlags {
    /// Age at which the sandbox of an ended executor is removed; less when the disk fills up.
    #[arg(long, value_name = "DURATION", default_value = "1weeks", value_parser = parse_duration)]
    pub gc_delay: Duration,
    /// Fraction of the disk that is kept free by removing sandboxes earlier.
    #[arg(long, value_name = "FRACTION", default_value = "0.1", value_parser = fraction)]
    pub gc_disk_headroom: f64,
    /// Time between two looks at the disk.
    #[arg(long, value_name = "DURATION", default_value = "1mins",
          value_parser = duration_between(Duration::from_secs(1), LONGEST))]
    pub disk_watch_interval: Duration,
}

/// Who the agent is.
#[derive(Args, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub struct AgentSecretFlags {
    /// Principal and secret of the agent; refused.
    #[arg(long, value_name = "JSON", value_parser = refused)]
    pub credential: Option<String>,
    /// Principals and secrets of callers; refused.
    #[arg(long, value_name = "JSON", value_parser = refused)]
    pub http_credentials: Option<String>,
}

/// What a restarted agent does with what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecoverMode {
    /// Take old executors back.
    Reconnect,
    /// End old executors.
    Cleanup,
}

/// What may change between two starts of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReconfigurationPolicy {
    /// Nothing.
    Equal,
    /// More resources and attributes.
    Additive,
}

/// How a restarted agent goes on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Recovery", rename_all = "snake_case")]
pub struct RecoveryFlags {
    /// What to do with executors of the agent's last run: take them back, or end them, forget the
    /// agent's id and end.
    #[arg(long, value_name = "MODE", value_enum, default_value = "reconnect")]
    pub recover: RecoverMode,
    /// What may have changed of the agent's resources, attributes and address when executors of its
    /// last run are taken back: nothing, or only more of them.
    #[arg(long, value_name = "POLICY", value_enum, default_value = "equal")]
    pub reconfiguration_policy: ReconfigurationPolicy,
    /// Whether an agent whose records are damaged refuses to start; otherwise it goes on with what can
    /// be read of them. A record that was torn by the end of the agent is no damage.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub strict: bool,
}

impl Default for RecoveryFlags {
    fn default() -> Self {
        Self {
            recover: RecoverMode::Reconnect,
            reconfiguration_policy: ReconfigurationPolicy::Equal,
            strict: true,
        }
    }
}

/// Flags of a Mesos agent that this version takes but does not follow.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = super::COMPATIBILITY, rename_all = "snake_case")]
pub struct AgentCompatibilityFlags {
    /// Kinds of container images: tasks with an image are refused.
    #[arg(long, value_name = "KINDS")]
    pub image_providers: Option<String>,
    /// Registry of Docker images: tasks with an image are refused.
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://registry-1.docker.io"
    )]
    pub docker_registry: String,
    /// Where cgroups are mounted: that is read from the kernel.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/cgroup")]
    pub cgroups_hierarchy: PathBuf,
    /// Directory of helper programs: mesosd is one binary.
    #[arg(long, value_name = "DIR")]
    pub launcher_dir: Option<PathBuf>,
    /// Seconds that log lines may be kept back: every line is written at once.
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub logbufsecs: u32,
}
