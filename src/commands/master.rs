//! `mesosd --role=master`: flags -> config -> build -> run -> drain.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::candidate;
use super::daemon::{DaemonError, Serve, Surroundings, usable};
use super::network::{Listening, Network, Place};
use super::whitelist::{self, Following};
use crate::allocator::AllocatorConfig;
use crate::api::http::master_routes;
use crate::api::server::{Limits, serve};
use crate::api::service::daemon::Daemon;
use crate::attributes::PatternLimits;
use crate::election::session::Ensemble;
use crate::flags::{ClusterFlags, FlagError, MasterFlags, RegistryKind};
use crate::master::driver::{Running, start};
use crate::master::{Handle, MasterConfig};
use crate::proto::v1::master_info::Capability;
use crate::proto::v1::master_info::capability::Type;
use crate::proto::{MESOS_VERSION, v1};
use crate::registrar::{EmbeddedStorage, MemoryStorage, Storage};
use crate::runtime::{Shutdown, SystemClock, ready};

/// Everything that a master is told.
#[derive(Debug)]
pub(super) struct MasterSettings {
    work_dir: PathBuf,
    pub(super) registry: RegistryKind,
    pub(super) network: Network,
    pub(super) cluster: ClusterFlags,
    /// Who elects the leader; without it this master leads alone.
    ensemble: Option<Ensemble>,
    /// What is odd about the election's flags.
    note: Option<String>,
}

/// A master that serves.
#[derive(Debug)]
pub(super) struct Serving {
    handle: Handle,
    running: Running,
    _whitelist: Following,
    /// Ends the front ends.
    stop: Shutdown,
    front_ends: tokio::task::JoinHandle<()>,
}

impl Serve for MasterFlags {
    type Config = MasterSettings;

    fn configure(&self) -> Result<MasterSettings, FlagError> {
        Ok(MasterSettings {
            work_dir: self.work_dir.clone(),
            registry: self.registry,
            network: Network::new(&self.network, Ipv4Addr::UNSPECIFIED.into())?,
            cluster: self.cluster.clone(),
            ensemble: self.election.ensemble()?,
            note: self.election.note(),
        })
    }

    async fn serve(
        settings: MasterSettings,
        surroundings: Surroundings,
    ) -> Result<(), DaemonError> {
        usable("work_dir", &settings.work_dir)?;
        if let Some(note) = &settings.note {
            tracing::warn!("{note}");
        }
        if let Some(ensemble) = settings.ensemble.clone() {
            return candidate::serve(settings, ensemble, surroundings).await;
        }
        let listening = settings.network.listen().await?;
        let address = listening.address;
        let epoch = leadership_number();
        let daemon = surroundings.daemon;
        let cluster = &settings.cluster;
        let mut serving = match settings.registry {
            RegistryKind::InMemory => {
                begin(cluster, listening, daemon, MemoryStorage::default(), epoch).await?
            }
            RegistryKind::ReplicatedLog => {
                let storage = EmbeddedStorage::open(&settings.work_dir, epoch)?;
                let epoch = storage.epoch();
                begin(cluster, listening, daemon, storage, epoch).await?
            }
        };
        ready(&format!("master serves on {address}"));
        tokio::select! {
            () = surroundings.shutdown.draining() => {}
            ended = serving.broken() => return ended,
        }
        serving.drain().await
    }
}

/// Starts a master behind a listener.
pub(super) async fn begin(
    cluster: &ClusterFlags,
    listening: Listening,
    daemon: Daemon,
    storage: impl Storage,
    epoch: u64,
) -> Result<Serving, DaemonError> {
    let mut config = config(cluster, &listening.place, Uuid::new_v4());
    config.epoch = epoch;
    let metrics = daemon.metrics.clone();
    let running = start(config, storage, &metrics).await?;
    let handle = running.handle.clone();
    let whitelist = whitelist::follow(cluster.whitelist.clone(), handle.clone()).await?;
    let router = master_routes(handle.clone(), daemon).await;
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
        _whitelist: whitelist,
        stop,
        front_ends,
    })
}

impl Serving {
    /// Returns if the master ends without being asked to. Cancel safe.
    pub(super) async fn broken(&mut self) -> Result<(), DaemonError> {
        match (&mut self.running.task).await {
            Ok(result) => result.map_err(DaemonError::Master),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Lets everybody go and ends.
    pub(super) async fn drain(mut self) -> Result<(), DaemonError> {
        self.handle.shutdown().await;
        let result = self.broken().await;
        self.stop.drain();
        // It only ends by itself or with the process.
        let _ = self.front_ends.await;
        result
    }
}

/// What a leadership's epoch is at least: seconds since 1970, so that epochs grow also when a registry
/// was lost or moved away. Agents refuse a master whose epoch is below one that they have seen.
pub(super) fn leadership_number() -> u64 {
    SystemClock.now().wall.0 / 1_000_000_000
}

/// A master's configuration; every leadership has a uuid of its own.
pub(super) fn config(flags: &ClusterFlags, place: &Place, uuid: Uuid) -> MasterConfig {
    let (seed, _) = uuid.as_u64_pair();
    let mut config = MasterConfig::new(uuid.to_string());
    config.info = master_info(&config.uuid, place);
    config.agent_domain_required = flags.require_agent_domain;
    config.agent_ping_timeout = flags.agent_ping_timeout;
    config.agent_ping_timeouts_max = flags.max_agent_ping_timeouts.get();
    config.agent_reregister_timeout = flags.agent_reregister_timeout;
    config.offer_timeout = flags.offer_timeout;
    config.offer_hoarding_timeout = flags.offer_hoarding_timeout;
    config.starvation_warning = flags.starvation_warning;
    config.completed_frameworks_max = flags.max_completed_frameworks as usize;
    config.completed_tasks_max = flags.max_completed_tasks_per_framework as usize;
    config.unreachable_tasks_max = flags.max_unreachable_tasks_per_framework as usize;
    config.frameworks_published = flags.publish_per_framework_metrics;
    config.watchers_max = flags.max_operator_event_stream_subscribers.get() as usize;
    config.agent_removal_interval = flags.agent_removal_rate_limit.map(|limit| limit.interval);
    config.recovery_removals_per_mille = (flags.recovery_agent_removal_limit * 10.0).round() as u32;
    config.registry_gc_interval = flags.registry_gc_interval;
    config.registry_agent_age_max = flags.registry_max_agent_age;
    config.registry_agents_max = flags.registry_max_agent_count as usize;
    config.weights = flags.weights.0.clone();
    config.recovery_agents_per_mille =
        (flags.allocator_agent_recovery_factor * 1000.0).ceil() as u32;
    config.recovery_hold = flags.allocator_recovery_timeout;
    config.root_submissions = flags.root_submissions;
    config.constraint_patterns = PatternLimits {
        memory: flags.offer_constraints_re2_max_mem,
        program: flags.offer_constraints_re2_max_program_size,
    };
    config.allocator = AllocatorConfig {
        seed,
        allocation_interval: flags.allocation_interval,
        order: flags.allocation_order,
        min_allocatable: flags.min_allocatable_resources.0.clone(),
        role_sorter: flags.role_sorter,
        framework_sorter: flags.framework_sorter,
        excluded_from_shares: flags
            .fair_sharing_excluded_resource_names
            .clone()
            .unwrap_or_default()
            .0,
        filter_gpus: flags.filter_gpu_resources,
        region: region(place),
        ..AllocatorConfig::default()
    };
    config
}

/// The region that frameworks without REGION_AWARE are offered agents of.
fn region(place: &Place) -> Option<Arc<str>> {
    let fault = place.domain.as_ref()?.fault_domain.as_ref()?;
    Some(fault.region.name.as_str().into())
}

fn master_info(id: &str, place: &Place) -> v1::MasterInfo {
    let Place {
        ip,
        port,
        hostname,
        domain,
    } = place;
    v1::MasterInfo {
        id: id.to_owned(),
        // Mesos keeps the address in network byte order; it has no room for IPv6.
        ip: match ip {
            IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
            IpAddr::V6(_) => 0,
        },
        port: u32::from(*port),
        pid: Some(format!("master@{ip}:{port}")),
        hostname: Some(hostname.clone()),
        domain: domain.clone(),
        version: Some(MESOS_VERSION.to_owned()),
        address: Some(v1::Address {
            hostname: Some(hostname.clone()),
            ip: Some(ip.to_string()),
            port: i32::from(*port),
        }),
        capabilities: [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2]
            .into_iter()
            .map(|kind| Capability {
                r#type: Some(kind.into()),
            })
            .collect(),
    }
}
