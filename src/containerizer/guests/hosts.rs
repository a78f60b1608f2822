//! The containers of executors, as operators see them beside their own: their end is waited for, they are
//! sent signals. Nobody but the agent launches or removes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use super::GuestError;
use super::place::Place;
use crate::agent::Ended;
use crate::base::ContainerId;
use crate::containerizer::Containerizer;
use crate::proto::v1;
use crate::proto::v1::agent::response::WaitContainer;

/// How a container ended, once it has.
type Outcome = Option<WaitContainer>;

/// All containers of executors.
#[derive(Debug)]
pub(super) struct Hosts {
    containerizer: Arc<Containerizer>,
    /// Those whose end somebody waits for.
    awaited: Mutex<BTreeMap<ContainerId, watch::Sender<Outcome>>>,
}

impl Hosts {
    pub(super) fn new(containerizer: Arc<Containerizer>) -> Self {
        Self {
            containerizer,
            awaited: Mutex::default(),
        }
    }

    fn awaited(&self) -> MutexGuard<'_, BTreeMap<ContainerId, watch::Sender<Outcome>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The executor's container of this name, while it runs.
    pub(super) fn find(&self, id: &v1::ContainerId) -> Option<ContainerId> {
        let id = ContainerId::parse(&id.value).ok()?;
        self.runs(&id).then_some(id)
    }

    fn runs(&self, id: &ContainerId) -> bool {
        let house = self.containerizer.house(id);
        house.is_some_and(|house| !house.standalone)
    }

    /// Waits for the end.
    pub(super) async fn wait(&self, id: &ContainerId) -> Result<WaitContainer, GuestError> {
        let unknown = || GuestError::Unknown(id.to_string());
        let mut outcomes = {
            let mut awaited = self.awaited();
            let entry = awaited.entry(id.clone());
            entry.or_insert_with(|| watch::channel(None).0).subscribe()
        };
        // One that ended just before was not told to whom waits since.
        if !self.runs(id) {
            let told = outcomes.borrow_and_update().clone();
            self.awaited().remove(id);
            return told.ok_or_else(unknown);
        }
        let outcome = outcomes.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        outcome.ok_or_else(unknown)
    }

    /// Sends a signal to its first process; SIGKILL ends everything in it.
    pub(super) fn kill(&self, id: &ContainerId, signal: i32) -> Result<(), GuestError> {
        signal_to(&self.containerizer, id, signal)
    }

    /// A container is gone.
    pub(super) fn ended(&self, id: &ContainerId, ended: &Ended) {
        if let Some(waiting) = self.awaited().remove(id) {
            waiting.send_replace(Some(outcome(ended)));
        }
    }
}

/// Sends a signal to the first process of a container; SIGKILL ends everything in it.
pub(super) fn signal_to(
    containerizer: &Containerizer,
    id: &ContainerId,
    signal: i32,
) -> Result<(), GuestError> {
    if signal == libc::SIGKILL {
        containerizer.destroy(id);
        return Ok(());
    }
    let refused = |message: String| GuestError::Refused(message);
    let signal = Signal::try_from(signal)
        .map_err(|_| refused(format!("signal: {signal} cannot be sent")))?;
    let house = containerizer.house(id);
    let command = house.as_ref().and_then(Place::command_of);
    let command = command.ok_or_else(|| refused(format!("container '{id}' is only starting")))?;
    let pid = i32::try_from(command).map_err(|error| refused(error.to_string()))?;
    kill(Pid::from_raw(pid), signal).map_err(|error| GuestError::Failed(error.into()))
}

/// What those who wait are told.
pub(super) fn outcome(ended: &Ended) -> WaitContainer {
    let limit = ended.reason.as_ref();
    WaitContainer {
        exit_status: ended.wait_status,
        state: limit.map(|_| v1::TaskState::TaskFailed.into()),
        reason: limit.map(|limit| limit.reason.into()),
        limitation: limit.map(|limit| v1::TaskResourceLimitation {
            resources: limit.resources.clone(),
        }),
        message: Some(ended.message.clone())
            .filter(|_| limit.is_some() || ended.wait_status.is_none()),
    }
}
