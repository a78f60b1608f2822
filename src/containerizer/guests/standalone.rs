//! Standalone containers: launched by operators, with neither executor nor framework. They go on when
//! the agent is restarted, and are remembered until they are removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::GuestError;
use super::hosts::{outcome, signal_to};
use super::place::Place;
use super::record::Records;
use crate::agent::{ContainerConfig, ContainerKind, Ended};
use crate::base::{ContainerId, ExecutorId, FrameworkId};
use crate::containerizer::Containerizer;
use crate::proto::v1;
use crate::proto::v1::agent::call::LaunchContainer;
use crate::proto::v1::agent::response::WaitContainer;
use crate::resources::Resources;

/// Standalone containers that are remembered, those that have ended included.
const STANDALONE_MAX: usize = 1_000;

/// How often it is looked for the command of a container that was launched, and how many times.
const SETTLE_LOOK: Duration = Duration::from_millis(10);
const SETTLE_LOOKS: u32 = 500;

/// All standalone containers of an agent.
#[derive(Debug)]
pub(super) struct Standalones {
    containerizer: Arc<Containerizer>,
    records: Records,
    sandboxes: PathBuf,
    all: Mutex<BTreeMap<ContainerId, Standalone>>,
}

#[derive(Debug)]
struct Standalone {
    state: watch::Sender<State>,
    /// Somebody sent it SIGKILL.
    killed: bool,
    /// When it came, for those that have ended to be forgotten in order.
    number: u64,
}

#[derive(Clone, Debug)]
enum State {
    Starting,
    /// An earlier agent has launched it; whether it runs will be known soon.
    TakenBack,
    Runs(u32),
    Ended(WaitContainer),
    /// It never ran, and is known no more.
    Failed(String),
}

/// A step of the launch that is to be waited for.
enum Entered {
    New(watch::Receiver<State>),
    Known,
}

impl Standalones {
    pub(super) fn new(containerizer: Arc<Containerizer>, sandboxes: PathBuf) -> Self {
        Self {
            records: Records::new(containerizer.runtime_dir()),
            containerizer,
            sandboxes,
            all: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Standalone>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Launches one; false if it was launched before. It runs when this returns.
    pub(super) async fn launch(self: Arc<Self>, call: LaunchContainer) -> Result<bool, GuestError> {
        let id = parsed(&call.container_id)?;
        let config = self.config(&id, &call)?;
        let mut state = match self.enter(&id)? {
            Entered::New(state) => state,
            Entered::Known => return Ok(false),
        };
        let (own, recorded) = (Arc::clone(&self), id.clone());
        let written = blocking(move || own.records.begin(&recorded, &call)).await;
        if let Err(error) = written {
            self.lock().remove(&id);
            return Err(GuestError::Failed(error));
        }
        self.containerizer.launch(config);
        let state = state.wait_for(|state| !matches!(state, State::Starting));
        let state = state.await.map(|state| state.clone());
        match state {
            Ok(State::Failed(message)) => Err(GuestError::Refused(message)),
            Ok(_) => {
                self.settled(&id).await;
                Ok(true)
            }
            Err(_) => Err(GuestError::Unknown(id.to_string())),
        }
    }

    /// Waits for the command, so that who was told of the launch can send it signals and guests.
    async fn settled(&self, id: &ContainerId) {
        let command = || {
            let house = self.containerizer.house(id);
            house.as_ref().map(Place::command_of)
        };
        for _ in 0..SETTLE_LOOKS {
            // Without a house it has ended.
            if !matches!(command(), Some(None)) {
                return;
            }
            tokio::time::sleep(SETTLE_LOOK).await;
        }
    }

    /// Takes a place for a new container.
    fn enter(&self, id: &ContainerId) -> Result<Entered, GuestError> {
        let mut all = self.lock();
        if all.contains_key(id) || self.containerizer.knows(id) {
            return Ok(Entered::Known);
        }
        if all.len() >= STANDALONE_MAX {
            let over = all.iter().filter(|(_, one)| one.is_over());
            let oldest = over.min_by_key(|(_, one)| one.number);
            let oldest = oldest.map(|(id, _)| id.clone()).ok_or_else(|| {
                let message = format!("{STANDALONE_MAX} standalone containers run already");
                GuestError::TooMany(message)
            })?;
            all.remove(&oldest);
            let _gone_already = self.records.remove(&oldest);
        }
        let number = all.values().map(|one| one.number).max().unwrap_or(0) + 1;
        let (state, receiver) = watch::channel(State::Starting);
        let new = Standalone {
            state,
            killed: false,
            number,
        };
        all.insert(id.clone(), new);
        Ok(Entered::New(receiver))
    }

    /// The container, in the containerizer's words.
    fn config(
        &self,
        id: &ContainerId,
        call: &LaunchContainer,
    ) -> Result<ContainerConfig, GuestError> {
        let command = call.command.clone();
        let command = command.ok_or_else(|| {
            let message = "launch_container.command: a standalone container needs one";
            GuestError::Refused(message.to_owned())
        })?;
        let resources = Resources::from_proto(&call.resources)
            .map_err(|error| GuestError::Refused(format!("launch_container.{error}")))?;
        let sandbox = self.sandboxes.join(id.as_str());
        let shown = sandbox.display().to_string();
        let limits = call.limits.iter();
        Ok(ContainerConfig {
            container_id: id.clone(),
            framework_id: FrameworkId::new(""),
            executor_id: ExecutorId::new(""),
            kind: ContainerKind::Standalone,
            user: command.user.clone(),
            sandbox,
            resources,
            limits: limits
                .map(|(name, limit)| (name.clone(), limit.value))
                .collect(),
            volumes: Vec::new(),
            container: call.container.clone(),
            environment: vec![("MESOS_SANDBOX".to_owned(), shown)],
            shutdown_grace: Duration::ZERO,
            checkpoint: true,
            recovery_timeout: Duration::ZERO,
            command,
        })
    }

    /// Those that an earlier agent has launched and that may still run, for the containerizer to take
    /// back. With `ending` they are forgotten instead, and end with the others that nobody knows.
    pub(super) fn recover(&self, ending: bool) -> Vec<ContainerConfig> {
        let mut taken = Vec::new();
        for recorded in self.records.all() {
            let id = recorded.id;
            let config = match self.config(&id, &recorded.call) {
                Ok(config) if !ending => config,
                _ => {
                    let _gone_already = self.records.remove(&id);
                    continue;
                }
            };
            let state = match recorded.outcome {
                Some(outcome) => State::Ended(outcome),
                None => {
                    taken.push(config);
                    State::TakenBack
                }
            };
            let mut all = self.lock();
            let number = all.values().map(|one| one.number).max().unwrap_or(0) + 1;
            let state = watch::Sender::new(state);
            let known = Standalone {
                state,
                killed: false,
                number,
            };
            all.insert(id, known);
        }
        taken
    }

    /// The containerizer has launched a container; false if it is not one of these.
    pub(super) fn launched(&self, id: &ContainerId, pid: u32) -> bool {
        let all = self.lock();
        let found = all.get(id);
        found.is_some_and(|one| {
            one.state.send_replace(State::Runs(pid));
            true
        })
    }

    /// A container has ended; false if it is not one of these.
    pub(super) async fn ended(self: &Arc<Self>, id: &ContainerId, ended: &Ended) -> bool {
        let failed = {
            let mut all = self.lock();
            let Some(one) = all.get(id) else {
                return false;
            };
            let never_ran = matches!(*one.state.borrow(), State::Starting);
            never_ran.then(|| all.remove(id)).flatten()
        };
        let (own, id) = (Arc::clone(self), id.clone());
        if let Some(failed) = failed {
            let done = blocking(move || own.remove_traces(&id)).await;
            if let Err(error) = done {
                tracing::warn!(%error, "traces of a standalone container remain");
            }
            let message = ended.message.clone();
            failed.state.send_replace(State::Failed(message));
            return true;
        }
        let mut outcome = outcome(ended);
        let killed = self.lock().get(&id).is_some_and(|one| one.killed);
        if killed && outcome.exit_status.is_none() {
            // The supervisor was ended before it had written down what everybody knows.
            outcome.exit_status = Some(libc::SIGKILL);
            outcome.message = None;
        }
        let written = outcome.clone();
        let (records, name) = (self.records.clone(), id.clone());
        let done = blocking(move || records.end(&name, &written)).await;
        if let Err(error) = done {
            tracing::error!(container = %id, %error, "the next agent will not know how it ended");
        }
        if let Some(one) = self.lock().get(&id) {
            one.state.send_replace(State::Ended(outcome));
        }
        true
    }

    fn remove_traces(&self, id: &ContainerId) -> io::Result<()> {
        let sandbox = self.sandboxes.join(id.as_str());
        match fs::remove_dir_all(&sandbox) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match self.records.remove(id) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn state(&self, id: &v1::ContainerId) -> Result<(ContainerId, State), GuestError> {
        let id = parsed(id)?;
        let state = self.lock().get(&id).map(|one| one.state.borrow().clone());
        let state = state.ok_or_else(|| GuestError::Unknown(id.to_string()))?;
        Ok((id, state))
    }

    /// Waits for the end.
    pub(super) async fn wait(&self, id: &v1::ContainerId) -> Result<WaitContainer, GuestError> {
        let (id, _) = self.state(id)?;
        let unknown = || GuestError::Unknown(id.to_string());
        let mut states = {
            let all = self.lock();
            all.get(&id).ok_or_else(unknown)?.state.subscribe()
        };
        let over = |state: &State| matches!(state, State::Ended(_) | State::Failed(_));
        let state = states.wait_for(over).await.map(|state| state.clone());
        match state {
            Ok(State::Ended(outcome)) => Ok(outcome),
            _ => Err(unknown()),
        }
    }

    /// Sends a signal to its first process; SIGKILL ends everything in it.
    pub(super) fn kill(&self, id: &v1::ContainerId, signal: i32) -> Result<(), GuestError> {
        let (id, state) = self.state(id)?;
        if matches!(state, State::Ended(_) | State::Failed(_)) {
            return Err(GuestError::Unknown(id.to_string()));
        }
        if signal == libc::SIGKILL
            && let Some(one) = self.lock().get_mut(&id)
        {
            one.killed = true;
        }
        signal_to(&self.containerizer, &id, signal)
    }

    /// The sandboxes of those that are known.
    pub(super) fn sandboxes(&self) -> Vec<(ContainerId, PathBuf)> {
        let all = self.lock();
        let sandbox = |id: &ContainerId| self.sandboxes.join(id.as_str());
        all.keys().map(|id| (id.clone(), sandbox(id))).collect()
    }

    /// Forgets one that has ended, and removes its sandbox.
    pub(super) async fn remove(self: Arc<Self>, id: &v1::ContainerId) -> Result<(), GuestError> {
        let (id, state) = self.state(id)?;
        if !matches!(state, State::Ended(_)) {
            return Err(GuestError::Runs(id.to_string()));
        }
        let (own, name) = (Arc::clone(&self), id.clone());
        blocking(move || own.remove_traces(&name))
            .await
            .map_err(GuestError::Failed)?;
        self.lock().remove(&id);
        Ok(())
    }

    /// Those that run, with their supervisors.
    pub(super) fn running(&self) -> Vec<(ContainerId, u32)> {
        let all = self.lock();
        let running = all
            .iter()
            .filter_map(|(id, one)| match *one.state.borrow() {
                State::Runs(pid) => Some((id.clone(), pid)),
                _ => None,
            });
        running.collect()
    }
}

impl Standalone {
    fn is_over(&self) -> bool {
        matches!(*self.state.borrow(), State::Ended(_))
    }
}

fn parsed(id: &v1::ContainerId) -> Result<ContainerId, GuestError> {
    ContainerId::parse(&id.value)
        .map_err(|error| GuestError::Refused(format!("container_id.value: {error}")))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
