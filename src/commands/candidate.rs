//! `mesosd --role=master --zk=...`: contends, leads when elected, stands by otherwise.
//!
//! One process lives through many leaderships. Mesos' master ends its process with its leadership; here
//! only what led is dropped: the core, its registrar, its routes and all connections of agents and
//! schedulers. The next leadership starts from what is stored, with a new uuid and a new epoch, exactly as
//! a new process would; but the port stays open and standbys never look like crashes to an init system.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::daemon::{DaemonError, Surroundings};
use super::master::{MasterSettings, config, leadership_number};
use super::network::Place;
use super::whitelist;
use crate::api::Switch;
use crate::api::http::{master_routes, standby_routes};
use crate::api::server::{Limits, serve as listen};
use crate::api::service::daemon::{Daemon, Handover};
use crate::election::driver::{Contest, Standing, Term, contend};
use crate::election::session::Ensemble;
use crate::flags::RegistryKind;
use crate::master::driver::{DriverError, Running, lead};
use crate::registrar::{MemoryStorage, RegistrarError, StorageError, ZooKeeperStorage};
use crate::runtime::{Shutdown, ready};
use crate::telemetry::chain;

/// What is below the path of `--zk`, besides the candidates.
pub(super) const REGISTRY: &str = "registry";
/// From a leadership that failed to the next candidacy.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the loop of a leader that leaves may take to end.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// Runs until asked to end.
pub(super) async fn serve(
    settings: MasterSettings,
    ensemble: Ensemble,
    surroundings: Surroundings,
) -> Result<(), DaemonError> {
    let listening = settings.network.listen().await?;
    let (address, place) = (listening.address, listening.place.clone());
    let mut daemon = surroundings.daemon;
    let handover = Handover::default();
    daemon.handover = Some(handover.clone());
    let switch = Switch::new();
    let router = switch.serve(standby_routes(&switch, daemon.clone()));
    let stop = Shutdown::new();
    let stopped = stop.clone();
    let metrics = daemon.metrics.clone();
    let front_ends = tokio::spawn(async move {
        let stopped = async { stopped.draining().await };
        let limits = Limits::of_process();
        listen(listening.listener, router, limits, &metrics, stopped).await;
    });
    let uuid = Uuid::new_v4();
    let master = config(&settings.cluster, &place, uuid).info;
    let registry = ensemble.url.below(REGISTRY);
    announce(address, &ensemble);
    let contest = contend(ensemble, &master);
    let mut candidate = Candidate {
        running: None,
        settings,
        place,
        daemon,
        registry,
        switch,
        standings: contest.standings.clone(),
        uuid: Some(uuid),
        handover,
    };
    tokio::select! {
        never = candidate.run(&contest) => match never {},
        () = surroundings.shutdown.draining() => {}
    };
    candidate.leave(contest).await;
    stop.drain();
    // It only ends by itself or with the process.
    let _ = front_ends.await;
    Ok(())
}

fn announce(address: SocketAddr, ensemble: &Ensemble) {
    ready(&format!(
        "master serves on {address}, the leader is elected at {}",
        ensemble.url
    ));
}

/// One master of several.
struct Candidate {
    settings: MasterSettings,
    place: Place,
    daemon: Daemon,
    /// The registry's path.
    registry: String,
    switch: Switch,
    standings: watch::Receiver<Standing>,
    /// Of the first leadership, as the znode says it; later ones draw their own.
    uuid: Option<Uuid>,
    /// While it leads.
    running: Option<Running>,
    handover: Handover,
}

/// How a leadership ended that did not fail.
enum Ended {
    /// The election has ended it, or will in a moment.
    Deposed,
    /// Somebody asked for it.
    HandedOver,
}

impl Candidate {
    /// Stands by and leads, for ever.
    async fn run(&mut self, contest: &Contest) -> Infallible {
        loop {
            let standing = self.standings.borrow_and_update().clone();
            let changed = match standing {
                Standing::Standby(leader) => {
                    self.switch.stand_by(leader);
                    self.standings.changed().await
                }
                Standing::Elected(term) => self.term(term, contest).await,
            };
            // A candidate that stands still without its election would look like a standby for ever.
            changed.expect("the election ends after its candidate");
        }
    }

    /// One leadership from its election to its end.
    async fn term(&mut self, term: Term, contest: &Contest) -> Result<(), watch::error::RecvError> {
        self.switch.recover();
        let number = term.number;
        let ended = self.lead(&term).await;
        self.switch.stand_by(None);
        if matches!(ended, Ok(Ended::HandedOver)) {
            // First of all: the others need not wait until everybody here is gone.
            contest.resign().await;
        }
        if let Some(running) = self.running.take() {
            // What it still wanted to say is void.
            running.task.abort();
        }
        // It holds the session.
        drop(term);
        match &ended {
            Ok(Ended::Deposed) => {
                let heard = tokio::time::timeout(PAUSE, over(&self.standings, number)).await;
                if heard.is_err() {
                    // The loop saw the end of a lease that the election has extended in that moment, or
                    // was refused by the registry: nobody is elected without leading.
                    contest.resign().await;
                }
            }
            Ok(Ended::HandedOver) => {
                tracing::info!("this leadership is handed over");
            }
            Err(error) => {
                tracing::error!("this leadership ends: {}", chain(error));
                contest.resign().await;
            }
        }
        over(&self.standings, number).await?;
        if ended.is_err() {
            // Before it is elected again and fails again.
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Leads until the election says that it is over, somebody asks for it, or something breaks.
    async fn lead(&mut self, term: &Term) -> Result<Ended, DaemonError> {
        let (standings, handover) = (self.standings.clone(), self.handover.clone());
        tokio::select! {
            _ = over(&standings, term.number) => Ok(Ended::Deposed),
            () = handover.asked() => Ok(Ended::HandedOver),
            result = self.begin(term) => match result {
                Err(error) if !is_deposed(&error) => Err(error),
                _ => Ok(Ended::Deposed),
            },
        }
    }

    /// Reads the registry, serves, and returns when the core has ended.
    async fn begin(&mut self, term: &Term) -> Result<(), DaemonError> {
        let (session, node) = (term.session.clone(), &term.node);
        let storage =
            ZooKeeperStorage::open(session, node, &self.registry, leadership_number()).await?;
        let uuid = self.uuid.take().unwrap_or_else(Uuid::new_v4);
        let mut config = config(&self.settings.cluster, &self.place, uuid);
        config.epoch = storage.epoch();
        let epoch = config.epoch;
        let mut daemon = self.daemon.clone();
        // What the core counts ends with it.
        daemon.metrics = daemon.metrics.extended();
        let (lease, metrics) = (term.lease.clone(), daemon.metrics.clone());
        let running = match self.settings.registry {
            RegistryKind::ReplicatedLog => lead(config, storage, lease.clone(), &metrics).await?,
            RegistryKind::InMemory => {
                lead(config, MemoryStorage::default(), lease.clone(), &metrics).await?
            }
        };
        let whitelist = self.settings.cluster.whitelist.clone();
        let _whitelist = whitelist::follow(whitelist, running.handle.clone()).await?;
        let routes = master_routes(running.handle.clone(), daemon).await;
        self.switch.lead(routes, lease);
        tracing::info!(epoch, "this master leads");
        let running = self.running.insert(running);
        match (&mut running.task).await {
            Ok(result) => result.map_err(DaemonError::Master),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Hands the leadership over and leaves. What is not stored yet was not promised, and is not stored any
    /// more: the next leader does not wait until ten thousand agents are told to go.
    async fn leave(mut self, contest: Contest) {
        self.switch.stand_by(None);
        let running = self.running.take();
        let last = async move {
            if let Some(mut running) = running {
                running.handle.shutdown().await;
                let ended = tokio::time::timeout(DRAIN_MAX, &mut running.task).await;
                if ended.is_err() {
                    running.task.abort();
                }
            }
            drop(self);
        };
        tokio::join!(contest.withdraw(), last);
    }
}

/// Returns when this leadership is not the present one any more.
async fn over(
    standings: &watch::Receiver<Standing>,
    number: u64,
) -> Result<(), watch::error::RecvError> {
    let mut standings = standings.clone();
    let other = |now: &Standing| !matches!(now, Standing::Elected(term) if term.number == number);
    standings.wait_for(other).await.map(drop)
}

/// The end of a leadership that the election knows of, or will in a moment.
fn is_deposed(error: &DaemonError) -> bool {
    matches!(
        error,
        DaemonError::Registry(StorageError::Fenced)
            | DaemonError::Master(
                DriverError::Deposed
                    | DriverError::Registrar(
                        RegistrarError::Load(StorageError::Fenced)
                            | RegistrarError::Store(StorageError::Fenced)
                    )
            )
    )
}
