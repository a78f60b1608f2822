//! `mesosd --role=agent`: flags -> config -> build -> run -> drain.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use uuid::Uuid;

use super::containers::{NativeContainers, ProcessFetcher, millis, news};
use super::daemon::{DaemonError, Serve, Surroundings, usable};
use super::network::{Listening, Network, Place};
use super::runtime_dir::RuntimeDir;
use crate::agent::checkpoint::{Keeping, Paths};
use crate::agent::{
    AgentConfig, AgentParts, Exit, Handle, Reconfiguration, Running, Timing, fingerprint, start,
};
use crate::api::http::agent_routes;
use crate::api::server::{Limits, serve};
use crate::api::service::agent::Statistics;
use crate::api::service::daemon::Daemon;
use crate::containerizer::guests::Guests;
use crate::containerizer::isolators::{self, Settings};
use crate::containerizer::plan::GroupsPlan;
use crate::containerizer::{Containerizer, ContainerizerConfig, LauncherChoice};
use crate::election::driver::{addresses, follow};
use crate::election::session::Ensemble;
use crate::flags::{
    AgentFlags, CgroupFlags, ContainerFlags, ExecutorFlags, FetcherFlags, FlagError, LauncherKind,
    MasterAddress, OfferingFlags, Origin, ReconfigurationPolicy, RecoverMode, RecoveryFlags,
    SandboxFlags,
};
use crate::resources::{ReservationForm, Resources};
use crate::runtime::{Shutdown, ready};
use crate::telemetry::Metrics;

/// The kernel's name of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What both `--role=agent` and `--role=local` are told about their agent.
#[derive(Clone, Debug)]
pub(super) struct AgentSettings {
    pub(super) work_dir: PathBuf,
    /// It stays when the agent ends.
    pub(super) lasting: bool,
    pub(super) offering: OfferingFlags,
    pub(super) executors: ExecutorFlags,
    pub(super) containers: ContainerFlags,
    pub(super) cgroups: CgroupFlags,
    pub(super) fetcher: FetcherFlags,
    pub(super) sandboxes: SandboxFlags,
    pub(super) recovery: RecoveryFlags,
    /// What `--resources` names.
    pub(super) resources: Resources,
    /// What `--attributes` names.
    pub(super) attributes: crate::attributes::Attributes,
}

/// An agent that serves.
#[derive(Debug)]
pub(super) struct Serving {
    handle: Handle,
    running: Running,
    containerizer: Arc<Containerizer>,
    stop: Shutdown,
    front_ends: tokio::task::JoinHandle<()>,
    runtime_dir: RuntimeDir,
}

impl AgentSettings {
    /// The rules between flags.
    pub(super) fn check(self) -> Result<Self, FlagError> {
        let settings = Settings {
            cfs: self.cgroups.cgroups_enable_cfs,
            limit_swap: self.cgroups.cgroups_limit_swap,
            pids_max: self.cgroups.cgroups_pids_max.get(),
        };
        isolators::choose(&self.containers.isolation, settings, None).map_err(|error| {
            let reason = error.to_string();
            FlagError::Bad {
                name: "isolation".to_owned(),
                origin: Origin::Default,
                reason: reason.trim_start_matches("--isolation: ").to_owned(),
            }
        })?;
        Ok(self)
    }
}

/// What [`OfferingFlags`] names; flags that cannot be read were refused when they were loaded.
pub(super) fn named(
    offering: &OfferingFlags,
) -> Result<(Resources, crate::attributes::Attributes), FlagError> {
    let bad = |name: &str, reason| FlagError::Bad {
        name: name.to_owned(),
        origin: Origin::Default,
        reason,
    };
    let resources = offering.resources().map_err(|why| bad("resources", why))?;
    let attributes = offering
        .attributes()
        .map_err(|why| bad("attributes", why))?;
    Ok((resources, attributes))
}

/// Where an agent finds the leading master.
#[derive(Clone, Debug)]
pub(super) enum Masters {
    /// Always there; a standby there names the leader.
    At(String),
    /// ZooKeeper knows.
    ElectedAt(Ensemble),
}

impl Masters {
    /// The leader's address, every time that it changes; none while nobody leads.
    fn watch(self) -> watch::Receiver<Option<String>> {
        match self {
            Self::At(address) => {
                let (told, masters) = watch::channel(Some(address));
                // It never changes, and is there as long as somebody asks.
                tokio::spawn(async move { told.closed().await });
                masters
            }
            Self::ElectedAt(ensemble) => addresses(follow(ensemble)),
        }
    }
}

impl fmt::Display for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => f.write_str(address),
            Self::ElectedAt(ensemble) => fmt::Display::fmt(&ensemble.url, f),
        }
    }
}

impl Serve for AgentFlags {
    type Config = (AgentSettings, Network, Masters);

    fn configure(&self) -> Result<Self::Config, FlagError> {
        let (resources, attributes) = named(&self.offering)?;
        let settings = AgentSettings {
            work_dir: self.work_dir.clone(),
            lasting: true,
            offering: self.offering.clone(),
            executors: self.executors.clone(),
            containers: self.containers.clone(),
            cgroups: self.cgroups.clone(),
            fetcher: self.fetcher.clone(),
            sandboxes: self.sandboxes.clone(),
            recovery: self.recovery.clone(),
            resources,
            attributes,
        };
        let network = Network::new(&self.network, Ipv4Addr::UNSPECIFIED.into())?;
        let masters = match &self.master {
            MasterAddress::ZooKeeper(url) => Masters::ElectedAt(self.zookeeper.ensemble(url)?),
            direct @ MasterAddress::Direct { .. } => Masters::At(direct.to_string()),
        };
        Ok((settings.check()?, network, masters))
    }

    async fn serve(
        (settings, network, masters): Self::Config,
        surroundings: Surroundings,
    ) -> Result<(), DaemonError> {
        // From here on the signal is ours: before, it ends the process.
        let unregister = signal(SignalKind::user_defined1())?;
        usable("work_dir", &settings.work_dir)?;
        let listening = network.listen().await?;
        let address = listening.address;
        let said = format!("agent serves on {address}, master {masters}");
        let mut serving = begin(settings, listening, masters.watch(), surroundings.daemon).await?;
        ready(&said);
        tokio::select! {
            () = surroundings.shutdown.draining() => serving.leave().await,
            () = asked(unregister) => serving.drain().await,
            exit = serving.ended() => failed(exit),
        }
    }
}

/// Returns when SIGUSR1 arrives: as in Mesos, the agent is to end with all that runs on it.
async fn asked(mut unregister: Signal) {
    unregister.recv().await;
    tracing::info!(signal = "SIGUSR1", "ending all executors, then the agent");
}

/// Starts an agent behind a listener.
pub(super) async fn begin(
    settings: AgentSettings,
    listening: Listening,
    masters: watch::Receiver<Option<String>>,
    daemon: Daemon,
) -> Result<Serving, DaemonError> {
    let given = settings.offering.runtime_dir.clone();
    let runtime_dir = RuntimeDir::open(given, &settings.work_dir)?;
    let config = containerizer_config(&settings, runtime_dir.path().to_owned(), &daemon.metrics);
    let made = tokio::task::spawn_blocking(move || Containerizer::new(config)).await;
    let (containerizer, events) =
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    if let Some(notice) = containerizer.notice() {
        tracing::warn!("{notice}");
    }
    let total = fingerprint::complete(settings.resources.clone(), &settings.work_dir)?;
    tracing::info!(resources = %total, isolation = ?containerizer.isolation(), "what this agent offers");
    let config = agent_config(&settings, &total, &listening.place);
    let sandboxes = Paths::new(config.work_dir.clone()).standalone_sandboxes();
    let guests = Guests::new(Arc::clone(&containerizer), sandboxes);
    let running = start(AgentParts {
        containers: Arc::new(NativeContainers {
            containerizer: Arc::clone(&containerizer),
            guests: guests.clone(),
            cleanup: config.cleanup,
        }),
        config,
        runtime_dir: runtime_dir.path().to_owned(),
        keeping: Keeping {
            lasting: settings.lasting,
            strict: settings.recovery.strict,
        },
        masters,
        container_events: news(events, guests.clone()),
    })?;
    let handle = running.handle.clone();
    let metrics = daemon.metrics.clone();
    let statistics = statistics(&containerizer);
    let router = agent_routes(handle.clone(), daemon, statistics, Some(guests)).await;
    let stop = Shutdown::new();
    let stopped = stop.clone();
    let front_ends = tokio::spawn(async move {
        let stopped = async { stopped.draining().await };
        serve(
            listening.listener,
            router,
            Limits::of_process(),
            &metrics,
            stopped,
        )
        .await;
    });
    Ok(Serving {
        handle,
        running,
        containerizer,
        stop,
        front_ends,
        runtime_dir,
    })
}

/// What containers use, for a thread that may block.
fn statistics(containerizer: &Arc<Containerizer>) -> Statistics {
    let containerizer = Arc::clone(containerizer);
    let runtime = tokio::runtime::Handle::current();
    Statistics::new(move |container_id| {
        let usage = containerizer.usage(container_id);
        runtime.block_on(usage).ok()
    })
}

impl Serving {
    /// What people should know of the containers' isolation.
    pub(super) fn notice(&self) -> Option<&str> {
        self.containerizer.notice()
    }

    /// Returns when the agent has ended. Cancel safe.
    pub(super) async fn ended(&mut self) -> Exit {
        match (&mut self.running.ended).await {
            Ok(exit) => exit,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Ends what runs, tells the master, and ends.
    pub(super) async fn drain(mut self) -> Result<(), DaemonError> {
        self.handle.shutdown(true).await;
        let exit = self.ended().await;
        self.containerizer.shutdown().await;
        self.close(exit).await
    }

    /// Ends; executors of checkpointing frameworks go on and wait for the next agent.
    async fn leave(mut self) -> Result<(), DaemonError> {
        self.runtime_dir.keep();
        self.handle.shutdown(false).await;
        let exit = self.ended().await;
        self.close(exit).await
    }

    async fn close(self, exit: Exit) -> Result<(), DaemonError> {
        self.stop.drain();
        // It only ends by itself or with the process.
        let _ = self.front_ends.await;
        failed(exit)
    }
}

fn failed(exit: Exit) -> Result<(), DaemonError> {
    if exit.failed {
        return Err(DaemonError::AgentEnded(exit.reason));
    }
    tracing::info!("{}", exit.reason);
    Ok(())
}

fn containerizer_config(
    settings: &AgentSettings,
    runtime_dir: PathBuf,
    metrics: &Metrics,
) -> ContainerizerConfig {
    let home = &settings.fetcher.frameworks_home;
    let fetcher = ProcessFetcher {
        frameworks_home: (!home.is_empty()).then(|| home.into()),
        stall_timeout: settings.fetcher.fetcher_stall_timeout,
        succeeded: metrics.counter(
            "containerizer/fetcher/task_fetches_succeeded",
            "containers whose files were all fetched",
        ),
        failed: metrics.counter(
            "containerizer/fetcher/task_fetches_failed",
            "containers of which a file could not be fetched",
        ),
    };
    let groups = GroupsPlan {
        frameworks_home: fetcher.frameworks_home.clone(),
        stall_timeout_ms: millis(fetcher.stall_timeout),
        environment: crate::fetcher::environment(),
    };
    let mut config = ContainerizerConfig::new(runtime_dir, Arc::new(fetcher));
    config.groups = groups;
    config.destroy_errors = metrics.counter(
        "containerizer/mesos/container_destroy_errors",
        "containers of which something could not be removed",
    );
    config.launcher = match settings.containers.launcher {
        None => LauncherChoice::Auto,
        Some(LauncherKind::Linux) => LauncherChoice::Linux,
        Some(LauncherKind::Posix) => LauncherChoice::Posix,
    };
    config.isolation = settings.containers.isolation.clone();
    config.cgroups_root = settings.cgroups.cgroups_root.clone();
    config.cfs = settings.cgroups.cgroups_enable_cfs;
    config.limit_swap = settings.cgroups.cgroups_limit_swap;
    config.pids_max = settings.cgroups.cgroups_pids_max.get();
    config.destroy_timeout = settings.cgroups.cgroups_destroy_timeout;
    config
}

fn agent_config(settings: &AgentSettings, total: &Resources, place: &Place) -> AgentConfig {
    let work_dir = std::path::absolute(&settings.work_dir);
    let work_dir = work_dir.unwrap_or_else(|_| settings.work_dir.clone());
    let mut config = AgentConfig::new(place.hostname.clone(), work_dir);
    config.ip = place.ip.to_string();
    config.port = place.port;
    config.domain.clone_from(&place.domain);
    config.resources = total.to_proto(ReservationForm::Stack);
    config.attributes = settings.attributes.to_proto();
    config.cleanup = settings.recovery.recover == RecoverMode::Cleanup;
    config.reconfiguration = match settings.recovery.reconfiguration_policy {
        ReconfigurationPolicy::Equal => Reconfiguration::Equal,
        ReconfigurationPolicy::Additive => Reconfiguration::Additive,
    };
    config.switch_user = settings.containers.switch_user;
    config.boot_id = boot_id(Path::new(BOOT_ID));
    config.executor_environment = environment(&settings.executors);
    (config.seed, _) = Uuid::new_v4().as_u64_pair();
    config.timing = Timing {
        registration_backoff_factor: settings.offering.registration_backoff_factor,
        executor_registration_timeout: settings.executors.executor_registration_timeout,
        executor_reregistration_timeout: settings.executors.executor_reregistration_timeout,
        executor_shutdown_grace_period: settings.executors.executor_shutdown_grace_period,
        recovery_timeout: settings.executors.recovery_timeout,
        gc_delay: settings.sandboxes.gc_delay,
        disk_watch_interval: settings.sandboxes.disk_watch_interval,
        ..Timing::default()
    };
    config.gc_disk_headroom_permille = permille(settings.sandboxes.gc_disk_headroom);
    config.completed_executors_max =
        settings.executors.max_completed_executors_per_framework as usize;
    config
}

/// A fraction between 0 and 1 in thousandths.
fn permille(fraction: f64) -> u32 {
    // In bounds by the flag's parser.
    (fraction * 1000.0).round() as u32
}

fn boot_id(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// `--executor_environment_variables`, else the agent's own PATH.
fn environment(flags: &ExecutorFlags) -> Vec<(String, String)> {
    match &flags.executor_environment_variables {
        Some(given) => given.0.clone().into_iter().collect(),
        None => std::env::var("PATH")
            .map(|path| ("PATH".to_owned(), path))
            .into_iter()
            .collect(),
    }
}
