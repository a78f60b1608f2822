//! Nested containers, for operators and for executors that make containers of their own; and
//! standalone containers, for operators.

use std::path::PathBuf;

use tokio::sync::{OwnedMutexGuard, mpsc};

use crate::api::error::ApiError;
use crate::base::ContainerId;
use crate::containerizer::guests::{GuestError, GuestRequest, Guests, Input, Launched, Said};
use crate::proto::v1;
use crate::proto::v1::agent::{Call, call, response};

/// What serves nested and standalone containers; cheap to clone.
#[derive(Clone, Debug)]
pub struct GuestCalls {
    /// None on an agent without containers.
    guests: Option<Guests>,
}

/// The container that a call names, its command and its settings.
type Wanted = (
    v1::ContainerId,
    Option<v1::CommandInfo>,
    Option<v1::ContainerInfo>,
);

#[expect(deprecated, reason = "clients still send the older names of calls")]
impl GuestCalls {
    /// Serves these.
    #[must_use]
    pub fn new(guests: Option<Guests>) -> Self {
        Self { guests }
    }

    fn guests(&self) -> Result<&Guests, ApiError> {
        self.guests
            .as_ref()
            .ok_or_else(|| ApiError::Unavailable("this agent has no nested containers".to_owned()))
    }

    /// LAUNCH_CONTAINER and LAUNCH_NESTED_CONTAINER; false if it was launched before.
    ///
    /// # Errors
    ///
    /// The call is malformed, or asks for what cannot be done.
    pub async fn launch(&self, call: Call) -> Result<bool, ApiError> {
        let wanted: Wanted = match call.r#type() {
            call::Type::LaunchContainer => {
                let part = call.launch_container;
                let part = part.ok_or_else(|| ApiError::missing("launch_container"))?;
                if part.container_id.parent.is_none() {
                    return Ok(self.guests()?.launch_standalone(part).await?);
                }
                check_nested_launch(&part)?;
                (part.container_id, part.command, part.container)
            }
            _ => {
                let part = call.launch_nested_container;
                let part = part.ok_or_else(|| ApiError::missing("launch_nested_container"))?;
                (part.container_id, part.command, part.container)
            }
        };
        let launched = self.guests()?.launch(request(wanted, false)).await?;
        Ok(matches!(launched, Launched::New(_)))
    }

    /// LAUNCH_NESTED_CONTAINER_SESSION: the output of the container, which ends when nobody reads it
    /// any more.
    ///
    /// # Errors
    ///
    /// As [`Self::launch`]; also if the container was launched before.
    pub async fn session(&self, call: Call) -> Result<Session, ApiError> {
        let part = call.launch_nested_container_session;
        let part = part.ok_or_else(|| ApiError::missing("launch_nested_container_session"))?;
        let container_id = part.container_id.clone();
        let wanted = (part.container_id, part.command, part.container);
        let guests = self.guests()?;
        match guests.launch(request(wanted, true)).await? {
            Launched::New(said) => Ok(Session {
                said,
                guests: guests.clone(),
                container_id,
            }),
            Launched::Known => {
                let message = format!("container '{}' runs already", container_id.value);
                Err(ApiError::field("container_id", message))
            }
        }
    }

    /// ATTACH_CONTAINER_OUTPUT.
    ///
    /// # Errors
    ///
    /// There is no such container.
    pub fn output(&self, call: Call) -> Result<mpsc::Receiver<Said>, ApiError> {
        let part = call.attach_container_output;
        let part = part.ok_or_else(|| ApiError::missing("attach_container_output"))?;
        Ok(self.guests()?.output(&part.container_id)?)
    }

    /// ATTACH_CONTAINER_INPUT.
    ///
    /// # Errors
    ///
    /// There is no such container, or somebody else is attached.
    pub fn input(&self, id: &v1::ContainerId) -> Result<OwnedMutexGuard<Input>, ApiError> {
        Ok(self.guests()?.input(id)?)
    }

    /// WAIT_CONTAINER and WAIT_NESTED_CONTAINER: how it ended.
    pub(super) async fn wait(&self, call: &Call) -> Result<response::WaitContainer, ApiError> {
        let (one, other) = (&call.wait_container, &call.wait_nested_container);
        let id = match (one, other) {
            (Some(part), _) => &part.container_id,
            (None, Some(part)) => nested(&part.container_id)?,
            (None, None) => return Err(ApiError::missing("wait_container")),
        };
        Ok(self.guests()?.wait(id).await?)
    }

    /// KILL_CONTAINER and KILL_NESTED_CONTAINER.
    pub(super) fn kill(&self, call: &Call) -> Result<(), ApiError> {
        let (one, other) = (&call.kill_container, &call.kill_nested_container);
        let (id, signal) = match (one, other) {
            (Some(part), _) => (&part.container_id, part.signal),
            (None, Some(part)) => (nested(&part.container_id)?, part.signal),
            (None, None) => return Err(ApiError::missing("kill_container")),
        };
        Ok(self.guests()?.kill(id, signal.unwrap_or(libc::SIGKILL))?)
    }

    /// REMOVE_CONTAINER and REMOVE_NESTED_CONTAINER.
    pub(super) async fn remove(&self, call: &Call) -> Result<(), ApiError> {
        let (one, other) = (&call.remove_container, &call.remove_nested_container);
        let id = match (one, other) {
            (Some(part), _) => &part.container_id,
            (None, Some(part)) => nested(&part.container_id)?,
            (None, None) => return Err(ApiError::missing("remove_container")),
        };
        Ok(self.guests()?.remove(id).await?)
    }

    /// Standalone containers that run, with their supervisors.
    pub(super) fn standalone(&self) -> Vec<(ContainerId, u32)> {
        self.guests
            .as_ref()
            .map(Guests::standalone)
            .unwrap_or_default()
    }

    /// Sandboxes of standalone containers that are known.
    pub(super) fn sandboxes(&self) -> Vec<(ContainerId, PathBuf)> {
        self.guests
            .as_ref()
            .map(Guests::sandboxes)
            .unwrap_or_default()
    }

    /// Nested containers that run, with their processes.
    pub(super) fn running(&self) -> Vec<(v1::ContainerId, u32)> {
        self.guests
            .as_ref()
            .map(Guests::running)
            .unwrap_or_default()
    }
}

/// A container that lives as long as this.
#[derive(Debug)]
pub struct Session {
    /// Its output.
    pub said: mpsc::Receiver<Said>,
    guests: Guests,
    container_id: v1::ContainerId,
}

impl Drop for Session {
    fn drop(&mut self) {
        // One that has ended, or was forgotten, needs no end.
        let _gone = self.guests.kill(&self.container_id, libc::SIGKILL);
    }
}

/// What only a standalone container may ask for; one in another lives on what that one has.
fn check_nested_launch(part: &call::LaunchContainer) -> Result<(), ApiError> {
    let refused = |field: &str| {
        let field = format!("launch_container.{field}");
        let message = format!("{field}: a nested container shares what its parent has");
        Err(ApiError::field(field, message))
    };
    if !part.resources.is_empty() {
        return refused("resources");
    }
    if !part.limits.is_empty() {
        return refused("limits");
    }
    Ok(())
}

/// The older calls are for containers in containers only.
fn nested(id: &v1::ContainerId) -> Result<&v1::ContainerId, ApiError> {
    match id.parent {
        Some(_) => Ok(id),
        None => Err(ApiError::missing("container_id.parent")),
    }
}

fn request((container_id, command, container): Wanted, session: bool) -> GuestRequest {
    GuestRequest {
        container_id,
        command: command.unwrap_or_default(),
        container,
        session,
    }
}

impl From<GuestError> for ApiError {
    fn from(error: GuestError) -> Self {
        let message = error.to_string();
        match error {
            GuestError::Refused(_) | GuestError::Failed(_) | GuestError::Silent(_) => {
                Self::invalid(message)
            }
            GuestError::Unknown(_) => Self::NotFound(message),
            GuestError::Runs(_) | GuestError::Attached(_) => Self::Conflict(message),
            GuestError::TooMany(_) => Self::Exhausted(message),
        }
    }
}
