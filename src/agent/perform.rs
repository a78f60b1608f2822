//! Shell: performs the effects of one step, in order. Never blocks: what takes time goes to a thread
//! and comes back as an event.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::base::{ConnectionId, RequestId, Uuid};
use crate::proto::link::FromAgent;
use crate::proto::v1;
use crate::runtime::TimerTable;

use super::call::CallRefused;
use super::checkpoint::{Journal, VolumePath};
use super::container::{ContainerVolume, Containers};
use super::effect::{Effect, Effects, Reply};
use super::event::Event;
use super::link::Outgoing;
use super::timer::TimerKey;
use super::volume_folders;

/// Why an agent's loop has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// For the log.
    pub reason: String,
    /// The agent did not end because it was asked to.
    pub failed: bool,
}

/// Everything that effects act on.
#[derive(Debug)]
pub(super) struct World {
    pub(super) work_dir: PathBuf,
    pub(super) link: Option<Outgoing>,
    pub(super) executors: BTreeMap<ConnectionId, ExecutorStream>,
    pub(super) replies: BTreeMap<RequestId, oneshot::Sender<Result<Reply, CallRefused>>>,
    pub(super) timers: TimerTable<TimerKey>,
    pub(super) containers: Arc<dyn Containers>,
    pub(super) journal: Journal,
    /// Answers of threads; at most one per effect that is under way.
    pub(super) answers: mpsc::UnboundedSender<Event>,
    pub(super) exit: Option<Exit>,
}

/// The sending side of one executor's stream.
#[derive(Debug)]
pub(super) struct ExecutorStream {
    pub(super) events: mpsc::Sender<v1::executor::Event>,
    /// Dropped with the stream; ends the task that watches for the reader's end.
    pub(super) _open: oneshot::Sender<()>,
}

impl World {
    /// Performs everything, and gives what must be told to the core right away.
    pub(super) fn perform(&mut self, effects: &mut Effects) -> Vec<Event> {
        let mut consequences = Vec::new();
        for effect in effects.drain() {
            self.perform_one(effect, &mut consequences);
        }
        consequences
    }

    fn perform_one(&mut self, effect: Effect, consequences: &mut Vec<Event>) {
        match effect {
            Effect::ToMaster {
                connection,
                message,
            } => {
                let message = FromAgent {
                    message: Some(*message),
                };
                let open = self
                    .link
                    .as_ref()
                    .filter(|link| link.connection == connection);
                if let Some(link) = open
                    && !link.send(message)
                {
                    tracing::warn!("the master reads too slowly, closing the link");
                    self.link = None;
                    consequences.push(Event::MasterDisconnected { connection });
                }
            }
            Effect::CloseMaster { connection } => {
                if self
                    .link
                    .as_ref()
                    .is_some_and(|link| link.connection == connection)
                {
                    self.link = None;
                }
            }
            Effect::ToExecutor { connection, event } => {
                let sent = self
                    .executors
                    .get(&connection)
                    .is_some_and(|executor| executor.events.try_send(*event).is_ok());
                if !sent && self.executors.remove(&connection).is_some() {
                    tracing::warn!("an executor reads too slowly or has gone, closing its stream");
                    consequences.push(Event::ExecutorDisconnected { connection });
                }
            }
            Effect::CloseExecutor { connection } => {
                self.executors.remove(&connection);
            }
            Effect::Recover(known) => self.containers.recover(known),
            Effect::Launch(config) => self.containers.launch(*config),
            Effect::UpdateContainer {
                container_id,
                resources,
                limits,
            } => self.containers.update(container_id, resources, limits),
            Effect::DestroyContainer { container_id } => self.containers.destroy(container_id),
            Effect::Checkpoint { token, record } => self.journal.write(token, *record),
            Effect::RemovePath { path } => self.remove(path),
            Effect::MakeVolumes { operation, volumes } => {
                let result = make_volumes(&volumes);
                consequences
                    .extend(operation.map(|operation| Event::VolumesMade { operation, result }));
            }
            Effect::RemoveVolumes { operation, volumes } => remove_volumes(operation, &volumes),
            Effect::EmptyTrash { trash } => empty_trash(trash),
            Effect::LinkVolumes {
                sandbox,
                user,
                volumes,
            } => self.link_volumes(&sandbox, user.as_deref(), &volumes),
            Effect::MeasureDisk => self.measure(),
            Effect::SetTimer { key, at } => self.timers.set(key, at),
            Effect::CancelTimer { key } => {
                self.timers.cancel(&key);
            }
            Effect::Reply { request, result } => {
                if let Some(reply) = self.replies.remove(&request) {
                    // Whoever asked may have gone.
                    drop(reply.send(result));
                }
            }
            Effect::Exit { reason, failed } => {
                self.exit.get_or_insert(Exit { reason, failed });
            }
        }
    }

    fn link_volumes(&self, sandbox: &Path, user: Option<&str>, volumes: &[ContainerVolume]) {
        if let Err(error) = self.containers.link_volumes(sandbox, user, volumes) {
            tracing::warn!(sandbox = %sandbox.display(), error, "no volumes for a task");
        }
    }

    fn remove(&self, path: PathBuf) {
        let answers = self.answers.clone();
        let root = self.work_dir.clone();
        tokio::task::spawn_blocking(move || {
            let result = remove_sandbox(&root, &path).map_err(|error| {
                tracing::warn!(path = %path.display(), %error, "cannot delete a sandbox");
                error.to_string()
            });
            // A closed queue means that the agent has ended.
            drop(answers.send(Event::PathRemoved { path, result }));
        });
    }

    fn measure(&self) {
        let answers = self.answers.clone();
        let root = self.work_dir.clone();
        tokio::task::spawn_blocking(move || {
            let permille = usage_permille(&root).unwrap_or_else(|error| {
                tracing::warn!(path = %root.display(), %error, "cannot measure the disk");
                0
            });
            // A closed queue means that the agent has ended.
            drop(answers.send(Event::DiskUsage { permille }));
        });
    }
}

fn make_volumes(volumes: &[VolumePath]) -> Result<(), String> {
    volumes
        .iter()
        .try_for_each(volume_folders::make)
        .map_err(|error| {
            tracing::warn!(%error, "cannot make a persistent volume");
            error.to_string()
        })
}

fn remove_volumes(operation: Uuid, volumes: &[VolumePath]) {
    for (number, volume) in volumes.iter().enumerate() {
        let name = format!("{operation}-{number}");
        if let Err(error) = volume_folders::remove(volume, &name) {
            tracing::warn!(%error, "cannot remove a persistent volume");
        }
        empty_trash(volume.trash.clone());
    }
}

/// Deletes removed volumes in the background.
fn empty_trash(trash: PathBuf) {
    tokio::task::spawn_blocking(move || {
        if let Err(error) = volume_folders::empty_trash(&trash) {
            tracing::warn!(path = %trash.display(), %error, "cannot delete removed volumes");
        }
    });
}

/// Deletes the sandbox of one run, and the folders above it that are empty now.
fn remove_sandbox(work_dir: &Path, sandbox: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(sandbox) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let Some(runs) = sandbox.parent() else {
        return Ok(());
    };
    let latest = runs.join("latest");
    let dangling = std::fs::read_link(&latest).is_ok_and(|target| runs.join(target) == sandbox);
    if dangling {
        std::fs::remove_file(&latest)?;
    }
    let mut folder = runs;
    while folder != work_dir && folder.starts_with(work_dir) {
        // The first one that something else lives in ends it.
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
        let Some(parent) = folder.parent() else {
            break;
        };
        folder = parent;
    }
    Ok(())
}

/// How full the file system is, in thousandths of what unprivileged users may fill.
fn usage_permille(path: &Path) -> nix::Result<u32> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    let (blocks, free) = (stat.blocks(), stat.blocks_free());
    let used = blocks.saturating_sub(free);
    let usable = used + stat.blocks_available();
    let permille = (u128::from(used) * 1000).checked_div(u128::from(usable));
    Ok(permille
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(0))
}
