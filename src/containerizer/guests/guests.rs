//! All guests of an agent: launch, wait, kill, remove, attach.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::hosts::Hosts;
use super::place::Place;
use super::plan::{GuestPlan, GuestUser};
use super::process::{Control, Lines, Spawned, Window, spawn};
use super::standalone::Standalones;
use super::switchboard::{Input, Said, Stream, Switchboard, pump};
use crate::agent::{ContainerConfig, Ended};
use crate::base::ContainerId;
use crate::containerizer::{Containerizer, planning, user};
use crate::proto::v1;
use crate::proto::v1::agent::call::LaunchContainer;
use crate::proto::v1::agent::response::WaitContainer;

/// Guests that are remembered, those that have ended included.
const GUESTS_MAX: usize = 1_000;
/// Containers in containers.
const DEPTH_MAX: usize = 8;
/// Signals that wait for a guest.
const SIGNALS_MAX: usize = 16;
/// How long output may come after the end of the command: others may hold it open for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why something cannot be done with a guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The request makes no sense, or asks for what is not supported.
    #[error("{0}")]
    Refused(String),
    /// There is no such container, or it has ended.
    #[error("container '{0}' does not run here")]
    Unknown(String),
    /// It runs, and may not.
    #[error("container '{0}' still runs")]
    Runs(String),
    /// It writes to its sandbox and reads nothing.
    #[error("container '{0}' has no input and output to attach to: what it says is in its sandbox")]
    Silent(String),
    /// Somebody else speaks to it.
    #[error("the input of container '{0}' is attached already")]
    Attached(String),
    /// Too many guests or readers.
    #[error("{0}")]
    TooMany(String),
    /// The system refused.
    #[error("cannot launch the container: {0}")]
    Failed(io::Error),
}

/// What is to be launched.
#[derive(Clone, Debug)]
pub struct GuestRequest {
    /// Its name, below the container that it goes to.
    pub container_id: v1::ContainerId,
    /// What runs.
    pub command: v1::CommandInfo,
    /// Terminal, and what is not supported.
    pub container: Option<v1::ContainerInfo>,
    /// Somebody talks to it: it has no sandbox of its own and does not outlive the agent.
    pub session: bool,
}

/// What came of a launch.
#[derive(Debug)]
pub enum Launched {
    /// It runs; its output from the first byte on.
    New(mpsc::Receiver<Said>),
    /// It was launched before.
    Known,
}

/// All guests of an agent; cheap to clone.
#[derive(Clone, Debug)]
pub struct Guests(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    containerizer: Arc<Containerizer>,
    standalone: Arc<Standalones>,
    hosts: Hosts,
    all: Mutex<BTreeMap<Vec<String>, Arc<Guest>>>,
}

#[derive(Debug)]
struct Guest {
    place: Mutex<Option<Place>>,
    ended: watch::Receiver<Option<i32>>,
    signals: mpsc::Sender<i32>,
    switchboard: Arc<Switchboard>,
    input: Arc<tokio::sync::Mutex<Input>>,
    /// When it came, for those that have ended to be forgotten in order.
    number: u64,
}

/// A name from the outermost container inwards.
fn path_of(id: &v1::ContainerId) -> Result<Vec<String>, GuestError> {
    let mut path = Vec::new();
    let mut next = Some(id);
    while let Some(id) = next {
        if ContainerId::parse(&id.value).is_err() {
            let message = format!("container_id: '{}' is not an id", id.value);
            return Err(GuestError::Refused(message));
        }
        path.push(id.value.clone());
        if path.len() > DEPTH_MAX {
            let message = format!("container_id: more than {DEPTH_MAX} containers in each other");
            return Err(GuestError::Refused(message));
        }
        next = id.parent.as_deref();
    }
    path.reverse();
    Ok(path)
}

impl Guests {
    /// Guests of the containers of `containerizer`, and standalone containers with sandboxes in
    /// `sandboxes`.
    #[must_use]
    pub fn new(containerizer: Arc<Containerizer>, sandboxes: PathBuf) -> Self {
        let standalone = Standalones::new(Arc::clone(&containerizer), sandboxes);
        Self(Arc::new(Inner {
            hosts: Hosts::new(Arc::clone(&containerizer)),
            containerizer,
            standalone: Arc::new(standalone),
            all: Mutex::default(),
        }))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Arc<Guest>>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guest(&self, id: &v1::ContainerId) -> Result<Arc<Guest>, GuestError> {
        let path = path_of(id)?;
        let found = self.all().get(&path).cloned();
        found.ok_or_else(|| GuestError::Unknown(path.join(".")))
    }

    /// Brings a command into a container. To be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`GuestError`] says which rule the request breaks, or what the system said.
    pub async fn launch(&self, request: GuestRequest) -> Result<Launched, GuestError> {
        let path = path_of(&request.container_id)?;
        let Some((name, outer)) = path.split_last().filter(|(_, outer)| !outer.is_empty()) else {
            return Err(GuestError::Refused(
                "container_id.parent: must name a container of this agent".to_owned(),
            ));
        };
        if self.all().contains_key(&path) {
            return Ok(Launched::Known);
        }
        let number = self.make_room()?;
        let house = self
            .0
            .containerizer
            .house(&ContainerId::new(outer[0].as_str()));
        let (unknown, name) = (GuestError::Unknown(outer.join(".")), name.clone());
        let inner = self.all().get(outer).cloned();
        let outer = outer.to_vec();
        let prepared = tokio::task::spawn_blocking(move || {
            let house = house.ok_or(unknown)?;
            let place = match (inner, &outer[..]) {
                (Some(guest), _) => guest.place(),
                (None, [_]) => Place::in_house(&house),
                (None, [_, task]) => Place::in_task(&house, task),
                (None, _) => None,
            };
            let place = place.ok_or_else(|| GuestError::Unknown(outer.join(".")))?;
            prepare(&request, place, &name)
        });
        let prepared = prepared
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        self.begin(path, prepared, number).await
    }

    /// Forgets the oldest of those that have ended when there are too many; gives the next number.
    fn make_room(&self) -> Result<u64, GuestError> {
        let mut all = self.all();
        let number = all.values().map(|guest| guest.number).max().unwrap_or(0) + 1;
        if all.len() < GUESTS_MAX {
            return Ok(number);
        }
        let over = all
            .iter()
            .filter(|(_, guest)| guest.ended.borrow().is_some());
        let oldest = over.min_by_key(|(_, guest)| guest.number);
        let oldest = oldest.map(|(path, _)| path.clone());
        let oldest = oldest.ok_or_else(|| {
            GuestError::TooMany(format!("{GUESTS_MAX} nested containers run already"))
        })?;
        all.remove(&oldest);
        Ok(number)
    }

    async fn begin(
        &self,
        path: Vec<String>,
        prepared: Prepared,
        number: u64,
    ) -> Result<Launched, GuestError> {
        let Prepared {
            plan,
            place,
            window,
            files,
        } = prepared;
        let program = self.0.containerizer.program();
        let terminal = plan.tty;
        let spawned = tokio::task::spawn_blocking(move || spawn(&program, &plan, window)).await;
        let Spawned {
            mut child,
            control,
            lines,
        } = spawned
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
            .map_err(GuestError::Failed)?;
        let mut control = Control::new(control).map_err(GuestError::Failed)?;
        let (input, outputs) = match lines {
            Lines::Terminal { input, output } => (input, vec![(output, Stream::Stdout)]),
            Lines::Pipes {
                stdin,
                stdout,
                stderr,
            } => (
                stdin,
                vec![(stdout, Stream::Stdout), (stderr, Stream::Stderr)],
            ),
        };
        let input = Input::new(input, terminal).map_err(GuestError::Failed)?;
        let switchboard = Arc::<Switchboard>::default();
        let said = switchboard.attach().expect("nobody else has attached yet");
        let (signals, mut to_pass) = mpsc::channel(SIGNALS_MAX);
        let (over, ended) = watch::channel(None);
        let guest = Arc::new(Guest {
            place: Mutex::new(None),
            ended,
            signals,
            switchboard: Arc::clone(&switchboard),
            input: Arc::new(tokio::sync::Mutex::new(input)),
            number,
        });
        match self.all().entry(path) {
            Entry::Vacant(free) => drop(free.insert(Arc::clone(&guest))),
            // Somebody else was faster; ours ends with its control socket.
            Entry::Occupied(_) => return Ok(Launched::Known),
        }
        let mut files = files.into_iter();
        let pumps: Vec<_> = outputs
            .into_iter()
            .map(|(fd, stream)| {
                let switchboard = Arc::clone(&switchboard);
                tokio::spawn(pump(fd, stream, switchboard, files.next()))
            })
            .collect();
        let (started, starting) = oneshot::channel();
        tokio::spawn(async move {
            let pid = control.pid().await;
            if let Ok(beside) = pid {
                *lock(&guest.place) = Some(Place { beside, ..place });
            }
            // Whoever launched it may have gone.
            drop(started.send(pid.map(|_| ())));
            let status = control.ended(&mut to_pass).await;
            let reaped = tokio::task::spawn_blocking(move || child.wait()).await;
            if let Err(error) = reaped {
                tracing::error!(%error, "a nested container cannot be waited for");
            }
            *lock(&guest.place) = None;
            for mut pump in pumps {
                if tokio::time::timeout(LAST_WORDS, &mut pump).await.is_err() {
                    pump.abort();
                }
            }
            switchboard.close();
            // One that died with its container could not say how.
            over.send_replace(Some(status.unwrap_or(libc::SIGKILL)));
        });
        // One that could not enter has said why on its standard error, and ends.
        let _ended_already = starting.await;
        Ok(Launched::New(said))
    }

    /// Launches a standalone container; false if it was launched before. It runs when this returns. To
    /// be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`GuestError`] says which rule the request breaks, or what the system said.
    pub async fn launch_standalone(&self, call: LaunchContainer) -> Result<bool, GuestError> {
        Arc::clone(&self.0.standalone).launch(call).await
    }

    /// The standalone containers that an earlier agent has launched and that may still run, to be taken
    /// back; with `ending` they are forgotten instead. To be called once, before the first launch.
    #[must_use]
    pub fn recover(&self, ending: bool) -> Vec<ContainerConfig> {
        self.0.standalone.recover(ending)
    }

    /// A container's supervisor runs. True if the container is a standalone one.
    #[must_use]
    pub fn launched(&self, container: &ContainerId, pid: u32) -> bool {
        self.0.standalone.launched(container, pid)
    }

    /// A container is gone, with all its guests. True if it was a standalone one.
    pub async fn ended(&self, container: &ContainerId, ended: &Ended) -> bool {
        self.forget_house(container);
        self.0.hosts.ended(container, ended);
        self.0.standalone.ended(container, ended).await
    }

    /// Standalone containers that run, with their supervisors.
    #[must_use]
    pub fn standalone(&self) -> Vec<(ContainerId, u32)> {
        self.0.standalone.running()
    }

    /// The sandboxes of standalone containers that are known, by container.
    #[must_use]
    pub fn sandboxes(&self) -> Vec<(ContainerId, PathBuf)> {
        self.0.standalone.sandboxes()
    }

    /// Waits for the end of a guest, of a standalone container or of an executor's.
    ///
    /// # Errors
    ///
    /// There is no such container.
    pub async fn wait(&self, id: &v1::ContainerId) -> Result<WaitContainer, GuestError> {
        if id.parent.is_none() {
            return match self.0.hosts.find(id) {
                Some(host) => self.0.hosts.wait(&host).await,
                None => self.0.standalone.wait(id).await,
            };
        }
        let mut ended = self.guest(id)?.ended.clone();
        let status = ended.wait_for(Option::is_some).await;
        let status = status.ok().and_then(|status| *status);
        Ok(WaitContainer {
            exit_status: Some(status.unwrap_or(libc::SIGKILL)),
            ..WaitContainer::default()
        })
    }

    /// Sends a signal to a guest, a standalone container or an executor's; nothing if a guest has ended.
    ///
    /// # Errors
    ///
    /// There is no such container, or no such signal.
    pub fn kill(&self, id: &v1::ContainerId, signal: i32) -> Result<(), GuestError> {
        if !(1..=64).contains(&signal) {
            let message = format!("signal: {signal} is not one");
            return Err(GuestError::Refused(message));
        }
        if id.parent.is_none() {
            return match self.0.hosts.find(id) {
                Some(host) => self.0.hosts.kill(&host, signal),
                None => self.0.standalone.kill(id, signal),
            };
        }
        let guest = self.guest(id)?;
        // A guest that hears so many signals has other worries.
        let _full = guest.signals.try_send(signal);
        Ok(())
    }

    /// Forgets a guest or a standalone container that has ended; the latter with its sandbox.
    ///
    /// # Errors
    ///
    /// There is no such container, or it runs.
    pub async fn remove(&self, id: &v1::ContainerId) -> Result<(), GuestError> {
        if id.parent.is_none() {
            if let Some(host) = self.0.hosts.find(id) {
                return Err(GuestError::Runs(host.to_string()));
            }
            return Arc::clone(&self.0.standalone).remove(id).await;
        }
        let guest = self.guest(id)?;
        let path = path_of(id)?;
        if guest.ended.borrow().is_none() {
            return Err(GuestError::Runs(path.join(".")));
        }
        self.all().remove(&path);
        Ok(())
    }

    /// A guest that can be talked to; containers that have never had anybody to talk to are told apart
    /// from those that are not there.
    fn talking(&self, id: &v1::ContainerId) -> Result<Arc<Guest>, GuestError> {
        let found = self.guest(id);
        let Err(GuestError::Unknown(name)) = found else {
            return found;
        };
        let path = path_of(id)?;
        let house = self
            .0
            .containerizer
            .house(&ContainerId::new(path[0].as_str()));
        let runs = match (&house, &path[..]) {
            (Some(_), [_]) => true,
            (Some(house), [_, task]) => Place::in_task(house, task).is_some(),
            _ => false,
        };
        Err(if runs {
            GuestError::Silent(name)
        } else {
            GuestError::Unknown(name)
        })
    }

    /// The output of a guest from now on.
    ///
    /// # Errors
    ///
    /// There is no such guest, or it has too many readers.
    pub fn output(&self, id: &v1::ContainerId) -> Result<mpsc::Receiver<Said>, GuestError> {
        let said = self.talking(id)?.switchboard.attach();
        said.ok_or_else(|| GuestError::TooMany("the container has too many readers".to_owned()))
    }

    /// The input of a guest, for one at a time.
    ///
    /// # Errors
    ///
    /// There is no such guest, or somebody else has it.
    pub fn input(
        &self,
        id: &v1::ContainerId,
    ) -> Result<tokio::sync::OwnedMutexGuard<Input>, GuestError> {
        let input = Arc::clone(&self.talking(id)?.input);
        input
            .try_lock_owned()
            .map_err(|_| GuestError::Attached(id.value.clone()))
    }

    /// Those that run, by name from the outermost container inwards.
    #[must_use]
    pub fn running(&self) -> Vec<(v1::ContainerId, u32)> {
        let mut running = Vec::new();
        for (path, guest) in self.all().iter() {
            if let Some(place) = guest.place() {
                running.push((id_of(path), place.beside));
            }
        }
        running
    }

    /// Ends all guests of a container that is gone; the launcher with control groups has done so.
    fn forget_house(&self, container: &ContainerId) {
        let all = self.all();
        let inside = all.iter().filter(|(path, _)| path[0] == container.as_str());
        for (_, guest) in inside {
            let _ended = guest.signals.try_send(libc::SIGKILL);
        }
    }
}

impl Guest {
    fn place(&self) -> Option<Place> {
        lock(&self.place).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id_of(path: &[String]) -> v1::ContainerId {
    let (last, outer) = path.split_last().expect("a name has at least one part");
    v1::ContainerId {
        value: last.clone(),
        parent: (!outer.is_empty()).then(|| Box::new(id_of(outer))),
    }
}

/// A guest that is ready to be started.
struct Prepared {
    plan: GuestPlan,
    place: Place,
    window: Option<Window>,
    /// Where its output goes besides.
    files: Vec<File>,
}

fn prepare(request: &GuestRequest, place: Place, name: &str) -> Result<Prepared, GuestError> {
    let refused = |error: &dyn std::error::Error| GuestError::Refused(error.to_string());
    let mut tty = None;
    if let Some(container) = &request.container {
        let mut container = container.clone();
        tty = container.tty_info.take();
        planning::check(&container).map_err(|error| refused(&error))?;
    }
    let command = planning::command(&request.command).map_err(|error| refused(&error))?;
    if !request.command.uris.is_empty() {
        let message = "command.uris: a nested container brings no files";
        return Err(GuestError::Refused(message.to_owned()));
    }
    let user = match &request.command.user {
        Some(name) => user::look_up(name)
            .map_err(|error| refused(&error))?
            .map(|user| GuestUser {
                uid: user.uid,
                gid: user.gid,
                groups: user.groups,
            }),
        None => place.user(),
    };
    let mut environment = place.environment();
    let (folder, files) = if request.session {
        (place.sandbox.clone(), Vec::new())
    } else {
        let made = place.make_sandbox(name, user.as_ref());
        let (folder, output) = made.map_err(GuestError::Failed)?;
        let shown = folder.display().to_string();
        for own in ["MESOS_SANDBOX", "MESOS_DIRECTORY"] {
            environment.retain(|(name, _)| name != own);
            environment.push((own.to_owned(), shown.clone()));
        }
        (folder, vec![output.stdout, output.stderr])
    };
    let environment = planning::environment(&environment, &request.command);
    Ok(Prepared {
        plan: GuestPlan {
            beside: place.beside,
            cgroups: place.cgroups.clone(),
            command,
            environment: environment.map_err(|error| refused(&error))?,
            user,
            folder,
            tty: tty.is_some(),
            session: request.session,
        },
        window: tty.and_then(|tty| window(&tty)),
        place,
        files,
    })
}

fn window(tty: &v1::TtyInfo) -> Option<Window> {
    let size = tty.window_size.as_ref()?;
    Some(Window {
        rows: u16::try_from(size.rows).unwrap_or(u16::MAX),
        columns: u16::try_from(size.columns).unwrap_or(u16::MAX),
    })
}
