//! The containerizer: launches containers, watches them, answers about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::cgroups::{CgroupError, Controller, Host, Level, Mounts};
use super::config::{ContainerizerConfig, LauncherChoice};
use super::error::ContainerizerError;
use super::guests::House;
use super::isolators::{Chosen, Isolated, Requests, Settings, choose};
use super::launch::Engine;
use super::launcher::{SealedProgram, Spawner};
use super::lifecycle::{Lifecycle, Observer, SharedIsolated, lock};
use super::orphans;
use super::plan::LauncherKind;
use super::{user, volumes};
use crate::agent::{ContainerConfig, ContainerKind, ContainerVolume, Ended};
use crate::base::ContainerId;
use crate::proto::v1;
use crate::resources::Resources;

/// Events that wait for the agent; a container whose event does not fit waits too.
const EVENTS_MAX: usize = 1024;
/// Launches that do blocking work at a time.
const LAUNCHING_MAX: usize = 8;
/// The full set of the linux launcher.
const NATIVE: [&str; 6] = [
    "cgroups/cpu",
    "cgroups/mem",
    "cgroups/pids",
    "namespaces/pid",
    "filesystem/linux",
    "posix/rlimits",
];
/// The full set of the posix launcher.
const PORTABLE: [&str; 4] = [
    "posix/cpu",
    "posix/mem",
    "posix/rlimits",
    "filesystem/posix",
];

/// What happens to containers.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerEvent {
    /// Nothing is left of containers that nobody knows.
    Recovered,
    /// The supervisor runs.
    Launched {
        /// The container.
        container_id: ContainerId,
        /// The supervisor's process id.
        pid: u32,
    },
    /// Nothing of the container is left but its sandbox; also the answer to a launch that failed.
    Ended {
        /// The container.
        container_id: ContainerId,
        /// How.
        ended: Box<Ended>,
    },
}

/// Where a container comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Launch,
    TakeBack,
}

type Wanted = Arc<Mutex<Option<Requests>>>;

/// A running container, from outside.
#[derive(Debug)]
struct Entry {
    config: Arc<ContainerConfig>,
    destroy: watch::Sender<bool>,
    /// There when the supervisor runs.
    isolated: Option<SharedIsolated>,
    /// The newest change that has not been made yet.
    wanted: Wanted,
}

/// Launches and ends containers; cheap to share.
#[derive(Debug)]
pub struct Containerizer {
    engine: Arc<Engine>,
    entries: Mutex<BTreeMap<ContainerId, Entry>>,
    events: mpsc::Sender<ContainerEvent>,
    launching: Arc<Semaphore>,
    emptied: Notify,
    notice: Option<String>,
}

impl Containerizer {
    /// Chooses launcher and isolators. Blocks; to be called once, before the agent does anything else.
    pub fn new(
        config: ContainerizerConfig,
    ) -> Result<(Arc<Self>, mpsc::Receiver<ContainerEvent>), ContainerizerError> {
        let selected = Selected::new(&config)?;
        let containers = config.runtime_dir.join("containers");
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&containers);
        made.map_err(|cause| ContainerizerError::Runtime {
            path: containers,
            cause,
        })?;
        let spawner = SealedProgram::new(&config.program)
            .and_then(Spawner::new)
            .map_err(|cause| ContainerizerError::Program {
                path: config.program.clone(),
                cause,
            })?;
        let engine = Arc::new(Engine {
            config,
            launcher: selected.launcher,
            host: selected.host,
            isolators: selected.chosen.isolators,
            spawner,
        });
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let containerizer = Arc::new(Self {
            engine,
            entries: Mutex::default(),
            events,
            launching: Arc::new(Semaphore::new(LAUNCHING_MAX)),
            emptied: Notify::new(),
            notice: selected.notice,
        });
        Ok((containerizer, receiver))
    }

    /// One line for the operator when tasks get less isolation than could be had.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// The launcher in use.
    #[must_use]
    pub fn launcher(&self) -> LauncherKind {
        self.engine.launcher
    }

    /// The isolators in use, by name.
    #[must_use]
    pub fn isolation(&self) -> Vec<&'static str> {
        let isolators = self.engine.isolators.iter();
        isolators.map(|isolator| isolator.name()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a container and returns at once; answered by `Launched` and `Ended`, or by `Ended`
    /// alone. A container id that is in use is ignored. To be called inside a tokio runtime.
    pub fn launch(self: &Arc<Self>, config: ContainerConfig) {
        self.begin(config, Start::Launch);
    }

    /// Takes containers back that an earlier agent has launched, and ends what else it has left in the
    /// runtime directory; returns at once. The known ones are answered as after a launch, the whole by
    /// `Recovered`. To be called once, before the first launch, inside a tokio runtime.
    pub fn recover(self: &Arc<Self>, known: Vec<ContainerConfig>) {
        let ids = known.iter().map(|config| config.container_id.to_string());
        let kept: BTreeSet<String> = ids.collect();
        for config in known {
            self.begin(config, Start::TakeBack);
        }
        let containerizer = Arc::clone(self);
        tokio::spawn(async move {
            let engine = Arc::clone(&containerizer.engine);
            let ending =
                tokio::task::spawn_blocking(move || orphans::destroy_all_but(&engine, &kept));
            if let Err(error) = ending.await {
                tracing::error!(%error, "the end of unknown containers was cut off");
            }
            containerizer.tell(ContainerEvent::Recovered).await;
        });
    }

    fn begin(self: &Arc<Self>, config: ContainerConfig, start: Start) {
        let container_id = config.container_id.clone();
        let config = Arc::new(config);
        let (destroy, asked) = watch::channel(false);
        {
            let mut entries = self.entries();
            if entries.contains_key(&container_id) {
                tracing::error!(container = %container_id, "launched twice");
                return;
            }
            let entry = Entry {
                config: Arc::clone(&config),
                destroy,
                isolated: None,
                wanted: Wanted::default(),
            };
            entries.insert(container_id.clone(), entry);
        }
        let lifecycle = Lifecycle {
            engine: Arc::clone(&self.engine),
            config,
            destroy: asked,
            launching: Arc::clone(&self.launching),
        };
        let containerizer = Arc::clone(self);
        tokio::spawn(async move {
            let watcher = Watcher {
                containerizer: &containerizer,
                container_id: &container_id,
            };
            let ended = match start {
                Start::Launch => lifecycle.run(&watcher).await,
                Start::TakeBack => lifecycle.take_back(&watcher).await,
            };
            let ended = Box::new(ended);
            containerizer.entries().remove(&container_id);
            containerizer.emptied.notify_waiters();
            containerizer
                .tell(ContainerEvent::Ended {
                    container_id,
                    ended,
                })
                .await;
        });
    }

    async fn tell(&self, event: ContainerEvent) {
        // An agent that no longer listens is one that shuts down.
        let _nobody = self.events.send(event).await;
    }

    /// `--runtime_dir`.
    pub(super) fn runtime_dir(&self) -> &Path {
        &self.engine.config.runtime_dir
    }

    /// Whether there is a container of this id, from its launch to its end.
    pub(super) fn knows(&self, container_id: &ContainerId) -> bool {
        self.entries().contains_key(container_id)
    }

    /// A running container, for guests.
    pub(super) fn house(&self, container_id: &ContainerId) -> Option<House> {
        let entries = self.entries();
        let entry = entries.get(container_id)?;
        let isolated = entry.isolated.clone()?;
        let config = Arc::clone(&entry.config);
        drop(entries);
        let isolated = lock(&isolated);
        let tree = isolated.tree.as_ref();
        Some(House {
            supervisor: isolated.supervisor,
            cgroups: tree
                .map(|tree| tree.leaves(Level::Task))
                .unwrap_or_default(),
            sandbox: config.sandbox.clone(),
            runtime: self.engine.containers().join(container_id.as_str()),
            of_groups: matches!(config.kind, ContainerKind::TaskGroups(_)),
            standalone: matches!(config.kind, ContainerKind::Standalone),
        })
    }

    /// What processes of containers execute, for as long as this one lives.
    pub(super) fn program(&self) -> PathBuf {
        self.engine.spawner.program().path()
    }

    /// Ends a container; answered by `Ended`. One that is not there is ignored.
    pub fn destroy(&self, container_id: &ContainerId) {
        if let Some(entry) = self.entries().get(container_id) {
            entry.destroy.send_replace(true);
        }
    }

    /// Changes what a container is promised and may not pass. The call decides the order, the future
    /// does the work; a container that does not run yet gets the change when it does.
    pub fn update(
        &self,
        container_id: &ContainerId,
        resources: &Resources,
        limits: &BTreeMap<String, f64>,
    ) -> impl Future<Output = Result<(), ContainerizerError>> + Send + use<> {
        let requests = Requests::new(resources, limits);
        let found = self.entries().get(container_id).map(|entry| {
            *lock(&entry.wanted) = Some(requests);
            (entry.isolated.clone(), Arc::clone(&entry.wanted))
        });
        let unknown = ContainerizerError::Unknown(container_id.clone());
        let engine = Arc::clone(&self.engine);
        async move {
            let (isolated, wanted) = found.ok_or(unknown)?;
            match isolated {
                Some(isolated) => apply(engine, isolated, wanted).await,
                None => Ok(()),
            }
        }
    }

    /// Lets who lives in a sandbox see persistent volumes, which are to belong to `user`.
    ///
    /// # Errors
    ///
    /// In words, what could not be done.
    pub fn link_volumes(
        &self,
        sandbox: &Path,
        user: Option<&str>,
        volumes: &[ContainerVolume],
    ) -> Result<(), String> {
        let user = user.map(user::look_up).transpose();
        let user = user.map_err(|error| error.to_string())?.flatten();
        volumes::link(sandbox, user.as_ref(), volumes).map_err(|error| error.to_string())
    }

    /// What a running container uses.
    pub async fn usage(
        &self,
        container_id: &ContainerId,
    ) -> Result<v1::ResourceStatistics, ContainerizerError> {
        self.with(container_id, |engine, isolated| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let mut statistics = v1::ResourceStatistics {
                timestamp: now.unwrap_or_default().as_secs_f64(),
                ..v1::ResourceStatistics::default()
            };
            let mut isolators = engine.isolators.iter();
            isolators.try_for_each(|isolator| isolator.usage(isolated, &mut statistics))?;
            Ok(statistics)
        })
        .await
    }

    /// Calls `work` on a blocking thread with a running container.
    async fn with<T: Send + 'static>(
        &self,
        container_id: &ContainerId,
        work: impl FnOnce(&Engine, &mut Isolated) -> Result<T, ContainerizerError> + Send + 'static,
    ) -> Result<T, ContainerizerError> {
        let isolated = self
            .entries()
            .get(container_id)
            .and_then(|entry| entry.isolated.clone())
            .ok_or_else(|| ContainerizerError::Unknown(container_id.clone()))?;
        let engine = Arc::clone(&self.engine);
        let done = tokio::task::spawn_blocking(move || work(&engine, &mut lock(&isolated)));
        done.await.map_err(|_| ContainerizerError::ShuttingDown)?
    }

    /// Ends all containers, waits until nothing of them is left, and removes the control groups that
    /// were made for them. Their `Ended` events are sent as far as anybody receives them.
    pub async fn shutdown(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            {
                let entries = self.entries();
                if entries.is_empty() {
                    break;
                }
                for entry in entries.values() {
                    entry.destroy.send_replace(true);
                }
            }
            emptied.await;
        }
        if let Some(host) = &self.engine.host {
            host.remove_roots();
        }
    }
}

/// Makes the newest wanted change, if it has not been made already.
async fn apply(
    engine: Arc<Engine>,
    isolated: SharedIsolated,
    wanted: Wanted,
) -> Result<(), ContainerizerError> {
    let done = tokio::task::spawn_blocking(move || {
        // Taken with the container locked: the last change wins, whichever thread is faster.
        let mut isolated = lock(&isolated);
        let Some(requests) = lock(&wanted).take() else {
            return Ok(());
        };
        isolated.requests = requests;
        let mut isolators = engine.isolators.iter();
        isolators.try_for_each(|isolator| isolator.update(&isolated))?;
        Ok(())
    });
    done.await.map_err(|_| ContainerizerError::ShuttingDown)?
}

/// Tells the agent and remembers what is needed to answer questions.
struct Watcher<'a> {
    containerizer: &'a Containerizer,
    container_id: &'a ContainerId,
}

impl Observer for Watcher<'_> {
    async fn launched(&self, pid: u32, isolated: SharedIsolated) {
        let wanted = self
            .containerizer
            .entries()
            .get_mut(self.container_id)
            .map(|entry| {
                entry.isolated = Some(Arc::clone(&isolated));
                Arc::clone(&entry.wanted)
            });
        if let Some(wanted) = wanted.filter(|wanted| lock(wanted).is_some()) {
            let engine = Arc::clone(&self.containerizer.engine);
            if let Err(error) = apply(engine, isolated, wanted).await {
                let container = self.container_id;
                tracing::warn!(%container, %error, "limits not changed");
            }
        }
        let container_id = self.container_id.clone();
        let event = ContainerEvent::Launched { container_id, pid };
        self.containerizer.tell(event).await;
    }
}

/// The outcome of looking at flags and host.
struct Selected {
    launcher: LauncherKind,
    host: Option<Host>,
    chosen: Chosen,
    notice: Option<String>,
}

impl Selected {
    fn new(config: &ContainerizerConfig) -> Result<Self, ContainerizerError> {
        let root = nix::unistd::geteuid().is_root();
        match config.launcher {
            LauncherChoice::Posix => Self::posix(config, "--launcher=posix"),
            LauncherChoice::Linux if !root => Err(ContainerizerError::NotRoot),
            LauncherChoice::Linux => Self::linux(config),
            LauncherChoice::Auto if !root => Self::posix(config, "not running as root"),
            LauncherChoice::Auto => match Self::linux(config) {
                // What was asked for by name is not taken away silently.
                Err(ContainerizerError::Cgroups(error)) if config.isolation.is_empty() => {
                    Self::posix(config, &error.to_string())
                }
                other => other,
            },
        }
    }

    fn settings(config: &ContainerizerConfig) -> Settings {
        Settings {
            cfs: config.cfs,
            limit_swap: config.limit_swap,
            pids_max: config.pids_max,
        }
    }

    fn linux(config: &ContainerizerConfig) -> Result<Self, ContainerizerError> {
        let mounts = Mounts::detect()?;
        let (names, notice) = if config.isolation.is_empty() {
            native(&mounts)
        } else {
            (config.isolation.clone(), None)
        };
        let chosen = choose(&names, Self::settings(config), None)?;
        // The launcher itself needs one tree to find and kill all processes.
        let mut wanted = vec![Controller::Freezer];
        wanted.extend_from_slice(&chosen.controllers);
        let host = Host::new(&mounts, &wanted, &config.cgroups_root)?;
        Ok(Self {
            launcher: LauncherKind::Linux,
            host: Some(host),
            chosen,
            notice,
        })
    }

    fn posix(config: &ContainerizerConfig, why: &str) -> Result<Self, ContainerizerError> {
        let names = if config.isolation.is_empty() {
            PORTABLE.map(str::to_owned).to_vec()
        } else {
            config.isolation.clone()
        };
        let chosen = choose(&names, Self::settings(config), Some(why))?;
        let asked = config.launcher == LauncherChoice::Posix;
        let notice =
            (!asked).then(|| format!("tasks run without isolation, by the posix launcher: {why}"));
        Ok(Self {
            launcher: LauncherKind::Posix,
            host: None,
            chosen,
            notice,
        })
    }
}

/// The full set, less what the host has no controller for, and a line that says what is missing.
fn native(mounts: &Mounts) -> (Vec<String>, Option<String>) {
    let mut missing = Vec::new();
    let mut names = Vec::new();
    for name in NATIVE {
        let controller = match name {
            "cgroups/cpu" => Some(Controller::Cpu),
            "cgroups/mem" => Some(Controller::Memory),
            "cgroups/pids" => Some(Controller::Pids),
            _ => None,
        };
        match controller.map(|one| mounts.hierarchies(&[one])) {
            Some(Err(CgroupError::Unavailable { controller })) => {
                missing.push(format!("{name} (no controller {controller:?})"));
            }
            _ => names.push(name.to_owned()),
        }
    }
    let notice = (!missing.is_empty()).then(|| format!("tasks run without {}", missing.join(", ")));
    (names, notice)
}
