//! One container from launch to end: a task of its own, so that containers do not wait for each other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::cgroups::oom::{MemoryLeaf, OomWatch, OutOfMemory};
use super::cgroups::{CgroupError, Controller, Level, Tree};
use super::error::LaunchError;
use super::fetch::FetchRequest;
use super::isolators::{Isolated, Requests};
use super::launch::{Engine, Prepared};
use super::launcher::{Spawned, posix};
use super::orphans;
use super::plan::LauncherKind;
use super::status;
use super::supervised::Supervised;
use crate::agent::{ContainerConfig, Ended, Limitation};
use crate::executor::exit::Exit;
use crate::proto::v1;

/// How long a supervisor may take, once its task has been killed, to write down how it ended.
const STATUS_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked for.
const STATUS_LOOK: Duration = Duration::from_millis(5);

/// A container's data that calls from outside reach while it runs.
pub(super) type SharedIsolated = Arc<Mutex<Isolated>>;

/// What the lifecycle tells the containerizer.
pub(super) trait Observer: Send + Sync {
    /// The supervisor runs.
    fn launched(&self, pid: u32, isolated: SharedIsolated) -> impl Future<Output = ()> + Send;
}

/// One container.
#[derive(Debug)]
pub(super) struct Lifecycle {
    pub(super) engine: Arc<Engine>,
    pub(super) config: Arc<ContainerConfig>,
    /// Becomes true when the container is to be destroyed.
    pub(super) destroy: watch::Receiver<bool>,
    /// Bounds how many launches do blocking work at a time.
    pub(super) launching: Arc<tokio::sync::Semaphore>,
}

/// A container whose supervisor runs.
struct Running {
    supervised: Supervised,
    oom: Option<OomWatch>,
    isolated: SharedIsolated,
    runtime: PathBuf,
}

impl Lifecycle {
    /// Runs the container to its end; nothing of it is left then but the sandbox.
    pub(super) async fn run(mut self, observer: &impl Observer) -> Ended {
        match self.launch().await {
            Ok(running) => {
                let isolated = Arc::clone(&running.isolated);
                observer.launched(running.supervised.pid, isolated).await;
                self.watch(running).await
            }
            Err(error) => Ended {
                wait_status: None,
                reason: None,
                message: error.to_string(),
            },
        }
    }

    /// As [`Self::run`], for a container that an earlier agent has launched.
    pub(super) async fn take_back(self, observer: &impl Observer) -> Ended {
        let runtime = self.runtime();
        let place = runtime.clone();
        let found = self.blocking(move || orphans::find(&place)).await;
        let supervised = match found {
            Ok(Some(found)) => Supervised::found(found),
            Ok(None) => return self.ended_before(runtime).await,
            Err(error) => Err(std::io::Error::other(error)),
        };
        let supervised = match supervised {
            Ok(supervised) => supervised,
            Err(error) => {
                let container = &self.config.container_id;
                tracing::error!(%container, %error, "cannot watch a container, it ends");
                return self.ended_before(runtime).await;
            }
        };
        let isolated = self.isolated(supervised.pid);
        let oom = oom_watch(&isolated).unwrap_or_else(|error| {
            let container = &self.config.container_id;
            tracing::warn!(%container, %error, "cannot watch the memory of a container");
            None
        });
        let running = Running {
            supervised,
            oom,
            isolated: Arc::new(Mutex::new(isolated)),
            runtime,
        };
        let isolated = Arc::clone(&running.isolated);
        observer.launched(running.supervised.pid, isolated).await;
        self.watch(running).await
    }

    fn runtime(&self) -> PathBuf {
        let containers = self.engine.containers();
        containers.join(self.config.container_id.as_str())
    }

    /// The container as it was made.
    fn isolated(&self, supervisor: u32) -> Isolated {
        let host = self.engine.host.as_ref();
        Isolated {
            tree: host.map(|host| Tree::of(host, self.config.container_id.as_str())),
            requests: Requests::new(&self.config.resources, &self.config.limits),
            supervisor,
        }
    }

    /// Its supervisor is gone already.
    async fn ended_before(self, runtime: PathBuf) -> Ended {
        if !runtime.exists() {
            return Ended {
                message: "The container had gone when the agent came back".to_owned(),
                ..Ended::default()
            };
        }
        let isolated = Arc::new(Mutex::new(self.isolated(0)));
        self.clear_away(isolated, runtime, None, None).await
    }

    async fn launch(&mut self) -> Result<Running, LaunchError> {
        let (engine, config) = (Arc::clone(&self.engine), Arc::clone(&self.config));
        let (started, prepared) = if config.command.uris.is_empty() {
            // In one go: each change of threads is a wait when many containers are launched.
            self.blocking(move || {
                engine
                    .prepare(&config)
                    .map(|prepared| started(&engine, prepared))
            })
            .await??
        } else {
            let prepared = self.blocking(move || engine.prepare(&config)).await??;
            let fetched = self.fetch(&prepared).await;
            if let Err(error) = fetched {
                self.undo(prepared).await;
                return Err(error);
            }
            let engine = Arc::clone(&self.engine);
            self.blocking(move || started(&engine, prepared)).await?
        };
        match self.watched(started, &prepared).await {
            Ok((supervised, oom)) => Ok(Running {
                supervised,
                oom,
                isolated: Arc::new(Mutex::new(prepared.isolated)),
                runtime: prepared.plan.runtime,
            }),
            Err(error) => {
                self.undo(prepared).await;
                Err(error)
            }
        }
    }

    /// What tells of the container's end and of its memory. On failure the supervisor is gone.
    async fn watched(
        &self,
        started: Result<Spawned, LaunchError>,
        prepared: &Prepared,
    ) -> Result<(Supervised, Option<OomWatch>), LaunchError> {
        let supervised = Supervised::new(started?).map_err(LaunchError::Watch)?;
        match oom_watch(&prepared.isolated) {
            Ok(oom) => Ok((supervised, oom)),
            Err(error) => {
                supervised.kill();
                supervised.ended().await;
                supervised.reap();
                Err(error)
            }
        }
    }

    /// Brings the command's files.
    async fn fetch(&mut self, prepared: &Prepared) -> Result<(), LaunchError> {
        let uris = &self.config.command.uris;
        let request = FetchRequest {
            container_id: self.config.container_id.clone(),
            uris: uris.clone(),
            sandbox: self.config.sandbox.clone(),
            user: prepared.plan.user.clone(),
            program: self.engine.spawner.program().path(),
        };
        let fetching = self.engine.config.fetcher.fetch(request);
        tokio::select! {
            fetched = fetching => Ok(fetched?),
            () = asked(&mut self.destroy) => Err(LaunchError::Destroyed),
        }
    }

    async fn undo(&self, prepared: Prepared) {
        let (engine, config) = (Arc::clone(&self.engine), Arc::clone(&self.config));
        let undone = tokio::task::spawn_blocking(move || {
            let timeout = engine.config.destroy_timeout;
            engine.clean(&config, prepared.isolated.tree.as_ref(), timeout);
        });
        if let Err(error) = undone.await {
            tracing::error!(container = %self.config.container_id, %error, "clean-up was cut off");
        }
    }

    /// Runs `work` on a blocking thread, when its turn has come.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LaunchError> {
        let turn = self.launching.acquire().await;
        let done = tokio::task::spawn_blocking(work).await;
        drop(turn);
        done.map_err(|_| LaunchError::Destroyed)
    }

    /// From launch to end.
    async fn watch(mut self, running: Running) -> Ended {
        let Running {
            supervised,
            mut oom,
            isolated,
            runtime,
        } = running;
        let mut limit = None;
        tokio::select! {
            () = supervised.ended() => {}
            found = killed(&mut oom) => {
                tracing::info!(container = %self.config.container_id, %found, "destroying");
                limit = Some(found);
                self.kill(&supervised, &isolated, &runtime).await;
            }
            () = asked(&mut self.destroy) => self.kill(&supervised, &isolated, &runtime).await,
        }
        supervised.ended().await;
        let supervisor_status = supervised.reap();
        let timeout = self.engine.config.destroy_timeout;
        if self.engine.launcher == LauncherKind::Posix
            && !supervised.first_process_gone(timeout).await
        {
            tracing::error!(container = %self.config.container_id, "processes remain");
        }
        self.clear_away(isolated, runtime, limit, supervisor_status)
            .await
    }

    /// Reads how it ended and removes what is left.
    async fn clear_away(
        &self,
        isolated: SharedIsolated,
        runtime: PathBuf,
        limit: Option<OutOfMemory>,
        supervisor_status: Option<i32>,
    ) -> Ended {
        let timeout = self.engine.config.destroy_timeout;
        let (engine, config) = (Arc::clone(&self.engine), Arc::clone(&self.config));
        let ending = tokio::task::spawn_blocking(move || {
            let wait_status = status::read(&runtime);
            let isolated = lock(&isolated);
            let limit = limit.or_else(|| memory_leaf(&isolated)?.killed().ok()?);
            engine.clean(&config, isolated.tree.as_ref(), timeout);
            (wait_status, limit)
        });
        match ending.await {
            Ok((wait_status, limit)) => ended(wait_status, limit, supervisor_status),
            Err(error) => Ended {
                message: format!("the container's clean-up was cut off: {error}"),
                ..Ended::default()
            },
        }
    }

    /// Kills the task first, so that its supervisor can write down how it ended, then the rest.
    async fn kill(&self, supervised: &Supervised, isolated: &SharedIsolated, runtime: &Path) {
        let (shared, pid) = (Arc::clone(isolated), supervised.pid);
        let container = &self.config.container_id;
        let killed = tokio::task::spawn_blocking(move || match &lock(&shared).tree {
            Some(tree) => kill_task(tree),
            None => Ok(kill_below_first_process(pid)),
        });
        let was_there = match killed.await {
            Ok(Ok(was_there)) => was_there,
            Ok(Err(error)) => {
                tracing::warn!(%container, %error, "cannot kill the task");
                false
            }
            Err(error) => {
                tracing::warn!(%container, %error, "killing was cut off");
                false
            }
        };
        if was_there {
            tokio::select! {
                () = supervised.ended() => {}
                () = written(runtime) => {}
                () = tokio::time::sleep(STATUS_WAIT) => {}
            }
        }
        supervised.kill();
    }
}

/// Starts the supervisor.
fn started(engine: &Engine, mut prepared: Prepared) -> (Result<Spawned, LaunchError>, Prepared) {
    let started = engine.start(&mut prepared);
    (started, prepared)
}

/// Waits for a status in `runtime`. A supervisor whose task never ran writes none.
async fn written(runtime: &Path) {
    let path = runtime.join("status");
    let mut looks = tokio::time::interval(STATUS_LOOK);
    loop {
        looks.tick().await;
        if tokio::fs::try_exists(&path).await.unwrap_or(true) {
            return;
        }
    }
}

/// Kills the task by its group; true if it was there.
fn kill_task(tree: &Tree) -> Result<bool, CgroupError> {
    let was_there = !tree.is_empty(Level::Task);
    tree.kill(Level::Task)?;
    Ok(was_there)
}

/// Kills the task, not the first process between it and the supervisor: that one reports its end.
/// True if it was there.
fn kill_below_first_process(supervisor: u32) -> bool {
    let below = posix::children(supervisor);
    let killed = below.into_iter().map(posix::kill_descendants);
    killed.sum::<usize>() > 0
}

/// Waits until the container is to be destroyed.
async fn asked(destroy: &mut watch::Receiver<bool>) {
    // The sender goes away with the containerizer itself: then everything is to be destroyed.
    let _gone = destroy.wait_for(|asked| *asked).await;
}

async fn killed(oom: &mut Option<OomWatch>) -> OutOfMemory {
    match oom {
        Some(watch) => watch.killed().await,
        None => std::future::pending().await,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn memory_leaf(isolated: &Isolated) -> Option<MemoryLeaf> {
    let tree = isolated.tree.as_ref()?;
    let (version, path) = tree.directory(Controller::Memory, Level::Task)?;
    Some(MemoryLeaf::new(version, path))
}

fn oom_watch(isolated: &Isolated) -> Result<Option<OomWatch>, LaunchError> {
    match memory_leaf(isolated) {
        Some(leaf) => Ok(Some(leaf.watch()?)),
        None => Ok(None),
    }
}

/// What the agent is told.
fn ended(
    wait_status: Result<Option<i32>, status::StatusError>,
    limit: Option<OutOfMemory>,
    supervisor: Option<i32>,
) -> Ended {
    let (wait_status, unread) = match wait_status {
        Ok(found) => (found, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let reason = limit.map(|limit| Limitation {
        reason: v1::task_status::Reason::ContainerLimitationMemory,
        message: limit.to_string(),
        resources: vec![memory_resource(limit.used)],
    });
    let message = match (&reason, wait_status, unread) {
        (Some(reason), _, _) => reason.message.clone(),
        (None, Some(status), _) => Exit::from_wait_status(status).to_string(),
        (None, None, Some(unread)) => unread,
        (None, None, None) => match supervisor.map(Exit::from_wait_status) {
            Some(exit) => format!("The supervisor ended without recording a status ({exit})"),
            None => "The supervisor ended without recording a status".to_owned(),
        },
    };
    Ended {
        wait_status,
        reason,
        message,
    }
}

/// `mem` in megabytes, as limitations carry it.
fn memory_resource(bytes: u64) -> v1::Resource {
    v1::Resource {
        name: "mem".to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar {
            value: bytes as f64 / f64::from(1 << 20),
        }),
        ..v1::Resource::default()
    }
}
