//! The plain values an agent core is built from.

use std::path::PathBuf;
use std::time::Duration;

use crate::proto::v1;

/// What the core needs to know before its first step.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Announced to the master and shown to people (`--hostname`).
    pub hostname: String,
    /// The address that executors and readers use (`--ip` or `--advertise_ip`).
    pub ip: String,
    /// The announced port (`--port` or `--advertise_port`).
    pub port: u16,
    /// `--resources`, completed by detection.
    pub resources: Vec<v1::Resource>,
    /// `--attributes`.
    pub attributes: Vec<v1::Attribute>,
    /// `--domain`.
    pub domain: Option<v1::DomainInfo>,
    /// Everything of the agent lives below this path (`--work_dir`).
    pub work_dir: PathBuf,
    /// `--sandbox_directory`: the sandbox seen from inside a container with an image of its own.
    pub sandbox_directory: String,
    /// End what earlier lives have left, forget the id, and end (`--recover=cleanup`).
    pub cleanup: bool,
    /// What may have changed while executors ran on (`--reconfiguration_policy`).
    pub reconfiguration: Reconfiguration,
    /// Run commands as the framework's or the command's user (`--switch_user`).
    pub switch_user: bool,
    /// `/proc/sys/kernel/random/boot_id`: another one means that nothing survived.
    pub boot_id: String,
    /// Told to the master.
    pub version: String,
    /// Variables for every executor (`--executor_environment_variables`, else the agent's `PATH`).
    pub executor_environment: Vec<(String, String)>,
    /// Seed of every random draw (back-off, container ids, update uuids).
    pub seed: u64,
    /// Time limits.
    pub timing: Timing,
    /// `--gc_disk_headroom` in thousandths.
    pub gc_disk_headroom_permille: u32,
    /// Ended frameworks that stay visible (Mesos keeps 50).
    pub completed_frameworks_max: usize,
    /// Ended executors that stay visible, per framework (`--max_completed_executors_per_framework`).
    pub completed_executors_max: usize,
    /// Ended tasks that stay visible, per executor (Mesos keeps 200).
    pub completed_tasks_max: usize,
    /// Bugs for the simulation to catch.
    #[cfg(feature = "testing")]
    pub planted: crate::testing::planted::PlantedBugs,
}

/// What may change between two lives of an agent that takes its executors back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconfiguration {
    /// Nothing that the master was told.
    Equal,
    /// More resources and attributes.
    Additive,
}

/// Time limits of an agent; the defaults are Mesos' own.
#[derive(Clone, Debug)]
pub struct Timing {
    /// First bound of the random registration back-off; doubles up to one minute.
    pub registration_backoff_factor: Duration,
    /// Silence of the master after which the link is given up, until the master names its own.
    pub ping_timeout: Duration,
    /// How often a silent master is asked whether it is there, and how long it may take to answer.
    pub link_keepalive: Duration,
    /// From launch to SUBSCRIBE of an executor.
    pub executor_registration_timeout: Duration,
    /// From a restart of the agent to the SUBSCRIBE of executors that survived it.
    pub executor_reregistration_timeout: Duration,
    /// From SHUTDOWN to the destruction of a container.
    pub executor_shutdown_grace_period: Duration,
    /// Told to checkpointing executors: how long to wait for a lost agent.
    pub recovery_timeout: Duration,
    /// Age at which an abandoned sandbox is deleted from an empty disk.
    pub gc_delay: Duration,
    /// How often the disk is measured.
    pub disk_watch_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            registration_backoff_factor: Duration::from_secs(1),
            ping_timeout: Duration::from_secs(75),
            link_keepalive: Duration::from_secs(20),
            executor_registration_timeout: Duration::from_secs(60),
            executor_reregistration_timeout: Duration::from_secs(2),
            executor_shutdown_grace_period: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(15 * 60),
            gc_delay: Duration::from_secs(7 * 24 * 3600),
            disk_watch_interval: Duration::from_secs(60),
        }
    }
}

impl AgentConfig {
    /// A configuration with Mesos' defaults for everything that is not the host's own.
    #[must_use]
    pub fn new(hostname: impl Into<String>, work_dir: impl Into<PathBuf>) -> Self {
        Self {
            hostname: hostname.into(),
            ip: "127.0.0.1".into(),
            port: 5051,
            resources: Vec::new(),
            attributes: Vec::new(),
            domain: None,
            work_dir: work_dir.into(),
            sandbox_directory: "/mnt/mesos/sandbox".into(),
            cleanup: false,
            reconfiguration: Reconfiguration::Equal,
            switch_user: true,
            boot_id: String::new(),
            version: crate::proto::MESOS_VERSION.into(),
            executor_environment: Vec::new(),
            seed: 0,
            timing: Timing::default(),
            gc_disk_headroom_permille: 100,
            completed_frameworks_max: 50,
            completed_executors_max: 150,
            completed_tasks_max: 200,
            #[cfg(feature = "testing")]
            planted: crate::testing::planted::PlantedBugs::default(),
        }
    }
}

impl AgentConfig {
    /// Where the API listens, as executors find it in their environment.
    pub(super) fn endpoint(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }

    /// The description that the master gets, without id.
    pub(super) fn agent_info(&self) -> v1::AgentInfo {
        v1::AgentInfo {
            hostname: self.hostname.clone(),
            resources: self.resources.clone(),
            attributes: self.attributes.clone(),
            port: Some(i32::from(self.port)),
            domain: self.domain.clone(),
            id: None,
            ..v1::AgentInfo::default()
        }
    }
}
