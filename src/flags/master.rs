//! Flags of the master.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::sources::{AccessFlags, LoggingFlags, NetworkFlags, SourceFlags};
use super::value::{RateLimit, Weights, duration_between, fraction, only_false, percent, refused};
use super::zookeeper::ElectionFlags;
use crate::allocator::{AllocationOrder, Sorter};
use crate::base::{ByteSize, parse_duration};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// As long as anybody may want to wait; Mesos' durations hold 292 years.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// `mesosd --role=master`.
#[derive(Args, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub struct MasterFlags {
    #[command(flatten)]
    pub sources: SourceFlags,
    /// Directory of the registry.
    #[arg(long, value_name = "DIR", help_heading = "Master")]
    pub work_dir: PathBuf,
    /// Where the registry is kept: in memory it ends with the master, otherwise it is below the path of
    /// --zk, or without --zk a file in work_dir.
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        default_value = "replicated_log",
        help_heading = "Master"
    )]
    pub registry: RegistryKind,
    #[command(flatten)]
    pub election: ElectionFlags,
    #[command(flatten)]
    pub cluster: ClusterFlags,
    #[command(flatten)]
    pub network: NetworkFlags,
    #[command(flatten)]
    pub logging: LoggingFlags,
    #[command(flatten)]
    pub access: AccessFlags,
    #[command(flatten)]
    pub clients: ClientAccessFlags,
    #[command(flatten)]
    pub compatibility: MasterCompatibilityFlags,
}

/// How the master leads: also flags of `--role=local`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Master", rename_all = "snake_case")]
pub struct ClusterFlags {
    /// Name of the cluster, for people.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Time between two pings to an agent.
    #[arg(long, value_name = "DURATION", default_value = "15secs", alias = "slave_ping_timeout",
          value_parser = duration_between(SECOND, 15 * MINUTE))]
    pub agent_ping_timeout: Duration,
    /// Pings in a row that an agent may leave unanswered before it counts as unreachable.
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "5",
        alias = "max_slave_ping_timeouts"
    )]
    pub max_agent_ping_timeouts: NonZeroU32,
    /// Time that a disconnected agent has to come back; at least 10mins.
    #[arg(long, value_name = "DURATION", default_value = "10mins", alias = "slave_reregister_timeout",
          value_parser = duration_between(10 * MINUTE, LONGEST))]
    pub agent_reregister_timeout: Duration,
    /// Time after which a framework may be offered again what it declined, and between two passes
    /// over everything.
    #[arg(long, value_name = "DURATION", default_value = "1secs",
          value_parser = duration_between(Duration::from_millis(1), LONGEST))]
    pub allocation_interval: Duration,
    /// Who is offered something first: strictly who has least, as in Mesos, or first those who use
    /// what they are offered.
    #[arg(long, value_name = "ORDER", default_value = "demand", value_parser = AllocationOrder::from_str)]
    pub allocation_order: AllocationOrder,
    /// Time after which an offer that nobody used is rescinded; without it never.
    #[arg(long, value_name = "DURATION", value_parser = duration_between(SECOND, LONGEST))]
    pub offer_timeout: Option<Duration>,
    /// Time after which an offer that nobody used is rescinded if another framework waits for what it
    /// holds. Mesos has no such limit; 365days is none.
    #[arg(long, value_name = "DURATION", default_value = "10mins",
          value_parser = duration_between(SECOND, LONGEST))]
    pub offer_hoarding_timeout: Duration,
    /// Time after which a framework that wants offers and gets none is warned about, if something
    /// would fit.
    #[arg(long, value_name = "DURATION", default_value = "5mins",
          value_parser = duration_between(SECOND, LONGEST))]
    pub starvation_warning: Duration,
    /// Smallest bundles that are offered, like `cpus:0.01|mem:32`: names joined by `;`, alternatives
    /// by `|`.
    #[arg(long, value_name = "QUANTITIES", default_value = "cpus:0.01|mem:32")]
    pub min_allocatable_resources: super::MinAllocatable,
    /// How many agents may be marked unreachable in a time, like `1/10mins`; without it all that are.
    #[arg(
        long,
        value_name = "COUNT/DURATION",
        alias = "slave_removal_rate_limit"
    )]
    pub agent_removal_rate_limit: Option<RateLimit>,
    /// Share of the known agents that may be given up after a change of master: if more are missing, none
    /// of them is, before others are back.
    #[arg(long, value_name = "PERCENT", default_value = "100%", alias = "recovery_slave_removal_limit",
          value_parser = percent)]
    pub recovery_agent_removal_limit: f64,
    /// Time between two looks for unreachable and gone agents that the registry may forget.
    #[arg(long, value_name = "DURATION", default_value = "15mins",
          value_parser = duration_between(SECOND, LONGEST))]
    pub registry_gc_interval: Duration,
    /// Age from which it forgets them.
    #[arg(long, value_name = "DURATION", default_value = "2weeks", alias = "registry_max_slave_age",
          value_parser = duration_between(SECOND, LONGEST))]
    pub registry_max_agent_age: Duration,
    /// How many of each it remembers at most.
    #[arg(long, value_name = "COUNT", default_value = "102400")]
    pub registry_max_agent_count: u32,
    /// Initial weights of roles, like `ads=2,web=0.5`; not followed once weights were set otherwise.
    #[arg(long, value_name = "ROLE=WEIGHT,...", default_value = "")]
    pub weights: Weights,
    /// Share of the known agents that must be back after a change of master before anything is
    /// offered, if there is quota.
    #[arg(long, value_name = "FRACTION", default_value = "0.8", value_parser = fraction)]
    pub allocator_agent_recovery_factor: f64,
    /// Longest time that offers wait for these agents.
    #[arg(long, value_name = "DURATION", default_value = "10mins",
          value_parser = duration_between(SECOND, LONGEST))]
    pub allocator_recovery_timeout: Duration,
    /// Order of roles: drf, least share first, or random, by weight.
    #[arg(long, value_name = "SORTER", default_value = "drf")]
    pub role_sorter: Sorter,
    /// Order of the frameworks of a role: drf or random.
    #[arg(long, value_name = "SORTER", default_value = "drf")]
    pub framework_sorter: Sorter,
    /// Resources that do not count in shares, joined by commas, like `gpus`: for those that are
    /// scarce.
    #[arg(long, value_name = "NAMES")]
    pub fair_sharing_excluded_resource_names: Option<super::ResourceNames>,
    /// Whether agents with gpus are offered only to frameworks with the capability GPU_RESOURCES.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub filter_gpu_resources: bool,
    /// Most memory of a regular expression in offer constraints, as RE2 counts it.
    #[arg(long, value_name = "BYTES", default_value = "4KB")]
    pub offer_constraints_re2_max_mem: ByteSize,
    /// Most instructions of a regular expression in offer constraints.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub offer_constraints_re2_max_program_size: u32,
    /// File with one host name a line: only agents of these hosts are offered. It is looked at every
    /// 5 seconds; `*` is all agents.
    #[arg(long, value_name = "PATH", default_value = "*")]
    pub whitelist: super::Whitelist,
    /// Whether agents without --domain are turned away.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    pub require_agent_domain: bool,
    /// Whether frameworks may run tasks as the user root.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub root_submissions: bool,
    /// Ended frameworks that are remembered.
    #[arg(long, value_name = "COUNT", default_value = "50")]
    pub max_completed_frameworks: u32,
    /// Ended tasks that are remembered of each framework.
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub max_completed_tasks_per_framework: u32,
    /// Tasks on unreachable agents that are remembered of each framework.
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub max_unreachable_tasks_per_framework: u32,
    /// Whether `/metrics/snapshot` has each framework's own metrics.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub publish_per_framework_metrics: bool,
    /// Operator event streams that may be open; the oldest is closed for a new one.
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub max_operator_event_stream_subscribers: NonZeroU32,
}

/// Who may connect.
#[derive(Args, Clone, Debug)]
#[command(rename_all = "snake_case")]
pub struct ClientAccessFlags {
    /// Authenticate frameworks; only `false`.
    #[arg(long, action = ArgAction::Set, default_value_t = false, value_parser = only_false)]
    pub authenticate_frameworks: bool,
    /// Authenticate frameworks that use HTTP; only `false`.
    #[arg(long, action = ArgAction::Set, default_value_t = false, value_parser = only_false)]
    pub authenticate_http_frameworks: bool,
    /// Authenticate agents; only `false`.
    #[arg(long, action = ArgAction::Set, default_value_t = false, value_parser = only_false,
          alias = "authenticate_slaves")]
    pub authenticate_agents: bool,
    /// Principals and secrets; refused.
    #[arg(long, value_name = "JSON", value_parser = refused)]
    pub credentials: Option<String>,
    /// Limits of calls per framework, in JSON; refused.
    #[arg(long, value_name = "JSON", value_parser = refused)]
    pub rate_limits: Option<String>,
}

/// Where the registry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RegistryKind {
    /// Nowhere: it ends with the process.
    InMemory,
    /// Mesos' name for one that survives.
    ReplicatedLog,
}

/// Flags of a Mesos master that this version takes but does not follow.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = super::COMPATIBILITY, rename_all = "snake_case")]
pub struct MasterCompatibilityFlags {
    /// Seconds that log lines may be kept back: every line is written at once.
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub logbufsecs: u32,
    /// Whether an empty log is initialized: there is no replicated log.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub log_auto_initialize: bool,
    /// Time to read the registry in: a leader that cannot read it goes on trying while it leads.
    #[arg(long, value_name = "DURATION", default_value = "1mins", value_parser = parse_duration)]
    pub registry_fetch_timeout: Duration,
    /// Time to write the registry in: what is not written is not promised, and a leader ends with its
    /// session.
    #[arg(long, value_name = "DURATION", default_value = "20secs", value_parser = parse_duration)]
    pub registry_store_timeout: Duration,
    /// Directory of the web pages: there are none.
    #[arg(long, value_name = "DIR")]
    pub webui_dir: Option<PathBuf>,
}
