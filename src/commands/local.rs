//! `mesosd --role=local`: master and agent in one process, for a laptop, for CI, for a first try.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use super::agent::{self, AgentSettings, named};
use super::daemon::{DaemonError, Serve, Surroundings, usable};
use super::master;
use super::network::Network;
use crate::api::service::daemon::Daemon;
use crate::flags::{ClusterFlags, FlagError, LocalFlags, RecoveryFlags};
use crate::registrar::MemoryStorage;
use crate::runtime::ready;
use crate::telemetry::{HostStats, Metrics};

/// Longest wait of the agent before it registers: there are no others that could come at the same time.
const BACKOFF_MAX: Duration = Duration::from_millis(1);

/// Everything that a local cluster is told.
#[derive(Debug)]
pub(super) struct LocalSettings {
    /// A temporary one without.
    work_dir: Option<PathBuf>,
    network: Network,
    agent_network: Network,
    cluster: ClusterFlags,
    agent: AgentSettings,
}

/// A master and an agent that serve.
#[derive(Debug)]
pub(super) struct LocalCluster {
    /// The master's address.
    pub(super) address: SocketAddr,
    /// The agent's address.
    pub(super) agent_address: SocketAddr,
    master: master::Serving,
    agent: agent::Serving,
    /// The agent listens to it as long as it lives.
    _leader: watch::Sender<Option<String>>,
    /// Removed with this, if it is ours.
    _work_dir: Option<TemporaryDir>,
}

impl LocalSettings {
    /// What the flags say.
    pub(super) fn new(flags: &LocalFlags) -> Result<Self, FlagError> {
        let network = Network::new(&flags.network, Ipv4Addr::LOCALHOST.into())?;
        let (resources, attributes) = named(&flags.offering)?;
        let mut offering = flags.offering.clone();
        let backoff = &mut offering.registration_backoff_factor;
        *backoff = BACKOFF_MAX.min(*backoff);
        let agent = AgentSettings {
            work_dir: PathBuf::new(),
            lasting: flags.work_dir.is_some(),
            offering,
            executors: flags.executors.clone(),
            containers: flags.containers.clone(),
            cgroups: flags.cgroups.clone(),
            fetcher: flags.fetcher.clone(),
            sandboxes: flags.sandboxes.clone(),
            recovery: RecoveryFlags::default(),
            resources,
            attributes,
        };
        Ok(Self {
            work_dir: flags.work_dir.clone(),
            agent_network: network.with_port(flags.agent_port),
            network,
            cluster: flags.cluster.clone(),
            agent: agent.check()?,
        })
    }
}

impl LocalCluster {
    /// Starts master and agent. `daemon` is what the master says about itself.
    pub(super) async fn start(
        settings: LocalSettings,
        daemon: Daemon,
    ) -> Result<Self, DaemonError> {
        let (root, own) = match settings.work_dir {
            Some(root) => (root, None),
            None => {
                let own = TemporaryDir::new()?;
                (own.0.clone(), Some(own))
            }
        };
        let mut agent_settings = settings.agent;
        agent_settings.work_dir = root.join("agent");
        agent_settings
            .offering
            .runtime_dir
            .get_or_insert_with(|| root.join("run"));
        usable("work_dir", &agent_settings.work_dir)?;
        let listening = settings.network.listen().await?;
        let agent_listening = settings.agent_network.listen().await?;
        let (address, agent_address) = (listening.address, agent_listening.address);
        // The agent counts for itself, under the same names.
        let mut agent_daemon = daemon.clone();
        agent_daemon.metrics = Metrics::new();
        HostStats::define(&agent_daemon.metrics);
        let master = {
            let storage = MemoryStorage::default();
            let epoch = master::leadership_number();
            master::begin(&settings.cluster, listening, daemon, storage, epoch).await?
        };
        let reached = SocketAddr::new(local(address), address.port()).to_string();
        let (leader, masters) = watch::channel(Some(reached));
        let agent = agent::begin(agent_settings, agent_listening, masters, agent_daemon).await?;
        Ok(Self {
            address,
            agent_address,
            master,
            agent,
            _leader: leader,
            _work_dir: own,
        })
    }

    /// What people should know of the containers' isolation.
    pub(super) fn notice(&self) -> Option<&str> {
        self.agent.notice()
    }

    /// Returns if one of them ends without being asked to. Cancel safe.
    pub(super) async fn broken(&mut self) -> Result<(), DaemonError> {
        tokio::select! {
            result = self.master.broken() => result,
            exit = self.agent.ended() => Err(DaemonError::AgentEnded(exit.reason)),
        }
    }

    /// Ends all tasks, then agent and master; removes what was temporary.
    pub(super) async fn drain(self) -> Result<(), DaemonError> {
        let agent = self.agent.drain().await;
        let master = self.master.drain().await;
        agent.and(master)
    }
}

/// An address that this process can connect to.
fn local(address: SocketAddr) -> std::net::IpAddr {
    if address.ip().is_unspecified() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        address.ip()
    }
}

impl Serve for LocalFlags {
    type Config = LocalSettings;

    fn configure(&self) -> Result<LocalSettings, FlagError> {
        LocalSettings::new(self)
    }

    async fn serve(settings: LocalSettings, surroundings: Surroundings) -> Result<(), DaemonError> {
        let mut cluster = LocalCluster::start(settings, surroundings.daemon).await?;
        let (master, agent) = (cluster.address, cluster.agent_address);
        ready(&format!("master serves on {master}, agent on {agent}"));
        tokio::select! {
            () = surroundings.shutdown.draining() => {}
            ended = cluster.broken() => return ended,
        }
        cluster.drain().await
    }
}

/// A temporary directory, gone with this value.
#[derive(Debug)]
struct TemporaryDir(PathBuf);

impl TemporaryDir {
    fn new() -> Result<Self, DaemonError> {
        let template = std::env::temp_dir().join("mesosd-local-XXXXXX");
        let wrong = |source: std::io::Error, path: &Path| DaemonError::Directory {
            flag: "work_dir",
            path: path.to_owned(),
            source,
        };
        let made =
            nix::unistd::mkdtemp(&template).map_err(|errno| wrong(errno.into(), &template))?;
        // Tasks that run as other users must reach their sandboxes.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&made, open).map_err(|error| wrong(error, &made))?;
        Ok(Self(made))
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "the temporary directory is left");
        }
    }
}
